"""Decode images once: keep them in the cache, and find them there on the next run.

The name of an entry is a hash of where the images come from, which of them were chosen, and the
shape they were converted to. A missing or damaged entry is made again. If the cache cannot be
used, images are decoded on every run, with a warning.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from vaekit import files
from vaekit.data import cache_entry, cache_folder
from vaekit.data.cache_entry import EntryFacts, StoredImages, read_entry
from vaekit.data.decoding.decode_all import (
    LARGEST_NATIVE,
    Allocate,
    DecodedImages,
    Pieces,
    decode_all,
)
from vaekit.data.imageset import Integers, Pixels, fingerprint
from vaekit.data.selection import Selection
from vaekit.data.source import Request, Rows
from vaekit.errors import DataError
from vaekit.reporting import Reporter

VERSION = 2
"""Raised whenever the same request decodes to other bytes."""


@dataclass(frozen=True)
class _Decoded:
    """Images before their fingerprint is taken."""

    stored: StoredImages
    labels: Integers | None
    """Of the good images."""
    lasting: bool
    """Whether they are worth keeping: no fault may be gone the next time."""

    def fingerprinted(self) -> StoredImages:
        """With their fingerprint."""
        return replace(self.stored, fingerprint=fingerprint(self.stored.images, self.labels))


def entry_key(selection: Selection, request: Request) -> str:
    """The name of a cache entry: a hash of everything that decides what it holds."""
    digest = hashlib.sha256(f"{VERSION}\n{request.size} {request.channels}\n".encode())
    digest.update((selection.source.identity or "").encode("utf-8", "surrogatepass"))
    for name, indices in selection.chosen:
        digest.update(f"\n{name} {len(indices)}\n".encode() + indices.astype("<i8").tobytes())
    return digest.hexdigest()


def fetch_images(selection: Selection, request: Request) -> StoredImages:
    """The decoded images: from the cache, or decoded now and kept there."""
    if _is_quick(selection.pieces, request):
        decoded = decode_all(selection.pieces, request, _scratch)
        return StoredImages(decoded.images, {}, decoded.notes, decoded.changes, None)
    if selection.source.identity is None:
        return _decode(selection, request, _scratch).fingerprinted()
    try:
        entry = cache_folder.private_folder() / entry_key(selection, request)
    except OSError as error:
        _warn_unusable(cache_folder.decoded_dir(), error, request.reporter)
        return _decode(selection, request, _scratch).fingerprinted()
    made_at = _made_at(entry)
    found = None if request.refresh else read_entry(entry)
    return found if found is not None else _make(selection, request, entry, made_at)


def _make(selection: Selection, request: Request, entry: Path, made_at: int | None) -> StoredImages:
    """Decode, and keep the result where the cache can be written to; one process at a time.

    `made_at` is the age of the entry that is missing, damaged or to be refreshed: one that another
    process has made in the meantime is used.
    """
    limit = cache_folder.size_limit()
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked(entry.with_suffix(".lock")))
            workshop = Path(stack.enter_context(_workshop(entry)))
        except OSError as error:
            _warn_unusable(entry.parent, error, request.reporter)
            return _decode(selection, request, _scratch).fingerprinted()
        if _made_at(entry) != made_at and (found := read_entry(entry)) is not None:
            return found
        decoded = _decode(selection, request, _Mapped(workshop))
        if not decoded.lasting or not len(decoded.stored.images):
            return decoded.fingerprinted()
        try:
            stored = _keep(decoded, selection, workshop, entry)
        except OSError as error:
            _warn_unusable(entry.parent, error, request.reporter)
            return decoded.fingerprinted()
    cache_folder.shrink(limit, keep=entry)
    return stored


def _made_at(entry: Path) -> int | None:
    try:
        return (entry / cache_entry.META).stat().st_mtime_ns
    except OSError:
        return None


def _warn_unusable(folder: Path, error: OSError, reporter: Reporter) -> None:
    reporter.warn(
        f"decoded images cannot be kept in {folder} ({error.strerror or error}): they will "
        "be decoded again on every run (the variable XDG_CACHE_HOME names another folder)"
    )


def _decode(selection: Selection, request: Request, allocate: Allocate) -> _Decoded:
    """The good images, before they are kept."""
    decoded = decode_all(selection.pieces, request, allocate)
    images, good = _without_bad(decoded, allocate)
    if isinstance(images, np.memmap):
        images.flags.writeable = False
    labels = None if selection.labels is None else selection.labels[good]
    stored = StoredImages(images, decoded.bad, decoded.notes, decoded.changes, None)
    return _Decoded(stored, labels, decoded.lasting)


def _without_bad(decoded: DecodedImages, allocate: Allocate) -> tuple[Pixels, Integers]:
    """The rows of good images and their indices; a large array is copied piece by piece."""
    if not decoded.bad:
        return decoded.images, np.arange(len(decoded.images))
    rows = np.setdiff1d(np.arange(len(decoded.images)), np.fromiter(decoded.bad, np.int64))
    images = allocate((len(rows), *decoded.images.shape[1:]))
    for start in range(0, len(rows), 1024):
        images[start : start + 1024] = decoded.images[rows[start : start + 1024]]
    return images, rows


def _is_quick(pieces: Pieces, request: Request) -> bool:
    """Whether the source is as fast as the cache: pixels in the shape asked for, and few enough."""
    size, channels, total = request.size, request.channels, 0
    for part, indices in pieces:
        if not isinstance(part, Rows) or not part.quick:
            return False
        if size is None and max(part.shape[:2]) > LARGEST_NATIVE:
            return False
        if size not in (None, part.shape[:2]) or channels not in (None, part.shape[2]):
            return False
        total += len(indices) * math.prod(part.shape)
    return total <= cache_entry.LARGE_ARRAY


def _keep(decoded: _Decoded, selection: Selection, workshop: Path, entry: Path) -> StoredImages:
    """Put the finished entry in its place, whole, by one rename."""
    images, target = decoded.stored.images, workshop / "entry"
    target.mkdir(mode=0o700)
    with ThreadPoolExecutor(1) as beside:  # hash the images while the disk is written
        fingerprinted = beside.submit(decoded.fingerprinted)
        _write(images, target / cache_entry.IMAGES)
    stored = fingerprinted.result()
    count, height, width, channels = images.shape
    shape = (count, height, width, channels)
    facts = EntryFacts(selection.source.name, selection.split, shape)
    cache_entry.write_meta(target, stored, facts, cache_entry.checksums(images))
    _clear_away(entry)
    target.rename(entry)
    files.sync_folder(entry.parent)
    if not isinstance(images, np.memmap):
        return stored
    return read_entry(entry, verify=False) or stored


def _clear_away(entry: Path) -> None:
    """Remove a damaged entry, whatever is there."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _write(images: Pixels, path: Path) -> None:
    """Write the images to a file, or move the file that they are mapped from."""
    if isinstance(images, np.memmap):
        images.flush()
        Path(str(images.filename)).replace(path)
        return
    with files.replacing(path) as file:
        np.save(file, images, allow_pickle=False)


