"""What a file truly holds: the measure for the memory that its reading may take."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

MOST = 1 << 30
"""Nothing is unpacked beyond this."""

CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Bytes of a pixel, once decoded to 8 bits, by a PNG's colour type; a palette gives colours."""


PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile,
}  # fmt: skip


def holds(data: bytes) -> int:
    """Bytes of content that are really there, whatever the file claims.

    - zip, .npz: the file, and what its members really unpack to;
    - a packed tar: the file, and what it unpacks to;
    - PNG: the file, and the pixels its compressed data really unpacks to, 8 bits a channel; text,
      profiles and the like are not images, and count as they lie in the file;
    - another image: the file, and its pixels if all of them are there;
    - anything else (safetensors, YAML, .npy, text): the file.
    """
    if data.startswith(b"PK"):
        return len(data) + sum(_unpacked(data))
    for start, opener in PACKED.items():
        if data.startswith(start):
            return len(data) + _length(opener(io.BytesIO(data)))
    return len(data) + _pixels(data)


def _unpacked(data: bytes) -> Iterator[int]:
    """What each member unpacks to, and the pixels in it; sizes in the directory are not asked."""
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except Exception:  # noqa: BLE001  a broken directory names no members
        return
    for member in {member.header_offset: member for member in members}.values():
        at = member.header_offset
        local = data[at : at + 30]
        if len(local) < 30:
            continue
        start = at + 30 + sum(struct.unpack("<HH", local[26:30]))
        if member.compress_type == zipfile.ZIP_DEFLATED:
            content = _inflated(memoryview(data)[start:], -15)
        else:
            content = data[start : start + max(0, member.compress_size)]
        yield len(content) + (_pixels(content) if content else 0)


def _length(file: Any) -> int:
    """How much can be read before the first error."""
    length = 0
    try:
        while length < MOST and (part := file.read(1 << 20)):
            length += len(part)
    except Exception:  # noqa: BLE001  what is damaged ends there
        pass
    return length


def _inflated(packed: bytes | memoryview, form: int = 15) -> bytes:
    """As much as there is before the first error."""
    worker, out = zlib.decompressobj(form), bytearray()
    try:
        for at in range(0, len(packed), 4096):
            out += worker.decompress(packed[at : at + 4096], MOST)
            if worker.eof or len(out) >= MOST:
                break
    except zlib.error:
        pass
    return bytes(out)


def _pixels(data: bytes) -> int:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_pixels(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MOST // 4:
                    return 0
                image.load()
                return image.width * image.height * max(3, len(image.getbands()))
        except Exception:  # noqa: BLE001  what does not decode holds no pixels
            return 0


def _png_pixels(data: bytes) -> int:
    at, packed, depth, colour, alpha = 8, bytearray(), 8, 2, False
    while at + 8 <= len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR" and len(body) >= 10:
            depth, colour = body[8] or 8, body[9]
        alpha |= kind == b"tRNS"
        if kind == b"IDAT":
            packed += body
        at += 12 + length
    pixels = len(_inflated(bytes(packed))) * 8 // depth
    per_pixel = CHANNELS.get(colour, 3)
    samples = 1 if colour == 3 else per_pixel
    return pixels * (per_pixel + alpha) // samples
