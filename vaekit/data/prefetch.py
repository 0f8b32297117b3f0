"""Sends the next batch to an accelerator while it works on the current one.

A copy on the computation's stream waits for all work queued before it. On a stream of its own it
runs in parallel, and only the step that needs the batch waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Prefetcher:
    """Fetches the next batch early.

    >>> prefetcher = Prefetcher(lambda indices: indices * 10, torch.device("cpu"))
    >>> later = torch.tensor([1, 2])
    >>> prefetcher.expect(later)
    >>> prefetcher.take(torch.tensor([3])), prefetcher.take(later), prefetcher.take(later)
    (tensor([30]), tensor([10, 20]), tensor([10, 20]))
    """

    def __init__(self, fetch: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._fetch = fetch
        self._streams: Any = torch.get_device_module(device)
        self._own = self._streams.Stream()
        self._expected: tuple[Tensor, Tensor] | None = None

    def expect(self, indices: Tensor) -> None:
        """Start to fetch the batch at these indices, in place of any other."""
        with self._streams.stream(self._own):
            self._expected = indices, self._fetch(indices)

    def take(self, indices: Tensor) -> Tensor:
        """The batch at this very tensor of indices: prefetched, or fetched now."""
        if self._expected is None or self._expected[0] is not indices:
            return self._fetch(indices)
        x, self._expected = self._expected[1], None
        here = self._streams.current_stream()
        here.wait_stream(self._own)
        if x.is_cuda:  # else its memory might be reused while this stream still reads it
            x.record_stream(here)
        return x
