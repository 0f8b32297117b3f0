"""A stream of images: chunks in the model's shape, decoded a few batches ahead by threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from types import TracebackType
from typing import Self

import numpy as np

from vaekit.data.decoding.conversions import ConversionCounts
from vaekit.data.decoding.decode_image import Picture, decode_image, quiet_pillow
from vaekit.data.decoding.skipped import summary, warn_or_refuse
from vaekit.data.decoding.thread_pool import in_order
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import Loader, Shape, batched
from vaekit.data.streams.named_inputs import Input, Item, LabelValue, PixelBlock
from vaekit.errors import DataError, ImageError, VaekitError
from vaekit.reporting import SILENT, Reporter
from vaekit.seeds import BLOCK
from vaekit.wording import shown, unreadable

IMAGE_CHUNK = BLOCK
"""Images in a chunk, where nothing else is asked for."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some images in the model's shape.

    >>> chunk = Chunk(np.zeros((2, 8, 8, 1), np.uint8), ("a.png", "b.png"), np.array([1, -1]))
    >>> len(chunk[:1]), chunk.words(("cat", "dog"))
    (1, ['dog', None])
    """

    images: Pixels
    """(n, H, W, C)."""
    names: tuple[str, ...]
    """The path as one would type it, the path within an archive on a pipe, or a row's number."""
    labels: Integers | None = None
    """(n,): the number of each image's class, -1 where it is not known."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, part: slice) -> Chunk:
        labels = None if self.labels is None else self.labels[part]
        return Chunk(self.images[part], self.names[part], labels)

    def words(self, classes: Sequence[str] | None) -> list[str | int | None]:
        """Labels as they shall be read: names where classes have them, None for none."""
        if self.labels is None:
            return [None] * len(self)
        numbers = [int(label) for label in self.labels]
        return [None if n < 0 else n if classes is None else classes[n] for n in numbers]


@dataclass(frozen=True)
class _Done:
    """What became of a batch."""

    names: tuple[str, ...]
    labels: Sequence[LabelValue] | Integers
    """Of a block the places among the classes of its input; else what is known of each image."""
    images: Pixels
    pictures: Sequence[Picture] = ()
    bad: Sequence[str] = ()


class ImageStream:
    """Chunks of images, to be gone through once; leaving the `with` early ends all work."""

    count: int | None
    """How many images there will be, where that is certain."""
    expected: int | None
    """How many will be tried, where that is known: for a progress bar."""
    classes: list[str] | None
    """The names of labels; None where labels have none. It grows as new names arrive."""
    skipped: list[str]
    """Bad images met so far, each as `name: why`."""

    def __init__(
        self,
        inputs: Sequence[Input],
        shape: Shape,
        *,
        chunk: int = IMAGE_CHUNK,
        strict: bool = False,
        reporter: Reporter = SILENT,
        resources: ExitStack | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        self._inputs, self._shape = inputs, (shape[0], shape[1], shape[2])
        self._chunk, self._strict, self._reporter = chunk, strict, reporter
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
        self._changes = ConversionCounts(self._shape)
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
        if ended_early and kind is None:  # by choice: what was seen is still spoken of
            self._tell()

    def close(self) -> None:
        """End all work and close all files."""
        if self._running is not None:
            self._running.close()
        self._resources.close()

    def __iter__(self) -> Iterator[Chunk]:
        if self._running is not None:
            raise RuntimeError("an ImageStream can be gone through once")
        self._running = self._run()
        return self._running

    def _run(self) -> Generator[Chunk, None, None]:
        with quiet_pillow(), closing(self._results()) as results:
            yield from self._chunks(results)
        self._conclude()

    def _results(self) -> Generator[_Done, None, None]:
        """One input after the other; damage to one is kept until all are done."""
        for source in self._inputs:
            with self._keeping_failure(source), source.reading() as parts:
                work = _batches(self._undamaged(source, parts))
                with closing(work), closing(in_order(self._decode, work)) as results:
                    try:
                        yield from (self._numbered(done, source.classes) for done in results)
                    except BaseException:  # whoever takes them has gone, or was interrupted
                        self._stop.set()
                        raise
            if self._failure and self._strict:
                return

    def _undamaged(
        self, source: Input, parts: Iterable[Item | PixelBlock]
    ) -> Iterator[Item | PixelBlock]:
        """All that comes before damage."""
        with self._keeping_failure(source):
            yield from parts

    @contextmanager
    def _keeping_failure(self, source: Input) -> Iterator[None]:
        try:
            yield
        except VaekitError as error:
            self._failure = self._failure or error
        except OSError as error:
            self._failure = self._failure or DataError(f"{source.where}: {unreadable(error)}")

    def _decode(self, batch: list[Item] | PixelBlock) -> _Done:
        if isinstance(batch, PixelBlock):
            unknown = np.full(len(batch.pixels), -1)
            labels = unknown if batch.labels is None else batch.labels
            return _Done(tuple(batch.names), labels, batch.pixels)
        good: list[tuple[Item, Picture]] = []
        bad: list[str] = []
        for item in batch:
            if self._stop.is_set() or (bad and self._strict):
                break
            try:
                good.append((item, decode_image(item.load(), self._shape[:2], self._shape[2])))
            except OSError as error:
                bad.append(f"{shown(item.name)}: {unreadable(error)}")
            except ImageError as error:
                bad.append(f"{shown(item.name)}: {error}")
        images = np.empty((len(good), *self._shape), np.uint8)
        for row, (_, picture) in enumerate(good):
            images[row] = picture.pixels
        names = tuple(item.name for item, _ in good)
        known = [item.label for item, _ in good]
        return _Done(names, known, images, [picture for _, picture in good], bad)

    def _chunks(self, results: Iterator[_Done]) -> Iterator[Chunk]:
        rest: Chunk | None = None
        for done in results:
            self._count(done)
            rest = _joined(rest, Chunk(done.images, done.names, np.asarray(done.labels)))
            whole = len(rest) // self._chunk * self._chunk
            for first in range(0, whole, self._chunk):
                yield _settled(rest[first : first + self._chunk])
            rest = rest[whole:]
        if rest is not None and len(rest):
            yield _settled(rest)

    def _count(self, done: _Done) -> None:
        self._good += len(done.names)
        for picture in done.pictures:
            self._changes.count(picture.own, animated=picture.animated)
        self.skipped += done.bad
        if done.bad and self._strict:
            raise ImageError(f"{done.bad[0]} (--strict)")

    def _numbered(self, done: _Done, classes: Sequence[str] | None) -> _Done:
        """Labels as places among the stream's own classes; `classes` are those of its input."""
        if isinstance(done.labels, np.ndarray) and classes is not None:
            places = np.array([*map(self._number, classes), -1])
            return replace(done, labels=places[np.maximum(done.labels, -1)])
        if isinstance(done.labels, np.ndarray) and self.classes is None:
            return done
        numbers = [self._number(label) for label in done.labels]
        return replace(done, labels=np.array(numbers, np.int64))

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
        """Raise what was kept, or that there were too many bad ones; else say what there was."""
        self._concluded = True
        bad = self.skipped[self._already :]
        if self._failure is None:
            if len(bad) == 1 and not self._good:
                raise ImageError(bad[0])
            warn_or_refuse(bad, self._good + len(bad))
        self._tell()
        if self._failure is not None:
            raise self._failure

    def _tell(self) -> None:
        """Say what was done to the images, and which were bad."""
        if notes := "; ".join(self._changes.notes()):
            self._reporter.note(notes)
        if bad := self.skipped[self._already :]:
            self._reporter.warn(summary(bad))


def _batches(parts: Iterable[Item | PixelBlock]) -> Generator[list[Item] | PixelBlock, None, None]:
    """Items in batches, blocks as they are."""
    for single, group in groupby(parts, lambda part: isinstance(part, Item)):
        if single:
            yield from batched((part for part in group if isinstance(part, Item)), _load_of)
        else:
            yield from (part for part in group if isinstance(part, PixelBlock))


def _load_of(item: Item) -> Loader:
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


def _settled(chunk: Chunk) -> Chunk:
    """Labels of which none is known are none."""
    known = chunk.labels is not None and bool((chunk.labels >= 0).any())
    return chunk if known else Chunk(chunk.images, chunk.names)
