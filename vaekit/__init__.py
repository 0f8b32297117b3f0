"""vaekit: train variational autoencoders on any images, and use them, from the shell or Python."""

__version__ = "0.1.0"
