"""Fewer images at a time, when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from vaekit.errors import VaekitError
from vaekit.reporting import SILENT, Reporter

_Result = TypeVar("_Result")

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
"""What torch says when it gets no memory, on devices that have no exception of their own for it."""


class MicroBatch:
    """How many images are worked on at a time: halved, and said so, whenever memory runs out.

    >>> def work(images):
    ...     if images > 30:
    ...         raise MemoryError
    ...     return images
    >>> portion = MicroBatch(None, torch.device("cpu"), "training")
    >>> portion.attempt(work, 100), portion.attempt(work, 10), portion.attempt(work, 100)
    (25, 10, 25)
    """

    def __init__(
        self, most: int | None, device: torch.device, what: str, reporter: Reporter = SILENT
    ) -> None:
        self._most, self._device, self._what, self._reporter = most, device, what, reporter
        self.caveat = ""

    def attempt(self, work: Callable[[int], _Result], images: int) -> _Result:
        """Do the work on at most so many images at a time; again with half as many if need be."""
        while True:
            size = min(images, self._most or images)
            try:
                return work(size)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
            self._halve(size, images)  # here the failed work is forgotten, and its memory free

    def _halve(self, size: int, images: int) -> None:
        if size == 1:
            raise VaekitError(
                f"{self._what}: {self._device} is out of memory with one image at a time; "
                "try a smaller --image-size or network, or --device cpu"
            )
        self._most = -(-size // 2)
        _release(self._device)
        self._reporter.warn(
            f"{self._what}: {self._device} is out of memory with {size} images at a time; going "
            f"on with {self._most}, in batches of {images} as before{self.caveat}"
        )


def ran_out(error: BaseException) -> bool:
    """Whether it says that there is no memory left.

    >>> ran_out(torch.OutOfMemoryError()), ran_out(RuntimeError("shapes do not match"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in SIGNS)


def _release(device: torch.device) -> None:
    """Give back what torch keeps for later, which may lie in pieces too small for what is next."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
