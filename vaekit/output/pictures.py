"""Arrange images into one picture, and encode pictures: grids, rows, strips.

A stack of images is float (N, C, H, W) in [0, 1], as a model returns it, or uint8 (N, H, W, C), as
a data set holds it, in numpy or torch. A picture is uint8 (H, W, C) with C = 1 or 3. Only
`to_uint8` turns floats into bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vaekit.errors import UsageError, VaekitError
from vaekit.files import write_bytes
from vaekit.output.formats import FORMS, PICTURES
from vaekit.wording import one_line

if TYPE_CHECKING:
    import torch

Bytes: TypeAlias = NDArray[np.uint8]
ImageStack: TypeAlias = "NDArray[Any] | torch.Tensor"

GAP = 2
"""White pixels between images."""

BLOCK_GAP = 6
"""Gaps between one block of rows and the next."""

LEGIBLE = 64
"""Images whose longer side is below this are enlarged by a whole factor."""

WHITE = 255
INK = 60
FONT_SIZE = 14

_ENDINGS = {ending: name for name in PICTURES for ending in FORMS[name].endings}
_SETTINGS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 6},
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"lossless": True, "exact": True},
}
_LONGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}


def to_uint8(images: ImageStack) -> Bytes:
    """A stack as uint8 (N, H, W, C): floats are clamped to [0, 1], times 255, rounded half to even.

    bytes / 255 come back as the same bytes. Infinities are clamped; NaN is an error, since no
    colour would be right.

    >>> to_uint8(np.array([-0.1, 0.0, 0.5, 1.0, 1.7], np.float32).reshape(1, 1, 1, 5)).ravel()
    array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    array = to_numpy(images)
    if array.ndim != 4:
        raise UsageError(f"a stack of images has 4 dimensions, not shape {array.shape}")
    if array.dtype == np.uint8:
        return _checked(array)
    if array.dtype.kind != "f":
        raise UsageError(f"images are uint8 bytes or floats in [0, 1], not {array.dtype}")
    _refuse_nan(array)
    scaled = np.clip(array.astype(np.float32, copy=False), 0, 1) * np.float32(255)
    return _checked(np.ascontiguousarray(np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)))


def grid(
    images: ImageStack,
    *,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = GAP,
) -> Bytes:
    """One picture of all images, row by row, nearly square with few empty cells.

    Labels, where given, stand at the left of each image. `scale` enlarges each by a whole factor.

    >>> grid(np.zeros((6, 8, 8, 1), np.uint8)).shape
    (130, 196, 1)
    """
    cells = _enlarged(to_uint8(images), scale)
    count, height, width, _ = cells.shape
    _require_some(count)
    if labels is not None:
        cells = _captioned(cells, labels)
        width = cells.shape[2]
    if columns is None:
        columns = best_columns(count, width / height, wanted=1.0)
    return _tiled(cells, _at_least_one(columns), gap)


def rows(
    stacks: Sequence[ImageStack],
    labels: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    gap: int = GAP,
) -> Bytes:
    """Stacks to compare image by image: the first stack's row above the second's, in blocks.

    `rows([originals, reconstructions], ["original", "reconstruction"])` shows each image above
    its reconstruction. Blocks wrap at `columns`, with a wider gap between them; each repeats the
    labels at its left.
    """
    cells = [_enlarged(stack) for stack in _matching(stacks)]
    count, height, width, _ = cells[0].shape
    if columns is None:
        columns = best_columns(count, width / (height * len(cells)), wanted=1.5)
    across = _at_least_one(columns)
    blocks = [
        _block([stack[first : first + across] for stack in cells], labels, across, gap)
        for first in range(0, count, across)
    ]
    return _stacked(blocks, BLOCK_GAP * gap)


