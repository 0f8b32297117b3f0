"""Images unlike those that a model was trained on: made from its test images, or from nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from vaekit.array_types import AnyArray

TEXT = "the of and to in that it was for on with as his they be at one have this from"
JIGSAW = 4
"""Pieces a side."""

Maker = Callable[[AnyArray, np.random.Generator], AnyArray]


def strangers(known: AnyArray, seed: int = 0) -> dict[str, AnyArray]:
    """Each kind's images, uint8 (N, H, W, C) like `known`, by name."""
    random = np.random.default_rng(seed)
    return {name: make(known, random).astype(np.uint8) for name, make in MAKERS.items()}


def fitted(images: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Images of another data set in this shape (H, W, C)."""
    height, width, channels = shape
    kind = "L" if channels == 1 else "RGB"
    sized = (_picture(one).convert(kind).resize((width, height)) for one in images)
    return np.stack([np.asarray(one).reshape(shape) for one in sized])


def _black(known: AnyArray, random: np.random.Generator) -> AnyArray:
    return np.zeros_like(known)


def _constant(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """One grey level or colour all over."""
    colours = random.integers(0, 256, (len(known), 1, 1, known.shape[3]))
    return np.broadcast_to(colours, known.shape)


def _blurred(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """By a Gaussian with a standard deviation of a fourteenth of the side."""
    blur = ImageFilter.GaussianBlur(known.shape[1] / 14)
    return np.stack([np.asarray(_picture(one).filter(blur)) for one in known]).reshape(known.shape)


def _noise(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """Every value uniform."""
    return random.integers(0, 256, known.shape)


def _half_erased(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """The upper, lower, left or right half is black."""
    erased, height, width = known.copy(), *known.shape[1:3]
    halves = (np.s_[: height // 2], np.s_[height // 2 :])
    sides = (np.s_[:, : width // 2], np.s_[:, width // 2 :])
    for image, which in zip(erased, random.integers(0, 4, len(known)), strict=True):
        image[(*halves, *sides)[which]] = 0
    return erased


def _rotated(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """By a quarter of a turn."""
    return np.rot90(known, axes=(1, 2))


def _inverted(known: AnyArray, random: np.random.Generator) -> AnyArray:
    return 255 - known


def _jigsaw(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """The pieces of a 4x4 grid in random order."""
    high, wide = (side // JIGSAW for side in known.shape[1:3])
    mixed = known.copy()
    places = [(i * high, j * wide) for i in range(JIGSAW) for j in range(JIGSAW)]
    for image, source in zip(mixed, known, strict=True):
        for (y, x), at in zip(places, random.permutation(len(places)), strict=True):
            top, left = places[at]
            image[y : y + high, x : x + wide] = source[top : top + high, left : left + wide]
    return mixed


def _text(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """A corner of a page: dark words on white."""
    return _drawn(known, random, _write)


def _silhouettes(known: AnyArray, random: np.random.Generator) -> AnyArray:
    """A black outline, filled, on white."""
    return _drawn(known, random, _fill)


def _drawn(
    known: AnyArray,
    random: np.random.Generator,
    draw: Callable[[ImageDraw.ImageDraw, int, int, np.random.Generator], None],
) -> AnyArray:
    count, height, width, channels = known.shape
    pages = np.empty((count, height, width), np.uint8)
    for page in pages:
        picture = Image.new("L", (width, height), 255)
        draw(ImageDraw.Draw(picture), width, height, random)
        page[:] = np.asarray(picture)
    return pages[..., None].repeat(channels, axis=3)


def _write(pen: ImageDraw.ImageDraw, width: int, height: int, random: np.random.Generator) -> None:
    size = max(6, height // 4)
    font = ImageFont.load_default(size)
    for top in range(int(random.integers(-size, 1)), height, size + 1):
        line = " ".join(random.choice(TEXT.split(), 8))
        pen.text((-int(random.integers(0, width)), top), line, fill=20, font=font)


def _fill(pen: ImageDraw.ImageDraw, width: int, height: int, random: np.random.Generator) -> None:
    corners = int(random.integers(5, 12))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    reach = random.uniform(0.2, 0.5, corners)
    x, y = width * (0.5 + reach * np.cos(angles)), height * (0.5 + reach * np.sin(angles))
    pen.polygon([*zip(x.tolist(), y.tolist(), strict=True)], fill=0)


def _picture(image: AnyArray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


MAKERS: dict[str, Maker] = {
    "black": _black,
    "constant": _constant,
    "blurred": _blurred,
    "noise": _noise,
    "half erased": _half_erased,
    "rotated": _rotated,
    "inverted": _inverted,
    "jigsaw": _jigsaw,
    "text page": _text,
    "silhouettes": _silhouettes,
}
