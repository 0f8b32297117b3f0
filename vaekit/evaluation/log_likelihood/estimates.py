"""Estimates log p(x) by the method that is asked for: importance, refined or ais."""

from __future__ import annotations

from torch import Tensor

from vaekit.evaluation.log_likelihood.annealed_importance import (
    annealed_estimate,
    gradients_of_chains,
)
from vaekit.evaluation.log_likelihood.nll import ImportanceEstimate, importance_estimate
from vaekit.evaluation.log_likelihood.refined_posterior import gradients_of_fit
from vaekit.evaluation.metrics import NllSettings
from vaekit.models.vae import VAE
from vaekit.reporting import Task


def estimate_log_likelihood(
    network: VAE,
    x: Tensor,
    how: NllSettings,
    *,
    seed: int = 0,
    start: int = 0,
    task: Task | None = None,
) -> ImportanceEstimate:
    """Log p(x) of images (N, C, H, W), the first of which has the number `start`.

    The task counts `work_per_image`.

    Example:
        estimate_log_likelihood(network, x, NllSettings(16, "ais")).bound.mean()
    """
    if how.method == "ais":
        return annealed_estimate(
            network, x, how.samples, how.temperatures, seed=seed, start=start, task=task
        )
    refined = how.method == "refined"
    return importance_estimate(
        network, x, how.samples, seed=seed, start=start, refined=refined, task=task
    )


def work_per_image(network: VAE, how: NllSettings) -> tuple[int, str]:
    """What an estimate counts as progress, for each image, and its unit.

    Gradients take most of the time of a fit and of annealed importance sampling. A draw after a
    fit counts as one of its steps.
    """
    if how.method == "ais":
        return gradients_of_chains(network, how.samples, how.temperatures), "gradients"
    if how.method == "refined":
        return gradients_of_fit(network.latent_dim) + how.samples, "steps"
    return how.samples, "draws"
