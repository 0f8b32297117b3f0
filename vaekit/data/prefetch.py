"""The next batch, sent to an accelerator while it works on this one.

A copy on the stream of the computation waits for all that was asked for before it. On a stream of
its own it runs beside it, and only the step that needs the batch waits for the copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Prefetcher:
    """Fetches what will be asked for next.

    >>> ahead = Prefetcher(lambda indices: indices * 10, torch.device("cpu"))
    >>> later = torch.tensor([1, 2])
    >>> ahead.expect(later)
    >>> ahead.take(torch.tensor([3])), ahead.take(later), ahead.take(later)
    (tensor([30]), tensor([10, 20]), tensor([10, 20]))
    """

    def __init__(self, fetch: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._fetch = fetch
        self._streams: Any = torch.get_device_module(device)
        self._own = self._streams.Stream()
        self._expected: tuple[Tensor, Tensor] | None = None

    def expect(self, indices: Tensor) -> None:
        """Begin to fetch these, and let go of what else was expected."""
        with self._streams.stream(self._own):
            self._expected = indices, self._fetch(indices)

    def take(self, indices: Tensor) -> Tensor:
        """The batch at these very indices: the one that was fetched, or another one now."""
        if self._expected is None or self._expected[0] is not indices:
            return self._fetch(indices)
        x, self._expected = self._expected[1], None
        here = self._streams.current_stream()
        here.wait_stream(self._own)
        if x.is_cuda:  # or its memory might be given away while this stream still reads it
            x.record_stream(here)
        return x
