"""The content keys of a source's images: each part is read once, and its keys are kept.

Reading every file costs a small part of decoding them. The keys lie beside the decoded images in
the cache, in files that are used only if this user owns them and their checksum matches.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from vaekit import files
from vaekit.array_types import UInt64s
from vaekit.data import cache_folder
from vaekit.data.cache_entry import is_private
from vaekit.data.content_keys import key_of_bytes, pixel_keys
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.source import Files, Loader, Part, Request, Rows, Source, batched
from vaekit.errors import ImageError

KEYS_VERSION = 1
"""Raised whenever an image gets another key."""

_FEW_BYTES = 16 << 20
"""Pixels up to this size are hashed sooner than their keys are found in the cache."""
_CHECKSUM = 16


class PartKeys:
    """The keys of each part of a source; a part is read when its keys are first asked for."""

    def __init__(self, source: Source, request: Request) -> None:
        self._source, self._request = source, request
        self._found: dict[str, UInt64s] = {}

    def __call__(self, name: str) -> UInt64s:
        """The content key of each image of a part."""
        if name not in self._found:
            self._found[name] = self._keys(name, self._source.parts[name])
        return self._found[name]

    def _keys(self, name: str, part: Part) -> UInt64s:
        if part.keys is not None:
            return part.keys()
        path = None if _is_small(part) else self._path(name)
        kept = None if path is None or self._request.refresh else _kept(path, len(part.names))
        if kept is not None:
            return kept
        keys, lasting = self._read(part)
        if path is not None and lasting:
            _keep(path, keys)
        return keys

    def _path(self, name: str) -> Path | None:
        """Where the keys are kept; None where the cache cannot be used."""
        if self._source.identity is None:
            return None
        text = f"keys {KEYS_VERSION}\n{name}\n{self._source.identity}"
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        with suppress(OSError):
            return cache_folder.private_folder() / f"{key}{cache_folder.KEYS_ENDING}"
        return None

    def _read(self, part: Part) -> tuple[UInt64s, bool]:
        """The keys, and whether they are worth keeping: no fault may be gone the next time."""
        count = len(part.names)
        with self._request.reporter.task("Hashing", count) as task:
            if isinstance(part, Rows):
                found = []
                for block in part.blocks(np.arange(count)):
                    found.append(pixel_keys(block))
                    task.advance(len(block))
                return np.concatenate(found), True
            reader = _FileKeys(part)
            with (
                part.reading(np.arange(count)) as items,
                closing(in_order(reader.read, batched(items, _loader_of))) as done,
            ):
                for tried in done:
                    task.advance(tried)
        return reader.keys, reader.lasting


class _FileKeys:
    """Fills in the keys of files, from several threads."""

    def __init__(self, part: Files) -> None:
        self.names, self.lasting = part.names, True
        self.keys = np.zeros(len(part.names), np.uint64)

    def read(self, batch: Iterable[tuple[int, Loader]]) -> int:
        """Read a batch; a file that cannot be read gets the key of its name."""
        tried = 0
        for place, load in batch:
            tried += 1
            try:
                self.keys[place] = key_of_bytes(load())
            except (OSError, ImageError) as error:
                self.keys[place] = key_of_bytes(os.fsencode(self.names[place]))
                self.lasting = self.lasting and isinstance(error, ImageError)
        return tried


def _loader_of(item: tuple[int, Loader]) -> Loader:
    return item[1]


def _is_small(part: Part) -> bool:
    """Whether hashing is sooner done than looked up."""
    if not isinstance(part, Rows):
        return False
    return part.quick and len(part.names) * math.prod(part.shape) <= _FEW_BYTES


def _kept(path: Path, count: int) -> UInt64s | None:
    """The keys in a file; None if it is missing, damaged, or another user can write it."""
    with suppress(OSError), path.open("rb") as file:
        if not is_private(os.fstat(file.fileno())):
            return None
        checksum, data = file.read(_CHECKSUM), file.read(8 * count + 1)
        if len(data) != 8 * count or checksum != _checksum(data):
            return None
        with suppress(OSError):  # a cache that is read-only is read all the same
            os.utime(path)
        return np.frombuffer(data, "<u8").astype(np.uint64)
    return None


def _keep(path: Path, keys: UInt64s) -> None:
    """Write the keys; where that fails, they are read again on the next run."""
    data = keys.astype("<u8").tobytes()
    with suppress(OSError), files.replacing(path) as file:
        file.write(_checksum(data) + data)
    with suppress(OSError):
        path.chmod(0o600)


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM).digest()
