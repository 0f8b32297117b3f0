"""The throughput of every contender: images per second after the first epochs."""

from __future__ import annotations

import time

UNCOUNTED = 2
"""Epochs at the start that do not count: they include imports, first pictures and cold caches."""


class Epochs:
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def ended(self) -> None:
        """Note the end of an epoch, with its last numbers known."""
        self.ends.append(time.perf_counter())

    def measured(self, images: int) -> dict[str, float]:
        """Images per second over the epochs that count."""
        counted = self.ends[UNCOUNTED - 1 :]
        return {"value": images * (len(counted) - 1) / (counted[-1] - counted[0])}
