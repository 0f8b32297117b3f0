"""The posteriors of all images together: what latents carry, and how they depend."""
