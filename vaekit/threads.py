"""How many of torch's CPU threads work on what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

_Result = TypeVar("_Result")

_resting = 0
"""Threads that one of them works without, until there is something large to do."""


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """So many CPU threads for a while; None leaves the number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def alone(*, if_light: bool) -> Iterator[None]:
    """One CPU thread for light work; what is large in it calls the others by `together`.

    Threads sleep while they wait, and to wake one takes longer than an addition does.

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
    """Do it with all threads, those too that were sent to rest."""
    if not _resting:
        return work(*given)
    torch.set_num_threads(_resting)
    try:
        return work(*given)
    finally:
        torch.set_num_threads(1)
