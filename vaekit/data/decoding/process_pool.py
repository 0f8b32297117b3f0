"""Processes that decode, for large sets of small images: there, threads wait for each other.

The processes run `vaekit.data.decoding.worker`. They are not those of `multiprocessing`, which
import the user's main module again. They are sent the places of images, read them, and send back
pixels; results arrive in the order of the images. A crash loses only the image that caused it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from typing import Any, Self

from vaekit.data.decoding.decode_batch import BatchOutcome, TargetForm
from vaekit.data.decoding.thread_pool import in_order, workers
from vaekit.data.decoding.worker import READY
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.random_access import RandomAccess, Spot
from vaekit.errors import DataError

FEWEST_FOR_PROCESSES = 3000
"""So many images are decoded in threads before processes would have started."""

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from vaekit.data.decoding.worker import serve; serve()"
)
_PATIENCE = 30.0
"""Seconds for a process to say that it is ready: what is not Python may never say so."""
_SHARE = 0.05
"""Seconds of work in an order: long beside the way there and back, short beside a whole set."""
_LEAST, _MOST = 16, 512
"""Images in an order."""
_BYTES = 4 << 20
"""Pixels in an order, where images are not so large that one has more."""
_PIPE = 1 << 20
"""Bytes that a pipe holds where the system lets it: a decoder then seldom waits for its reader."""
_DEATHS = 10
"""More images than this must not end a process: then something else is amiss."""

_Order = tuple[int, Sequence[Spot]]
"""The row of the first image, and where each lies."""


class Unavailable(Exception):
    """Processes cannot be had here; threads can."""


class _Died(Exception):
    """A process ended in the middle of its work; says how."""


class ProcessPool:
    """As many processes as threads are allowed; all end with the `with`."""

    def __init__(self) -> None:
        self._count = workers()
        self._free: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        self._all: list[_Process] = []
        self._most, self._deaths = _LEAST, 0
        self._closed = False

    def __enter__(self) -> Self:
        """Starts them all; they get ready while other things are done."""
        try:
            for _ in range(self._count):
                self._free.put(self._started())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End them, whatever they do."""
        self._closed = True
        for process in self._all:
            process.end()

    def decode(
        self,
        images: Pixels,
        source: RandomAccess,
        indices: Integers,
        form: TargetForm,
        *,
        strict: bool,
    ) -> Generator[BatchOutcome, None, None]:
        """Decode into the rows of `images`, one for each index; outcomes come in their order."""
        told = {
            "reader": source.reader.__name__,
            "path": source.path,
            "form": asdict(form),
            "strict": strict,
        }

        def work(order: _Order) -> list[BatchOutcome]:
            return self._carried_out(told, order, images)

        spots = [source.spots[index] for index in indices.tolist()]
        with closing(in_order(work, self._orders(spots, images[:1].nbytes))) as results:
            for outcomes in results:
                yield from outcomes

    def _orders(self, spots: Sequence[Spot], size: int) -> Iterator[_Order]:
        start, limit = 0, max(1, _BYTES // max(1, size))
        while start < len(spots):
            count = min(self._most, limit)
            yield start, spots[start : start + count]
            start += count

    def _carried_out(
        self, told: dict[str, Any], order: _Order, images: Pixels
    ) -> list[BatchOutcome]:
        try:
            return [self._asked(told, order, images)]
        except _Died:  # of which image, shows when they come one by one
            start, spots = order
            return [self._alone(told, (start + n, [spot]), images) for n, spot in enumerate(spots)]

    def _alone(self, told: dict[str, Any], order: _Order, images: Pixels) -> BatchOutcome:
        try:
            return self._asked(told, order, images)
        except _Died as died:
            self._deaths += 1
            if self._deaths > _DEATHS:
                raise DataError(
                    f"over {_DEATHS} images ended the process that decoded them ({died}): is there "
                    "memory enough? --threads 1 decodes without such processes"
                ) from None
            return BatchOutcome(1, [(order[0], f"cannot be decoded (its decoder {died})")], False)

    def _asked(self, told: dict[str, Any], order: _Order, images: Pixels) -> BatchOutcome:
        process = self._free.get()
        try:
            if process is None:
                process = self._started()
            start, spots = order
            began = time.perf_counter()
            outcome = process.ask({**told, "spots": spots}, images[start : start + len(spots)])
            pace = (time.perf_counter() - began) / len(spots)
            self._most = min(_MOST, max(_LEAST, int(_SHARE / pace)))
        except BaseException:
            if process is not None:
                process.end()
            self._free.put(None)
            raise
        self._free.put(process)
        outcome.bad = [(start + row, reason) for row, reason in outcome.bad]
        return outcome

    def _started(self) -> _Process:
        if self._closed:
            raise Unavailable
        process = _Process()
        self._all.append(process)
        return process


def processes_available() -> bool:
    """Whether another Python can be expected to start, and to be of use."""
    return bool(sys.executable) and not getattr(sys, "frozen", False) and workers() > 1


class _Process:
    def __init__(self) -> None:
        paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109  (text is wanted)
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # nothing is multiplied
        try:
            self.process = subprocess.Popen(  # noqa: S603  (our own module, our own interpreter)
                [sys.executable, "-P", "-c", _START, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **single},
                pipesize=_PIPE,
            )
        except OSError as error:
            raise Unavailable from error
        self.is_ready = False

    def ask(self, order: dict[str, Any], pixels: Pixels) -> BatchOutcome:
        """Have some images decoded into `pixels`."""
        orders, answers = self.process.stdin, self.process.stdout
        assert orders is not None
        assert answers is not None
        self._wait_until_ready()
        try:
            orders.write(json.dumps(order).encode() + b"\n")
            orders.flush()
            line = answers.readline()
            view = pixels.data.cast("B")
            while line and len(view):
                if not (got := answers.readinto(view)):  # type: ignore[attr-defined]
                    line = b""
                view = view[got:]
        except (OSError, ValueError):  # ended, or closed by `end`
            line = b""
        if not line:
            raise _Died(self._how())
        return _outcome(json.loads(line))

    def _wait_until_ready(self) -> None:
        if self.is_ready:
            return
        answers = self.process.stdout
        assert answers is not None
        alarm = threading.Timer(_PATIENCE, self.process.kill)
        alarm.daemon = True
        alarm.start()
        with suppress(OSError, ValueError):
            self.is_ready = answers.readline() == READY
        alarm.cancel()
        if not self.is_ready:
            raise Unavailable

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):  # its pipe ends a moment before it has
            self.process.wait(1)
        self.end()
        code = self.process.returncode
        with suppress(ValueError):
            return f"died of {signal.Signals(-code).name}"
        return f"ended with {code}"

    def end(self) -> None:
        """End it, unless it has ended."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


def _outcome(told: dict[str, Any]) -> BatchOutcome:
    if "errno" in told:
        raise OSError(told["errno"], told["strerror"])
    differs = told["differs"]
    if differs is not None:
        differs = TargetForm(**{**differs, "size": tuple(differs["size"])})
    seen = Counter({(h, w, c, animated): count for h, w, c, animated, count in told["seen"]})
    bad = [(row, reason) for row, reason in told["bad"]]
    return BatchOutcome(told["tried"], bad, told["lasting"], seen, differs)
