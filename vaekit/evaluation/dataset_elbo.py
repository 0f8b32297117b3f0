"""The evidence lower bound over a whole split: sums over images, divided once.

    neg_elbo = reconstruction + kl = −log p(x|z) + KL(q(z|x) ‖ p(z)),   z ~ q(z|x)

Kingma & Welling 2013 (arXiv:1312.6114). Every image gets one posterior draw keyed by its index:
neither the batch size nor the epoch changes it, so two evaluations differ by the model alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from vaekit.chunks import pad_rows
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.models.vae import VAE, evaluating
from vaekit.seeds import normal_rows

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean varies more than this (Burda et al., 2016)."""

Objective = Callable[..., dict[str, Tensor]]


class Encoder(Protocol):
    """The part of a network that this module uses; an objective uses more."""

    @property
    def latent_dim(self) -> int:
        """How many numbers describe an image."""
        ...


@dataclass(frozen=True)
class ElboReport:
    """Means over a split, in nats per image, with their standard errors."""

    n: int
    neg_elbo: float
    reconstruction: float
    kl: float
    stderr: dict[str, float]
    kl_per_dim: list[float]
    latent_mean: list[float]
    latent_std: list[float]

    @property
    def active_units(self) -> int:
        """The number of latent dimensions that carry information about the image."""
        return sum(std * std > ACTIVE_VARIANCE for std in self.latent_std)


class Moments:
    """Sums and sums of squares in float64, by name."""

    def __init__(self) -> None:
        self.n = 0
        self.first: dict[str, Tensor] = {}
        self.second: dict[str, Tensor] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of more images."""
        self.n += len(next(iter(terms.values())))
        for name, term in terms.items():
            exact = term.cpu().double()  # not every device has float64
            self.first[name] = self.first.get(name, 0) + exact.sum(0)
            self.second[name] = self.second.get(name, 0) + exact.square().sum(0)

    def add_up(self, ranks: Ranks, latent_dim: int) -> None:
        """Add the sums of the other ranks; a rank may have none itself."""
        if not ranks.several:
            return
        if not self.n:
            self.first, self.second = _nothing(latent_dim), _nothing(latent_dim)
        sums = [kept[name] for kept in (self.first, self.second) for name in WATCHED_TERMS]
        count = torch.tensor([self.n], dtype=torch.float64)
        total = torch.cat([count, *(own.reshape(-1) for own in sums)])
        ranks.add_up(total)
        self.n = round(float(total[0]))
        for own, added in zip(sums, total[1:].split([own.numel() for own in sums]), strict=True):
            own.copy_(added.reshape(own.shape))

    def mean(self, name: str) -> Tensor:
        """The mean over all images."""
        return self.first[name] / self.n

    def variance(self, name: str) -> Tensor:
        """The variance over all images."""
        spread = self.second[name] / self.n - self.mean(name).square()
        return spread.clamp_min(0.0)

    def stderr(self, name: str) -> float:
        """The standard error of the mean over images."""
        if self.n < 2:
            return math.nan
        return math.sqrt(float(self.variance(name)) / (self.n - 1))

    def report(self) -> ElboReport:
        """The report over everything added."""
        means: dict[str, Any] = {name: float(self.mean(name)) for name in TERMS}
        return ElboReport(
            n=self.n,
            **means,
            stderr={name: self.stderr(name) for name in TERMS},
            kl_per_dim=self.mean("kl_per_dim").tolist(),
            latent_mean=self.mean("mean").tolist(),
            latent_std=self.variance("mean").sqrt().tolist(),
        )


def standard_error(values: Tensor) -> float:
    """The standard error of the mean of independent values; NaN for one value."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


TERMS = ("neg_elbo", "reconstruction", "kl")
WATCHED_TERMS = (*TERMS, "kl_per_dim", "mean")
PER_LATENT = ("kl_per_dim", "mean")
"""Terms with a value for each latent."""


def _nothing(latent_dim: int) -> dict[str, Tensor]:
    """The sums of no image."""
    shapes = {name: (latent_dim,) if name in PER_LATENT else () for name in WATCHED_TERMS}
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}


@torch.no_grad()
def evaluate_elbo(
    network: VAE,
    objective: Objective,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    seed: int,
    ranks: Ranks = ALONE,
) -> ElboReport:
    """The plain ELBO over batches of (indices, images), each batch a run of neighbours.

    Several ranks give the batches of a part each, and get the report of all.
    """
    moments = Moments()
    with evaluating(network):
        for indices, x in batches:
            moments.add(chunk_terms(network, objective, x, int(indices[0]), seed))
    moments.add_up(ranks, network.latent_dim)
    return moments.report()


@torch.no_grad()
def image_terms(
    network: VAE, objective: Objective, x: Tensor, *, start: int, seed: int
) -> dict[str, Tensor]:
    """The terms of each image, those of image number `start` first: shape (N,), or (N, D).

    In chunks of one size, the last one padded, as in inference, so other images change no bit of
    an image's numbers. The network must be in evaluation mode.
    """
    parts, size = [], network.chunk
    for first in range(0, len(x), size):
        part = x[first : first + size]
        terms = chunk_terms(network, objective, pad_rows(part, size), start + first, seed)
        parts.append({name: values[: len(part)] for name, values in terms.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in WATCHED_TERMS}


def chunk_terms(
    network: Encoder, objective: Objective, x: Tensor, start: int, seed: int
) -> dict[str, Tensor]:
    """The monitored terms of a chunk of images, image number `start` first."""
    noise = normal_rows(start, start + len(x), network.latent_dim, seed, "evaluate")
    terms = objective(network, x, noise.to(x.device))
    return {name: terms[name] for name in WATCHED_TERMS}
