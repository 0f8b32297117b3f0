"""Where the arithmetic happens: the choice of a device by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from vaekit.errors import UsageError

Result = TypeVar("Result")


def available() -> list[str]:
    """The devices this machine has, the preferred one first."""
    found = []
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is cuda, then mps, then cpu."""
    devices = available()
    if name == "auto":
        return torch.device(devices[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in devices:
        raise UsageError(f"--device {name}: this machine has {', '.join(devices)}")
    return torch.device(wanted)


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """So many CPU threads for a while; None leaves the number as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_resting = 0
"""Threads that one of them works without, until there is something large to do."""


@contextlib.contextmanager
def alone(*, if_light: bool) -> Iterator[None]:
    """One CPU thread for light work; what is large in it calls the others by `together`.

    Threads sleep while they wait, and to wake one takes longer than an addition does.

    >>> with alone(if_light=True):
    ...     torch.get_num_threads(), together(torch.get_num_threads) == torch.get_num_threads()
    (1, False)
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


def together(work: Callable[..., Result], *given: Any) -> Result:
    """Do it with all threads, those too that were sent to rest."""
    if not _resting:
        return work(*given)
    torch.set_num_threads(_resting)
    try:
        return work(*given)
    finally:
        torch.set_num_threads(1)


def exact(device: torch.device) -> torch.dtype:
    """The type to add up many numbers in: float64 where the device has that."""
    return torch.float32 if device.type == "mps" else torch.float64


def describe(device: torch.device) -> str:
    """What to call it in front of people.

    >>> describe(torch.device("cpu"))
    'cpu'
    """
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
