"""One encoded image to one uint8 array (H, W, C): every fault an image file can have ends here.

What comes out is upright (EXIF), opaque (transparency is laid on white), 8 bits deep (16-bit grey
is scaled, not clipped), and grey (C = 1) or RGB (C = 3). Resizing scales the image to cover the
target, antialiased, and crops the middle: its aspect is kept, and nothing is padded.
"""

from __future__ import annotations

import importlib
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

from vaekit.data.decoding.png_guards import refuse_hollow, without_texts
from vaekit.data.imageset import Pixels
from vaekit.data.source import MAX_BYTES, Size
from vaekit.errors import ImageError

_PLUGINS = ("Png", "Jpeg", "WebP", "Gif", "Bmp", "Tiff", "Ppm")
"""The decoders allowed, whatever the ending says: some of Pillow's others run programs."""


@cache
def _formats() -> tuple[str, ...]:
    """The allowed formats that this Pillow has; importing a plugin is what makes it known."""
    for plugin in _PLUGINS:
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(p.upper() for p in _PLUGINS if p.upper() in Image.OPEN)


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
    try:
        with Image.open(io.BytesIO(without_texts(data)), formats=_formats()) as image:
            _check_size(image, data)
            return _decode(image, size, channels)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("is not an image that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
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
            warnings.simplefilter("error", Image.DecompressionBombWarning)
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


def _decode(image: Image.Image, size: Size | None, channels: int | None) -> Picture:
    if image.width == 0 or image.height == 0:
        raise ImageError("has no pixels")
    animated, turn, own = _is_animated(image), _turn(image), (image.height, image.width)
    if size is not None and image.format == "JPEG":
        # Decoding a large photograph at a fraction of its size, still thrice what is wanted, is
        # several times faster and leaves the final antialiased step to decide how it looks.
        image.draft(None, (3 * max(size), 3 * max(size)))
    plain = _opaque(_eight_bits(image))
    colours = 1 if _is_grey(plain) else 3
    plain = _coloured(plain, channels or colours)
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


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale deep grey to bytes; other modes are 8 bits already."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" and low >= 0 and high <= 1:
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if image.mode == "F" and low >= 0 and high <= 255:
        return Image.fromarray(np.rint(values).astype(np.uint8))
    if image.mode != "F" and low >= 0 and high <= 65535:
        return Image.fromarray(np.rint(values / 257).astype(np.uint8))
    raise ImageError(f"has values from {low} to {high}; save it with 8 or 16 bits a channel")


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
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.repeat(pixels, 3, axis=2) if channels == 3 and pixels.shape[2] == 1 else pixels


def _too_many() -> str:
    return f"has more than {MAX_PIXELS // 1_000_000} million pixels"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:100]
    if "truncated" in text.lower():
        return "is truncated"
    return f"cannot be decoded ({text or type(error).__name__})"