@contextmanager
def _workshop(entry: Path) -> Iterator[str]:
    """A temporary folder beside the entries to build one in; it is removed afterwards."""
    cache_folder.remove_workshops(entry)
    with tempfile.TemporaryDirectory(
        dir=entry.parent, prefix=f".{entry.name}.", ignore_cleanup_errors=True
    ) as folder:
        yield folder


class _Mapped:
    """Allocates arrays: small ones in memory, large ones as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def __call__(self, shape: tuple[int, int, int, int]) -> Pixels:
        if math.prod(shape) <= cache_entry.LARGE_ARRAY:
            return np.empty(shape, np.uint8)
        self.count += 1
        path = self.folder / f"{self.count}.npy"
        try:
            mapped = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            with path.open("r+b") as file:
                _reserve(file, path.stat().st_size)
        except OSError:
            path.unlink(missing_ok=True)
            return _scratch(shape)
        return mapped


def _scratch(shape: tuple[int, int, int, int]) -> Pixels:
    """An array outside the cache: in memory, or in an unnamed temporary file when large."""
    size = math.prod(shape)
    if size <= cache_entry.LARGE_ARRAY:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            _reserve(file, size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise DataError(
            f"decoding needs {size / 1e9:.1f} GB in {tempfile.gettempdir()}, which has no room for "
            f"it ({error.strerror}): choose fewer images with --limit or a smaller --image-size"
        ) from None


def _reserve(file: IO[bytes], size: int) -> None:
    """Reserve the disk space now: writing to a mapped file on a full disk kills the process."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), 0, size)
