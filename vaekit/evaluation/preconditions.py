"""Refuses what cannot be evaluated, with the reason, before any long work."""

from __future__ import annotations

from vaekit.data import ImageSet
from vaekit.errors import DataError, UsageError
from vaekit.evaluation.aggregate_posterior.density_ratio import images_needed
from vaekit.evaluation.factor_scores import why_no_factors
from vaekit.evaluation.log_likelihood.refined_posterior import MOST_LATENTS
from vaekit.evaluation.metrics import (
    A_LIKELIHOOD,
    FACTOR_METRICS,
    METRICS,
    NLL_AIS,
    NLL_METHODS,
    NLL_REFINED,
    NLL_SAMPLES,
    NONLINEAR,
    TEMPERATURES,
    MetricRequest,
)
from vaekit.evaluation.samples.image_features import FEATURES
from vaekit.inference import Model
from vaekit.likelihoods import Likelihood
from vaekit.models.vae import VAE
from vaekit.registry import near_miss


def not_normalised(likelihood: Likelihood) -> str:
    """The warning beside nats that are no log-likelihood."""
    return (
        f"{likelihood.name} is not a likelihood (it is not normalised over grey levels): its nats "
        f"compare only with those of other models trained with {likelihood.name}"
    )


def refuse_unfit_evaluation(
    model: Model, images: ImageSet, request: MetricRequest, points: ImageSet | None = None
) -> dict[str, str]:
    """Raise where a requested metric cannot be computed.

    With `--metrics all`, metrics that these images cannot give are returned with their reasons.
    """
    _refuse_request(model.network, request)
    likelihood = model.network.likelihood
    absent = _too_few(images, request, model.network) | _without_likelihood(likelihood, request)
    reason = why_no_factors(points or images, model.latent_dim)
    if reason:
        absent |= {name: reason for name in FACTOR_METRICS if name in request.metrics}
    for name, why in absent.items():
        if not request.everything:
            raise DataError(f"--metrics {name}: {why}")
    return absent


def _refuse_request(network: VAE, request: MetricRequest) -> None:
    """Refuse what no images could give."""
    likelihood = network.likelihood
    if request.seeds < 1:
        raise UsageError(f"--seeds {request.seeds}: at least 1")
    if request.features not in FEATURES:
        raise UsageError(f"--features {request.features}: {near_miss(request.features, FEATURES)}")
    if "bits_per_dim" in request.metrics and not likelihood.discrete:
        raise UsageError(f"--metrics bits_per_dim: {why_no_bits(likelihood)}")
    for name, why in _without_likelihood(likelihood, request).items():
        if not request.everything:
            raise UsageError(f"--metrics {name}: {why}")
    _refuse_without_draws(request)
    refuse_draws(network, request.nll_samples, request.nll, request.nll_temperatures)


def _refuse_without_draws(request: MetricRequest) -> None:
    """Refuse metrics that need draws, or fitted posteriors, which were not asked for."""
    for metric in METRICS:
        if metric.name not in request.metrics:
            continue
        if metric.needs == NLL_SAMPLES and request.nll_samples is None:
            raise UsageError(
                f"--metrics {metric.name}: give the number of draws, such as --nll-samples 1000"
            )
        for needed, method in ((NLL_REFINED, "refined"), (NLL_AIS, "ais")):
            if metric.needs == needed and request.nll != method:
                raise UsageError(f"--metrics {metric.name}: needs {needed}")


def refuse_draws(
    network: VAE,
    samples: int | None,
    method: str = "importance",
    temperatures: int = TEMPERATURES,
) -> None:
    """Refuse importance weighting without draws, or of a model that does not allow it."""
    _refuse_method(method, temperatures)
    if samples is None:
        if method != "importance":
            usual = 16 if method == "ais" else 1000
            raise UsageError(f"--nll {method}: give the number of draws too: --nll-samples {usual}")
        return
    for flag, number in (("--nll-samples", samples), ("--nll-temperatures", temperatures)):
        if number < 1:
            raise UsageError(f"{flag} {number}: at least 1")
    if not network.likelihood.normalised:
        raise UsageError(f"--nll-samples: {not_normalised(network.likelihood)}")
    if method == "refined" and network.latent_dim > MOST_LATENTS:
        raise UsageError(
            f"--nll refined: the model has {network.latent_dim:,} latents, and a posterior is "
            f"fitted to {MOST_LATENTS} at most; use --nll ais or importance"
        )


def _refuse_method(method: str, temperatures: int) -> None:
    if method not in NLL_METHODS:
        raise UsageError(f"--nll {method}: {near_miss(method, NLL_METHODS)}")
    if method != "ais" and temperatures != TEMPERATURES:
        raise UsageError(f"--nll-temperatures is for --nll ais, not for --nll {method}")


def _without_likelihood(likelihood: Likelihood, request: MetricRequest) -> dict[str, str]:
    """The requested metrics that need a likelihood, where there is none, with the reason."""
    if likelihood.normalised:
        return {}
    why = f"{likelihood.name} is not a likelihood: it does not say how grey levels are spread"
    return {m.name: why for m in METRICS if m.needs == A_LIKELIHOOD and m.name in request.metrics}


def _too_few(images: ImageSet, request: MetricRequest, network: VAE) -> dict[str, str]:
    needed = {metric.name: metric.fewest_images for metric in METRICS}
    if network.factorised:  # a hierarchy has none, whatever the number
        needed[NONLINEAR] = images_needed(network.latent_dim)
    return {
        name: f"{len(images)} images, and at least {needed[name]} are needed"
        for name in needed
        if name in request.metrics and len(images) < needed[name]
    }


def why_no_bits(likelihood: Likelihood) -> str:
    """Why a likelihood has no bits per dimension."""
    if not likelihood.normalised:
        return f"{likelihood.name} is not a likelihood"
    return f"{likelihood.name} is {likelihood.kind}: bits per dimension are undefined"
