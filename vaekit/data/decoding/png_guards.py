"""Checks of PNG files: texts that unpack to gigabytes, missing pixels, transparent colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from vaekit.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
LARGE_PNG = 16 << 20
"""Above this many bytes of pixels, they are counted before memory is allocated."""

SAMPLES_PER_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel, by colour type."""

MOST_TEXTS = 8
"""The orientation may be among the first texts; the others would be unpacked for nothing."""


def without_texts(data: bytes) -> bytes:
    """The same image with only its first texts: a few KiB may unpack to hundreds of MiB.

    A damaged file, or one that is not a PNG, is returned unchanged.
    """
    if not data.startswith(SIGNATURE) or sum(map(data.count, TEXTS)) <= MOST_TEXTS:
        return data
    kept, end, texts = [SIGNATURE], len(SIGNATURE), 0
    for kind, start, end in _chunks(data):
        texts += kind in TEXTS
        if kind not in TEXTS or texts <= MOST_TEXTS:
            kept.append(data[start:end])
    return b"".join([*kept, data[end:]])


def refuse_hollow(data: bytes) -> None:
    """Refuse a large PNG whose pixels are missing, before memory is allocated for them.

    Its header may claim a hundred million pixels; they are unpacked here to be counted, not kept.
    """
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR":
        return
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26].ljust(10, b"\0"))
    claimed = width * height * depth * SAMPLES_PER_PIXEL.get(colour, 1) // 8
    if claimed > LARGE_PNG and _unpacked(data, claimed) < claimed:
        raise ImageError("is truncated")


def match_transparent_colour(image: Any, data: bytes) -> None:
    """Bring a PNG's transparent colour to 8 bits a channel, as Pillow does with its pixels alone.

    Of 16-bit colours it keeps the high bytes, so a colour that differs in the low ones matches too.
    """
    colour = image.info.get("transparency")
    if image.format != "PNG" or data[12:16] != b"IHDR":
        return
    depth = data[24]
    if isinstance(colour, int) and depth in (2, 4) and image.mode == "L":
        deepest = (1 << depth) - 1
        image.info["transparency"] = (colour & deepest) * 255 // deepest
    if isinstance(colour, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _unpacked(data: bytes, enough: int) -> int:
    """How many bytes of pixels there are, counted up to `enough`."""
    worker, count = zlib.decompressobj(), 0
    try:
        for kind, start, end in _chunks(data):
            waiting = data[start + 8 : end - 4] if kind == b"IDAT" else b""
            while waiting and count < enough:
                count += len(worker.decompress(waiting, 1 << 20))
                waiting = worker.unconsumed_tail
    except zlib.error:  # what came before it counts
        pass
    return count


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk, where it starts and where it ends."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int(struct.unpack(">I", data[at : at + 4])[0])
        yield data[at + 4 : at + 8], at, end
        at = end
