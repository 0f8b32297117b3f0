"""The model file: its header, its tensors, and the images that the model was trained on."""
