"""Guards for TIFF files: pixels that are claimed but missing."""

from __future__ import annotations

from typing import Any

from vaekit.data.decoding.png_guards import LARGE_PNG
from vaekit.errors import ImageError

MOST_PACKED = 3000
"""How many times smaller than its pixels a packed TIFF may be: LZW, the tightest, gets to 2,700."""

_BITS, _PACKING, _SAMPLES = 258, 259, 277


def refuse_hollow_tiff(image: Any, length: int) -> None:
    """Refuse a large TIFF whose file, of `length` bytes, cannot hold the pixels that it claims.

    libtiff would fill memory for all of them first.
    """
    tags = image.tag_v2
    bits = tags.get(_BITS, (1,))
    depth = sum(bits) if len(bits) > 1 else bits[0] * tags.get(_SAMPLES, 1)
    claimed = image.width * image.height * depth // 8
    held = length if tags.get(_PACKING, 1) == 1 else length * MOST_PACKED
    if claimed > max(LARGE_PNG, held):
        raise ImageError("is truncated")
