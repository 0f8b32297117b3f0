"""One step of training: the gradient of a batch, the update, and its loss terms."""
