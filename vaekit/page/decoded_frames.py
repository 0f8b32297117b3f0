"""The decoded images of the page: along latent dimensions, and from one image to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekit.data import ImageSet
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE
from vaekit.inference import Model
from vaekit.latents.walks import latent_path, order_by_kl, traversal
from vaekit.page.latent_map import image_caption, rounded
from vaekit.seeds import numpy_generator

SLIDERS = 16
STEPS, REACH = 17, 3.0
"""Frames along a dimension, from -REACH to REACH; the middle one is at 0."""

LEG_STEPS = 16
"""Frames from one image to the next, without the last."""


def shown_dimensions(kl: Sequence[float | None], spread: Tensor) -> list[int]:
    """The dimensions worth a slider, the most informative first.

    Those whose posterior mean does not vary are left out, unless none varies.

    >>> shown_dimensions([0.1, 2.0, 0.0], torch.tensor([0.5, 0.9, 0.0]))
    [1, 0]
    """
    order = order_by_kl([value or 0.0 for value in kl])
    active = [dim for dim in order if float(spread[dim]) > ACTIVE_VARIANCE]
    return (active or order)[:SLIDERS]


def traversals(model: Model, dims: Sequence[int], bases: Tensor) -> Tensor:
    """Frames by base, by dimension, by step: from each row of `bases`, one dimension varied."""
    rows = [traversal(base, dim, STEPS, REACH) for base in bases for dim in dims]
    return model.decode(torch.cat(rows))


def traversal_facts(
    images: ImageSet,
    starts: Sequence[int],
    bases: Tensor,
    dims: Sequence[int],
    kl: Sequence[float | None],
) -> dict[str, Any]:
    """What the sliders need to know of the frames."""
    return {
        "dims": [{"dim": dim, "kl": rounded(kl[dim] or 0.0)} for dim in dims],
        "steps": STEPS,
        "reach": REACH,
        "bases": ["the prior's mean", *(image_caption(images, index) for index in starts)],
        "own": [[rounded(float(base[dim])) for dim in dims] for base in bases],
        "left_out": bases.shape[1] - len(dims),
    }


def varied_images(images: ImageSet, count: int, seed: int, purpose: str) -> list[int]:
    """A seeded choice of images, of different classes as far as there are any."""
    order: list[int] = numpy_generator(seed, "report", purpose).permutation(len(images)).tolist()
    if images.labels is None:
        return order[:count]
    times: dict[int, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for index in order:
        label = int(images.labels[index])
        times[label] = times.get(label, 0) + 1
        ranked.append((times[label], len(ranked), index))
    return [index for _, _, index in sorted(ranked)[:count]]


def round_trip(model: Model, z: Tensor) -> Tensor:
    """Frames from each latent to the next along arcs, and from the last back to the first."""
    legs = [
        latent_path(z[here], z[(here + 1) % len(z)], LEG_STEPS + 1)[:-1] for here in range(len(z))
    ]
    return model.decode(torch.cat(legs))
