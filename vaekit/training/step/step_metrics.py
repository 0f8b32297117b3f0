"""The loss terms of each step, kept on the device and read every few steps.

On a CPU they are read after every step. On an accelerator reading waits for all queued work, so 50
steps are read at once. A NaN or infinity still never reaches the weights: from that step on the
device itself skips every update (`skip_updates`), until the numbers are read and the run ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit.evaluation.dataset_elbo import TERMS
from vaekit.machine import devices

STEP_METRIC_NAMES = (*TERMS, "loss", "gradient")
"""Sums over a step's images, and the norm of the gradients that are checked."""

READ_EVERY = 50
"""Steps between two reads on an accelerator."""


@dataclass(frozen=True)
class NonFinite:
    """A NaN or infinity: which number, and how many steps before the last one."""

    name: str
    value: float
    steps_ago: int


class StepMetrics:
    """One row of `STEP_METRIC_NAMES` for each step since the last read.

    >>> metrics = StepMetrics(torch.device("cpu"), read_every=2)
    >>> metrics.add(torch.tensor([3.0, 2.0, 1.0, 3.0, 0.5]), images=8)
    >>> metrics.add(torch.tensor([3.0, 2.0, math.nan, 3.0, 0.5]), images=8)
    >>> metrics.full, metrics.images, bool(metrics.skip_updates)
    (True, 16, True)
    >>> first_nonfinite(metrics.read()), metrics.images
    (NonFinite(name='kl', value=nan, steps_ago=0), 0)
    """

    def __init__(self, device: torch.device, read_every: int | None = None) -> None:
        self.read_every = read_every or (READ_EVERY if device.type == "cuda" else 1)
        self.images = 0
        self.skip_updates = torch.zeros((), device=device)
        kind = devices.exact(device)
        self._rows = torch.zeros(self.read_every, len(STEP_METRIC_NAMES), dtype=kind, device=device)
        self._filled = 0

    @property
    def full(self) -> bool:
        """Whether it is time to read."""
        return self._filled == self.read_every

    def add(self, values: Tensor, images: int) -> None:
        """Add the values of a step over `images` images, before its update."""
        self._rows[self._filled] = values
        self._filled += 1
        self.images += images
        if self.read_every > 1:
            bad = torch.isfinite(values).logical_not().any()
            torch.maximum(self.skip_updates, bad.to(self.skip_updates.dtype), out=self.skip_updates)

    def read(self) -> list[list[float]]:
        """The rows since the last read; they are cleared."""
        rows: list[list[float]] = self._rows[: self._filled].tolist()
        self._filled, self.images = 0, 0
        return rows


def first_nonfinite(rows: list[list[float]]) -> NonFinite | None:
    """The first NaN or infinity; terms are checked before the loss and gradient made of them."""
    for number, row in enumerate(rows):
        values = dict(zip(STEP_METRIC_NAMES, row, strict=True))
        for name in (*TERMS[1:], "loss", "gradient"):
            if not math.isfinite(values[name]):
                return NonFinite(name, values[name], len(rows) - 1 - number)
    return None
