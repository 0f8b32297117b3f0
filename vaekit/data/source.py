"""The contract between a place where images are and the store that decodes them.

Opening a source is cheap: it lists what is there and decodes nothing. A source has one part for
each split it comes with; a source that comes undivided has the part `train` alone, and
`vaekit.data.splits` cuts the rest from it. A part is one of two kinds:

- `Files`: encoded images, one by one, as bytes;
- `Rows`: arrays that are pixels already, or are drawn, in blocks.

A new data set is one function `open_<name>(request) -> Source` and one line in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

import numpy as np

from vaekit.data.imageset import Integers, Pixels
from vaekit.errors import DataError
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


@dataclass(frozen=True)
class Request:
    """What the user asked for, as far as a source may need to know it."""

    size: Size | None = None
    """Height and width; None where the source's own are wanted."""
    limit: int | None = None
    val_split: float = 0.1
    data_dir: Path | None = None
    reporter: Reporter = SILENT


@dataclass(frozen=True, slots=True)
class InMemory:
    """A loader of bytes that are in memory already: few of these may wait at a time."""

    data: bytes

    def __call__(self) -> bytes:
        """The bytes."""
        return self.data


MOST_HELD = 4 << 20
"""So many bytes at hand are a batch, however few the images."""


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


@dataclass(frozen=True)
class Listing:
    """The files of a folder or an archive, before it is said what their places in it mean."""

    names: Collection[str]
    reading: Callable[[Sequence[str]], Reading]
    """How to read some of them."""


@dataclass(frozen=True)
class Files:
    """A part whose images are encoded files."""

    names: Sequence[str]
    reading: Reading
    """Given ascending indices, opens the source and yields (place among them, how to read it).

    Loaders are called from several threads while the context is open; the places come in
    whatever order the source is read fastest in.
    """
    labels: Integers | None = None
    factors: Integers | None = None


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
    """Whether reading is about as fast as reading a copy from the cache would be."""


Part = Files | Rows


@dataclass(frozen=True)
class Source:
    """Where images are: parts by split, and what is common to them."""

    name: str
    parts: Mapping[str, Part]
    identity: str
    """Changes whenever the content may have changed: the key of the cache."""
    classes: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    usual_size: Size | None = field(default=None)
    """The size to decode to when the user names none, where that is not the images' own."""


@dataclass(frozen=True)
class NumberedNames(Sequence[str]):
    """Names for images that have none: their indices as text.

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
    """Some of many names, each made when it is asked for: arrays may have millions of rows.

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
            numbered = isinstance(
                self.names, NumberedNames
            )  # most are, and need not be asked singly
            return [*map(str, rows)] if numbered else [self.names[row] for row in rows]
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
    """Where a file is, its size and its time of change."""
    status = path.stat()
    return f"file\0{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
