from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data import image_bytes
from tests.data.image_bytes import png_that_claims
from vaekit.data.decoding import decode_image as decoding
from vaekit.data.decoding import strips
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


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-3, 70000]], np.int32), "has values from -3 to 70000; save it with 8 or 16"),
        (np.array([[-0.5, 1.0]], np.float32), r"has values from -0\.5 to 1\.0; save it"),
        (np.array([[np.nan, 1.0]], np.float32), "has values that are NaN or infinite"),
        (np.array([[np.inf, 1.0]], np.float32), "has values that are NaN or infinite"),
        (np.array([[300.0, 300.0]], np.float32), r"has values from 300\.0 to 300\.0"),
    ],
)
def test_a_tiff_whose_values_cannot_be_scaled_says_why(values, reason):
    with pytest.raises(ImageError, match=f"^{reason}"):
        decode_image(image_bytes.tiff(values))


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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_a_large_image_comes_out_as_a_small_one_would(mode, encode, monkeypatch):
    """Large images are converted in strips, to save memory, and strips must not show."""
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 4), np.uint8)
    if mode in ("I;16", "I", "F"):
        values = values[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        image = Image.fromarray(values)
    elif mode == "P":
        image = Image.fromarray(values[..., :3]).quantize(50)
        image.info["transparency"] = 7
    else:
        image = Image.fromarray(values).convert(mode)
    data = encode(image, "TIFF" if mode in ("CMYK", "I", "F") else "PNG")
    for size, channels in ((None, None), (None, 1), (None, 3), ((9, 8), None)):
        whole = decode_image(data, size, channels)
        with monkeypatch.context() as patch:
            patch.setattr(strips, "STRIP_PIXELS", 100)
            parts = decode_image(data, size, channels)
        assert np.array_equal(parts.pixels, whole.pixels)
        assert parts.own == whole.own


MEASURE = """
import sys
from pathlib import Path
from vaekit.data.decoding.decode_image import decode_image, quiet_pillow
def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024
data = Path(sys.argv[1]).read_bytes()
with quiet_pillow():
    decode_image(Path(sys.argv[2]).read_bytes())
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    shape = decode_image(data).pixels.shape
print(shape, memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")
@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "RGBA"])
def test_fault_70_deep_and_transparent_images_keep_to_the_stated_memory(tmp_path, kind):
    """Sixteen to twenty-four bytes a pixel would end a process that was given room for twelve."""
    side = 4000
    if kind == "RGBA":
        header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        data = image_bytes.png(header, zlib.compress(bytes(side * (1 + 4 * side)), 1))
    else:
        data = image_bytes.tiff(np.zeros((side, side), kind))
    (tmp_path / "large").write_bytes(data)
    (tmp_path / "small").write_bytes(image_bytes.grey_png(4, 4))
    command = [sys.executable, "-c", MEASURE, tmp_path / "large", tmp_path / "small"]
    done = subprocess.run(command, capture_output=True, text=True)
    shape, _, grown = done.stdout.rpartition(" ")
    assert shape == f"({side}, {side}, {3 if kind == 'RGBA' else 1})", done.stderr
    assert int(grown) <= 12 * side**2 + (16 << 20)


def test_fault_70_ninety_million_pixels_are_read_and_more_than_the_limit_are_refused():
    """The limit that is stated acts, and not a lower one of Pillow's own."""
    found = decode_image(image_bytes.grey_png(9_000, 10_000), (8, 8))
    assert found.own == (9_000, 10_000, 1)
    with pytest.raises(ImageError, match="has more than 100 million pixels"):
        decode_image(image_bytes.grey_png(10_001, 10_000))


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_that_claims_pixels_it_cannot_hold_is_refused_at_once(encode, packing):
    data = encode(Image.new("L", (8, 8)), "TIFF", compression=packing)
    for tag in (256, 257, 278):  # width, height, rows in a strip
        marks = [struct.pack("<HHI", tag, kind, 1) for kind in (3, 4)]
        at = max(data.find(mark) for mark in marks) + 8
        data = data[:at] + struct.pack("<I", 9_999) + data[at + 4 :]
    with pytest.raises(ImageError, match="is truncated"):
        decode_image(data, (8, 8))


def test_a_blank_tiff_that_packs_as_tightly_as_it_can_is_read(encode):
    blank = Image.new("L", (9_000, 9_000), 255)
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = encode(blank, "TIFF", compression=packing)
        assert decode_image(data, (4, 4)).pixels.min() == 255, len(data)


def test_a_damaged_tiff_prints_nothing(tmp_path, encode):
    """libtiff writes to stderr by itself, past Python, and from every thread."""
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = bytearray(encode(Image.fromarray(values), "TIFF", compression="tiff_lzw"))
    data[2000:2100] = bytes(byte ^ 0xFF for byte in data[2000:2100])
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.tif").write_bytes(data)
    (tmp_path / "d.tif").write_bytes(encode(Image.fromarray(values), "TIFF"))
    code = (
        "import vaekit\n"
        f"images = vaekit.load_dataset({str(tmp_path)!r}, 'all')\n"
        "print(len(images), images.skipped)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("1 ('a.tif: cannot be decoded (decoder error -2)', 'b.tif")
