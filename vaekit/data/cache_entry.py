"""Write and read one entry of the cache: decoded images with checksums of every byte.

An entry is a folder with

    images.npy   uint8 (N, H, W, C), the good images only
    meta.json    written last: an entry without it is incomplete

It is used only if this user owns it, no other user can write it, and every checksum matches.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaekit import files
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.imageset import Pixels

LARGE_ARRAY = 256 << 20
"""Larger arrays are memory-mapped rather than held in memory."""

IMAGES, META = "images.npy", "meta.json"

_BLOCK = 4 << 20
"""Bytes that share a checksum; threads check blocks in parallel."""
_LARGEST_META = 256 << 20


@dataclass(frozen=True)
class StoredImages:
    """Decoded images, as the cache keeps them."""

    images: Pixels
    """The good ones only."""
    bad: dict[int, str]
    """Row among the chosen images to reason."""
    notes: tuple[str, ...]
    changes: tuple[str, ...]
    """Conversions to the shape that was asked for."""
    fingerprint: str | None
    """None where it was not computed yet."""


@dataclass(frozen=True)
class EntryFacts:
    """What the meta file says of an entry, beside what belongs to its images."""

    name: str
    """The data set's name."""
    split: str
    shape: tuple[int, int, int, int]
    """(N, H, W, C)."""


def is_private(status: os.stat_result) -> bool:
    """Whether this user owns a file or folder, and no other user can write it."""
    return os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def write_meta(entry: Path, stored: StoredImages, facts: EntryFacts, sums: list[int]) -> None:
    """Complete an entry whose images are written; `sums` are their `checksums`."""
    meta = {
        **asdict(facts),
        "bad": list(stored.bad.items()),
        "notes": stored.notes,
        "changes": stored.changes,
        "fingerprint": stored.fingerprint,
        "checksums": sums,
    }
    for path in (entry / IMAGES, entry / META):
        if path.name == META:
            files.write_text(path, json.dumps({"meta": meta, "checksum": _checksum_of(meta)}))
        with suppress(OSError):  # where there are no modes, reading checks those that it shows
            path.chmod(0o600)


def read_entry(entry: Path, *, verify: bool = True) -> StoredImages | None:
    """The images of an entry; None if it is missing, damaged, or another user can write it.

    `verify` checks every byte of the images. Large ones are memory-mapped, and count as in use
    as long as they are.
    """
    with suppress(*_DAMAGE), (entry / IMAGES).open("rb") as file:
        meta = _read_meta(entry)
        size = os.fstat(file.fileno()).st_size
        shape = _shape_of(meta, size)
        if not (is_private(entry.stat()) and is_private(os.fstat(file.fileno()))):
            return None
        images = _pixels(file, shape, size)
        if verify and checksums(images) != meta["checksums"]:
            return None
        with suppress(OSError):  # a cache that is read-only is read all the same
            os.utime(entry)
        bad = {int(row): str(reason) for row, reason in meta["bad"]}
        told = tuple(map(str, meta["notes"])), tuple(map(str, meta["changes"]))
        return StoredImages(images, bad, *told, str(meta["fingerprint"]))
    return None


_DAMAGE = (*(OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, RecursionError),)
"""What reading a damaged entry may raise."""


def read_facts(entry: Path) -> EntryFacts | None:
    """What an entry holds, without reading its images; None if it is incomplete or damaged."""
    with suppress(*_DAMAGE):
        meta = _read_meta(entry)
        height, width, channels = meta["shape"][1:]
        shape = (int(meta["shape"][0]), int(height), int(width), int(channels))
        return EntryFacts(str(meta["name"]), str(meta["split"]), shape)
    return None


def checksums(images: Pixels) -> list[int]:
    """The CRC-32 of each block of the images' bytes.

    It finds damage, which is all that can happen to a file that no other user can write, and it
    takes about a hundredth of the time that decoding took.
    """
    flat = images.reshape(-1)

    def of_block(start: int) -> int:
        return zlib.crc32(flat[start : start + _BLOCK].data)

    return list(in_order(of_block, range(0, len(flat), _BLOCK)))


def _read_meta(entry: Path) -> dict[str, Any]:
    with (entry / META).open("rb") as file:
        if not is_private(os.fstat(file.fileno())):
            raise ValueError("another user can write it")
        record = json.loads(file.read(_LARGEST_META))
    meta: dict[str, Any] = record["meta"]
    if record["checksum"] != _checksum_of(meta):
        raise ValueError("its checksum does not match")
    return meta


def _checksum_of(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _shape_of(meta: Mapping[str, Any], size: int) -> tuple[int, ...]:
    """The shape of the array, which must fill the file from the end of its header on."""
    shape = tuple(map(int, meta["shape"]))
    if len(shape) != 4 or min(shape) < 1 or not 0 < size - math.prod(shape) < 1 << 16:
        raise ValueError(f"its file has not the shape {shape}")
    return shape


def _pixels(file: IO[bytes], shape: tuple[int, ...], size: int) -> Pixels:
    start = size - math.prod(shape)
    if math.prod(shape) > LARGE_ARRAY:
        files.hold(file)  # the mapping keeps the lock: it duplicates the file's handle
        return np.memmap(file, np.uint8, "r", start, shape)
    return np.fromfile(file, np.uint8, offset=start).reshape(shape)
