"""The list of metrics: name, unit, direction, meaning, and what each needs.

The table and the JSON of `evaluate`, `compare`, `--metrics` and the documentation read this list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vaekit.errors import UsageError
from vaekit.registry import near_miss

LOWER, HIGHER = "lower", "higher"
BOUND, LATENTS, IMAGES, SAMPLES, FACTORS = "bound", "latents", "images", "samples", "factors"


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation."""

    name: str
    meaning: str
    """One line for the documentation."""
    group: str
    """What it is computed from: one of BOUND, LATENTS, IMAGES, SAMPLES, FACTORS."""
    unit: str = ""
    better: str | None = None
    """LOWER, HIGHER, or None where neither is better by itself, as for a KL."""
    optional: bool = False
    """Computed only if `--metrics` names it."""
    per_dimension: bool = False
    likelihood_bound: bool = False
    """Compares only between models whose likelihoods are of one kind."""
    fewest_images: int = 1
    needs: str = ""
    """What the data or the command line must have."""


NLL_SAMPLES = "--nll-samples K"
NLL_REFINED = "--nll-samples K --nll refined"
A_LIKELIHOOD = "a likelihood, so not bce"
NONLINEAR = "nonlinear_total_correlation"
NLL_AIS = "--nll-samples K --nll ais"
NLL_METHODS = ("importance", "refined", "ais")
TEMPERATURES = 100
"""The steps of each chain of annealed importance sampling, unless told otherwise."""

METRICS = (
    Metric("neg_elbo", "reconstruction + kl, one draw of z per image", BOUND, "nats", LOWER,
           likelihood_bound=True),
    Metric("reconstruction", "−log p(x|z)", BOUND, "nats", likelihood_bound=True),
    Metric("kl", "KL(q(z|x) ‖ p(z)), in closed form", BOUND, "nats"),
    Metric("kl_per_dim", "the KL of each latent dimension", BOUND, "nats", per_dimension=True),
    Metric("bits_per_dim", "neg_elbo / (values · ln 2)", BOUND, "bits", LOWER,
           likelihood_bound=True, needs="a discrete likelihood"),
    Metric("nll", "minus the importance weighted bound", BOUND, "nats", LOWER,
           likelihood_bound=True, needs=NLL_SAMPLES),
    Metric("nll_mc_stderr", "standard error of nll over other draws", BOUND, "nats",
           needs=NLL_SAMPLES),
    Metric("nll_ess", "effective sample size of an image's draws, the median", BOUND, "draws",
           needs=NLL_SAMPLES),
    Metric("nll_pareto_k_bad", "share of images with Pareto k above 0.7: nll unreliable", BOUND,
           needs=NLL_SAMPLES),
    Metric("nll_gap", "nats between lower and upper bound, on images that the model drew", BOUND,
           "nats", needs=NLL_AIS),
    Metric("amortisation_gap", "nats lost since the encoder infers q, not a fit to each image",
           BOUND, "nats", needs=NLL_REFINED),
    Metric("approximation_gap", "nats lost since q is a diagonal normal", BOUND, "nats",
           needs=NLL_REFINED),
    Metric("active_units", "dimensions whose posterior mean has a variance over 0.01", LATENTS),
    Metric("mutual_information", "I(x; z), at most log n", LATENTS, "nats"),
    Metric("aggregate_kl", "KL(q(z) ‖ p(z)) = kl − mutual_information; too high for few images",
           LATENTS, "nats"),
    Metric("aggregate_kl_floor", "KL(q(z) ‖ p(z)) is at least this", LATENTS, "nats"),
    Metric("total_correlation", "linear dependence between dimensions of q(z)", LATENTS, "nats",
           optional=True),
    Metric(NONLINEAR, "any dependence between dimensions of q(z), at least this", LATENTS,
           "nats", optional=True, needs="100 images, and 4 per latent"),
    Metric("mse", "mean squared error of reconstructions", IMAGES, "", LOWER),
    Metric("psnr", "peak signal-to-noise ratio of reconstructions", IMAGES, "dB", HIGHER),
    Metric("ssim", "structural similarity of reconstructions", IMAGES, "", HIGHER),
    Metric("explained_variance", "1 − mse / the images' variance", IMAGES),
    Metric("calibration", "how far F(x|z) of pixels is from uniform: 0 is calibrated",
           IMAGES, "", LOWER, optional=True, needs=A_LIKELIHOOD),
    Metric("calibration_bias", "above 0: pixels are brighter than p(x|z) says", IMAGES,
           optional=True, needs=A_LIKELIHOOD),
    Metric("calibration_spread", "below 1: p(x|z) is too wide; above 1: too narrow", IMAGES,
           optional=True, needs=A_LIKELIHOOD),
    Metric("fid", "Fréchet distance between features of drawn and real images", SAMPLES, "", LOWER,
           optional=True, fewest_images=2),
    Metric("fid_infinity", "fid extrapolated to infinitely many images", SAMPLES, "", LOWER,
           optional=True, fewest_images=20),
    Metric("kid", "squared maximum mean discrepancy between the same", SAMPLES, "", LOWER,
           optional=True, fewest_images=2),
    *(
        Metric(name, meaning, SAMPLES, "", HIGHER, optional=True, fewest_images=6)
        for name, meaning in {
            "precision": "share of drawn images near a real one",
            "recall": "share of real images near a drawn one",
            "density": "precision, counted so that outliers weigh less",
            "coverage": "recall, counted so that outliers weigh less",
        }.items()
    ),
    *(
        Metric(name, meaning, FACTORS, "", HIGHER, optional=True, needs="images with factors")
        for name, meaning in {
            "mig": "mutual information gap between the two best latents of a factor",
            "sap": "accuracy gap between the two best latents of a factor",
            "dci_disentanglement": "whether a latent follows one factor",
            "dci_completeness": "whether a factor is in one latent",
            "dci_informativeness_train": "accuracy of predicting factors, where trees were fitted",
            "dci_informativeness_test": "the same on other images",
            "factorvae": "accuracy of naming the fixed factor by the latent that varies least",
            "betavae": "accuracy of naming the fixed factor by a linear classifier",
        }.items()
    ),
)  # fmt: skip
"""In the order of the table and of the JSON."""

