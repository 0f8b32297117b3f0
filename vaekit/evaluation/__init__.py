"""Measure a trained model: likelihood, latents, image quality, samples, disentanglement."""
