"""One definition of throughput for all: images a second once training has got going."""

from __future__ import annotations

import time

UNCOUNTED = 2
"""Epochs at the start that do not count: imports, first pictures and warm caches belong to them."""


class Epochs:
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def ended(self) -> None:
        """An epoch has ended just now, its last numbers being known."""
        self.ends.append(time.perf_counter())

    def measured(self, images: int) -> dict[str, float]:
        """Images a second, from the end of the last uncounted epoch to the end of the last one."""
        counted = self.ends[UNCOUNTED - 1 :]
        return {"value": images * (len(counted) - 1) / (counted[-1] - counted[0])}
