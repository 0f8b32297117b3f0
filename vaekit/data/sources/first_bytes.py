"""Recognises the kind of a file by its first bytes."""

from __future__ import annotations

import re
import tarfile
from typing import Literal

Kind = Literal[
    "folder", "zip", "tar", "npy", "npz", "image", "gz", "bz2", "xz", "pipe", "nothing", "unknown"
]
HEAD_BYTES = 512
"""Enough first bytes to recognise a file."""

_MAGIC: dict[bytes, Kind] = {
    b"\x93NUMPY": "npy",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x89PNG\r\n": "image",
    b"\xff\xd8\xff": "image",
    b"GIF8": "image",
    b"BM": "image",
    b"II*\0": "image",
    b"MM\0*": "image",
}


def recognise(head: bytes) -> Kind:
    r"""What the first bytes of a file say it is.

    >>> recognise(b"\x93NUMPY"), recognise(b"GIF89a"), recognise(b"hello")
    ('npy', 'image', 'unknown')
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        length = int.from_bytes(head[26:28], "little")
        return "npz" if head[30 : 30 + length].endswith(b".npy") else "zip"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image"
    if re.match(rb"P[1-6]\s", head):
        return "image"
    return "tar" if _begins_a_tar(head) else "unknown"


def _begins_a_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return len(head) >= HEAD_BYTES and not any(head)  # an empty tar begins with its end
    return True
