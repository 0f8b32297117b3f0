"""The store: images are decoded once, and found again the next time.

An entry of the cache is a folder named by the hash of what the images come from, which of them
were chosen, and what they were brought to. It holds

    images.npy   uint8 (N, H, W, C), the good images only
    meta.json    written last: its presence says that the entry is whole

A missing or damaged entry is made anew; a cache that cannot be written to is done without.
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
    TargetSize,
    decode_all,
)
from vaekit.data.imageset import Integers, Pixels, fingerprint
from vaekit.data.source import Part, Rows
from vaekit.errors import DataError
from vaekit.reporting import Reporter

VERSION = 1
"""Raised whenever the same request would decode to other bytes."""

LARGE_ARRAY = 256 << 20
"""Arrays of more bytes than this are memory-mapped rather than held."""


@dataclass(frozen=True)
class StoredImages:
    """Decoded images, as the cache keeps them."""

    images: Pixels
    """The good ones only."""
    bad: dict[int, str]
    """Row among the chosen to reason."""
    notes: tuple[str, ...]
    changes: tuple[str, ...]
    """What was done to them so that they have the shape asked for."""
    fingerprint: str | None
    """None where it was not worth computing yet."""


@dataclass(frozen=True)
class _Decoded:
    """Images before their fingerprint is taken."""

    stored: StoredImages
    labels: Integers | None
    """Of the good ones."""
    lasting: bool
    """Whether it is worth keeping them."""

    def marked(self) -> StoredImages:
        """With their fingerprint."""
        return replace(self.stored, fingerprint=fingerprint(self.stored.images, self.labels))


@dataclass(frozen=True)
class Order:
    """Everything that decides what the decoded array holds."""

    identity: str
    parts: tuple[tuple[str, Part, Integers], ...]
    """Name, part and chosen indices."""
    wanted: TargetSize
    labels: Integers | None
    """Of the chosen images: part of the fingerprint."""

    @property
    def pieces(self) -> Pieces:
        """The parts with their indices."""
        return [(part, indices) for _, part, indices in self.parts]

    @property
    def key(self) -> str:
        """The name of the cache's entry."""
        digest = hashlib.sha256(f"{VERSION}\n{self.wanted!r}\n".encode())
        digest.update(self.identity.encode("utf-8", "surrogatepass"))
        for name, _, indices in self.parts:
            digest.update(f"\n{name} {len(indices)}\n".encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()


def fetch_images(order: Order, reporter: Reporter, *, strict: bool) -> StoredImages:
    """The decoded images: from the cache, or decoded now and kept there."""
    if _is_quick(order):
        filled = decode_all(order.pieces, order.wanted, _scratch, reporter, strict=strict)
        return StoredImages(filled.images, {}, filled.notes, filled.changes, None)
    entry = files.cache_dir() / "decoded" / order.key
    found = _load(entry, order.labels)
    return found if found is not None else _make(order, entry, reporter, strict=strict)


def _make(order: Order, entry: Path, reporter: Reporter, *, strict: bool) -> StoredImages:
    """Decode, and keep the result where the cache can be written to; one process at a time."""
    with ExitStack() as stack:
        try:
            stack.enter_context(files.locked(entry.with_suffix(".lock")))
            workshop = Path(stack.enter_context(_workshop(entry)))
        except OSError as error:
            _warn_unwritable(entry, error, reporter)
            return _decoded(order, _scratch, reporter, strict=strict).marked()
        if (found := _load(entry, order.labels)) is not None:  # another process has made it
            return found
        decoded = _decoded(order, _Mapped(workshop), reporter, strict=strict)
        if not decoded.lasting or not len(decoded.stored.images):
            return decoded.marked()
        try:
            return _kept(decoded, workshop, entry, order.labels)
        except OSError as error:
            _warn_unwritable(entry, error, reporter)
            return decoded.marked()


def _warn_unwritable(entry: Path, error: OSError, reporter: Reporter) -> None:
    reporter.warn(
        f"decoded images cannot be kept in {entry.parent} ({error.strerror or error}): they are "
        "decoded anew each time (the variable XDG_CACHE_HOME names another folder)"
    )


def _decoded(order: Order, allocate: Allocate, reporter: Reporter, *, strict: bool) -> _Decoded:
    """The good images."""
    filled = decode_all(order.pieces, order.wanted, allocate, reporter, strict=strict)
    images, good = _good(filled, allocate)
    if isinstance(images, np.memmap):
        images.flags.writeable = False
    labels = None if order.labels is None else order.labels[good]
    stored = StoredImages(images, filled.bad, filled.notes, filled.changes, None)
    return _Decoded(stored, labels, filled.lasting)


def _good(filled: DecodedImages, allocate: Allocate) -> tuple[Pixels, Integers]:
    """Leave out the rows of bad images; a large array is copied piece by piece."""
    if not filled.bad:
        return filled.images, np.arange(len(filled.images))
    rows = np.setdiff1d(np.arange(len(filled.images)), np.fromiter(filled.bad, np.int64))
    images = allocate((len(rows), *filled.images.shape[1:]))
    for start in range(0, len(rows), 1024):
        images[start : start + 1024] = filled.images[rows[start : start + 1024]]
    return images, rows


def _is_quick(order: Order) -> bool:
    """Whether the pixels are at hand as they are wanted, and few enough to hold."""
    size, channels, total = order.wanted.size, order.wanted.channels, 0
    for part, indices in order.pieces:
        if not isinstance(part, Rows) or not part.quick:
            return False
        if size is None and max(part.shape[:2]) > LARGEST_NATIVE:
            return False
        if size not in (None, part.shape[:2]) or channels not in (None, part.shape[2]):
            return False
        total += len(indices) * math.prod(part.shape)
    return total <= LARGE_ARRAY


def _load(entry: Path, labels: Integers | None) -> StoredImages | None:
    """What an entry holds; None where it is missing, cut short or changed."""
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
    if whole and not large:  # a large one is not read through merely to be sure of it
        if labels is not None:
            labels = np.delete(labels, list(bad))
        whole = fingerprint(images, labels) == stored.fingerprint
    return stored if whole else None


def _kept(decoded: _Decoded, workshop: Path, entry: Path, labels: Integers | None) -> StoredImages:
    """Put the finished entry in its place, whole, by one rename."""
    target = workshop / "entry"
    target.mkdir()
    with ThreadPoolExecutor(1) as aside:  # the fingerprint, while the disk is written
        marked = aside.submit(decoded.marked)
        _write(decoded.stored.images, target / "images.npy")
    stored = marked.result()
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
    """To a file; those that are one already are moved."""
    if isinstance(images, np.memmap):
        images.flush()
        Path(str(images.filename)).replace(path)
        return
    with files.replacing(path) as file:
        np.save(file, images, allow_pickle=False)


@contextmanager
def _workshop(entry: Path) -> Iterator[str]:
    """A folder beside the entries to build one in; gone afterwards, whatever happens."""
    for left in entry.parent.glob(f".{entry.name}.*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        dir=entry.parent, prefix=f".{entry.name}.", ignore_cleanup_errors=True
    ) as folder:
        yield folder


class _Mapped:
    """Gives arrays: small ones in memory, large ones as files in a folder."""

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
    """An array outside the cache: in memory, or in a nameless file when large."""
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
    """Take the room on the disk now: a mapped file that meets a full disk kills the process."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), 0, size)
