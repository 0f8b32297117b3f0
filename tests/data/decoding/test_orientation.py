"""Photos that a camera, a scanner or a program marked as turned, in every format that can say so.

The files are put together byte by byte, so that no encoder turns them or leaves the mark out.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.data import image_bytes
from vaekit.data.decoding.decode_image import decode_image, quiet_pillow

UNDO = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 3),
}
"""How the pixels lie in the file, by the number of the orientation (TIFF 6.0, page 36)."""

UPRIGHT = np.zeros((16, 32, 3), np.uint8)
UPRIGHT[:8, :16] = 255  # a white quarter at the top left
UPRIGHT[8:, :8, 0] = 255  # a red one at the bottom left, half as wide


def stored(form, orientation, order):
    """A file whose image is upright once it is turned as it says."""
    values = np.ascontiguousarray(UNDO[orientation](UPRIGHT))
    if form == "TIFF":
        return image_bytes.tiff(values, orientation, order)
    if form == "TIFF LZW":
        file = io.BytesIO()
        Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={274: 1})
        data, mark = file.getvalue(), b"\x12\x01\x03\x00\x01\x00\x00\x00"
        assert data.count(mark) == 1
        at = data.index(mark) + len(mark)
        return data[:at] + bytes([orientation]) + data[at + 1 :]
    file = io.BytesIO()
    more = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    Image.fromarray(values).save(file, form.split()[0], **more.get(form, {}))
    data = file.getvalue()
    if form == "JPEG":
        return image_bytes.jpeg_turned(data, orientation, order)
    if form == "WEBP":
        return image_bytes.webp_turned(data, values.shape[:2], orientation, order)
    return image_bytes.png_turned(data, orientation, order, late=form == "PNG late")


@pytest.mark.parametrize("orientation", UNDO)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["TIFF", "TIFF LZW", "JPEG", "PNG", "PNG late", "WEBP"])
def test_an_image_that_says_how_it_is_turned_is_turned_upright_once(form, order, orientation):
    data = stored(form, orientation, order)
    with quiet_pillow():
        found = decode_image(data)
        small = decode_image(data, (8, 16))
    assert found.own == small.own == (16, 32, 3)
    assert np.abs(found.pixels.astype(int) - UPRIGHT).max() <= (3 if form == "JPEG" else 0)
    assert np.abs(small.pixels[1:3, 1:7].astype(int) - 255).max() <= 3
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(found.pixels, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("orientation", UNDO)
def test_deep_grey_that_is_turned_is_turned_upright_once(orientation):
    deep = UPRIGHT[..., :1].astype(np.uint16) * 257
    values = np.ascontiguousarray(UNDO[orientation](deep)[..., 0])
    with quiet_pillow():
        found = decode_image(image_bytes.tiff(values, orientation))
    assert np.array_equal(found.pixels, UPRIGHT[..., :1])
    assert found.own == (16, 32, 1)
