"""The contract of a data source: the images of each split, listed and not yet decoded.

Opening a source is cheap: it lists what is there and decodes nothing. A source has one part for
each split it comes with; a source that comes undivided has the part `train` alone, and
`vaekit.data.splits` cuts the rest from it. A part is one of two kinds:

- `Files`: encoded images, one by one, as bytes;
- `Rows`: arrays that are pixels already, or are drawn, in blocks.

A new data set is one function `open_<name>(request) -> Source` and one line in `registry.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, overload

import numpy as np

from vaekit.array_types import UInt64s
from vaekit.data.imageset import Integers, Pixels
from vaekit.errors import DataError, UsageError
from vaekit.reporting import SILENT, Reporter

Loader = Callable[[], bytes]
Reading = Callable[[Integers], AbstractContextManager[Iterable[tuple[int, Loader]]]]
Size = tuple[int, int]
"""Height and width."""
Shape = tuple[int, int, int]
"""Height, width and channels."""

_T = TypeVar("_T")

SPLITS = ("train", "val", "test")

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""File name endings that mark an image."""

MAX_BYTES = 256 << 20
"""An encoded image larger than this is refused."""


USUAL_SHARE = 0.01
"""Share of bad images that are skipped unless `--max-bad` says another."""


@dataclass(frozen=True)
class Request:
    """What the user asks of a data set; a value that makes no sense is refused by its flag."""

    size: Size | None = None
    """None keeps the size that the images share."""
    channels: int | None = None
    """1 (grey) or 3 (RGB); None keeps the images' own."""
    limit: int | None = None
    seed: int = 0
    """Chooses the images that `limit` keeps."""
    val_split: float = 0.1
    data_dir: str | os.PathLike[str] | None = None
    strict: bool = False
    """Whether a bad image is an error rather than skipped."""
    max_bad: float = USUAL_SHARE
    """The largest share of bad images that are skipped; more are an error."""
    refresh: bool = False
    """Whether to decode again what is in the cache."""
    report_conversions: bool = False
    """Whether to report images that were resized: a user who chose the shape knows."""
    reporter: Reporter = SILENT

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit {self.limit}: must be at least 1")
        if not 0 <= self.val_split < 1:
            raise UsageError(f"--val-split {self.val_split}: must be at least 0 and less than 1")
        if not 0 <= self.max_bad <= 1:
            raise UsageError(f"--max-bad {self.max_bad}: must be a share from 0 to 1")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels={self.channels}: must be 1 (grey) or 3 (RGB)")


@dataclass(frozen=True, slots=True)
class InMemory:
    """A loader of bytes that are already in memory: batches of them are bounded in bytes."""

    data: bytes

    def __call__(self) -> bytes:
        """The bytes."""
        return self.data


MOST_HELD = 4 << 20
"""A batch ends at this many bytes in memory, however few images they are."""


