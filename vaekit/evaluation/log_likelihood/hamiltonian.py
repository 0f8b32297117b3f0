"""Hamiltonian Monte Carlo over the latents of several images, chains of each at once.

A move draws a momentum, follows the gradient of the log density for some leapfrog steps, and is
accepted with probability min(1, e^Δ), where Δ is the change of log density less kinetic energy.
That leaves the density invariant, however long the steps are (Neal 2011, arXiv:1206.1901).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.evaluation.log_likelihood.refined_posterior import NoiseTarget
from vaekit.gaussian import LOG_TWO_PI

LEAPFROG_STEPS = 6
JITTER = 0.2
"""Each chain's steps are up to this share longer or shorter, so that no orbit closes on itself."""
EXTRA_NOISE = 2
"""Columns of noise that a move takes beside the momentum: for the length, and for acceptance."""


class ChainPosition(NamedTuple):
    """Where the chains of each image are."""

    u: Tensor
    """(N, K, D)"""
    value: Tensor
    """The log density there, (N, K)."""
    slope: Tensor
    """Its gradient, (N, K, D)."""


@dataclass(frozen=True, eq=False)
class ChainTarget:
    """The density of u for K chains of each image, where the encoder's noise is shift + scale · u.

    Its integral over u is p(x).
    """

    target: NoiseTarget
    """Of each image K times in a row."""
    shift: Tensor
    """(N, D)"""
    scale: Tensor | None
    """Lower triangles (N, D, D); None stands for identity matrices."""

    def at(self, u: Tensor) -> ChainPosition:
        """The log density of chains (N, K, D), with its gradient."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            moved = u if self.scale is None else u @ self.scale.mT
            noise = (self.shift[:, None] + moved).flatten(0, 1)
            value = self.target.log_density(noise).unflatten(0, u.shape[:2])
            (slope,) = torch.autograd.grad(value.sum(), u)
        value = value.detach()
        if self.scale is not None:
            value = value + self.scale.diagonal(dim1=1, dim2=2).log().sum(1)[:, None]
        return ChainPosition(u.detach(), value, slope)


def log_standard(u: Tensor) -> Tensor:
    """The log density of N(0, I) at the last axis."""
    return -0.5 * (u.square() + LOG_TWO_PI).sum(-1)


def annealed(place: ChainPosition, b: float) -> Tensor:
    """The log density N(u; 0, I)^(1 − b) · f(u)^b, up to its constant: (N, K)."""
    return (1 - b) * log_standard(place.u) + b * place.value


def _annealed_slope(place: ChainPosition, b: float) -> Tensor:
    return b * place.slope - (1 - b) * place.u


def move(
    target: ChainTarget, place: ChainPosition, b: float, step: Tensor, noise: Tensor
) -> tuple[ChainPosition, Tensor]:
    """A move of each chain that leaves the annealed density invariant; its acceptance probability.

    `step` (N,) is the length of an image's steps; `noise` (N, K, D + 2) is standard normal.
    """
    momentum, stretch = noise[..., :-EXTRA_NOISE], 2 * torch.special.ndtr(noise[..., -2]) - 1
    length = (step[:, None] * (1 + JITTER * stretch))[..., None]
    before = annealed(place, b) - momentum.square().sum(-1) / 2
    now, momentum = place, momentum + length / 2 * _annealed_slope(place, b)
    for left in reversed(range(LEAPFROG_STEPS)):
        now = target.at(now.u + length * momentum)
        momentum = momentum + (length if left else length / 2) * _annealed_slope(now, b)
    change = annealed(now, b) - momentum.square().sum(-1) / 2 - before
    change = change.nan_to_num(nan=-math.inf)  # a step into nowhere is refused
    taken = torch.special.log_ndtr(noise[..., -1]) < change
    return _chosen(taken, now, place), change.clamp_max(0).exp()


def _chosen(taken: Tensor, new: ChainPosition, old: ChainPosition) -> ChainPosition:
    each = taken[..., None]
    return ChainPosition(
        torch.where(each, new.u, old.u),
        torch.where(taken, new.value, old.value),
        torch.where(each, new.slope, old.slope),
    )
