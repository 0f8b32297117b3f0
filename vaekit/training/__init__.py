"""Training: from a config to a model file."""
