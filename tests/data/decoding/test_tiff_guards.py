"""TIFFs packed by hand give their true pixels, or an error, and never others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data import tiff_bytes
from tests.data.tiff_bytes import tiff_of
from vaekit.data.decoding.decode_image import decode_image, quiet_pillow
from vaekit.errors import ImageError

CHANCE = np.random.default_rng(0)
BYTES = CHANCE.integers(0, 256, (6, 8), dtype=np.uint8)
DEEP = CHANCE.integers(0, 65536, (6, 8), dtype=np.uint16)
COLOUR = CHANCE.integers(0, 256, (6, 8, 4), dtype=np.uint8)
ALPHA = {338: (3, [2])}


def decoded(data):
    with quiet_pillow():
        return decode_image(data).pixels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [1, 3])
def test_deep_grey_is_scaled_whatever_its_order_packing_and_strips(order, packed, strips):
    data = tiff_of(DEEP, tiff_bytes.GREY_ON_BLACK, order=order, packed=packed, strips=strips)
    assert np.array_equal(decoded(data)[..., 0], np.rint(DEEP / 257))


@pytest.mark.parametrize("packed", [False, True])
def test_white_may_be_zero_at_any_depth(packed):
    """Pillow turns levels of up to 8 bits round, and deeper ones it left: negatives, silently."""
    for levels, white in ((BYTES, 255), (DEEP, 65535), ((DEEP / 65535).astype(np.float32), 1)):
        data = tiff_of(levels, tiff_bytes.GREY_ON_WHITE, packed=packed)
        expected = 255 * (1 - levels.astype(np.float64) / white)
        assert np.abs(decoded(data)[..., 0] - expected).max() <= 0.51


def test_twelve_bits_are_scaled_by_twelve():
    """As 16 bits they were sixteen times too dark."""
    levels = DEEP >> 4
    data = tiff_of(levels, tiff_bytes.GREY_ON_BLACK, bits=12)
    assert np.array_equal(decoded(data)[..., 0], np.rint(levels * (255 / 4095)))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_scaled(bits):
    levels = BYTES >> (8 - bits)
    data = tiff_of(levels, tiff_bytes.GREY_ON_BLACK, bits=bits)
    assert np.array_equal(decoded(data)[..., 0], levels.astype(int) * 255 // (2**bits - 1))


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_levels_below_zero_are_refused(kind):
    """As unsigned numbers they would be the brightest."""
    levels = (BYTES.astype(np.int16) - 128).astype(kind)
    with pytest.raises(ImageError, match=r"has values (below 0|from -1)"):
        decoded(tiff_of(levels, tiff_bytes.GREY_ON_BLACK))
    positive = np.abs(levels.astype(np.int16)).clip(0, 127).astype(kind)
    found = decoded(tiff_of(positive, tiff_bytes.GREY_ON_BLACK))
    expected = positive if kind is np.int8 else np.rint(positive / 257)
    assert np.array_equal(found[..., 0], expected)


def test_a_palette_of_bytes_is_not_black():
    """The format says 16 bits a colour; some programs write 8, which others notice."""
    palette = CHANCE.integers(0, 256, (3, 256))
    for depth in (1, 257):
        tags = {320: (3, [int(v) * depth for v in palette.ravel()])}
        found = decoded(tiff_of(BYTES, tiff_bytes.PALETTE, tags=tags))
        assert np.array_equal(found, palette[:, BYTES].transpose(1, 2, 0))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["rgb", "rgb deep", "rgba deep", "cmyk deep", "la"])
def test_colours_in_planes_are_right_or_refused(kind, packed):
    deep = COLOUR.astype(np.uint16) * 257
    pixels, colours, tags = {
        "rgb": (COLOUR[..., :3], tiff_bytes.RGB, {}),
        "rgb deep": (deep[..., :3], tiff_bytes.RGB, {}),
        "rgba deep": (deep, tiff_bytes.RGB, ALPHA),
        "cmyk deep": (deep, tiff_bytes.CMYK, {}),
        "la": (COLOUR[..., :2], tiff_bytes.GREY_ON_BLACK, ALPHA),
    }[kind]
    together = tiff_of(pixels, colours, packed=packed, tags=tags)
    apart = tiff_of(pixels, colours, packed=packed, tags=tags, planes=True)
    if kind == "la" or ("deep" in kind and not packed):
        with pytest.raises(ImageError, match="each channel in a plane of its own"):
            decoded(apart)
    else:
        assert np.array_equal(decoded(apart), decoded(together))
    if kind.startswith("rgb") and "a" not in kind:
        assert np.array_equal(decoded(together), COLOUR[..., :3])


def test_a_strip_that_is_shorter_than_its_rows_is_refused():
    """Whatever follows in the file was read in place of the rows that are missing."""
    whole = tiff_of(BYTES, tiff_bytes.GREY_ON_BLACK, strips=3)
    assert np.array_equal(decoded(whole)[..., 0], BYTES)
    short = tiff_of(BYTES, tiff_bytes.GREY_ON_BLACK, strips=3, tags={279: (4, [16, 15, 16])})
    with pytest.raises(ImageError, match="is truncated"):
        decoded(short)
    unsaid = tiff_of(BYTES, tiff_bytes.GREY_ON_BLACK, strips=3, tags={279: (4, [0, 0, 0])})
    assert np.array_equal(decoded(unsaid)[..., 0], BYTES)
