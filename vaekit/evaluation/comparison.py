"""Several models on the same images: which is best at what, where that can be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaekit.evaluation.metrics import BETTER, LOWER, NATS

KINDS = {
    "mse": "a density",
    "gaussian": "a density",
    "logistic": "256 levels",
    "bernoulli": "black and white",
    "bce": "no likelihood",
}
"""What the nats of a likelihood are of: those of different kinds do not compare."""


def reconstruction_kind(record: dict[str, Any]) -> tuple[str, str | None]:
    """What a record's nats are of; black and white is not the same data when drawn otherwise."""
    likelihood = record["likelihood"]
    return KINDS.get(likelihood, likelihood), record["binarization"]


def comparable(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the nats of all of them are of one kind."""
    return len({reconstruction_kind(record) for record in records}) <= 1


def best(records: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """By metric, the places of the best records: none where a metric has no better and worse.

    >>> one = {"likelihood": "mse", "binarization": None, "neg_elbo": 5.0, "ssim": 0.7}
    >>> best([one, {**one, "neg_elbo": 4.0}])
    {'neg_elbo': [1], 'ssim': [0, 1]}
    """
    found = {}
    for name, direction in BETTER.items():
        values = [record.get(name) for record in records]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or (name in NATS and not comparable(records)):
            continue
        top = min(known) if direction == LOWER else max(known)
        found[name] = [place for place, value in enumerate(values) if value == top]
    return found
