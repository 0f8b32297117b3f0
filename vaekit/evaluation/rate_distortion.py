"""The points of a rate-distortion plot, from the records and the headers of models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vaekit.errors import UsageError
from vaekit.evaluation.comparison import comparable
from vaekit.model_file.header import ModelHeader
from vaekit.output.rate_distortion_plot import RatePoint
from vaekit.registry import resolve

LONGEST_CURVE_NAME = 60


def refuse_other_kinds(headers: Sequence[ModelHeader]) -> None:
    """Refuse models whose distortions cannot share an axis."""
    specs = [header.likelihood for header in headers]
    if not comparable([{"likelihood": s.name, "binarization": s.binarize} for s in specs]):
        raise UsageError(
            "--plot: the likelihoods differ in kind, so their nats do not compare; plot models of "
            "one kind"
        )


def nats_of(headers: Sequence[ModelHeader]) -> str:
    """The unit of the axes, with a warning where the nats are of no likelihood.

    >>> nats_of([])
    'nats per image'
    """
    names = {header.likelihood.name for header in headers}
    marked = [name for name in sorted(names) if not resolve("likelihood", name).normalised]
    return f"nats per image{f' ({marked[0]}: not a likelihood)' if marked else ''}"


def rate_points(
    records: Sequence[Mapping[str, Any]], headers: Sequence[ModelHeader]
) -> list[RatePoint]:
    """A point per model. Models that differ in beta alone are one curve, in the order of beta.

    Each record has its model's name under `model`.
    """
    configs = [_without_beta(header) for header in headers]
    keys = [json.dumps(config, sort_keys=True) for config in configs]
    names = _curve_names(keys, configs, [str(record["model"]) for record in records])
    order = sorted(range(len(records)), key=lambda i: (keys.index(keys[i]), _beta(headers[i])))
    return [_point(records[i], headers[i], names[keys[i]]) for i in order]


def _point(record: Mapping[str, Any], header: ModelHeader, curve: str) -> RatePoint:
    rate, distortion, rate_error, distortion_error = (
        math.nan if record.get(name) is None else float(record[name])
        for name in ("kl", "reconstruction", "kl_stderr", "reconstruction_stderr")
    )
    label = f"β {_beta(header):g}"
    return RatePoint(label, rate, distortion, rate_error, distortion_error, curve)


def _beta(header: ModelHeader) -> float:
    value = header.objective.get("beta")
    return float(value) if isinstance(value, int | float) else 1.0


def _without_beta(header: ModelHeader) -> dict[str, Any]:
    config = header.training.get("config")
    return {k: v for k, v in config.items() if k != "beta"} if isinstance(config, dict) else {}


def _curve_names(
    keys: Sequence[str], configs: Sequence[Mapping[str, Any]], models: Sequence[str]
) -> dict[str, str]:
    """What sets a curve apart from the others, such as `latent_dim 8`; none for a single curve.

    The path of its first model where the options do not say, or say too much.
    """
    if len({*keys}) == 1:
        return {keys[0]: ""}
    options = dict.fromkeys(name for config in configs for name in config)
    telling = [name for name in options if len({str(c.get(name)) for c in configs}) > 1]
    found: dict[str, str] = {}
    for key, config, model in zip(keys, configs, models, strict=True):
        known = [(name, config.get(name)) for name in telling]
        text = ", ".join(f"{name} {value}" for name, value in known if value is not None)
        found.setdefault(key, text if 0 < len(text) <= LONGEST_CURVE_NAME else model)
    return found
