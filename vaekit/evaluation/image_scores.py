"""The numbers of single images, for `vaekit score`."""

from __future__ import annotations

import math

import torch

from vaekit import registry
from vaekit.data.imageset import Pixels
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import TERMS, image_terms
from vaekit.evaluation.nll import importance_estimate
from vaekit.image_arguments import as_floats
from vaekit.inference import Model

NLL_COLUMNS = ("nll", "nll_ess", "nll_pareto_k")


def scores(
    model: Model,
    images: Pixels | torch.Tensor,
    *,
    start: int = 0,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, list[float | None]]:
    """The numbers of each image (N, H, W, C), by the names of `columns`.

    The draws are keyed by the seed and the image's number, counted from `start`: they are those of
    `evaluate`, whose numbers are the means of these.
    """
    floats = as_floats(images).to(model.device)
    indices = torch.arange(start, start + len(floats))
    x = binarize(floats, indices, model.header.likelihood.binarize, seed)
    objective = registry.resolve("objective", "elbo")
    terms = image_terms(model.network, objective, x, start=start, seed=seed)
    model.check_finite("ELBO terms", *(terms[name] for name in TERMS))
    found = {name: _numbers(terms[name]) for name in TERMS}
    if samples is not None:
        estimate = importance_estimate(model.network, x, samples, seed=seed, start=start)
        values = (-estimate.bound, estimate.effective, estimate.pareto_k)
        found |= {name: _numbers(each) for name, each in zip(NLL_COLUMNS, values, strict=True)}
    return found


def columns(samples: int | None) -> list[str]:
    """The names of the numbers that `scores` gives."""
    return [*TERMS, *(NLL_COLUMNS if samples else ())]


def _numbers(values: torch.Tensor) -> list[float | None]:
    """Values for JSON, in the shortest digits that give the same float32; NaN becomes None."""
    shortest = [float(str(value)) for value in values.float().cpu().numpy()]
    return [value if math.isfinite(value) else None for value in shortest]
