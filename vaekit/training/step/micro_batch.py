"""Smaller micro-batches when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from vaekit.errors import VaekitError
from vaekit.reporting import SILENT, Reporter

_Result = TypeVar("_Result")

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
"""Messages of torch on devices without an out-of-memory exception of their own."""


class MicroBatch:
    """The size of a micro-batch: halved, with a warning, whenever memory runs out.

    >>> def work(images):
    ...     if images > 30:
    ...         raise MemoryError
    ...     return images
    >>> micro_batch = MicroBatch(None, torch.device("cpu"), "training")
    >>> micro_batch.run(work, 100), micro_batch.run(work, 10), micro_batch.run(work, 100)
    (25, 10, 25)
    """

    def __init__(
        self, size: int | None, device: torch.device, what: str, reporter: Reporter = SILENT
    ) -> None:
        self._size, self._device, self._what, self._reporter = size, device, what, reporter
        self.caveat = ""
        self.whole = False
        """Whether all images must be computed together, whatever memory there is."""

    def run(self, work: Callable[[int], _Result], images: int) -> _Result:
        """Call `work` with the micro-batch size; halve it and retry when memory runs out."""
        while True:
            size = min(images, self._size or images)
            try:
                return work(size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Not within `except`: here the memory of the failed try is free.
            self._halve(size, images)

    def _halve(self, size: int, images: int) -> None:
        if self.whole:
            raise VaekitError(
                f"{self._what}: {self._device} is out of memory with {size} images, which "
                "--sync-bn computes together; try a smaller --batch-size or more ranks"
            )
        if size == 1:
            raise VaekitError(
                f"{self._what}: {self._device} is out of memory with one image at a time; "
                "try a smaller --image-size or network, or --device cpu"
            )
        self._size = -(-size // 2)
        _release(self._device)
        self._reporter.warn(
            f"{self._what}: {self._device} is out of memory with {size} images at a time; going "
            f"on with {self._size}, in batches of {images} as before{self.caveat}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out.

    >>> [is_out_of_memory(e) for e in (torch.OutOfMemoryError(), RuntimeError("shapes differ"))]
    [True, False]
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in SIGNS)


def _release(device: torch.device) -> None:
    """Free the memory that torch caches, which may be too fragmented to use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
