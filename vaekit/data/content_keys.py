"""64-bit keys of images by content: equal images have equal keys, whatever their names.

An encoded file and the pixels that it decodes to have different keys: the first decides which part
of a data set an image belongs to, before anything is decoded; the second identifies an image that
a model sees, however it came in.
"""

from __future__ import annotations

import hashlib
import math
import zlib

import numpy as np

from vaekit.array_types import UInt64s
from vaekit.data.imageset import Pixels


def file_key(size: int, crc: int) -> int:
    """The key of an encoded image: its size and its CRC-32, which a zip stores with each member.

    >>> hex(file_key(5, zlib.crc32(b"image")))
    '0x5c53d045f'
    """
    return size << 32 | crc


def key_of_bytes(data: bytes) -> int:
    """The `file_key` of an encoded image."""
    return file_key(len(data), zlib.crc32(data))


def pixel_keys(images: Pixels) -> UInt64s:
    """The key of each image (N, H, W, C): BLAKE2b of its bytes.

    >>> pixel_keys(np.zeros((2, 1, 1, 1), np.uint8)).tolist()[0] == pixel_keys(
    ...     np.zeros((1, 1, 1, 1), np.uint8)
    ... ).tolist()[0]
    True
    """
    content, width = np.ascontiguousarray(images).reshape(-1).data, math.prod(images.shape[1:])
    rows = (content[start : start + width] for start in range(0, len(content), width))
    digests = [hashlib.blake2b(row, digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
