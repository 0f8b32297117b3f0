"""Calibration of the decoder: whether values of images are spread as p(x|z) says they are.

    u = F(x⁻|z) + V p(x|z),   z ~ q(z|x),   V uniform on [0, 1]

is the probability integral transform of a value x (Dawid 1984, doi:10.2307/2981683), randomised by
V where x has mass (Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x); the likelihoods have
the formula of each. If images come from the model and q(z|x) is its posterior, then (x, z) is a
draw from p(x, z), and every u is uniform; with the mean of the posterior in place of z it is not.

A value that the decoder is certain of, such as a black pixel of `bernoulli` with p(0) near 1, has
u = V, which is uniform whatever the truth: such values dilute the errors of all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vaekit.array_types import Float64s
from vaekit.chunks import pad_rows
from vaekit.evaluation.dataset_elbo import standard_error
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.models.vae import evaluating
from vaekit.seeds import normal_rows, uniform_rows

FINE_BINS = 2000
"""The distribution function of u is known at their edges."""
SHOWN_BINS = 20
GROUPS = 20
"""Of images, left out one by one for the standard error of the distance."""


@dataclass
class Transforms:
    """The transforms u of all images so far: counts by bin, and moments by image."""

    counts: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((GROUPS, FINE_BINS), np.int64)
    )
    """By the image's number modulo GROUPS, and by bin."""
    means: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)
    """The mean of u and of u² of each image."""

    def add(self, u: Tensor, start: int) -> None:
        """Add the transforms (N, V) of images, number `start` first."""
        group = (start + torch.arange(len(u))) % GROUPS
        bins = (u * FINE_BINS).long().clamp_(0, FINE_BINS - 1) + FINE_BINS * group[:, None]
        found = torch.bincount(bins.flatten(), minlength=GROUPS * FINE_BINS)
        self.counts += found.reshape(GROUPS, FINE_BINS).numpy()
        self.means.append(u.mean(1))
        self.squares.append(u.square().mean(1))


@dataclass(frozen=True)
class Calibration:
    """How the transforms of a decoder differ from uniform ones."""

    distance: float
    """∫ |F(u) − u| du, which is Wasserstein's distance between u and a uniform variable. 0 is
    calibrated; 0.25 the limit where p(x|z) is far too wide, or far too narrow; 0.5 the most."""
    stderr: float
    """By the jackknife over groups of images."""
    bias: Tensor
    """Mean u − ½ of each image: positive where values are higher than p(x|z) says."""
    spread: Tensor
    """Of each image; the mean is 12 Var(u): 1 is calibrated, below 1 p(x|z) is too wide, above 1
    too narrow."""
    histogram: list[float]
    """The share of all u in each of SHOWN_BINS equal parts of [0, 1]."""


def calibration_of(transforms: Transforms) -> Calibration:
    """Distance, bias and spread of all transforms.

    >>> transforms = Transforms()
    >>> transforms.add(torch.full((2, 1000), 0.5), 0)
    >>> found = calibration_of(transforms)
    >>> round(found.distance, 3), found.bias.tolist(), found.spread.tolist()
    (0.25, [0.0, 0.0], [0.0, 0.0])
    """
    means, squares = torch.cat(transforms.means), torch.cat(transforms.squares)
    mean, total = means.mean(), transforms.counts.sum(0)
    shown = total.reshape(SHOWN_BINS, -1).sum(1) / total.sum()
    return Calibration(
        distance=distance_from_uniform(total),
        stderr=_jackknife(transforms.counts),
        bias=means - 0.5,
        spread=12 * (squares - 2 * mean * means + mean.square()),
        histogram=shown.tolist(),
    )


def distance_from_uniform(counts: npt.NDArray[np.int64]) -> float:
    """∫ |F(u) − u| du, from counts in equal bins.

    F − u is known at the edges of bins, and taken for straight between them.

    >>> distance_from_uniform(np.array([2, 2])), distance_from_uniform(np.array([4, 0]))
    (0.0, 0.25)
    """
    edges = np.arange(1, len(counts) + 1) / len(counts)
    share: Float64s = np.cumsum(counts) / counts.sum()
    return float(np.abs(share - edges).mean())


def _jackknife(counts: npt.NDArray[np.int64]) -> float:
    """The standard error of the distance; NaN for a single image."""
    held = counts[counts.any(1)]
    if len(held) < 2:
        return math.nan
    without = np.array([distance_from_uniform(held.sum(0) - group) for group in held])
    return math.sqrt((len(held) - 1) * float(without.var()))


@torch.no_grad()
def calibration(subject: EvaluatedModel) -> Calibration:
    """The calibration of a model's decoder on images as the model sees them.

    z is the draw that the ELBO uses, and V is keyed by the seed and the image's number.
    """
    transforms, size = Transforms(), subject.model.chunk
    with evaluating(subject.model.network):
        for start, x in subject.watched("calibration"):
            for first in range(0, len(x), size):
                part = x[first : first + size]
                u = _transformed(subject, part, start + first)
                subject.model.check_finite("calibration", u)
                transforms.add(u, start + first)
    return calibration_of(transforms)


def _transformed(subject: EvaluatedModel, x: Tensor, start: int) -> Tensor:
    """The transforms (N, V) of one chunk, in float64 on the CPU."""
    network, size, seed = subject.model.network, subject.model.chunk, subject.seed
    padded, stop = pad_rows(x, size), start + size
    noise = normal_rows(start, stop, network.latent_dim, seed, "evaluate")
    uniform = uniform_rows(start, stop, padded[0].numel(), seed, "calibration")
    z, _, params = network.encode(padded).draw(noise.to(x.device))
    if params is None:
        params = network.decode(z)
    chosen = uniform.view(padded.shape).to(x.device)
    u = network.likelihood.integral_transform(params, padded, chosen)
    return u[: len(x)].flatten(1).cpu().double()


def calibration_record(found: Calibration) -> dict[str, float | list[float]]:
    """The numbers of an evaluation."""
    return {
        "calibration": found.distance,
        "calibration_stderr": found.stderr,
        "calibration_bias": float(found.bias.mean()),
        "calibration_bias_stderr": standard_error(found.bias),
        "calibration_spread": float(found.spread.mean()),
        "calibration_spread_stderr": standard_error(found.spread),
        "calibration_histogram": found.histogram,
    }
