"""The numbers of each step, kept where they were made and read now and then.

A CPU has them at hand after every step. On an accelerator each look would wait for all work that is
under way, so there many steps are read together. A number that is not finite is still stopped
before the update: from that step on the device itself holds every update back (`blocked`), until
the numbers are read and the run ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit import devices
from vaekit.evaluation.dataset_elbo import TERMS

STEP_METRIC_NAMES = (*TERMS, "loss", "gradient")
"""The sums over a step's images, and the norm of its gradient, or of the part that is watched."""

READ_EVERY = 50
"""Steps that an accelerator makes between two looks."""


@dataclass(frozen=True)
class Fault:
    """A number that is not finite: which, and in how many steps before the last one entered."""

    name: str
    value: float
    before: int


class StepMetrics:
    """Rows of `NAMES`, one for each step since they were last read.

    >>> ledger = StepMetrics(torch.device("cpu"), together=2)
    >>> ledger.enter(torch.tensor([3.0, 2.0, 1.0, 3.0, 0.5]), images=8)
    >>> ledger.enter(torch.tensor([3.0, 2.0, math.nan, 3.0, 0.5]), images=8)
    >>> ledger.full, ledger.images, bool(ledger.blocked)
    (True, 16, True)
    >>> fault(ledger.read()), ledger.images
    (Fault(name='kl', value=nan, before=0), 0)
    """

    def __init__(self, device: torch.device, together: int | None = None) -> None:
        self.together = together or (READ_EVERY if device.type == "cuda" else 1)
        self.images = 0
        self.blocked = torch.zeros((), device=device)
        kind = devices.exact(device)
        self._rows = torch.zeros(self.together, len(STEP_METRIC_NAMES), dtype=kind, device=device)
        self._filled = 0

    @property
    def full(self) -> bool:
        """Whether it is time to read."""
        return self._filled == self.together

    def enter(self, values: Tensor, images: int) -> None:
        """Note what a step over so many images gave, before its update."""
        self._rows[self._filled] = values
        self._filled += 1
        self.images += images
        if self.together > 1:
            bad = torch.isfinite(values).logical_not().any()
            torch.maximum(self.blocked, bad.to(self.blocked.dtype), out=self.blocked)

    def read(self) -> list[list[float]]:
        """The rows since the last time; then begin anew."""
        rows: list[list[float]] = self._rows[: self._filled].tolist()
        self._filled, self.images = 0, 0
        return rows


def fault(rows: list[list[float]]) -> Fault | None:
    """The first number that is not finite; the terms come before what was made of them."""
    for number, row in enumerate(rows):
        values = dict(zip(STEP_METRIC_NAMES, row, strict=True))
        for name in (*TERMS[1:], "loss", "gradient"):
            if not math.isfinite(values[name]):
                return Fault(name, values[name], len(rows) - 1 - number)
    return None
