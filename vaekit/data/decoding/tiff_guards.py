"""Guards for TIFF files: pixels that are claimed but missing, and tags that Pillow ignores."""

from __future__ import annotations

from typing import Any

from vaekit.data.decoding.png_guards import LARGE_PNG
from vaekit.errors import ImageError

MOST_PACKED = 3000
"""How many times smaller than its pixels a packed TIFF may be: LZW, the tightest, gets to 2,700."""

_BITS, _PACKING, _COLOURS, _SAMPLES, _STRIP_BYTES = 258, 259, 262, 277, 279
_PLANES, _PALETTE, _SIGN = 284, 320, 339
_UNPACKED, _WHITE_IS_ZERO, _YCBCR, _SEPARATE, _SIGNED = 1, 0, 6, 2, 2


def refuse_hollow_tiff(image: Any, length: int) -> None:
    """Refuse a TIFF whose file, of `length` bytes, cannot hold the pixels that it claims.

    libtiff would fill memory for all of them first, and Pillow read other bytes in place of those
    that are missing.
    """
    tags = image.tag_v2
    claimed = image.height * ((image.width * _depth(tags) + 7) // 8)
    packed = tags.get(_PACKING, _UNPACKED) != _UNPACKED
    if claimed > max(LARGE_PNG, length * (MOST_PACKED if packed else 1)):
        raise ImageError("is truncated")
    sizes = tags.get(_STRIP_BYTES, ())
    unclear = packed or not all(sizes) or tags.get(_COLOURS) == _YCBCR
    if sizes and not unclear and sum(sizes) < claimed:
        raise ImageError("is truncated")


def refuse_misread_tiff(image: Any) -> None:
    """Refuse separate planes of colour where Pillow would mix them up."""
    tags = image.tag_v2
    if tags.get(_PLANES, 1) != _SEPARATE or tags.get(_SAMPLES, 1) == 1:
        return
    deep = max(tags.get(_BITS, (1,))) > 8
    if tags[_SAMPLES] == 2 or (deep and tags.get(_PACKING, _UNPACKED) == _UNPACKED):
        raise ImageError("has each channel in a plane of its own; save it with channels together")


def correct_tiff(image: Any) -> None:
    """Correct a loaded TIFF where Pillow took its levels or its palette for others."""
    tags = image.tag_v2
    signed = set(tags.get(_SIGN, ())) == {_SIGNED}
    if signed and image.mode == "L" and image.getextrema()[1] > 127:
        raise ImageError("has values below 0; save it with 8 or 16 bits a channel, unsigned")
    palette = tags.get(_PALETTE, ())
    if image.mode == "P" and palette and max(palette) < 256:  # some write bytes, not 16 bits
        third = len(palette) // 3
        image.putpalette([palette[i + c * third] for i in range(third) for c in range(3)])


def deepest_level(image: Any) -> int:
    """White, in the levels of a deep grey image: 65,535, or 4,095 in a TIFF of 12 bits."""
    bits = _tags(image).get(_BITS, (16,))
    return 4095 if tuple(bits) == (12,) else 65535


def is_negative(image: Any) -> bool:
    """Whether 0 is white, which Pillow heeds in shallow images only."""
    return bool(_tags(image).get(_COLOURS) == _WHITE_IS_ZERO)


def _tags(image: Any) -> Any:
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def _depth(tags: Any) -> int:
    bits = tags.get(_BITS, (1,))
    return int(sum(bits) if len(bits) > 1 else bits[0] * tags.get(_SAMPLES, 1))
