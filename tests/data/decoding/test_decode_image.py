from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.image_bytes import png_that_claims
from vaekit.data.decoding import decode_image as decoding
from vaekit.data.decoding.decode_image import fit, quiet_pillow
from vaekit.data.source import ENDINGS
from vaekit.errors import ImageError


def decode_image(data, size=None, channels=None):
    with quiet_pillow():
        return decoding.decode_image(data, size, channels)


def test_a_png_comes_back_value_for_value(encode):
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(decode_image(encode(Image.fromarray(values))).pixels, values)


def test_fault_1_a_truncated_jpeg_is_an_image_error(picture):
    with pytest.raises(ImageError, match="is truncated"):
        decode_image(picture(form="JPEG", size=(64, 64))[:700])


def test_fault_2_no_bytes_are_an_image_error():
    with pytest.raises(ImageError, match="is empty"):
        decode_image(b"")


def test_fault_3_text_is_not_an_image():
    with pytest.raises(ImageError, match="is not an image"):
        decode_image(b"dear diary, today I was called a picture")


@pytest.mark.parametrize("cut", [9, 20, 40, 60])
def test_a_png_cut_anywhere_is_an_image_error(picture, cut):
    with pytest.raises(ImageError):
        decode_image(picture()[:cut])


def test_fault_4_cmyk_becomes_the_rgb_that_it_looks_like(encode):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = decode_image(encode(red, "JPEG", quality=95)).pixels
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels[4, 4].astype(int) - (255, 0, 0)).max() <= 4


def test_fault_5_16_bit_grey_is_scaled_not_clipped(encode):
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert decode_image(encode(Image.fromarray(values))).pixels[0, :, 0].tolist() == [
        0,
        1,
        128,
        255,
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 17.0, 255.0]], np.float32), [0, 17, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
    ],
)
def test_tiffs_of_floats_and_of_wide_integers_are_scaled(encode, values, expected):
    assert (
        decode_image(encode(Image.fromarray(values), "TIFF")).pixels[0, :, 0].tolist() == expected
    )


def test_a_tiff_beyond_16_bits_says_its_range(encode):
    wide = Image.fromarray(np.array([[-3, 70000]], np.int32))
    with pytest.raises(ImageError, match="from -3 to 70000"):
        decode_image(encode(wide, "TIFF"))


def test_fault_6_transparency_is_laid_on_white(encode):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    assert decode_image(encode(image)).pixels.tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_fault_6_transparent_grey_stays_grey(encode):
    image = Image.new("LA", (2, 1), (100, 255))
    image.putpixel((1, 0), (100, 0))
    assert decode_image(encode(image)).pixels.tolist() == [[[100], [255]]]


def test_fault_7_a_transparent_colour_of_a_palette_is_white(encode):
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 200, 0, 90, 0])
    image.putpixel((1, 0), 1)
    data = encode(image, transparency=1)
    assert decode_image(data).pixels.tolist() == [[[0, 0, 200], [255, 255, 255]]]


def test_fault_8_of_an_animation_the_first_frame_is_taken(encode):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    gif = decode_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert gif.animated
    assert gif.pixels[0, 0].tolist() == [255, 0, 0]


def test_exif_that_cannot_be_read_does_not_cost_the_image(picture):
    data = picture(form="JPEG", exif=b"Exif\0\0" + b"II*\0" + b"\xff" * 30)
    assert decode_image(data).pixels.shape == (12, 12, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_9_exif_orientation_turns_the_image_upright(encode, orientation):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255  # a white quarter at the top left
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
    undo |= {5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1)}
    undo |= {7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 3)}
    image = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(encode(image, exif=exif)).pixels, upright)


def test_fault_10_a_decompression_bomb_is_refused_by_its_header():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for side in (12_000, 60_000):
            with pytest.raises(ImageError, match="million pixels"):
                decode_image(png_that_claims(side))


def test_fault_10_no_python_warning_escapes(recwarn):
    with quiet_pillow(), pytest.raises(ImageError):
        decode_image(png_that_claims(10_500))
    assert not recwarn.list


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 700)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_fault_11_one_pixel_and_extreme_aspects_are_resized(picture, shape, form):
    data = picture(size=shape, form=form)
    assert decode_image(data, (64, 48)).pixels.shape == (64, 48, 3)


def test_resizing_covers_and_crops_the_middle(encode):
    values = np.zeros((10, 30, 3), np.uint8)
    values[:, :10], values[:, 10:20], values[:, 20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    pixels = decode_image(encode(Image.fromarray(values)), (10, 10)).pixels
    assert np.array_equal(pixels, values[:, 10:20])


def test_shrinking_is_antialiased(encode):
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = decode_image(encode(Image.fromarray(checks)), (16, 16)).pixels[2:-2, 2:-2].astype(int)
    assert np.abs(small - 127.5).max() < 3


def test_a_large_jpeg_read_at_a_fraction_looks_like_one_read_whole(encode):
    y, x = np.mgrid[0:800, 0:1000]
    waves = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 50)], -1)
    data = encode(Image.fromarray((waves * 127 + 128).astype(np.uint8)), "JPEG", quality=95)
    whole = fit(decode_image(data).pixels, (64, 64), 3)
    assert np.abs(decode_image(data, (64, 64)).pixels.astype(int) - whole).mean() < 1


def test_channels_make_grey_of_colour_and_rgb_of_grey(encode):
    colour = encode(Image.new("RGB", (2, 2), (255, 0, 0)))
    assert decode_image(colour, channels=1).pixels.ravel().tolist() == [76] * 4  # ITU-R 601: 0.299
    grey = encode(Image.new("L", (2, 2), 9))
    assert decode_image(grey, channels=3).pixels.tolist() == [[[9, 9, 9]] * 2] * 2


def test_a_palette_of_greys_is_grey(encode):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 80, 80, 80])
    assert decode_image(encode(image)).pixels.tolist() == [[[80], [80]]] * 2


def test_black_and_white_is_0_and_255(encode):
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)
    assert decode_image(encode(image)).pixels.ravel().tolist() == [0, 255]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_every_form_that_is_taken_can_be_read(picture, form):
    assert decode_image(picture(form=form)).pixels.shape == (12, 12, 3)


def test_a_program_for_a_printer_is_not_run(encode):
    data = encode(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(ImageError, match="is not an image"):
        decode_image(data)


def test_a_file_over_the_limit_is_refused(monkeypatch, picture):
    monkeypatch.setattr("vaekit.data.decoding.decode_image.MAX_BYTES", 100)
    with pytest.raises(ImageError, match="is larger than"):
        decode_image(picture())


@settings(max_examples=150, deadline=None)
@given(
    at=st.lists(st.integers(0, 2000), max_size=6), to=st.integers(0, 255), cut=st.integers(1, 2000)
)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
def test_damaged_bytes_give_an_image_or_an_image_error(form, at, to, cut):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(buffer, form)
    data = bytearray(buffer.getvalue())[:cut]
    for place in at:
        data[place % len(data)] = to
    with quiet_pillow(), contextlib.suppress(ImageError):
        pixels = decode_image(bytes(data), (8, 8)).pixels
        assert pixels.shape[:2] == (8, 8)
        assert pixels.dtype == np.uint8


def test_endings_are_lower_case_and_begin_with_a_dot():
    assert all(ending == ending.lower() and ending.startswith(".") for ending in ENDINGS)
