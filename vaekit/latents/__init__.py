"""Latents on their way back in: every form that `vaekit embed` gives, and what others make of it.

`read_latents` is the reader to `vaekit.output.latent_records`, the writer.
"""

from vaekit.latents.reading import LatentStream, read_latents

__all__ = ["LatentStream", "read_latents"]
