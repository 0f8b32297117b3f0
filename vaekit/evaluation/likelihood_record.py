"""What an evaluation says of log p(x): the bound, its settings, and how far to trust it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaekit.evaluation.dataset_elbo import standard_error
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.log_likelihood.annealed_importance import (
    SIMULATED,
    gradients_of_chains,
    simulated_interval,
)
from vaekit.evaluation.log_likelihood.hamiltonian import LEAPFROG_STEPS
from vaekit.evaluation.log_likelihood.nll import unreliable_share, why_unreliable
from vaekit.evaluation.log_likelihood.refined_posterior import MOST_LATENTS
from vaekit.evaluation.metrics import MetricRequest, NllSettings
from vaekit.evaluation.shared_passes import importance_estimates

WIDE_GAP = 1.0
"""Nats between the bounds on simulated images, from which a warning is due."""


def likelihood_record(
    subject: EvaluatedModel, request: MetricRequest, per_image: dict[str, Tensor]
) -> dict[str, Any]:
    """Minus the bound, the number of draws, and how far to trust it."""
    how = request.nll_settings
    if how is None:
        return {}
    found = [*importance_estimates(subject, how)]
    bound, effective, k, variance = (
        torch.cat([getattr(one, name) for one in found])
        for name in ("bound", "effective", "pareto_k", "variance")
    )
    median, share = float(effective.median()), unreliable_share(k)
    warning = why_unreliable(share, median, how.samples, method=how.method)
    if warning:
        subject.warn(warning)
    per_image["nll"] = -bound
    gaps = [one.diagonal_elbo for one in found if one.diagonal_elbo is not None]
    return {
        "nll": -float(bound.mean()),
        "nll_stderr": standard_error(bound),
        "nll_samples": how.samples,
        "nll_method": how.method,
        "nll_mc_stderr": math.sqrt(float(variance.sum())) / len(variance),
        "nll_ess": median,
        "nll_pareto_k_bad": share,
        **(_simulated_gap(subject, how) if how.method == "ais" else {}),
        **(_inference_gap(torch.cat(gaps), bound, per_image) if gaps else {}),
    }


def _simulated_gap(subject: EvaluatedModel, how: NllSettings) -> dict[str, Any]:
    """How far apart bounds from below and above are on images that the model draws."""
    network, images = subject.model.network, min(SIMULATED, len(subject.images))
    each = gradients_of_chains(network, how.samples, how.temperatures, both_ways=True)
    label = "bounds on simulated images"
    with subject.reporter.task(label, each * images, "gradients") as task:
        found = simulated_interval(
            network, images, how.samples, how.temperatures, seed=subject.seed, task=task
        )
    gaps = found.upper - found.lower
    gap = float(gaps.mean())
    if gap > WIDE_GAP:
        subject.warn(
            f"nll may be up to {gap:.1f} nats too high, as it may be on images that the model "
            "drew; more --nll-temperatures narrows this"
        )
    return {
        "nll_gap": gap,
        "nll_gap_stderr": standard_error(gaps),
        "nll_settings": {
            "temperatures": how.temperatures,
            "leapfrog_steps": LEAPFROG_STEPS,
            "start": "refined" if network.latent_dim <= MOST_LATENTS else "encoder",
            "simulated_images": images,
        },
    }


def _inference_gap(best: Tensor, bound: Tensor, per_image: dict[str, Tensor]) -> dict[str, Any]:
    """What the ELBO lacks to log p(x), by cause: Cremer et al. 2018 (arXiv:1801.03558).

    `best` is the ELBO of each image under the best posterior of the encoder's own kind.
    """
    own = -per_image["neg_elbo"].double()
    per_image["amortisation_gap"], per_image["approximation_gap"] = best - own, bound - best
    found: dict[str, Any] = {}
    for name in ("amortisation_gap", "approximation_gap"):
        found[name] = float(per_image[name].mean())
        found[f"{name}_stderr"] = standard_error(per_image[name])
    return found