def strip(
    images: ImageStack | Sequence[ImageStack],
    labels: Sequence[str] | None = None,
    *,
    headings: Sequence[str] | None = None,
    gap: int = GAP,
) -> Bytes:
    """Rows of steps, such as interpolations or traversals, one above another, in one block.

    Takes one stack for one row, or a sequence of stacks (or an array with one more dimension at
    the front) for several. `headings` stand above the columns.
    """
    stacks = [images] if _is_stack(images) else list(images)
    cells = [_enlarged(stack) for stack in _matching(stacks)]
    block = _block(cells, labels, len(cells[0]), gap)
    if headings is None:
        return block
    _require_labels(len(headings), len(cells[0]))
    return np.concatenate([_headings(headings, block.shape, cells[0].shape[2], gap), block])


def picture_format(path: str | Path) -> str:
    """The picture format of a file name's extension.

    >>> picture_format("samples.JPG")
    'jpeg'
    """
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        known = ", ".join(_ENDINGS)
        raise UsageError(f"{one_line(str(path))}: a picture is one of {known}, not {ending!r}")
    return _ENDINGS[ending]


def save_picture(path: str | Path, picture: Bytes) -> None:
    """Write a picture in the format of the path's extension, whole or not at all."""
    write_bytes(Path(path), encode_picture(picture, picture_format(path)))


def encode_picture(picture: Bytes, form: str = "png") -> bytes:
    """Encode a picture as PNG or WebP (both lossless) or JPEG, without time or name in it."""
    form = picture_format(f"picture.{form}") if form not in _SETTINGS else form
    _checked(picture[None])
    longest = max(picture.shape[:2])
    if longest > _LONGEST_SIDE.get(form, longest):
        raise UsageError(
            f"{form} takes up to {_LONGEST_SIDE[form]} pixels a side, this picture has {longest}:"
            " write a .png, or fewer images"
        )
    buffer = io.BytesIO()
    _to_pillow(picture).save(buffer, form, **_SETTINGS[form])
    return buffer.getvalue()


def to_numpy(images: ImageStack) -> NDArray[Any]:
    """Images as numpy. Tensors are recognised by their methods, so torch is not imported."""
    if isinstance(images, np.ndarray):
        return images
    tensor = images.detach().cpu()
    # numpy has no bfloat16, and bytes are computed in float32 whatever the model ran in.
    return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())


def _is_stack(images: ImageStack | Sequence[ImageStack]) -> TypeGuard[ImageStack]:
    return getattr(images, "ndim", None) == 4


def _checked(pictures: Bytes) -> Bytes:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        raise UsageError(
            "images have 1 channel (grey) or 3 (RGB): float (N, C, H, W) or uint8 (N, H, W, C);"
            f" got {pictures.dtype} laid out as (N, H, W, C) = {pictures.shape}"
        )
    return pictures


def _refuse_nan(array: NDArray[Any]) -> None:
    bad = np.flatnonzero(np.isnan(array).any(axis=(1, 2, 3)))
    if bad.size:
        raise VaekitError(
            f"{bad.size} of {len(array)} images hold NaN pixels, the first is image {bad[0]}: check"
            " the images given, or train the model again"
        )


def _require_some(count: int) -> None:
    if count == 0:
        raise UsageError("there are no images to draw")


def _at_least_one(columns: int) -> int:
    if columns < 1:
        raise UsageError(f"a picture needs at least 1 column, not {columns}")
    return columns


def _matching(stacks: Sequence[ImageStack]) -> list[Bytes]:
    """The stacks as bytes, checked to be of one shape and not empty."""
    _require_some(len(stacks))
    arrays = [to_uint8(stack) for stack in stacks]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise UsageError(f"rows of images need one shape (N, H, W, C), not {sorted(shapes)}")
    _require_some(len(arrays[0]))
    return arrays


