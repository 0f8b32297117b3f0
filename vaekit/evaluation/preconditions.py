"""What cannot be evaluated, and why: said before any long work, in one line."""

from __future__ import annotations

from vaekit.data import ImageSet
from vaekit.errors import DataError, UsageError
from vaekit.evaluation.factor_scores import why_no_factors
from vaekit.evaluation.image_features import FEATURES
from vaekit.evaluation.metrics import FACTOR_METRICS, FEWEST_IMAGES, MetricRequest
from vaekit.inference import Model
from vaekit.likelihoods import Likelihood
from vaekit.registry import near_miss

NOT_A_LIKELIHOOD = (
    "bce is not a likelihood (it is not normalised over grey levels): its nats compare only with "
    "those of other models trained with bce"
)


def refuse_unfit_evaluation(
    model: Model, images: ImageSet, wanted: MetricRequest, points: ImageSet | None = None
) -> dict[str, str]:
    """Raise where something was asked for that cannot be had.

    Where `all` was asked for, what these images cannot give is not an error: it comes back, by
    name, with the reason.
    """
    _refuse_words(model.network.likelihood, wanted)
    absent = _too_few(images, wanted)
    reason = why_no_factors(points or images, model.latent_dim)
    if reason:
        absent |= {name: reason for name in FACTOR_METRICS if name in wanted.metrics}
    for name, why in absent.items():
        if not wanted.everything:
            raise DataError(f"--metrics {name}: {why}")
    return absent


def _refuse_words(likelihood: Likelihood, wanted: MetricRequest) -> None:
    """What no images could give."""
    if wanted.features not in FEATURES:
        raise UsageError(f"--features {wanted.features}: {near_miss(wanted.features, FEATURES)}")
    if "bits_per_dim" in wanted.metrics and not likelihood.discrete:
        raise UsageError(f"--metrics bits_per_dim: {why_no_bits(likelihood.name)}")
    if wanted.nll_samples is None:
        if "nll" in wanted.metrics:
            raise UsageError("--metrics nll: say how many draws, such as --nll-samples 1000")
        return
    refuse_draws(likelihood, wanted.nll_samples)


def refuse_draws(likelihood: Likelihood, samples: int) -> None:
    """Importance weighting needs draws, and a likelihood to weigh them by."""
    if samples < 1:
        raise UsageError(f"--nll-samples {samples}: at least 1")
    if not likelihood.normalised:
        raise UsageError(f"--nll-samples: {NOT_A_LIKELIHOOD}")


def _too_few(images: ImageSet, wanted: MetricRequest) -> dict[str, str]:
    return {
        name: f"{len(images)} images, and at least {fewest} are needed"
        for name, fewest in FEWEST_IMAGES.items()
        if name in wanted.metrics and len(images) < fewest
    }


def why_no_bits(likelihood: str) -> str:
    """Why a likelihood has no bits per dimension."""
    if likelihood == "bce":
        return "bce is not a likelihood"
    return f"{likelihood} is a density, which no number of bits writes down"
