"""The numbers of single images, for `vaekit score`."""

from __future__ import annotations

import math

import torch

from vaekit.data.imageset import Pixels
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import TERMS
from vaekit.evaluation.log_likelihood.nll import importance_estimate
from vaekit.evaluation.outliers import OUTLIER_COLUMNS, image_statistics, outlier_scores
from vaekit.image_arguments import as_floats
from vaekit.inference import Model

NLL_COLUMNS = ("nll", "nll_ess", "nll_pareto_k")


def scores(
    model: Model,
    images: Pixels | torch.Tensor,
    *,
    start: int = 0,
    samples: int | None = None,
    refined: bool = False,
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
    if samples is not None:
        estimate = importance_estimate(
            model.network, x, samples, seed=seed, start=start, refined=refined
        )
        values = (-estimate.bound, estimate.effective, estimate.pareto_k)
        found |= {name: _numbers(each) for name, each in zip(NLL_COLUMNS, values, strict=True)}
    return found


def columns(model: Model, samples: int | None) -> list[str]:
    """The names of the numbers that `scores` gives."""
    outlying = list(OUTLIER_COLUMNS) if model.header.known is not None else []
    if outlying and not model.network.factorised:
        outlying.remove("latent_distance")
    return [*TERMS, *outlying, *(NLL_COLUMNS if samples else ())]


def _numbers(values: torch.Tensor) -> list[float | None]:
    """Values for JSON, in the shortest digits that give the same float32; NaN becomes None."""
    shortest = [float(str(value)) for value in values.float().cpu().numpy()]
    return [value if math.isfinite(value) else None for value in shortest]
