"""The numbers of an evaluation as people read them: with errors, units, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

USUAL = (
    "neg_elbo", "reconstruction", "kl", "nll", "bits_per_dim", "active_units", "aggregate_kl",
    "total_correlation", "mse", "psnr", "ssim", "explained_variance",
)  # fmt: skip
METRIC_UNITS = {
    "neg_elbo": "nats", "reconstruction": "nats", "kl": "nats", "nll": "nats",
    "bits_per_dim": "bits", "aggregate_kl": "nats", "total_correlation": "nats", "psnr": "dB",
}  # fmt: skip
SAMPLES = ("fid", "kid", "precision", "recall", "density", "coverage")
FACTORS = (
    "mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness_train",
    "dci_informativeness_test", "factorvae", "betavae",
)  # fmt: skip
ROWS = (*USUAL, *SAMPLES, *FACTORS)
"""In the order of the table."""
MOST_LISTED = 8


def table(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values, a line each, with all that a reader must know of them."""
    yield "data", f"{record['dataset']} {record['split']}, {record['n']:,} images"
    binarization = f", binarization {record['binarization']}" if record["binarization"] else ""
    yield "likelihood", f"{record['likelihood']}{binarization}"
    yield from ((name, shown_number(name, record)) for name in ROWS if name in record)
    yield "kl_per_dim", _largest(record["kl_per_dim"])
    for name in ("sample_settings", "factor_settings"):
        if name in record:
            yield name, _settings(record[name])
    for reason, names in _absent(record["absent"]):
        yield "left out", f"{', '.join(names)}: {reason}"
    yield from (("note", note) for note in record["notes"])
    yield "diagnosis", record["diagnosis"]


def shown_number(name: str, record: dict[str, Any]) -> str:
    """A number with its standard error, its unit, and what it is not."""
    error = record.get(f"{name}_stderr")
    parts = [_number(record[name])]
    if error is not None:
        parts.append(f"± {error:.2g}")
    parts += [METRIC_UNITS[name]] if name in METRIC_UNITS else []
    if name == "nll":
        parts.append(f"({record['nll_samples']:,} draws an image)")
    if record["likelihood"] == "bce" and name in ("neg_elbo", "reconstruction"):
        parts.append("(not a likelihood)")
    if name == "active_units":
        parts.append(f"of {len(record['kl_per_dim'])}")
    if name in SAMPLES:
        parts.append(f"(features: {record['features']})")
    return " ".join(parts)


def _number(value: Any) -> str:
    """Enough digits to compare by.

    >>> _number(86.76123), _number(0.012345), _number(12), _number(None)
    ('86.76', '0.01235', '12', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4g}"


def _largest(kl: list[float | None]) -> str:
    """The dimensions that carry most, by number."""
    order = sorted(range(len(kl)), key=lambda i: -(kl[i] or 0.0))
    texts = [f"z{i} {kl[i] or 0.0:.2f}" for i in order[:MOST_LISTED]]
    rest = len(kl) - len(texts)
    return ", ".join(texts) + (f" and {rest} more" if rest else "")


def _settings(settings: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        return "/".join(map(text, value)) if isinstance(value, list) else str(value)

    return ", ".join(f"{name.replace('_', ' ')} {text(value)}" for name, value in settings.items())


def _absent(absent: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Metrics that are missing for one reason, together."""
    for reason, names in groupby(absent, key=lambda name: absent[name]):
        yield reason, list(names)
