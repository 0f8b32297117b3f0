"""The numbers of single images, for `vaekit score`."""

from __future__ import annotations

import math

import torch

from vaekit.data.imageset import Pixels
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import TERMS
from vaekit.evaluation.log_likelihood.estimates import estimate_log_likelihood
from vaekit.evaluation.metrics import NllSettings
from vaekit.evaluation.outliers import OUTLIER_COLUMNS, image_statistics, outlier_scores
from vaekit.image_arguments import as_floats
from vaekit.inference import Model

NLL_COLUMNS = ("nll", "nll_ess", "nll_pareto_k")


def scores(
    model: Model,
    images: Pixels | torch.Tensor,
    *,
    start: int = 0,
    nll: NllSettings | None = None,
    seed: int = 0,
) -> dict[str, list[float | None]]:
    """The numbers of each image (N, H, W, C), by the names of `columns`.

    The draws are keyed by the seed and the image's number, counted from `start`: they are those of
    `evaluate`, whose numbers are the means of these.
    """
    floats = as_floats(images).to(model.device)
    indices = torch.arange(start, start + len(floats))
    x = binarize(floats, indices, model.header.likelihood.binarize, seed)
    header = model.header
    statistics = image_statistics(model.network, x, header.latents, start=start, seed=seed)
    model.check_finite("ELBO terms", *(statistics[name] for name in TERMS))
    found = {name: _numbers(statistics[name]) for name in TERMS}
    if header.known is not None:
        outlying = outlier_scores(statistics, header.known)
        found |= {name: _numbers(values) for name, values in outlying.items()}
    if nll is not None:
        estimate = estimate_log_likelihood(model.network, x, nll, seed=seed, start=start)
        values = (-estimate.bound, estimate.effective, estimate.pareto_k)
        found |= {name: _numbers(each) for name, each in zip(NLL_COLUMNS, values, strict=True)}
    return found


def columns(model: Model, nll: NllSettings | None = None) -> list[str]:
    """The names of the numbers that `scores` gives."""
    outlying = list(OUTLIER_COLUMNS) if model.header.known is not None else []
    if outlying and not model.network.factorised:
        outlying.remove("latent_distance")
    return [*TERMS, *outlying, *(NLL_COLUMNS if nll else ())]


def _numbers(values: torch.Tensor) -> list[float | None]:
    """Values for JSON, in the shortest digits that give the same float32; NaN becomes None."""
    shortest = [float(str(value)) for value in values.float().cpu().numpy()]
    return [value if math.isfinite(value) else None for value in shortest]
