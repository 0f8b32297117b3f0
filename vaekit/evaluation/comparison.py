"""Several models on the same images: the best value of each metric, where they compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaekit.evaluation.metrics import LOWER, METRICS
from vaekit.registry import resolve


def reconstruction_kind(record: dict[str, Any]) -> tuple[str, str | None]:
    """What a record's nats measure; other binarizations of the same images are other data."""
    return resolve("likelihood", record["likelihood"]).kind, record["binarization"]


def comparable(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the nats of all of them are of one kind."""
    return len({reconstruction_kind(record) for record in records}) <= 1


def best(records: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """The positions of the best records by metric, where the metric has a better direction.

    >>> one = {"likelihood": "mse", "binarization": None, "neg_elbo": 5.0, "ssim": 0.7}
    >>> best([one, {**one, "neg_elbo": 4.0}])
    {'neg_elbo': [1], 'ssim': [0, 1]}
    """
    found = {}
    for metric in METRICS:
        values = [record.get(metric.name) for record in records]
        known = [value for value in values if value is not None]
        if metric.better is None or len(known) < len(values):
            continue
        if metric.likelihood_bound and not comparable(records):
            continue
        top = min(known) if metric.better == LOWER else max(known)
        found[metric.name] = [place for place, value in enumerate(values) if value == top]
    return found
