"""What training maximises: from a model and images to loss terms per image, in nats."""
