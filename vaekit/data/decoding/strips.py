"""A large image a few rows at a time, so that what is computed from it takes little memory."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

STRIP_PIXELS = 1 << 20
"""Large pictures are converted in strips of about this many pixels, to save memory."""


def is_large(image: Image.Image) -> bool:
    """Whether it is worth converting the image in strips."""
    return image.width * image.height > STRIP_PIXELS


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Rows of the image, about a million pixels at a time, each with the place of the first."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield top, image.crop((0, top, image.width, bottom))
