"""Decode the chosen images into one array, in parallel.

The size and colour that all images share are not known beforehand, and a pass over all headers
would cost as much as decoding. So the first image is believed, and a later one that contradicts
it starts the work again with what is now known: at most twice, and in mixed sets usually at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

from vaekit.data.decoding import process_pool
from vaekit.data.decoding.conversions import ConversionCounts
from vaekit.data.decoding.decode_batch import USUAL_SIZE, BatchOutcome, TargetForm, decode_batch
from vaekit.data.decoding.decode_image import Picture, decode_image, fit, quiet_pillow
from vaekit.data.decoding.process_pool import ProcessPool, Unavailable
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.random_access import RandomAccess
from vaekit.data.source import Files, Loader, Part, Rows, Size, batched
from vaekit.errors import ImageError
from vaekit.reporting import Reporter

LARGEST_NATIVE = 256
"""Images are kept at their own size up to this many pixels a side."""

Pieces = Sequence[tuple[Part, Integers]]
Allocate = Callable[[tuple[int, int, int, int]], Pixels]


@dataclass(frozen=True)
class TargetSize:
    """What the images are to be brought to; None leaves it to them."""

    size: Size | None = None
    channels: int | None = None
    usual_size: Size | None = None
    """Where neither the user nor the images settle it."""


@dataclass(frozen=True)
class DecodedImages:
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


def decode_all(
    pieces: Pieces, wanted: TargetSize, allocate: Allocate, reporter: Reporter, *, strict: bool
) -> DecodedImages:
    """Decode, resize and colour every chosen image; stop at the first bad one if `strict`."""
    if isinstance(pieces[0][0], Rows):
        return _fill_rows(pieces, wanted, allocate, reporter)
    try:
        with quiet_pillow(), _crew(pieces) as crew:
            return _fill_files(pieces, wanted, allocate, reporter, strict=strict, crew=crew)
    except Unavailable:
        with quiet_pillow():
            return _fill_files(pieces, wanted, allocate, reporter, strict=strict, crew=None)


def _crew(pieces: Pieces) -> AbstractContextManager[ProcessPool | None]:
    """Processes for large sets of images that lie apart; None where threads will do."""
    total = sum(len(indices) for _, indices in pieces)
    apart = all(
        isinstance(part, Files) and isinstance(part.reading, RandomAccess) for part, _ in pieces
    )
    many = (
        apart and total >= process_pool.FEWEST_FOR_PROCESSES and process_pool.processes_available()
    )
    return ProcessPool() if many else nullcontext()


def _fill_files(
    pieces: Pieces,
    wanted: TargetSize,
    allocate: Allocate,
    reporter: Reporter,
    *,
    strict: bool,
    crew: ProcessPool | None,
) -> DecodedImages:
    form = _guess(pieces, wanted)
    while True:
        try:
            return _Filling(pieces, form, allocate, strict, crew).run(reporter)
        except _Differs as found:
            form = found.form


class _Differs(Exception):
    """An image contradicts what was believed; `form` is what to believe now."""

    def __init__(self, form: TargetForm) -> None:
        super().__init__()
        self.form = form


def _guess(pieces: Pieces, wanted: TargetSize) -> TargetForm:
    """Believe the first image that can be decoded."""
    forced, chosen = wanted.channels is not None, wanted.size is not None
    usual = wanted.size or wanted.usual_size or USUAL_SIZE
    if wanted.size and wanted.channels:
        return TargetForm(wanted.size, wanted.channels, forced=True)
    first = _first(pieces)
    if first is None:
        return TargetForm(usual, wanted.channels or 1, chosen=chosen, forced=forced)
    height, width, colours = first.pixels.shape
    native = not wanted.size and not wanted.usual_size and max(height, width) <= LARGEST_NATIVE
    size = (height, width) if native else usual
    chosen = chosen or wanted.usual_size is not None
    return TargetForm(size, wanted.channels or colours, native=native, chosen=chosen, forced=forced)


def _first(pieces: Pieces) -> Picture | None:
    for part, indices in pieces:
        assert isinstance(part, Files)
        with part.reading(indices) as items:
            for _, load in items:
                try:
                    return decode_image(load())
                except (OSError, ImageError):
                    continue
    return None


class _Filling:
    """One attempt to decode everything under one belief."""

    def __init__(
        self,
        pieces: Pieces,
        form: TargetForm,
        allocate: Allocate,
        strict: bool,
        crew: ProcessPool | None,
    ) -> None:
        self.pieces, self.form, self.strict, self.crew = pieces, form, strict, crew
        self.total = sum(len(indices) for _, indices in pieces)
        self.images = allocate((self.total, *form.size, form.channels))
        self.bad: dict[int, str] = {}
        self.lasting = True
        self.changes = ConversionCounts((*form.size, form.channels))

    def run(self, reporter: Reporter) -> DecodedImages:
        with reporter.task("Decoding", self.total) as task:
            start = 0
            for part, indices in self.pieces:
                assert isinstance(part, Files)
                rows = self.images[start : start + len(indices)]
                with closing(self._outcomes(part, indices, rows)) as outcomes:
                    for outcome in outcomes:
                        self._take(outcome, start)
                        task.advance(outcome.tried)
                        if self.strict and self.bad:
                            break
                if self.strict and self.bad:
                    self.lasting = False
                    break
                start += len(indices)
        bad = dict(sorted(self.bad.items()))
        notes, changes = tuple(self._notes()), tuple(self._asked())
        return DecodedImages(self.images, bad, notes, changes, self.lasting)

    def _outcomes(
        self, part: Files, indices: Integers, rows: Pixels
    ) -> Generator[BatchOutcome, None, None]:
        """By processes where there are any, else by threads; in order, and bounded ahead."""
        if self.crew is not None and isinstance(part.reading, RandomAccess):
            decoded = self.crew.decode(rows, part.reading, indices, self.form, strict=self.strict)
            with closing(decoded):
                yield from decoded
            return

        def work(chunk: list[tuple[int, Loader]]) -> BatchOutcome:
            return decode_batch(rows, chunk, self.form, tried=len(chunk), strict=self.strict)

        with (
            part.reading(indices) as items,
            closing(in_order(work, batched(items, _loader))) as outcomes,
        ):
            yield from outcomes

    def _take(self, outcome: BatchOutcome, start: int) -> None:
        self.lasting = self.lasting and outcome.lasting
        self.bad.update((start + row, reason) for row, reason in outcome.bad)
        for (height, width, colours, animated), times in outcome.seen.items():
            self.changes.count((height, width, colours), animated=animated, times=times)
        if outcome.differs:
            raise _Differs(outcome.differs)

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


def _fill_rows(
    pieces: Pieces, wanted: TargetSize, allocate: Allocate, reporter: Reporter
) -> DecodedImages:
    """Copy pixels block by block; resize or colour them on the way where that is wanted."""
    shapes = [part.shape for part, _ in pieces if isinstance(part, Rows)]
    size, note = _rows_size(shapes, wanted)
    channels = wanted.channels or max(shape[2] for shape in shapes)
    changes = ConversionCounts((*size, channels))
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
    return DecodedImages(images, notes=(note,) if note else (), changes=tuple(changes.notes()))


def _rows_size(
    shapes: Sequence[tuple[int, int, int]], wanted: TargetSize
) -> tuple[Size, str | None]:
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

    for _ in in_order(one, batched(range(len(block)), int)):
        pass


def size_note(size: Size, why: str) -> str:
    """What to say when vaekit had to choose a size."""
    height, width = size
    return f"images are {why}: resized to {height}x{width} (--image-size chooses another size)"