def _enlarged(images: Bytes, scale: int | None = None) -> Bytes:
    """Small images, enlarged by repeating pixels until the longer side is legible."""
    factor = scale or max(1, math.ceil(LEGIBLE / max(images.shape[1:3])))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def best_columns(count: int, cell: float, *, wanted: float) -> int:
    """The number of columns that gives about the wanted width / height with few empty cells.

    >>> [best_columns(n, 1.0, wanted=1.0) for n in (1, 2, 3, 10, 16, 32, 64, 100)]
    [1, 2, 3, 5, 4, 8, 8, 10]
    """

    def cost(columns: int) -> float:
        down = math.ceil(count / columns)
        empty = down * columns / count - 1
        return round(abs(math.log(columns * cell / down / wanted)) + 12 * empty, 9)

    return min(range(count, 0, -1), key=cost)


def _tiled(cells: Bytes, columns: int, gap: int) -> Bytes:
    """Cells row by row on white, with gaps between them but not around them."""
    count, height, width, channels = cells.shape
    down = math.ceil(count / columns)
    board = np.full((down * columns, height + gap, width + gap, channels), WHITE, np.uint8)
    board[:count, :height, :width] = cells
    tall, wide = down * (height + gap), columns * (width + gap)
    board = board.reshape(down, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    return np.ascontiguousarray(board.reshape(tall, wide, channels)[: tall - gap, : wide - gap])


def _stacked(pictures: Sequence[Bytes], gap: int) -> Bytes:
    """Pictures of one width, stacked vertically with white between them."""
    white = np.full((gap, *pictures[0].shape[1:]), WHITE, np.uint8)
    parts = [part for picture in pictures for part in (white, picture)]
    return np.concatenate(parts[1:])


def _block(stacks: Sequence[Bytes], labels: Sequence[str] | None, columns: int, gap: int) -> Bytes:
    """One row of cells per stack, with its label, if any, at the left."""
    picture = _stacked([_tiled(stack, columns, gap) for stack in stacks], gap)
    if labels is None:
        return picture
    _require_labels(len(labels), len(stacks))
    _, height, _, channels = stacks[0].shape
    return np.concatenate([_captions(labels, height, gap, channels), picture], axis=1)


def _captioned(cells: Bytes, labels: Sequence[str]) -> Bytes:
    """Images with their labels at the left."""
    _require_labels(len(labels), len(cells))
    count, height, _, channels = cells.shape
    beside = _captions(labels, height, 0, channels).reshape(count, height, -1, channels)
    return np.concatenate([beside, cells], axis=2)


def _require_labels(labels: int, needed: int) -> None:
    if labels != needed:
        raise UsageError(f"{needed} images or rows need {needed} labels, not {labels}")


def _captions(labels: Sequence[str], height: int, gap: int, channels: int) -> Bytes:
    """A white column with one label per row, right-aligned, in the middle of the row."""
    font = ImageFont.load_default(min(FONT_SIZE, height))
    width = math.ceil(max(font.getlength(label) for label in labels)) + FONT_SIZE
    column = Image.new("L", (width, len(labels) * (height + gap) - gap), WHITE)
    pen = ImageDraw.Draw(column)
    for index, label in enumerate(labels):
        middle = index * (height + gap) + height / 2
        pen.text((width - FONT_SIZE / 2, middle), label, fill=INK, font=font, anchor="rm")
    return np.asarray(column)[..., None].repeat(channels, axis=2)


def _headings(headings: Sequence[str], shape: tuple[int, ...], width: int, gap: int) -> Bytes:
    """A white band above a block of this shape, each heading in the middle of its column."""
    font = ImageFont.load_default(FONT_SIZE)
    band = Image.new("L", (shape[1], FONT_SIZE + 8), WHITE)
    pen = ImageDraw.Draw(band)
    left = shape[1] - len(headings) * (width + gap) + gap
    for column, heading in enumerate(headings):
        middle = left + column * (width + gap) + width / 2
        pen.text((middle, FONT_SIZE / 2 + 4), heading, fill=INK, font=font, anchor="mm")
    return np.asarray(band)[..., None].repeat(shape[2], axis=2)


def _to_pillow(picture: Bytes) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
