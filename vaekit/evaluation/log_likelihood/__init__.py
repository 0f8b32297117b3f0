"""The log-likelihood of images by importance sampling, and whether to trust it."""
