"""Packs many small images into one picture, as a data URI for a page."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from vaekit.output.pictures import Bytes, ImageStack, encode_picture, to_uint8

QUALITIES = (92, 80, 60, 40, 20, 5)
"""Tried in this order where lossless WebP is too large."""

_LONGEST_SHEET = 16_000
"""WebP ends at 16,383 pixels a side."""


def sprite_sheet(images: ImageStack, *, longest_side: int, most_bytes: int) -> dict[str, Any]:
    """One WebP of all images, each shrunk to `longest_side`, lossless if it fits `most_bytes`.

    Cell i is at column i % columns, row i // columns.

    >>> sheet = sprite_sheet(np.zeros((5, 8, 4, 1), np.uint8), longest_side=64, most_bytes=9999)
    >>> [sheet[name] for name in ("count", "columns", "width", "height", "lossless")]
    [5, 4, 4, 8, True]
    """
    pixels = to_uint8(images)
    cells = _shrunk(pixels, longest_side)
    count, height, width, _ = cells.shape
    columns = _columns(count, height, width)
    encoded, lossless = _encoded(_board(cells, columns), most_bytes)
    return {
        "src": "data:image/webp;base64," + base64.b64encode(encoded).decode("ascii"),
        "count": count,
        "columns": columns,
        "width": width,
        "height": height,
        "lossless": lossless and cells.shape == pixels.shape,
    }


def _columns(count: int, height: int, width: int) -> int:
    """Columns that make the sheet nearly square, and no side longer than WebP allows."""
    square = math.ceil(math.sqrt(count * height / width))
    return max(1, min(square, count, _LONGEST_SHEET // width))


def _shrunk(cells: Bytes, longest_side: int) -> Bytes:
    height, width, channels = cells.shape[1:]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return cells
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [_pillow(cell).resize(size, Image.Resampling.BOX) for cell in cells]
    return np.stack([np.asarray(one).reshape(size[1], size[0], channels) for one in small])


def _board(cells: Bytes, columns: int) -> Bytes:
    count, height, width, channels = cells.shape
    down = math.ceil(count / columns)
    board = np.zeros((down * columns, height, width, channels), np.uint8)
    board[:count] = cells
    board = board.reshape(down, columns, height, width, channels).swapaxes(1, 2)
    return np.ascontiguousarray(board.reshape(down * height, columns * width, channels))


def _encoded(board: Bytes, most_bytes: int) -> tuple[bytes, bool]:
    """The sheet, and whether it kept every bit."""
    lossless = encode_picture(board, "webp")
    if len(lossless) <= most_bytes:
        return lossless, True
    lossy = lossless
    for quality in QUALITIES:
        buffer = io.BytesIO()
        _pillow(board).save(buffer, "webp", quality=quality)
        lossy = buffer.getvalue()
        if len(lossy) <= most_bytes:
            break
    return lossy, False


def _pillow(picture: Bytes) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