def batched(
    items: Iterable[_T], loader: Callable[[_T], object], most: int = 16
) -> Iterator[list[_T]]:
    """Batches for a thread to decode: large enough to be worth handing over, bounded in bytes.

    >>> list(batched("abcde", lambda item: item, most=2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    batch: list[_T] = []
    held = 0
    for item in items:
        batch.append(item)
        load = loader(item)
        held += len(load.data) if isinstance(load, InMemory) else 0
        if len(batch) == most or held > MOST_HELD:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def in_parts(
    parts: Sequence[_T], counts: Sequence[int], indices: Integers
) -> Iterator[tuple[_T, Integers, int]]:
    """Divides ascending indices among consecutive parts; yields those that are asked for something.

    Each comes with its own indices, and with the place of the first of them in `indices`.

    >>> divided = in_parts("abc", [2, 2, 2], np.array([1, 4, 5]))
    >>> [(part, own.tolist(), first) for part, own, first in divided]
    [('a', [1], 0), ('c', [0, 1], 1)]
    """
    starts = np.cumsum([0, *counts])
    bounds = np.searchsorted(indices, starts)
    for number, part in enumerate(parts):
        first, last = int(bounds[number]), int(bounds[number + 1])
        if first < last:
            yield part, indices[first:last] - starts[number], first


@dataclass(frozen=True)
class Listing:
    """The files of a folder or an archive, before their paths are read as splits and classes."""

    names: Collection[str]
    reading: Callable[[Sequence[str]], Reading]
    """How to read some of them."""
    keys: Callable[[Sequence[str]], UInt64s] | None = None
    """The content keys of some of them, where they are known without reading the files."""
    labels: Mapping[str, bytes] | None = None
    """What label files (`.cls`) hold, where they were read in passing; None where they were not."""


@dataclass(frozen=True)
class Files:
    """A part whose images are encoded files."""

    names: Sequence[str]
    reading: Reading
    """Given ascending indices, opens the source and yields (position among them, loader).

    Loaders are called from several threads while the context is open. Positions come in the order
    in which the source is read fastest.
    """
    labels: Integers | None = None
    factors: Integers | None = None
    keys: Callable[[], UInt64s] | None = None
    """The content keys of all images, where they are known without reading the files."""


@dataclass(frozen=True)
class Rows:
    """A part whose images are pixels, or can be drawn, without decoding."""

    names: Sequence[str]
    shape: tuple[int, int, int]
    """(H, W, C) of every image."""
    blocks: Callable[[Integers], Iterator[Pixels]]
    """Given ascending indices, yields the images in that order, some at a time."""
    labels: Integers | None = None
    factors: Integers | None = None
    quick: bool = True
    """Whether reading is about as fast as reading a cached copy."""
    keys: Callable[[], UInt64s] | None = None
    """The content keys of all images, where they are known without drawing the images."""


Part = Files | Rows


@dataclass(frozen=True)
class Source:
    """Where images are: its parts by split, and what they have in common."""

    name: str
    parts: Mapping[str, Part]
    identity: str | None
    """Changes whenever the content may have changed: the key of the cache.

    None where nothing tells, as for arrays in memory: then nothing is kept in the cache.
    """
    classes: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    usual_size: Size | None = None
    """The size to decode to when the user names none; None keeps the images' own."""


@dataclass(frozen=True)
class NumberedNames(Sequence[str]):
    """Names of images that have none of their own: their indices as text.

    >>> NumberedNames(3)[2], list(NumberedNames(3))
    ('2', ['0', '1', '2'])
    """

    total: int

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        chosen = range(self.total)[index]
        return str(chosen) if isinstance(chosen, int) else [str(i) for i in chosen]


@dataclass(frozen=True, eq=False)
class SelectedNames(Sequence[str]):
    """Some of many names, each looked up when it is asked for: arrays may have millions of rows.

    >>> SelectedNames(NumberedNames(9), np.array([2, 5]))[1]
    '5'
    """

    names: Sequence[str]
    rows: Integers

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            rows = self.rows[index].tolist()
            if isinstance(self.names, NumberedNames):  # most are, and this is faster
                return [*map(str, rows)]
            return [self.names[row] for row in rows]
        return self.names[int(self.rows[index])]


def array_blocks(images: Pixels) -> Callable[[Integers], Iterator[Pixels]]:
    """Blocks of about 16 MB out of an array, for `Rows.blocks`."""
    rows = max(1, (1 << 24) // max(1, images[:1].nbytes))

    def blocks(indices: Integers) -> Iterator[Pixels]:
        for start in range(0, len(indices), rows):
            yield np.asarray(images[indices[start : start + rows]])

    return blocks


def same_shape(own_shape: Shape, where: str, shape: Shape) -> None:
    """Refuse an array that has another shape than the model's images."""
    if own_shape != shape:
        own, wanted = ("x".join(map(str, sides)) for sides in (own_shape, shape))
        raise DataError(
            f"{where}: its images are {own}, the model's are {wanted}: arrays are taken as they "
            "are (image files would be resized)"
        )


def file_identity(path: Path) -> str:
    """Where a file is, and its state."""
    return f"file\0{path.resolve()}\0{file_state(path.stat())}"


def file_state(status: os.stat_result) -> str:
    """Changes when a file is written to or replaced, even by one of equal size and time.

    Programs can set a file's time of modification, but neither its inode nor, on POSIX, the time
    of its last change.
    """
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {status.st_ctime_ns}"
