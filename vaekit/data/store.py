"""The cache of decoded images: decode once, find them again on the next run.

An entry of the cache is a folder. Its name is a hash of where the images come from, which of them
were chosen, and the shape they were converted to. It holds

    images.npy   uint8 (N, H, W, C), the good images only
    meta.json    written last: an entry without it is incomplete

A missing or damaged entry is made again. If the cache cannot be written, images are decoded on
every run, with a warning.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaekit import files
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

VERSION = 1
"""Raised whenever the same request decodes to other bytes."""

LARGE_ARRAY = 256 << 20
"""Larger arrays are memory-mapped rather than held in memory."""


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
    digest.update(selection.source.identity.encode("utf-8", "surrogatepass"))
    for name, indices in selection.chosen:
        digest.update(f"\n{name} {len(indices)}\n".encode() + indices.astype("<i8").tobytes())
    return digest.hexdigest()


def fetch_images(selection: Selection, request: Request) -> StoredImages:
    """The decoded images: from the cache, or decoded now and kept there."""
    if _is_quick(selection.pieces, request):
        decoded = decode_all(selection.pieces, request, _scratch)
        return StoredImages(decoded.images, {}, decoded.notes, decoded.changes, None)
    entry = files.cache_dir() / "decoded" / entry_key(selection, request)
    found = _load(entry, selection.labels)
    return found if found is not None else _make(selection, request, entry)


def _make(selection: Selection, request: Request, entry: Path) -> StoredImages:
    """Decode, and keep the result where the cache can be written to; one process at a time."""
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked(entry.with_suffix(".lock")))
            workshop = Path(stack.enter_context(_workshop(entry)))
        except OSError as error:
            _warn_unwritable(entry, error, request.reporter)
            return _decode(selection, request, _scratch).fingerprinted()
        if (found := _load(entry, selection.labels)) is not None:  # made by another process
            return found
        decoded = _decode(selection, request, _Mapped(workshop))
        if not decoded.lasting or not len(decoded.stored.images):
            return decoded.fingerprinted()
        try:
            return _keep(decoded, workshop, entry, selection.labels)
        except OSError as error:
            _warn_unwritable(entry, error, request.reporter)
            return decoded.fingerprinted()


def _warn_unwritable(entry: Path, error: OSError, reporter: Reporter) -> None:
    reporter.warn(
        f"decoded images cannot be kept in {entry.parent} ({error.strerror or error}): they will "
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
    return total <= LARGE_ARRAY


def _load(entry: Path, labels: Integers | None) -> StoredImages | None:
    """What an entry holds; None where it is missing, truncated or changed."""
    try:
        meta: dict[str, Any] = json.loads((entry / "meta.json").read_bytes())
        large = (entry / "images.npy").stat().st_size > LARGE_ARRAY
        images = np.load(entry / "images.npy", mmap_mode="r" if large else None, allow_pickle=False)
        bad = {int(row): str(reason) for row, reason in meta["bad"]}
        told = tuple(meta["notes"]), tuple(meta["changes"])
        stored = StoredImages(images, bad, *told, str(meta["fingerprint"]))
        whole = images.dtype == np.uint8 and list(images.shape) == meta["shape"]
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if whole and not large:  # a large one is not read through to verify it
        if labels is not None:
            labels = np.delete(labels, list(bad))
        whole = fingerprint(images, labels) == stored.fingerprint
    return stored if whole else None


def _keep(decoded: _Decoded, workshop: Path, entry: Path, labels: Integers | None) -> StoredImages:
    """Put the finished entry in its place, whole, by one rename."""
    target = workshop / "entry"
    target.mkdir()
    with ThreadPoolExecutor(1) as beside:  # the fingerprint, while the disk is written
        fingerprinted = beside.submit(decoded.fingerprinted)
        _write(decoded.stored.images, target / "images.npy")
    stored = fingerprinted.result()
    meta = {
        "shape": list(stored.images.shape),
        "bad": list(stored.bad.items()),
        "notes": stored.notes,
        "changes": stored.changes,
        "fingerprint": stored.fingerprint,
    }
    files.write_text(target / "meta.json", json.dumps(meta))
    shutil.rmtree(entry, ignore_errors=True)
    target.rename(entry)
    files.sync_folder(entry.parent)
    if not isinstance(stored.images, np.memmap):
        return stored
    return _load(entry, labels) or stored


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
    for left in entry.parent.glob(f".{entry.name}.*"):  # left by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        dir=entry.parent, prefix=f".{entry.name}.", ignore_cleanup_errors=True
    ) as folder:
        yield folder


class _Mapped:
    """Allocates arrays: small ones in memory, large ones as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def __call__(self, shape: tuple[int, int, int, int]) -> Pixels:
        if math.prod(shape) <= LARGE_ARRAY:
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
    if size <= LARGE_ARRAY:
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
