"""Sets how many CPU threads torch uses, and when."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

_Result = TypeVar("_Result")

_resting = 0
"""The number of threads that `alone` set aside, for `together` to use; 0 outside of it."""


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Use `count` CPU threads within the block; None leaves the number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def alone(*, if_light: bool) -> Iterator[None]:
    """Use one CPU thread for light work; large operations inside use all, by `together`.

    Waking a sleeping thread takes longer than a small addition.

    >>> with using_threads(2), alone(if_light=True):
    ...     torch.get_num_threads(), together(torch.get_num_threads)
    (1, 2)
    """
    global _resting
    threads, before = torch.get_num_threads(), _resting
    if not if_light or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    _resting = threads
    try:
        yield
    finally:
        _resting = before
        torch.set_num_threads(threads)


def together(work: Callable[..., _Result], *given: Any) -> _Result:
    """Call `work` with all threads, including those that `alone` set aside."""
    if not _resting:
        return work(*given)
    torch.set_num_threads(_resting)
    try:
        return work(*given)
    finally:
        torch.set_num_threads(1)
