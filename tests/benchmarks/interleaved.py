"""Contenders in turn, A B A B, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Measurement = Mapping[str, float]
"""What one run gives: its `value`, and anything else that is worth keeping."""

Contender = Callable[[], Measurement]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Claim:
    """Two contenders to compare, or one (`to` is None), and what is hoped for."""

    of: str
    to: str | None = None
    goal: str = ""


@dataclass(frozen=True)
class Subject:
    """A benchmark: what takes part, what is compared, in which unit."""

    unit: str
    contenders: Mapping[str, Contender]
    claims: Sequence[Claim]
    rounds: int = 3
    images: Mapping[str, str | int] = field(default_factory=dict)
    """Which they are, how many, and for how many epochs."""
    warm_up: bool = True
    """A round that does not count comes first; not where a round takes half an hour."""


@dataclass(frozen=True)
class Ratio:
    """One series over another: of their medians, and of the pairs that ran side by side."""

    of_medians: float
    of_pairs: float
    lowest: float
    highest: float


def interleave(
    contenders: Mapping[str, Contender],
    rounds: int,
    told: Told = print,
    *,
    warm_up: bool = True,
) -> dict[str, list[Measurement]]:
    """Run all once to warm up, which does not count, then so many rounds in the same order."""
    runs: dict[str, list[Measurement]] = {name: [] for name in contenders}
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, contender in contenders.items():
            measurement = contender()
            told(f"{f'round {number}' if number else 'warm-up'}: {name}: {_text(measurement)}")
            if number:
                runs[name].append(measurement)
    return runs


def values(runs: Sequence[Measurement], key: str = "value") -> list[float]:
    """One number of each run."""
    return [run[key] for run in runs]


def ratio(of: Sequence[float], to: Sequence[float]) -> Ratio:
    """How the one series stands to the other, pair by pair.

    >>> ratio([2.0, 3.0, 8.0], [1.0, 2.0, 2.0])
    Ratio(of_medians=1.5, of_pairs=2.0, lowest=1.5, highest=4.0)
    """
    pairs = [a / b for a, b in zip(of, to, strict=True)]
    return Ratio(median(of) / median(to), median(pairs), min(pairs), max(pairs))


def shown(value: float) -> str:
    """A number as people read it.

    >>> shown(12345.6), shown(0.12345), shown(99.5)
    ('12,346', '0.1235', '99.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _text(measurement: Measurement) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in measurement.items())
