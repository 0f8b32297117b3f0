"""Work in threads, its results in the order it was given.

Threads, not processes: Pillow lets go of the interpreter while it decodes and resizes, so large
images use every core; small ones are bound by Python at well over ten thousand a second, where
processes gain little and need a guarded main module in the user's script.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    """Results in the order of the items, at most a few of which are taken ahead.

    What is done is given before the next item is waited for, so that a slow giver holds back
    nothing. The first failure ends all work, and so does closing the iterator.

    >>> list(in_order(lambda n: n * n, range(4)))
    [0, 1, 4, 9]
    """
    count = workers()
    waiting: deque[Future[R]] = deque()
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(count, thread_name_prefix="vaekit-decode")
        stack.callback(pool.shutdown, cancel_futures=True)
        for item in items:
            waiting.append(pool.submit(work, item))
            while waiting and (len(waiting) > 3 * count or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def workers() -> int:
    """How many threads decode: one for each core that may be used."""
    if hasattr(os, "sched_getaffinity"):
        return min(16, len(os.sched_getaffinity(0)))
    return min(16, os.cpu_count() or 1)
