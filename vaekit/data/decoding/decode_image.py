"""Decode one image file to uint8 (H, W, C), and refuse files that are damaged or too large.

What comes out is upright (EXIF), opaque (transparency is laid on white), 8 bits deep (16-bit grey
is scaled, not clipped), and grey (C = 1) or RGB (C = 3). Resizing scales the image to cover the
target, antialiased, and crops the middle: its aspect is kept, and nothing is padded.

Decoding takes up to 12 bytes of memory a pixel beside the file; 20 for WebP.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from vaekit.data.decoding.deep_grey import GreyScale, scale_of
from vaekit.data.decoding.png_guards import match_transparent_colour, refuse_hollow, without_texts
from vaekit.data.decoding.strips import is_large, strips
from vaekit.data.decoding.tiff_guards import correct_tiff, refuse_hollow_tiff, refuse_misread_tiff
from vaekit.data.imageset import Pixels
from vaekit.data.source import MAX_BYTES, Size
from vaekit.errors import ImageError
from vaekit.library_internals import pillow_opens, silence_libtiff
from vaekit.wording import one_line

_PLUGINS = ("Png", "Jpeg", "WebP", "Gif", "Bmp", "Tiff", "Ppm")
"""The decoders allowed, whatever the ending says: some of Pillow's others run programs."""


MAX_PIXELS = 100_000_000
"""A larger picture is refused by its header: a small file may claim a huge one."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_TURNING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
"""Where Pillow finds the orientation of a JPEG."""
_SIDEWAYS = {_UPRIGHT[5], _UPRIGHT[6], _UPRIGHT[7], _UPRIGHT[8]}


class Picture(NamedTuple):
    """One decoded image."""

    pixels: Pixels
    """(H, W, C), C 1 or 3."""
    own: tuple[int, int, int]
    """The shape it has by itself, upright."""
    animated: bool = False
    """Whether further frames were left out."""


def decode_image(data: bytes, size: Size | None = None, channels: int | None = None) -> Picture:
    """Decode one image, at its own size and colour or at those given, within `quiet_pillow()`.

    Raises ImageError with the reason alone; whoever knows the file's name puts it before.
    """
    if not data:
        raise ImageError("is empty")
    if len(data) > MAX_BYTES:
        raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")
    with (
        _image_errors(),
        Image.open(io.BytesIO(without_texts(data)), formats=_readers()) as image,
    ):
        _check_size(image, data)
        match_transparent_colour(image, data)
        return _decode(image, size, channels)


def convert_picture(
    image: Image.Image, size: Size | None = None, channels: int | None = None
) -> Picture:
    """The pixels of an image that Pillow has opened, which stays as it is."""
    with _image_errors():
        return _decode(image.copy(), size, channels)


@contextmanager
def _image_errors() -> Iterator[None]:
    """Make whatever a decoder raises an ImageError with the reason."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("is not an image that can be read") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_many()) from None
    except MemoryError:
        raise ImageError("does not fit in memory") from None
    except Exception as error:  # noqa: BLE001  decoders raise what they like on bad bytes
        raise ImageError(_reason(error)) from None


def fit(pixels: Pixels, size: Size, channels: int) -> Pixels:
    """Resize and recolour pixels that are decoded already."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _array(_resized(_coloured(image, channels), size), channels)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Hide Pillow's warnings while images are decoded, in threads started within too.

    Python's warning filters belong to the whole process, so overlapping uses share one change.
    """
    with _quiet_lock:
        _quiet.enter()
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet.leave()


