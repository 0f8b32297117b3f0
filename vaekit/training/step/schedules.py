"""Learning rate and beta schedules, as pure functions of the step.

>>> [round(learning_rate("cosine", 1.0, step, 4), 3) for step in range(4)]
[1.0, 0.854, 0.5, 0.146]
>>> [kl_weight(4.0, warmup_steps=4, step=step) for step in range(6)]
[0.0, 1.0, 2.0, 3.0, 4.0, 4.0]
"""

from __future__ import annotations

import math

RISE = 0.3
"""The fraction of a one-cycle schedule in which the rate rises."""


def learning_rate(schedule: str, highest: float, step: int, total: int) -> float:
    """The learning rate of one step out of `total`, counted from 0."""
    return highest * _SHAPES[schedule](step / max(total, 1))


def kl_weight(beta: float, *, warmup_steps: float, step: int) -> float:
    """Beta, after rising linearly from 0 over the warm-up (Bowman et al., 2016, 1511.06349)."""
    return beta * min(1.0, step / warmup_steps) if warmup_steps > 0 else beta


def depends_on_end(schedule: str) -> bool:
    """Whether the schedule depends on the number of epochs, so that it cannot be extended."""
    return schedule != "constant"


def _constant(_: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter, 2017, 1608.03983)."""
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def _one_cycle(done: float) -> float:
    """From 1/25 up to 1, then down to nothing, in half cosines (Smith, 2018, 1803.09820)."""
    if done < RISE:
        return 1 / 25 + (1 - 1 / 25) * (1.0 - _cosine(done / RISE))
    return _cosine((done - RISE) / (1 - RISE))


def _steps(done: float) -> float:
    """Eight stages, each three times as long as the last, at 10^(-i/7) for i = 0..7.

    The schedule of the IWAE paper (Burda et al., 2016, 1509.00519): 3^i epochs each, 3,280 in all.
    """
    ends = [(3 ** (i + 1) - 1) / (3**8 - 1) for i in range(8)]
    stage = sum(done >= end for end in ends[:-1])
    return float(10 ** (-stage / 7))


_SHAPES = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "steps": _steps,
}
