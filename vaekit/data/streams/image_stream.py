"""The stream of images: chunks in the model's shape, decoded ahead by threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import TracebackType
from typing import Self

import numpy as np

from vaekit.data.decoding.conversions import ConversionCounts
from vaekit.data.decoding.decode_batch import BatchOutcome, TargetForm, decode_batch
from vaekit.data.decoding.decode_image import quiet_pillow
from vaekit.data.decoding.skipped import skipped_summary, skipped_warning
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import USUAL_SHARE, Loader, Shape, batched
from vaekit.data.streams.named_inputs import EncodedImage, LabelValue, OpenedInput, PixelBlock
from vaekit.errors import DataError, ImageError, VaekitError
from vaekit.reporting import SILENT, Reporter
from vaekit.seeds import BLOCK
from vaekit.wording import shown, unreadable

IMAGE_CHUNK = BLOCK
"""Images in a chunk by default."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Images in the model's shape, with names and labels.

    >>> chunk = Chunk(np.zeros((2, 8, 8, 1), np.uint8), ("a.png", "b.png"), np.array([1, -1]))
    >>> len(chunk[:1]), chunk.words(("cat", "dog"))
    (1, ['dog', None])
    """

    images: Pixels
    """(n, H, W, C)."""
    names: tuple[str, ...]
    """The path as a user types it, the path within an archive on a pipe, or a row's number."""
    labels: Integers | None = None
    """(n,): the number of each image's class, -1 where it is unknown."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, part: slice) -> Chunk:
        labels = None if self.labels is None else self.labels[part]
        return Chunk(self.images[part], self.names[part], labels)

    def words(self, classes: Sequence[str] | None) -> list[str | int | None]:
        """Labels for people: class names where there are any, None where unknown."""
        if self.labels is None:
            return [None] * len(self)
        numbers = [int(label) for label in self.labels]
        return [None if n < 0 else n if classes is None else classes[n] for n in numbers]


@dataclass(frozen=True)
class _Decoded:
    """The good images of a batch, and what became of all of it."""

    names: tuple[str, ...]
    labels: Sequence[LabelValue] | Integers
    """An array holds indices into the classes of the input; a list what is known of each image."""
    images: Pixels
    outcome: BatchOutcome = field(default_factory=lambda: BatchOutcome(0))
    bad: Sequence[str] = ()
    """Each as `name: why`."""


class ImageStream:
    """Chunks of images, to be iterated once; leaving the `with` block early ends all work.

    As soon as there are `chunk` images they are given: with those of further whole chunks that are
    there as well, up to `at_once`. The last chunk may be smaller.
    """

    count: int | None
    """The number of good images, where that is certain."""
    expected: int | None
    """The number of images, bad ones included, where it is known: for a progress bar."""
    classes: list[str] | None
    """The names of labels; None where labels have no names. It grows as new names arrive."""
    skipped: list[str]
    """Bad images so far, each as `name: why`."""

    def __init__(
        self,
        inputs: Sequence[OpenedInput],
        shape: Shape,
        *,
        chunk: int = IMAGE_CHUNK,
        at_once: int = 1,
        strict: bool = False,
        max_bad: float = USUAL_SHARE,
        reporter: Reporter = SILENT,
        resources: ExitStack | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        self._inputs, self._shape = inputs, (shape[0], shape[1], shape[2])
        self._chunk, self._at_once = chunk, chunk * max(1, at_once // chunk)
        self._strict, self._reporter = strict, reporter
        self._max_bad = max_bad
        self._resources = resources or ExitStack()
        sizes = [source.expected for source in inputs if source.expected is not None]
        self.expected = sum(sizes) if len(sizes) == len(inputs) else None
        certain = strict or all(source.certain for source in inputs)
        self.count = self.expected if certain else None
        known = [source.classes for source in inputs if source.classes is not None]
        self.classes = list(dict.fromkeys(sum(known, ()))) if known else None
        self._numbers = {name: number for number, name in enumerate(self.classes or ())}
        self.skipped = [*skipped]
        self._already, self._good = len(skipped), 0
        self._conversions = ConversionCounts(self._shape)
        self._failure: VaekitError | None = None
        self._stop = threading.Event()
        self._running: Generator[Chunk, None, None] | None = None
        self._concluded = False

    def __enter__(self) -> Self:
        self._resources.enter_context(quiet_pillow())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended_early = self._running is not None and not self._concluded
        self.close()
        if ended_early and kind is None:  # by choice: report on what was read
            self._report()

    def close(self) -> None:
        """End all work and close all files."""
        if self._running is not None:
            self._running.close()
        self._resources.close()

    def __iter__(self) -> Iterator[Chunk]:
        if self._running is not None:
            raise RuntimeError("an ImageStream can be iterated once")
        self._running = self._run()
        return self._running

    def _run(self) -> Generator[Chunk, None, None]:
        with quiet_pillow(), closing(self._results()) as results:
            yield from self._chunks(results)
        self._conclude()

    def _results(self) -> Generator[_Decoded, None, None]:
        """One input after the other; the error of a damaged one is kept until all are done."""
        for source in self._inputs:
            with self._keeping_failure(source), source.reading() as parts:
                work = _batches(self._undamaged(source, parts))
                with closing(work), closing(in_order(self._decode, work)) as results:
                    try:
                        yield from (self._numbered(batch, source.classes) for batch in results)
                    except BaseException:  # the consumer has left, or was interrupted
                        self._stop.set()
                        raise
            if self._failure and self._strict:
                return

    def _undamaged(
        self, source: OpenedInput, parts: Iterable[EncodedImage | PixelBlock]
    ) -> Iterator[EncodedImage | PixelBlock]:
        """Everything before the damage."""
        with self._keeping_failure(source):
            yield from parts

    @contextmanager
    def _keeping_failure(self, source: OpenedInput) -> Iterator[None]:
        try:
            yield
        except VaekitError as error:
            self._failure = self._failure or error
        except OSError as error:
            self._failure = self._failure or DataError(f"{source.where}: {unreadable(error)}")

    def _decode(self, batch: list[EncodedImage] | PixelBlock) -> _Decoded:
        if isinstance(batch, PixelBlock):
            unknown = np.full(len(batch.pixels), -1)
            labels = unknown if batch.labels is None else batch.labels
            return _Decoded(tuple(batch.names), labels, batch.pixels)
        height, width, channels = self._shape
        form = TargetForm((height, width), channels, forced=True)
        images = np.empty((len(batch), height, width, channels), np.uint8)
        items = ((row, item.load) for row, item in enumerate(batch) if not self._stop.is_set())
        outcome = decode_batch(images, items, form, tried=len(batch), strict=self._strict)
        bad = dict(outcome.bad)
        lines = [f"{shown(batch[row].name)}: {reason}" for row, reason in bad.items()]
        good = [row for row in range(len(batch)) if row not in bad]
        names = tuple(batch[row].name for row in good)
        labels_known = [batch[row].label for row in good]
        return _Decoded(names, labels_known, images[good] if bad else images, outcome, lines)

    def _chunks(self, results: Iterator[_Decoded]) -> Iterator[Chunk]:
        rest: Chunk | None = None
        for batch in results:
            self._count(batch)
            rest = _joined(rest, Chunk(batch.images, batch.names, np.asarray(batch.labels)))
            whole = len(rest) // self._chunk * self._chunk
            for first in range(0, whole, self._at_once):
                yield _finished(rest[first : min(first + self._at_once, whole)])
            rest = rest[whole:]
        if rest is not None and len(rest):
            yield _finished(rest)

    def _count(self, batch: _Decoded) -> None:
        self._good += len(batch.names)
        self._conversions.count_batch(batch.outcome)
        self.skipped += batch.bad
        if batch.bad and self._strict:
            raise ImageError(f"{batch.bad[0]} (--strict)")

    def _numbered(self, batch: _Decoded, classes: Sequence[str] | None) -> _Decoded:
        """Labels as indices into the stream's own classes; `classes` are those of the input."""
        if isinstance(batch.labels, np.ndarray) and classes is not None:
            numbers_of_classes = np.array([*map(self._number, classes), -1])
            return replace(batch, labels=numbers_of_classes[np.maximum(batch.labels, -1)])
        if isinstance(batch.labels, np.ndarray) and self.classes is None:
            return batch
        numbers = [self._number(label) for label in batch.labels]
        return replace(batch, labels=np.array(numbers, np.int64))

    def _number(self, label: LabelValue) -> int:
        if label is None or (not isinstance(label, str) and label < 0):
            return -1
        if self.classes is None:
            return int(label)
        name = str(label)
        if name not in self._numbers:
            self._numbers[name] = len(self.classes)
            self.classes.append(name)
        return self._numbers[name]

    def _conclude(self) -> None:
        """Report on the images; raise the error that was kept, or one for too many bad ones."""
        self._concluded = True
        bad = self.skipped[self._already :]
        if self._failure is None:
            if len(bad) == 1 and not self._good:
                raise ImageError(bad[0])
            total = self._good + len(bad)
            skipped_warning(bad, total, most=self._max_bad)  # raises if they are too many
        self._report()
        if self._failure is not None:
            raise self._failure

    def _report(self) -> None:
        """Say which conversions were made, and which images were bad."""
        if notes := "; ".join(self._conversions.notes()):
            self._reporter.note(notes)
        if bad := self.skipped[self._already :]:
            self._reporter.warn(skipped_summary(bad))


def _batches(
    parts: Iterable[EncodedImage | PixelBlock],
) -> Generator[list[EncodedImage] | PixelBlock, None, None]:
    """Items in batches, blocks as they are."""
    for single, group in groupby(parts, lambda part: isinstance(part, EncodedImage)):
        if single:
            yield from batched((part for part in group if isinstance(part, EncodedImage)), _load_of)
        else:
            yield from (part for part in group if isinstance(part, PixelBlock))


def _load_of(item: EncodedImage) -> Loader:
    return item.load


def _joined(first: Chunk | None, second: Chunk) -> Chunk:
    if first is None or not len(first):
        return second
    if not len(second):
        return first
    images = np.concatenate([first.images, second.images])
    labels = np.concatenate([_numbers(first), _numbers(second)])
    return Chunk(images, first.names + second.names, labels)


def _numbers(chunk: Chunk) -> Integers:
    return np.full(len(chunk), -1) if chunk.labels is None else chunk.labels


def _finished(chunk: Chunk) -> Chunk:
    """Without labels where none is known."""
    known = chunk.labels is not None and bool((chunk.labels >= 0).any())
    return chunk if known else Chunk(chunk.images, chunk.names)
