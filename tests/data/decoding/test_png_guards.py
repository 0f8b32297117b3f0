"""The transparent colour of a PNG, packed by hand, is white at every depth."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from tests.data.image_bytes import chunk
from vaekit.data.decoding.decode_image import decode_image, quiet_pillow
from vaekit.data.decoding.png_guards import SIGNATURE

CHANCE = np.random.default_rng(0)


def png_of(levels, depth, colours, key):
    """A PNG of levels (H, W) or (H, W, C), one of them transparent."""
    height, width = levels.shape[:2]
    wide = levels.astype(">u2").view(np.uint8).reshape(height, -1, 2)
    single = np.unpackbits(wide, axis=-1)[..., 16 - depth :].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(single, axis=1))
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = (b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_level_of_grey_is_white(depth):
    """Pillow scales the pixels to 8 bits, and left the level at 2 or 4."""
    levels = CHANCE.integers(0, 2**depth, (8, 8))
    levels[0, :2] = 1, 0
    expected = np.rint(levels * (255 / (2**depth - 1)))
    expected[levels == 1] = 255
    with quiet_pillow():
        found = decode_image(png_of(levels, depth, 0, struct.pack(">H", 1)))
    assert np.array_equal(found.pixels[..., 0], expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_is_white(depth):
    colours = CHANCE.integers(0, 2**depth, (8, 8, 3))
    key = colours[3, 4].astype(">u2").tobytes()
    expected = colours * (255 / (2**depth - 1))
    expected[3, 4] = 255
    with quiet_pillow():
        found = decode_image(png_of(colours, depth, 2, key))
    assert np.abs(found.pixels - expected).max() < 1
