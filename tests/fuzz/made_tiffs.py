"""TIFFs: every kind of sample and packing, with odd numbers in their directories."""

from __future__ import annotations

import io
import struct

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.damage import ODD_NUMBERS, Draw, damaged
from tests.fuzz.made_images import SIDES

TYPES = ("uint8", "uint16", "int32", "float32")
PACKINGS = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")
COMMON = {
    256: SIDES, 257: SIDES, 258: (0, 1, 2, 8, 12, 16, 32, 64), 262: (0, 1, 2, 3, 5, 6, 8, 32803),
    259: (0, 1, 2, 3, 4, 5, 6, 7, 8, 32773, 34925, 50000), 274: range(10),
    277: (0, 1, 2, 3, 4, 255), 278: SIDES, 284: (0, 1, 2, 3), 317: (0, 1, 2, 3), 322: SIDES,
    323: SIDES,
    338: (0, 1, 2, 9), 339: (0, 1, 2, 3, 4),
}  # fmt: skip
"""Likely odd values of the tags that say how an image lies in the file."""


def tiffs() -> list[bytes]:
    """Small TIFFs of every type of sample and every packing that goes with it."""
    made = []
    for packing in PACKINGS:
        for mode in ("1",) if packing == "group4" else ("L", "RGB"):
            made.append(_saved(_grey("uint8").convert(mode), packing))
    made += [_saved(_grey(kind), packing) for kind in TYPES[1:] for packing in PACKINGS[:3]]
    return made


def _grey(kind: str) -> Image.Image:
    values = np.arange(64).reshape(8, 8)
    return Image.fromarray((values / 63 if kind == "float32" else values * 3).astype(kind))


def _saved(image: Image.Image, packing: str | None) -> bytes:
    file = io.BytesIO()
    image.save(file, "TIFF", compression=packing, tiffinfo={274: 6})
    return file.getvalue()


@st.composite
def tiff(draw: Draw, samples: list[bytes]) -> bytes:
    """One of them, with its directory changed, or any of its bytes."""
    data = draw(st.sampled_from(samples))
    if draw(st.integers(0, 3)) == 0:
        return damaged(draw, data)
    for _ in range(draw(st.integers(1, 3))):
        data = _put(draw, data)
    return data


def _put(draw: Draw, data: bytes) -> bytes:
    """An odd tag, type, count or value in one entry of the first directory."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    place = at + 2 + 12 * draw(st.integers(0, count - 1))
    tag, kind, length, value = struct.unpack_from("<HHII", data, place)
    match draw(st.sampled_from(("value", "value", "value", "tag", "type", "count", "next"))):
        case "value":
            value = draw(st.sampled_from((*COMMON.get(tag, ()), *ODD_NUMBERS))) & 0xFFFFFFFF
        case "tag":
            tag = draw(st.sampled_from((*COMMON, 700, 34665, 34675, 330, 320)))
        case "type":
            kind = draw(st.integers(0, 18))
        case "count":
            length = draw(st.sampled_from(ODD_NUMBERS)) & 0xFFFFFFFF
        case _:
            end = at + 2 + 12 * count
            return (
                data[:end]
                + struct.pack("<I", draw(st.sampled_from((at, 8, 2**31))))
                + data[end + 4 :]
            )
    return data[:place] + struct.pack("<HHII", tag, kind, length, value) + data[place + 12 :]
