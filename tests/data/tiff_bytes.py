"""TIFFs packed by hand: every tag as it is given, so that they can be what no writer here makes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import ArrayLike

GREY_ON_BLACK, GREY_ON_WHITE, RGB, PALETTE, CMYK = 1, 0, 2, 3, 5
_FORMATS = {1: "B", 3: "H", 4: "I"}


def tiff_of(
    pixels: ArrayLike,
    colours: int,
    *,
    order: str = "<",
    bits: int | None = None,
    packed: bool = False,
    planes: bool = False,
    strips: int = 1,
    tags: dict[int, tuple[int, list[int]]] | None = None,
) -> bytes:
    """A TIFF of pixels (H, W) or (H, W, C), in an equal number of rows a strip.

    `bits` fewer than the type has are packed without gaps; `packed` compresses by deflate.
    """
    values = np.asarray(pixels)
    values = values.reshape(*values.shape[:2], -1)
    height, width, samples = values.shape
    parts = np.split(values, strips)
    if planes:
        parts = [part[..., c] for c in range(samples) for part in parts]
    contents = [_packed_bits(part, bits, order) for part in parts]
    if packed:
        contents = [zlib.compress(content) for content in contents]
    depth = bits or values.dtype.itemsize * 8
    shown = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [depth] * samples), 262: (3, [colours]),
        259: (3, [8 if packed else 1]), 277: (3, [samples]), 278: (4, [height // strips]),
        284: (3, [2 if planes else 1]), 279: (4, [len(content) for content in contents]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * samples),
        **(tags or {}),
    }  # fmt: skip
    return _file(shown, contents, order)


def _packed_bits(values: np.ndarray, bits: int | None, order: str) -> bytes:
    if bits is None:
        return values.astype(values.dtype.newbyteorder(order)).tobytes()
    wide = values.astype(">u4").view(np.uint8).reshape(*values.shape, 4)
    single = np.unpackbits(wide, axis=-1)[..., 32 - bits :].reshape(len(values), -1)
    return np.packbits(single, axis=1).tobytes()


def _file(tags: dict[int, tuple[int, list[int]]], contents: list[bytes], order: str) -> bytes:
    starts = [8 + sum(map(len, contents[:n])) for n in range(len(contents))]
    tags = dict(sorted({**tags, 273: (4, starts)}.items()))
    body = b"".join(contents)
    at = 8 + len(body)
    beyond, entries, more = at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, (kind, values) in tags.items():
        data = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        if len(data) > 4:
            place = struct.pack(f"{order}I", beyond + len(more))
            more += data
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    count = struct.pack(f"{order}H", len(tags))
    return head + body + count + entries + bytes(4) + more
