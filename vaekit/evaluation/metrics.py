"""The metrics by name: which there are, what each needs, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vaekit.errors import UsageError
from vaekit.registry import near_miss

ALWAYS = (
    "neg_elbo", "reconstruction", "kl", "kl_per_dim", "bits_per_dim", "active_units",
    "mse", "psnr", "ssim",
)  # fmt: skip
"""Computed whatever is asked for; `bits_per_dim` where it means something."""
LATENTS = ("total_correlation",)
SAMPLE_METRICS = ("fid", "kid", "precision", "recall", "density", "coverage")
DCI_METRICS = (
    "dci_disentanglement", "dci_completeness",
    "dci_informativeness_train", "dci_informativeness_test",
)  # fmt: skip
FACTOR_METRICS = ("mig", "sap", *DCI_METRICS, "factorvae", "betavae")
EXTRA = (*LATENTS, *SAMPLE_METRICS, *FACTOR_METRICS)
METRIC_NAMES = (*ALWAYS, "nll", *EXTRA)

LOWER, HIGHER = "lower", "higher"
NATS = ("neg_elbo", "nll", "bits_per_dim")
BETTER = {
    **dict.fromkeys((*NATS, "mse", "fid", "kid"), LOWER),
    **dict.fromkeys(("psnr", "ssim", *SAMPLE_METRICS[2:], *FACTOR_METRICS), HIGHER),
}
"""Where there is a better; a KL or a total correlation is neither good nor bad by itself."""

FEWEST_IMAGES = {"fid": 2, "kid": 2, **dict.fromkeys(SAMPLE_METRICS[2:], 6)}
FEWEST_POINTS = 150
"""Images with factors, under which a score of disentanglement is noise."""


@dataclass(frozen=True)
class MetricRequest:
    """What to evaluate, beside what is always computed."""

    metrics: frozenset[str] = frozenset()
    everything: bool = False
    """Whether `all` was asked for: then what the data cannot give is left out and named."""
    nll_samples: int | None = None
    features: str = "inception"
    inception_weights: Path | None = None
    seed: int = 0
    batch_size: int | None = field(default=None, compare=False)

    def any_of(self, names: Sequence[str]) -> bool:
        """Whether one of them is wanted."""
        return bool(self.metrics.intersection(names))


def parse(text: str | None) -> tuple[frozenset[str], bool]:
    """The metrics in `fid,mig` or `all`, and whether it was all.

    >>> sorted(parse("mig, fid")[0]), parse("all")[1], parse(None)
    (['fid', 'mig'], True, (frozenset(), False))
    """
    named = [name.strip().replace("-", "_") for name in (text or "").split(",")]
    chosen = [name for name in named if name]
    if text is not None and not chosen:
        raise UsageError(
            f"--metrics {text!r} names none: choose from all, {', '.join(METRIC_NAMES)}"
        )
    for name in chosen:
        if name not in (*METRIC_NAMES, "all"):
            raise UsageError(f"--metrics {name}: {near_miss(name, (*METRIC_NAMES, 'all'))}")
    everything = "all" in chosen
    return frozenset(EXTRA if everything else ()) | (frozenset(chosen) - {"all"}), everything
