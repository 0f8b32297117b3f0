"""Compares models on the same images: the best of each metric, beyond noise.

Every model sees the same images with the same draws, so differences are taken image by image. Their
standard error is far smaller than that of either mean, and it is the one that counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from torch import Tensor

from vaekit.evaluation.dataset_elbo import standard_error
from vaekit.evaluation.metrics import LOWER, METRICS, Metric
from vaekit.registry import resolve

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """The mean over images of model `second` minus model `first`, by their positions."""

    first: int
    second: int
    mean: float
    stderr: float
    p: float
    """That of the paired t-test, corrected by Holm for all pairs of models."""


def reconstruction_kind(record: dict[str, Any]) -> tuple[str, str | None]:
    """What a record's nats measure; other binarizations of the same images are other data."""
    return resolve("likelihood", record["likelihood"]).kind, record["binarization"]


def comparable(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the nats of all of them are of one kind."""
    return len({reconstruction_kind(record) for record in records}) <= 1


def paired_differences(values: Sequence[Tensor]) -> list[Difference]:
    """The differences between all pairs of models, from the values (N,) of each on N images."""
    pairs = list(combinations(range(len(values)), 2))
    found = [values[second].double() - values[first].double() for first, second in pairs]
    means = [float(difference.mean()) for difference in found]
    errors = [standard_error(difference) for difference in found]
    ps = [_p(*each, len(values[0])) for each in zip(means, errors, strict=True)]
    columns = zip(pairs, means, errors, holm(ps), strict=True)
    return [Difference(*pair, mean, error, p) for pair, mean, error, p in columns]


def _p(mean: float, stderr: float, n: int) -> float:
    """Two-sided, by Student's t; 1 where there is nothing to test by, such as a single image."""
    if not (math.isfinite(mean) and math.isfinite(stderr)) or mean == 0:
        return 1.0
    if stderr == 0:
        return 0.0
    from scipy.special import stdtr

    return 2 * float(stdtr(n - 1, -abs(mean / stderr)))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for their number: Holm 1979 (jstor.org/stable/4615733).

    >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = largest
    return corrected


def differences(
    records: Sequence[dict[str, Any]], images: Sequence[Mapping[str, Tensor]]
) -> dict[str, list[Difference]]:
    """The differences of every metric that is a mean over images, where it compares."""
    alike = comparable(records)
    return {
        metric.name: paired_differences([each[metric.name] for each in images])
        for metric in METRICS
        if all(metric.name in each for each in images) and (alike or not metric.likelihood_bound)
    }


def best(
    records: Sequence[dict[str, Any]], found: Mapping[str, Sequence[Difference]]
) -> dict[str, list[int]]:
    """By metric, the positions of the best model and of all that are not significantly worse.

    A metric is missing if no direction is better, or if its noise is unknown, as for `fid`.

    >>> records = [{"ssim": 0.7}, {"ssim": 0.6}, {"ssim": 0.3}]
    >>> noise = Difference(0, 1, -0.1, 0.09, 0.3)
    >>> best(records, {"ssim": [noise, Difference(0, 2, -0.4, 0.09, 0.0)]})
    {'ssim': [0, 1]}
    """
    return {
        metric.name: _leaders(metric, records, found[metric.name])
        for metric in METRICS
        if metric.better and metric.name in found
    }


def _leaders(
    metric: Metric, records: Sequence[dict[str, Any]], found: Sequence[Difference]
) -> list[int]:
    sign = 1 if metric.better == LOWER else -1
    known = [i for i, record in enumerate(records) if record[metric.name] is not None]
    top = min(known, key=lambda i: sign * records[i][metric.name], default=None)
    worse = {
        (d.first if d.second == top else d.second)
        for d in found
        if top in (d.first, d.second) and d.p < SIGNIFICANCE
    }
    return [i for i in range(len(records)) if i not in worse]


def comparison_record(
    records: Sequence[dict[str, Any]], images: Sequence[Mapping[str, Tensor]]
) -> dict[str, Any]:
    """The records of models, the best by metric, and their differences, in values for JSON.

    Each record has its model's name under `model`.
    """
    names = [record["model"] for record in records]
    found = differences(records, images)
    return {
        "models": [*records],
        "best": {metric: [names[i] for i in tops] for metric, tops in best(records, found).items()},
        "differences": {
            metric: [_described(each, names) for each in pairs] for metric, pairs in found.items()
        },
    }


def _described(each: Difference, names: Sequence[str]) -> dict[str, Any]:
    numbers = {"difference": each.mean, "stderr": each.stderr, "p_holm": each.p}
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {"first": names[each.first], "second": names[each.second], **finite}
