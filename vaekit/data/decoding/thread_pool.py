"""Runs work in threads and returns the results in the order of the inputs.

Pillow releases the interpreter lock while it decodes and resizes, so large images use every core.
Small images are bound by Python itself: `process_pool` decodes sets of thousands of them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TypeVar

MOST_THREADS = 16

_T = TypeVar("_T")
_R = TypeVar("_R")

ALLOWED: ContextVar[int | None] = ContextVar("ALLOWED", default=None)
"""The number of threads that the user allows (`--threads`); None is one per core."""


def in_order(work: Callable[[_T], _R], items: Iterable[_T]) -> Generator[_R, None, None]:
    """Results in the order of the items, of which only a few are taken ahead.

    Finished results are yielded before the next item is waited for, so a slow producer delays
    none. The first failure ends all work, and so does closing the iterator.

    >>> list(in_order(lambda n: n * n, range(4)))
    [0, 1, 4, 9]
    """
    count = workers()
    waiting: deque[Future[_R]] = deque()
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(count, thread_name_prefix="vaekit-decode")
        stack.callback(pool.shutdown, cancel_futures=True)
        for item in items:
            waiting.append(pool.submit(work, item))
            while waiting and (len(waiting) > 3 * count or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def at_most(count: int | None) -> Iterator[None]:
    """Within the block, use up to `count` threads; None is one per core."""
    before = ALLOWED.set(count)
    try:
        yield
    finally:
        ALLOWED.reset(before)


def workers() -> int:
    """The number of decoding threads: one per available core, unless fewer are allowed.

    >>> with at_most(1):
    ...     workers()
    1
    """
    return min(_cores(), ALLOWED.get() or MOST_THREADS)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(MOST_THREADS, len(os.sched_getaffinity(0)))
    return min(MOST_THREADS, os.cpu_count() or 1)
