"""The table of `evaluate`: numbers with errors and units, and what is missing and why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from vaekit import registry
from vaekit.evaluation.metrics import METRICS, METRICS_BY_NAME, NONLINEAR, SAMPLES
from vaekit.wording import counted

LISTED_DIMENSIONS = 8


def table(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values, one line each, with what a reader must know to quote them."""
    trained = f", {record['trained_on']:,} of them trained on" if record["trained_on"] else ""
    yield "data", f"{record['dataset']} {record['split']}, {counted(record['n'], 'image')}{trained}"
    binarization = f", binarization {record['binarization']}" if record["binarization"] else ""
    yield "likelihood", f"{record['likelihood']}{binarization}"
    for name in (metric.name for metric in METRICS if metric.name in record):
        yield name, shown_number(name, record)
    for name in ("nll_settings", "sample_settings", "factor_settings"):
        if name in record:
            yield name, _settings(record[name])
    for reason, names in _absent(record["absent"]):
        yield "left out", f"{', '.join(names)}: {reason}"
    yield from (("note", note) for note in record["notes"])
    yield "diagnosis", record["diagnosis"]


def shown_number(name: str, record: dict[str, Any]) -> str:
    """A number with its standard error, its unit, and what a reader must know to quote it."""
    metric, error = METRICS_BY_NAME[name], record.get(f"{name}_stderr")
    if metric.per_dimension:
        return _largest(record[name])
    parts = [_number(record[name])]
    if error is not None:
        parts.append(f"± {error:.2g}")
    parts += [metric.unit] if metric.unit else []
    return " ".join([*parts, *_remarks(name, record)])


def _remarks(name: str, record: dict[str, Any]) -> Iterator[str]:
    """The settings and limits of a number, and a warning where it is no likelihood."""
    if name in ("nll", "nll_gap"):
        yield f"({_draws(name, record)})"
    if name in ("neg_elbo", "reconstruction") and not _normalised(record):
        yield "(not a likelihood)"
    if name == "active_units":
        yield f"of {len(record['kl_per_dim'])}"
    if name == "mutual_information":
        yield f"(at most ln {record['n']} = {math.log(record['n']):.2f})"
    if name == NONLINEAR:
        yield f"or more (from {record['nonlinear_total_correlation_held_out']:,} held-out images)"
    if name == "calibration_spread":
        yield "(1 is calibrated)"
    if METRICS_BY_NAME[name].group == SAMPLES:
        yield from _of_samples(name, record)


def _draws(name: str, record: dict[str, Any]) -> str:
    """Which draws made the estimate of log p(x), or the images that tell how far off it is."""
    settings = record.get("nll_settings", {})
    if name == "nll_gap":
        return f"on {counted(settings['simulated_images'], 'image')} that the model drew"
    count, method = record["nll_samples"], record.get("nll_method")
    if method == "ais":
        chains, steps = counted(count, "chain"), counted(settings["temperatures"], "step")
        return f"{chains} an image, annealed in {steps}"
    return f"{counted(count, 'draw')} an image{', refined' if method == 'refined' else ''}"


def _of_samples(name: str, record: dict[str, Any]) -> Iterator[str]:
    """The scatter over sampling seeds, the number between real images, and the features."""
    if f"{name}_sd" in record:
        yield f"(sd {record[f'{name}_sd']:.2g} over {record['sample_settings']['seeds']} seeds)"
    floor = record.get("real_against_real", {})
    if name in floor:
        yield f"(real against real, {floor['n']:,} each: {_number(floor[name])})"
    yield f"(features: {record['features']})"


def _normalised(record: dict[str, Any]) -> bool:
    return bool(registry.resolve("likelihood", record["likelihood"]).normalised)


def _number(value: Any) -> str:
    """Four digits, or two decimals from 10 on.

    >>> _number(86.76123), _number(0.012345), _number(12), _number(None)
    ('86.76', '0.01235', '12', 'unknown')
    """
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4g}"


def _largest(kl: list[float | None]) -> str:
    """The dimensions with the largest KL, by number."""
    order = sorted(range(len(kl)), key=lambda i: -(kl[i] or 0.0))
    texts = [f"z{i} {kl[i] or 0.0:.2f}" for i in order[:LISTED_DIMENSIONS]]
    rest = len(kl) - len(texts)
    return ", ".join(texts) + (f" and {rest} more" if rest else "")


def _settings(settings: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        return "/".join(map(text, value)) if isinstance(value, list) else str(value)

    return ", ".join(f"{name.replace('_', ' ')} {text(value)}" for name, value in settings.items())


def _absent(absent: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """The reasons why metrics are missing, each with the names it applies to."""
    for reason, names in groupby(absent, key=lambda name: absent[name]):
        yield reason, list(names)
