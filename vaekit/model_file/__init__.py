"""The model file: its header, its tensors, and hashes of its training images."""
