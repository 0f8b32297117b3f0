"""Work in threads, its results in the order it was given.

Pillow releases the interpreter lock while it decodes and resizes, so large images use every core.
Small images are bound by Python: `process_pool` decodes sets of thousands of them.
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
"""How many threads the user allows (`--threads`); None is one for each core."""


def in_order(work: Callable[[_T], _R], items: Iterable[_T]) -> Generator[_R, None, None]:
    """Results in the order of the items, at most a few of which are taken ahead.

    What is done is given before the next item is waited for, so that a slow giver holds back
    nothing. The first failure ends all work, and so does closing the iterator.

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
    """So many threads at most for a while; None is one for each core again."""
    before = ALLOWED.set(count)
    try:
        yield
    finally:
        ALLOWED.reset(before)


def workers() -> int:
    """How many threads decode: one for each core that may be used, unless fewer are allowed.

    >>> with at_most(1):
    ...     workers()
    1
    """
    return min(_cores(), ALLOWED.get() or MOST_THREADS)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(MOST_THREADS, len(os.sched_getaffinity(0)))
    return min(MOST_THREADS, os.cpu_count() or 1)