class _Quiet:
    def __init__(self) -> None:
        self.depth = 0
        self.catcher = warnings.catch_warnings()

    def enter(self) -> None:
        if self.depth == 0:
            self.catcher = warnings.catch_warnings()
            self.catcher.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL|vaekit\.data")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS acts
        self.depth += 1

    def leave(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.catcher.__exit__(None, None, None)


_quiet_lock = threading.Lock()
_quiet = _Quiet()


def _check_size(image: Image.Image, data: bytes) -> None:
    """Refuse what has too many pixels, or claims many and does not have them."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(_too_many())
    refuse_hollow(data)
    if image.format == "TIFF":
        refuse_hollow_tiff(image, len(data))
        refuse_misread_tiff(image)


@cache
def _readers() -> tuple[str, ...]:
    """The allowed formats that this Pillow has, ready to be read."""
    silence_libtiff()
    return pillow_opens(_PLUGINS)


def _decode(image: Image.Image, size: Size | None, channels: int | None) -> Picture:
    if image.width == 0 or image.height == 0:
        raise ImageError("has no pixels")
    animated, own = _is_animated(image), (image.height, image.width)
    if size is not None and image.format == "JPEG":
        # Decoding a large photograph at a fraction of its size, still thrice what is wanted, is
        # several times faster and leaves the final antialiased step to decide how it looks.
        image.draft(None, (3 * max(size), 3 * max(size)))
    image.load()
    if image.format == "TIFF":  # loading one turns it upright
        own = (image.height, image.width)
        correct_tiff(image)
    turn = _turn(image)
    plain, colours = _plain(image, channels)
    if turn is not None:
        plain = plain.transpose(turn)
        own = (own[1], own[0]) if turn in _SIDEWAYS else own
    pixels = _array(plain if size is None else _resized(plain, size), channels)
    return Picture(pixels, (*own, colours), animated)


def _is_animated(image: Image.Image) -> bool:
    """Whether there are more frames; damage in a later one does not matter."""
    if image.format in ("JPEG", "MPO"):  # the second is a photograph with a preview of itself
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  decoders raise what they like on bad bytes
        return False
    finally:
        image.seek(0)


def _turn(image: Image.Image) -> Transpose | None:
    """The turn that makes the image upright; none where EXIF cannot be read."""
    if image.format == "JPEG" and not _TURNING & image.info.keys():
        return None  # looking for it would take a tenth of a small image's time
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  decoders raise what they like on bad bytes
        return None


def _plain(image: Image.Image, channels: int | None) -> tuple[Image.Image, int]:
    """The image in mode L or RGB, and how many channels it has by itself."""
    scale = scale_of(image)
    if not is_large(image):
        return _plain_strip(image, scale, channels)
    if scale is None and image.mode in ("L", "RGB") and not image.has_transparency_data:
        return _coloured(image, channels or len(image.mode)), len(image.mode)
    whole, colours = None, 3
    for top, strip in strips(image):
        part, colours = _plain_strip(strip, scale, channels)
        whole = whole or Image.new(part.mode, image.size)
        whole.paste(part, (0, top))
    assert whole is not None
    return whole, colours


def _plain_strip(
    image: Image.Image, scale: GreyScale | None, channels: int | None
) -> tuple[Image.Image, int]:
    image = _opaque(image if scale is None else scale.applied(image))
    colours = 1 if _is_grey(image) else 3
    return _coloured(image, channels or colours), colours


def _opaque(image: Image.Image) -> Image.Image:
    """Lay transparency on white."""
    if not image.has_transparency_data:
        return image
    grey = image.mode in ("1", "L", "LA", "La")
    layered = image.convert("LA") if grey else image.convert("RGBA")
    ground = Image.new("L" if grey else "RGB", image.size, "white")
    ground.paste(layered.convert(ground.mode), mask=layered.getchannel("A"))
    return ground


def _coloured(image: Image.Image, channels: int) -> Image.Image:
    """Convert to mode L or RGB."""
    if channels == 1:
        return image if image.mode == "L" else _rgb_of(image).convert("L")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _rgb_of(image: Image.Image) -> Image.Image:
    """CMYK and palettes become grey by way of RGB, as the eye sees them."""
    return image.convert("RGB") if image.mode in ("CMYK", "P", "LAB", "HSV") else image


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L")


def _resized(image: Image.Image, size: Size) -> Image.Image:
    """Scale to cover `size`, antialiased, and crop the middle."""
    height, width = size
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    across, down = width * scale, height * scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    right, bottom = min(left + across, image.width), min(top + down, image.height)
    return image.resize((width, height), Resampling.LANCZOS, (left, top, right, bottom))


def _array(image: Image.Image, channels: int | None) -> Pixels:
    pixels = _joined(image) if is_large(image) else np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.repeat(pixels, 3, axis=2) if channels == 3 and pixels.shape[2] == 1 else pixels


def _joined(image: Image.Image) -> Pixels:
    """The pixels of a large image, without the copies that Pillow makes of a whole one."""
    shape = (image.height, image.width, *([3] if image.mode == "RGB" else []))
    pixels = np.empty(shape, np.uint8)
    for top, strip in strips(image):
        pixels[top : top + strip.height] = np.asarray(strip)
    return pixels


def _too_many() -> str:
    return f"has more than {MAX_PIXELS // 1_000_000} million pixels"


def _reason(error: Exception) -> str:
    text = one_line(" ".join(str(error).split()))[:100]
    if "truncated" in text.lower():
        return "is truncated"
    return f"cannot be decoded ({text or type(error).__name__})"
