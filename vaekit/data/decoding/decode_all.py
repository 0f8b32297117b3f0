"""Decode the chosen images into one array, in parallel.

The size and colour that all images share are not known beforehand, and a pass over all headers
would cost as much as decoding. So the first image is taken as typical. A later image that refutes
that restarts the work with what is now known: twice at most, and in mixed sets usually early.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

from vaekit.data.decoding import process_pool
from vaekit.data.decoding.conversions import ConversionCounts
from vaekit.data.decoding.decode_batch import USUAL_SIZE, BatchOutcome, TargetForm, decode_batch
from vaekit.data.decoding.decode_image import decode_image, fit, quiet_pillow
from vaekit.data.decoding.process_pool import ProcessesUnavailable, ProcessPool
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.random_access import RandomAccess
from vaekit.data.source import Files, Loader, Part, Request, Rows, Shape, Size, batched
from vaekit.errors import ImageError

LARGEST_NATIVE = 256
"""Images are kept at their own size up to this many pixels a side."""

Pieces = Sequence[tuple[Part, Integers]]
"""Parts of a source, each with the indices chosen from it."""
Allocate = Callable[[tuple[int, int, int, int]], Pixels]


@dataclass(frozen=True)
class DecodedImages:
    """The array, and what to report about it."""

    images: Pixels
    """One row for each chosen image; the rows of bad ones are undefined."""
    bad: dict[int, str] = field(default_factory=dict)
    """Row to reason."""
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    """Conversions to the shape that was asked for: reported if the asker did not choose it."""
    lasting: bool = True
    """False where a fault, such as a file without permission, may be gone the next time."""


def decode_all(pieces: Pieces, request: Request, allocate: Allocate) -> DecodedImages:
    """Decode, resize and recolour every chosen image; stop at the first bad one if strict."""
    if isinstance(pieces[0][0], Rows):
        return _copy_all(pieces, request, allocate)
    try:
        with quiet_pillow(), _processes_for(pieces) as processes:
            return _decode_files(pieces, request, allocate, processes)
    except ProcessesUnavailable:
        with quiet_pillow():
            return _decode_files(pieces, request, allocate, None)


def _processes_for(pieces: Pieces) -> AbstractContextManager[ProcessPool | None]:
    """Processes for large sets that can be read in any order; None where threads are enough."""
    total = sum(len(indices) for _, indices in pieces)
    in_any_order = all(
        isinstance(part, Files) and isinstance(part.reading, RandomAccess) for part, _ in pieces
    )
    large = in_any_order and total >= process_pool.FEWEST_FOR_PROCESSES
    return ProcessPool() if large and process_pool.processes_available() else nullcontext()


def _decode_files(
    pieces: Pieces, request: Request, allocate: Allocate, processes: ProcessPool | None
) -> DecodedImages:
    form = _guessed_form(pieces, request)
    while True:
        try:
            return _Attempt(pieces, form, allocate, request, processes).run()
        except _FormRefuted as refuted:
            form = refuted.form


class _FormRefuted(Exception):
    """An image is not of the assumed form; `form` is what to assume next."""

    def __init__(self, form: TargetForm) -> None:
        super().__init__()
        self.form = form


def _guessed_form(pieces: Pieces, request: Request) -> TargetForm:
    """What was asked for; where that is open, the form of the first image that decodes."""
    size, channels = request.size, request.channels
    chosen, forced = size is not None, channels is not None
    first = None if size and channels else _first_shape(pieces)
    if first is None:
        return TargetForm(size or USUAL_SIZE, channels or 1, chosen=chosen, forced=forced)
    native = size is None and max(first[:2]) <= LARGEST_NATIVE
    size = first[:2] if native else size or USUAL_SIZE
    return TargetForm(size, channels or first[2], native=native, chosen=chosen, forced=forced)


def _first_shape(pieces: Pieces) -> Shape | None:
    for part, indices in pieces:
        assert isinstance(part, Files)
        with part.reading(indices) as items:
            for _, load in items:
                try:
                    height, width, channels = decode_image(load()).pixels.shape
                except (OSError, ImageError):
                    continue
                return height, width, channels
    return None


class _Attempt:
    """One attempt to decode everything under one assumption."""

    def __init__(
        self,
        pieces: Pieces,
        form: TargetForm,
        allocate: Allocate,
        request: Request,
        processes: ProcessPool | None,
    ) -> None:
        self.pieces, self.form, self.request, self.processes = pieces, form, request, processes
        self.total = sum(len(indices) for _, indices in pieces)
        self.images = allocate((self.total, *form.size, form.channels))
        self.bad: dict[int, str] = {}
        self.lasting = True
        self.counts = ConversionCounts((*form.size, form.channels))

    def run(self) -> DecodedImages:
        """Decode every piece, unless an image refutes the form."""
        start = 0
        with self.request.reporter.task("Decoding", self.total) as task:
            for part, indices in self.pieces:
                assert isinstance(part, Files)
                rows = self.images[start : start + len(indices)]
                with closing(self._outcomes(part, indices, rows)) as outcomes:
                    for outcome in outcomes:
                        self._take(outcome, start)
                        task.advance(outcome.tried)
                        if self.request.strict and self.bad:
                            return self._result(lasting=False)
                start += len(indices)
        return self._result(lasting=self.lasting)

    def _result(self, *, lasting: bool) -> DecodedImages:
        bad = dict(sorted(self.bad.items()))
        return DecodedImages(
            self.images, bad, tuple(self._notes()), tuple(self._changes()), lasting
        )

    def _outcomes(
        self, part: Files, indices: Integers, rows: Pixels
    ) -> Generator[BatchOutcome, None, None]:
        """From processes where there are any, else from threads; in order, a few batches ahead."""
        strict = self.request.strict
        if self.processes is not None and isinstance(part.reading, RandomAccess):
            decoded = self.processes.decode(rows, part.reading, indices, self.form, strict=strict)
            with closing(decoded):
                yield from decoded
            return

        def work(batch: list[tuple[int, Loader]]) -> BatchOutcome:
            return decode_batch(rows, batch, self.form, tried=len(batch), strict=strict)

        with (
            part.reading(indices) as items,
            closing(in_order(work, batched(items, _loader_of))) as outcomes,
        ):
            yield from outcomes

    def _take(self, outcome: BatchOutcome, start: int) -> None:
        self.lasting = self.lasting and outcome.lasting
        self.bad.update((start + row, reason) for row, reason in outcome.bad)
        self.counts.count_batch(outcome)
        if outcome.refuted:
            raise _FormRefuted(outcome.refuted)

    def _notes(self) -> Iterator[str]:
        if not self.form.native and not self.form.chosen:
            yield _size_note(self.form.size, f"of different sizes or over {LARGEST_NATIVE} pixels")
        if self.counts.recoloured and not self.form.forced:
            yield self.counts.colours()
        if self.counts.animated:
            yield self.counts.frames()

    def _changes(self) -> Iterator[str]:
        if self.counts.resized:
            yield self.counts.sizes()
        if self.counts.recoloured and self.form.forced:
            yield self.counts.colours()


def _loader_of(item: tuple[int, Loader]) -> Loader:
    return item[1]


def _copy_all(pieces: Pieces, request: Request, allocate: Allocate) -> DecodedImages:
    """Copy pixels block by block, resized or recoloured on the way where that is asked for."""
    shapes = [part.shape for part, _ in pieces if isinstance(part, Rows)]
    size, note = _size_of_rows(shapes, request.size)
    channels = request.channels or max(shape[2] for shape in shapes)
    counts = ConversionCounts((*size, channels))
    total = sum(len(indices) for _, indices in pieces)
    images, start = allocate((total, *size, channels)), 0
    with request.reporter.task("Reading", total) as task:
        for part, indices in pieces:
            assert isinstance(part, Rows)
            counts.count(part.shape, times=len(indices))
            for block in part.blocks(indices):
                _copy(block, images[start : start + len(block)])
                start += len(block)
                task.advance(len(block))
    return DecodedImages(images, notes=(note,) if note else (), changes=tuple(counts.notes()))


def _size_of_rows(shapes: Sequence[Shape], size: Size | None) -> tuple[Size, str | None]:
    if size:
        return size, None
    sizes = {shape[:2] for shape in shapes}
    if len(sizes) == 1 and max(max(size) for size in sizes) <= LARGEST_NATIVE:
        return sizes.pop(), None
    return USUAL_SIZE, _size_note(USUAL_SIZE, f"over {LARGEST_NATIVE} pixels a side")


def _copy(block: Pixels, target: Pixels) -> None:
    """Copy one block; where its shape changes, image by image and in parallel."""
    if block.shape == target.shape:
        target[:] = block
        return
    height, width, channels = target.shape[1:]

    def fit_rows(rows: list[int]) -> None:
        for row in rows:
            target[row] = fit(block[row], (height, width), channels)

    for _ in in_order(fit_rows, batched(range(len(block)), int)):
        pass


def _size_note(size: Size, why: str) -> str:
    height, width = size
    return f"images are {why}: resized to {height}x{width} (--image-size chooses another size)"
