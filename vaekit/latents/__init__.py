"""Latents outside a network: files of them, search, walks and groups."""
