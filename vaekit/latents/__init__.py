"""Latents outside a network: read from files, searched, walked through, and in groups."""
