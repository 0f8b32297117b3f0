"""Decodes large sets of small images in worker processes, where threads would be slow.

The processes run `vaekit.data.decoding.worker`. They are not those of `multiprocessing`, which
import the user's main module again. They get the locations of images, read them, and send back
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
from vaekit.data.random_access import Location, RandomAccess
from vaekit.errors import DataError

FEWEST_FOR_PROCESSES = 3000
"""Threads decode fewer images than this before processes have started."""

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from vaekit.data.decoding.worker import serve; serve()"
)
_STARTUP_SECONDS = 30.0
"""How long a process may take to report that it is ready: what is not Python never does."""
_TASK_SECONDS = 0.05
"""Work in a task: long beside its transfer, short beside a whole set."""
_LEAST, _MOST = 16, 512
"""Images in a task."""
_TASK_BYTES = 4 << 20
"""Pixels in a task, unless a single image has more."""
_PIPE = 1 << 20
"""Bytes that a pipe holds where the system allows it, so that a decoder seldom waits."""
_MOST_CRASHES = 10
"""More crashes than this have a cause other than the images."""

_DecodeTask = tuple[int, Sequence[Location]]
"""The row of the first image, and the location of each."""


class ProcessesUnavailable(Exception):
    """No process can be started here; threads can decode."""


class _WorkerCrashed(Exception):
    """A process ended in the middle of its work; says how."""


class ProcessPool:
    """As many processes as threads are allowed; all end with the `with` block."""

    def __init__(self) -> None:
        self._count = workers()
        self._free: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        self._all: list[_Process] = []
        self._most, self._crashes = _LEAST, 0
        self._closed = False

    def __enter__(self) -> Self:
        """Start all processes; they get ready in the background."""
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
        """End all processes, whatever they are doing."""
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
        settings = {
            "reader": source.reader.__name__,
            "path": source.path,
            "form": asdict(form),
            "strict": strict,
        }

        def work(task: _DecodeTask) -> list[BatchOutcome]:
            return self._outcomes_of(settings, task, images)

        locations = [source.locations[index] for index in indices.tolist()]
        with closing(in_order(work, self._tasks(locations, images[:1].nbytes))) as results:
            for outcomes in results:
                yield from outcomes

    def _tasks(self, locations: Sequence[Location], size: int) -> Iterator[_DecodeTask]:
        start, limit = 0, max(1, _TASK_BYTES // max(1, size))
        while start < len(locations):
            count = min(self._most, limit)
            yield start, locations[start : start + count]
            start += count

    def _outcomes_of(
        self, settings: dict[str, Any], task: _DecodeTask, images: Pixels
    ) -> list[BatchOutcome]:
        try:
            return [self._outcome_of(settings, task, images)]
        except _WorkerCrashed:  # one image at a time shows which of them did it
            start, locations = task
            single = [(start + number, [location]) for number, location in enumerate(locations)]
            return [self._outcome_of_one(settings, task, images) for task in single]

    def _outcome_of_one(
        self, settings: dict[str, Any], task: _DecodeTask, images: Pixels
    ) -> BatchOutcome:
        try:
            return self._outcome_of(settings, task, images)
        except _WorkerCrashed as crash:
            self._crashes += 1
            if self._crashes > _MOST_CRASHES:
                raise DataError(
                    f"over {_MOST_CRASHES} images ended the process that decoded them ({crash}): "
                    "is there enough memory? --threads 1 decodes without such processes"
                ) from None
            return BatchOutcome(1, [(task[0], f"cannot be decoded (its decoder {crash})")], False)

    def _outcome_of(
        self, settings: dict[str, Any], task: _DecodeTask, images: Pixels
    ) -> BatchOutcome:
        process = self._free.get()
        try:
            if process is None:
                process = self._started()
            start, locations = task
            began = time.perf_counter()
            outcome = process.decode(
                {**settings, "locations": locations}, images[start:][: len(locations)]
            )
            pace = (time.perf_counter() - began) / len(locations)
            self._most = min(_MOST, max(_LEAST, int(_TASK_SECONDS / pace)))
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
            raise ProcessesUnavailable
        process = _Process()
        self._all.append(process)
        return process


def processes_available() -> bool:
    """Whether another Python is likely to start, and to speed up decoding."""
    return bool(sys.executable) and not getattr(sys, "frozen", False) and workers() > 1


class _Process:
    def __init__(self) -> None:
        paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109  (text is wanted)
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # no algebra here
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
            raise ProcessesUnavailable from error
        self.is_ready = False

    def decode(self, task: dict[str, Any], pixels: Pixels) -> BatchOutcome:
        """Have the images of a task decoded into `pixels`."""
        tasks, answers = self.process.stdin, self.process.stdout
        assert tasks is not None
        assert answers is not None
        self._wait_until_ready()
        try:
            tasks.write(json.dumps(task).encode() + b"\n")
            tasks.flush()
            line = answers.readline()
            view = pixels.data.cast("B")
            while line and len(view):
                if not (got := answers.readinto(view)):  # type: ignore[attr-defined]
                    line = b""
                view = view[got:]
        except (OSError, ValueError):  # ended, or closed by `end`
            line = b""
        if not line:
            raise _WorkerCrashed(self._way_it_ended())
        return _parsed_outcome(json.loads(line))

    def _wait_until_ready(self) -> None:
        if self.is_ready:
            return
        answers = self.process.stdout
        assert answers is not None
        alarm = threading.Timer(_STARTUP_SECONDS, self.process.kill)
        alarm.daemon = True
        alarm.start()
        with suppress(OSError, ValueError):
            self.is_ready = answers.readline() == READY
        alarm.cancel()
        if not self.is_ready:
            raise ProcessesUnavailable

    def _way_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):  # its pipe ends a moment before it does
            self.process.wait(1)
        self.end()
        code = self.process.returncode
        with suppress(ValueError):
            return f"died of {signal.Signals(-code).name}"
        return f"ended with {code}"

    def end(self) -> None:
        """End it, if it still runs."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


def _parsed_outcome(answer: dict[str, Any]) -> BatchOutcome:
    if "errno" in answer:
        raise OSError(answer["errno"], answer["strerror"])
    refuted = answer["refuted"]
    if refuted is not None:
        refuted = TargetForm(**{**refuted, "size": tuple(refuted["size"])})
    seen = Counter({(h, w, c, animated): count for h, w, c, animated, count in answer["seen"]})
    bad = [(row, reason) for row, reason in answer["bad"]]
    return BatchOutcome(answer["tried"], bad, answer["lasting"], seen, refuted)
