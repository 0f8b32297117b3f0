"""The log-likelihood of images by importance sampling, annealed or not, and whether to trust it."""
