"""Decode the chosen images into one array, in parallel.

The size and colour that all images share are not known beforehand, and a pass over all headers
would cost as much as decoding. So the first image is believed, and a later one that contradicts
it starts the work again with what is now known: at most twice, and in mixed sets usually at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from vaekit.data.changes import Changes
from vaekit.data.decode import Picture, decode_within, fit, quietly
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import Files, Loader, Part, Rows, Size, batched
from vaekit.data.threads import in_order
from vaekit.errors import ImageError
from vaekit.reporting import Reporter, Task
from vaekit.wording import unreadable

USUAL_SIZE = (64, 64)
LARGEST_NATIVE = 256
"""Images are kept at their own size up to this many pixels a side."""

T = TypeVar("T")
Pieces = Sequence[tuple[Part, Integers]]
Allocate = Callable[[tuple[int, int, int, int]], Pixels]


@dataclass(frozen=True)
class Wanted:
    """What the images are to be brought to; None leaves it to them."""

    size: Size | None = None
    channels: int | None = None
    usual_size: Size | None = None
    """Where neither the user nor the images settle it."""


@dataclass(frozen=True)
class Filled:
    """The array, and what has to be said about it."""

    images: Pixels
    """One row for each chosen image; the rows of bad ones hold nothing."""
    bad: dict[int, str] = field(default_factory=dict)
    """Row to reason."""
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """What was done to them to give them a shape that was asked for: told when the asker did not
    choose it, as when a model is used."""
    lasting: bool = True
    """False where a fault, such as a file without permission, may be gone the next time."""


def fill(
    pieces: Pieces, wanted: Wanted, allocate: Allocate, reporter: Reporter, *, strict: bool
) -> Filled:
    """Decode, resize and colour every chosen image; stop at the first bad one if `strict`."""
    if isinstance(pieces[0][0], Rows):
        return _fill_rows(pieces, wanted, allocate, reporter)
    with quietly():
        form = _guess(pieces, wanted)
        while True:
            try:
                return _Filling(pieces, form, allocate, strict).run(reporter)
            except _Differs as found:
                form = found.form


@dataclass(frozen=True)
class _Form:
    """What the images are believed to be, or made to be."""

    size: Size
    channels: int
    native: bool = False
    """All images seen so far have this size by themselves."""
    chosen: bool = True
    """The user chose the size."""
    forced: bool = False
    """The user chose the channels."""


class _Differs(Exception):
    """An image contradicts what was believed; `form` is what to believe now."""

    def __init__(self, form: _Form) -> None:
        super().__init__()
        self.form = form


def _guess(pieces: Pieces, wanted: Wanted) -> _Form:
    """Believe the first image that can be decoded."""
    forced, chosen = wanted.channels is not None, wanted.size is not None
    usual = wanted.size or wanted.usual_size or USUAL_SIZE
    if wanted.size and wanted.channels:
        return _Form(wanted.size, wanted.channels, forced=True)
    first = _first(pieces)
    if first is None:
        return _Form(usual, wanted.channels or 1, chosen=chosen, forced=forced)
    height, width, colours = first.pixels.shape
    native = not wanted.size and not wanted.usual_size and max(height, width) <= LARGEST_NATIVE
    size = (height, width) if native else usual
    chosen = chosen or wanted.usual_size is not None
    return _Form(size, wanted.channels or colours, native=native, chosen=chosen, forced=forced)


def _first(pieces: Pieces) -> Picture | None:
    for part, indices in pieces:
        assert isinstance(part, Files)
        with part.reading(indices) as items:
            for _, load in items:
                try:
                    return decode_within(load())
                except (OSError, ImageError):
                    continue
    return None


class _Filling:
    """One attempt to decode everything under one belief."""

    def __init__(self, pieces: Pieces, form: _Form, allocate: Allocate, strict: bool) -> None:
        self.pieces, self.form, self.strict = pieces, form, strict
        self.total = sum(len(indices) for _, indices in pieces)
        self.images = allocate((self.total, *form.size, form.channels))
        self.bad: dict[int, str] = {}
        self.lasting = True
        self.changes = Changes((*form.size, form.channels))

    def run(self, reporter: Reporter) -> Filled:
        with reporter.task("Decoding", self.total) as task:
            start = 0
            for part, indices in self.pieces:
                assert isinstance(part, Files)
                try:
                    with part.reading(indices) as items:
                        shifted = ((start + place, load) for place, load in items)
                        _in_parallel(self._decode_chunk, batched(shifted, _loader), task)
                except _Bad:
                    self.lasting = False
                    break
                start += len(indices)
        bad = dict(sorted(self.bad.items()))
        notes, changes = tuple(self._notes()), tuple(self._asked())
        return Filled(self.images, bad, notes, changes, self.lasting)

    def _decode_chunk(self, chunk: list[tuple[int, Loader]]) -> int:
        size = None if self.form.native else self.form.size
        channels = self.form.channels if self.form.forced else None
        for row, load in chunk:
            try:
                self._place(row, decode_within(load(), size, channels))
            except OSError as error:
                self.lasting = False
                self._leave_out(row, unreadable(error))
            except ImageError as error:
                self._leave_out(row, str(error))
        return len(chunk)

    def _place(self, row: int, picture: Picture) -> None:
        height, width, colours = picture.pixels.shape
        if (height, width) != self.form.size:
            raise _Differs(replace(self.form, size=USUAL_SIZE, native=False))
        if colours > self.form.channels:
            raise _Differs(replace(self.form, channels=colours))
        self.changes.count(picture.own, animated=picture.animated)
        self.images[row] = picture.pixels

    def _leave_out(self, row: int, reason: str) -> None:
        self.bad[row] = reason
        if self.strict:
            raise _Bad

    def _notes(self) -> Iterator[str]:
        if not self.form.native and not self.form.chosen:
            yield size_note(self.form.size, f"of different sizes or over {LARGEST_NATIVE} pixels")
        if self.changes.recoloured and not self.form.forced:
            yield self.changes.colours()
        if self.changes.animated:
            yield self.changes.frames()

    def _asked(self) -> Iterator[str]:
        if self.changes.resized:
            yield self.changes.sizes()
        if self.changes.recoloured and self.form.forced:
            yield self.changes.colours()


def _loader(item: tuple[int, Loader]) -> Loader:
    return item[1]


class _Bad(Exception):
    """A bad image, where one is too many."""


def _fill_rows(pieces: Pieces, wanted: Wanted, allocate: Allocate, reporter: Reporter) -> Filled:
    """Copy pixels block by block; resize or colour them on the way where that is wanted."""
    shapes = [part.shape for part, _ in pieces if isinstance(part, Rows)]
    size, note = _rows_size(shapes, wanted)
    channels = wanted.channels or max(shape[2] for shape in shapes)
    changes = Changes((*size, channels))
    total = sum(len(indices) for _, indices in pieces)
    images, start = allocate((total, *size, channels)), 0
    with reporter.task("Reading", total) as task:
        for part, indices in pieces:
            assert isinstance(part, Rows)
            changes.count(part.shape, times=len(indices))
            for block in part.blocks(indices):
                _copy(block, images[start : start + len(block)])
                start += len(block)
                task.advance(len(block))
    return Filled(images, notes=(note,) if note else (), changes=tuple(changes.notes()))


def _rows_size(shapes: Sequence[tuple[int, int, int]], wanted: Wanted) -> tuple[Size, str | None]:
    if wanted.size or wanted.usual_size:
        return wanted.size or wanted.usual_size or USUAL_SIZE, None
    sizes = {shape[:2] for shape in shapes}
    if len(sizes) == 1 and max(max(size) for size in sizes) <= LARGEST_NATIVE:
        return sizes.pop(), None
    return USUAL_SIZE, size_note(USUAL_SIZE, f"over {LARGEST_NATIVE} pixels a side")


def _copy(block: Pixels, target: Pixels) -> None:
    """Copy one block; each image by itself, in parallel, where its shape changes."""
    if block.shape == target.shape:
        target[:] = block
        return
    height, width, channels = target.shape[1:]

    def one(rows: list[int]) -> int:
        for row in rows:
            target[row] = fit(block[row], (height, width), channels)
        return len(rows)

    _in_parallel(one, batched(range(len(block)), int), None)


def _in_parallel(
    work: Callable[[list[T]], int], chunks: Iterable[list[T]], task: Task | None
) -> None:
    """Do the chunks in threads; the first failure ends them all."""
    with closing(in_order(work, chunks)) as counts:
        for done in counts:
            if task is not None:
                task.advance(done)


def size_note(size: Size, why: str) -> str:
    """What to say when vaekit had to choose a size."""
    height, width = size
    return f"images are {why}: resized to {height}x{width} (--image-size chooses another size)"
