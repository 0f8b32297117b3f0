"""Run contenders in turn, A B A B, so that other work of the machine affects all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Measurement = Mapping[str, float]
"""The numbers of one run: its `value`, and any others."""

Contender = Callable[[], Measurement]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Claim:
    """Two contenders to compare, or one (`to` is None), and the target."""

    of: str
    to: str | None = None
    goal: str = ""


@dataclass(frozen=True)
class Subject:
    """A benchmark: the contenders, the comparisons, the unit."""

    unit: str
    contenders: Mapping[str, Contender]
    claims: Sequence[Claim]
    rounds: int = 3
    images: Mapping[str, str | int] = field(default_factory=dict)
    """The images, their number, and the number of epochs."""
    warm_up: bool = True
    """Whether a round that does not count comes first; not where a round takes half an hour."""


@dataclass(frozen=True)
class Ratio:
    """The ratio of two series: of their medians, and of neighbouring runs."""

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
    """Run all once as a warm-up that does not count, then `rounds` times in the same order."""
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
    """The ratio of two series, pair by pair.

    >>> ratio([2.0, 3.0, 8.0], [1.0, 2.0, 2.0])
    Ratio(of_medians=1.5, of_pairs=2.0, lowest=1.5, highest=4.0)
    """
    pairs = [a / b for a, b in zip(of, to, strict=True)]
    return Ratio(median(of) / median(to), median(pairs), min(pairs), max(pairs))


def shown(value: float) -> str:
    """A number, formatted for people.

    >>> shown(12345.6), shown(0.12345), shown(99.5)
    ('12,346', '0.1235', '99.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _text(measurement: Measurement) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in measurement.items())
