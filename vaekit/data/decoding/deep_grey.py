"""Scales grey levels of more than 8 bits, whole numbers or floats, to bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from vaekit.data.decoding.strips import strips
from vaekit.data.decoding.tiff_guards import deepest_level, is_negative
from vaekit.errors import ImageError


class GreyScale(NamedTuple):
    """How levels become bytes: byte = offset + factor * level."""

    factor: float
    offset: float

    def applied(self, image: Image.Image) -> Image.Image:
        """The image in bytes, its transparent level (of a PNG) in white."""
        levels = np.asarray(image)
        scaled = levels * self.factor
        scaled += self.offset
        pixels = np.rint(scaled).astype(np.uint8)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            pixels[levels == transparent] = 255
        return Image.fromarray(pixels)


def scale_of(image: Image.Image) -> GreyScale | None:
    """The scale of a deep grey image, by its depth; None where it has bytes already."""
    if not image.mode.startswith(("I", "F")):
        return None
    low, high = _range(image)
    deepest = deepest_level(image)
    limits = (1, 255) if image.mode == "F" else (deepest,)
    for limit in limits:
        if low >= 0 and high <= limit:
            factor = 255 / limit
            return GreyScale(-factor, 255.0) if is_negative(image) else GreyScale(factor, 0.0)
    raise ImageError(f"has values from {low} to {high}; save it with 8 or 16 bits a channel")


def _range(image: Image.Image) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, strip in strips(image):
        values = np.asarray(strip)
        if image.mode == "F" and not np.isfinite(values).all():
            raise ImageError("has values that are NaN or infinite")
        low, high = min(low, values.min()), max(high, values.max())
    return low, high