METRICS_BY_NAME = {metric.name: metric for metric in METRICS}
EXTRA = tuple(metric.name for metric in METRICS if metric.optional)
"""What `--metrics all` adds."""


def in_group(group: str, *, optional: bool) -> tuple[str, ...]:
    """The names of one group, computed always or on request.

    >>> in_group(SAMPLES, optional=True)
    ('fid', 'fid_infinity', 'kid', 'precision', 'recall', 'density', 'coverage')
    """
    return tuple(m.name for m in METRICS if m.group == group and m.optional == optional)


SAMPLE_METRICS = in_group(SAMPLES, optional=True)
FACTOR_METRICS = in_group(FACTORS, optional=True)
DCI_METRICS = tuple(name for name in FACTOR_METRICS if name.startswith("dci_"))
CALIBRATION_METRICS = tuple(name for name in EXTRA if name.startswith("calibration"))

FEWEST_POINTS = 150
"""Images with factors, under which a score of disentanglement is noise."""


@dataclass(frozen=True)
class NllSettings:
    """How log p(x) is estimated."""

    samples: int
    """Draws per image, or chains of annealed importance sampling."""
    method: str = "importance"
    """One of NLL_METHODS."""
    temperatures: int = TEMPERATURES
    """Steps of each chain."""


@dataclass(frozen=True)
class MetricRequest:
    """What to evaluate, beside what is always computed."""

    metrics: frozenset[str] = frozenset()
    everything: bool = False
    """Whether `all` was given: what the data cannot give is left out, with reasons."""
    nll_samples: int | None = None
    nll: str = "importance"
    """How log p(x) is estimated: one of NLL_METHODS."""
    nll_temperatures: int = TEMPERATURES
    seeds: int = 1
    """How often samples are drawn for the sample metrics."""
    features: str = "inception"
    inception_weights: Path | None = None
    seed: int = 0
    batch_size: int | None = field(default=None, compare=False)
    allow_trained: bool = False
    """Whether images that the model was trained on are meant: no warning then."""

    @property
    def nll_settings(self) -> NllSettings | None:
        """How log p(x) is estimated; None if it is not."""
        if self.nll_samples is None:
            return None
        return NllSettings(self.nll_samples, self.nll, self.nll_temperatures)

    def any_of(self, names: Iterable[str]) -> bool:
        """Whether one of them was requested."""
        return bool(self.metrics.intersection(names))


def parse(text: str | None) -> tuple[frozenset[str], bool]:
    """The metrics in `fid,mig` or `all`, and whether `all` was one of the names.

    >>> sorted(parse("mig, fid")[0]), parse("all")[1], parse(None)
    (['fid', 'mig'], True, (frozenset(), False))
    """
    pieces = [name.strip().replace("-", "_") for name in (text or "").split(",")]
    chosen = [name for name in pieces if name]
    known = (*METRICS_BY_NAME, "all")
    if text is not None and not chosen:
        raise UsageError(f"--metrics {text!r} is empty: choose from {', '.join(known)}")
    for name in chosen:
        if name not in known:
            raise UsageError(f"--metrics {name}: {near_miss(name, known)}")
    everything = "all" in chosen
    return frozenset(EXTRA if everything else ()) | (frozenset(chosen) - {"all"}), everything
