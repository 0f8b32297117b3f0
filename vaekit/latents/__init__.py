"""Read latents in every format that `vaekit embed` writes, and as other programs write them.

`read_latents` reads what `vaekit.output.latent_records` writes.
"""

from vaekit.latents.reading import LatentStream, read_latents

__all__ = ["LatentStream", "read_latents"]
