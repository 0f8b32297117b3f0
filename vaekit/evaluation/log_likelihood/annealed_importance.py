"""Annealed importance sampling: log p(x) where no normal is near the posterior.

Chains begin at draws from a normal that was fitted to each image's posterior, in whose units u they
move, and pass through the densities

    log f_b(u) = (1 − b) log N(u; 0, I) + b log f(u),   b from 0 to 1,   ∫ f(u) du = p(x),

with a move of Hamiltonian Monte Carlo at each b. A chain's weight Π f_b'(u) / f_b(u) is an unbiased
estimate of p(x), so the log of the mean weight of K chains is at most log p(x) on average (Neal
2001, arXiv:physics/9803008; Wu et al. 2017, arXiv:1611.04273).

A chain that starts at an exact draw from the posterior and goes the other way estimates 1 / p(x),
which bounds log p(x) from above. Exact draws are known for images that the model itself draws
(Grosse et al. 2015, arXiv:1511.02543): on those, the truth lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.chunks import pad_rows
from vaekit.errors import UsageError
from vaekit.evaluation.log_likelihood.hamiltonian import (
    EXTRA_NOISE,
    LEAPFROG_STEPS,
    ChainPosition,
    ChainTarget,
    log_standard,
    move,
)
from vaekit.evaluation.log_likelihood.nll import ImportanceEstimate, rows_at_once
from vaekit.evaluation.log_likelihood.refined_posterior import (
    MOST_LATENTS,
    NoiseTarget,
    fit_noise,
    gradients_of_fit,
)
from vaekit.gaussian import Posterior
from vaekit.models.vae import VAE
from vaekit.reporting import Task
from vaekit.seeds import BLOCK, key, normal_rows, uniform_rows

STEEPNESS = 6.0
"""Of the sigmoid along which b goes from 0 to 1: densest at both ends (Wu et al. have 4)."""
PILOT_CHAINS = 8
ACCEPTANCE = 0.65
"""The share of accepted moves that the length of steps aims at."""
ADAPTATION = 0.5
FIRST_STEP = 0.8
"""The length of the first steps, times D^(−1/4): about right for N(0, I)."""
SIMULATED = 64
"""Images drawn from the model, on which the bound from above is computed, at most."""


class LikelihoodBounds(NamedTuple):
    """Bounds on log p(x) of images that the model drew, (N,) each."""

    lower: Tensor
    upper: Tensor


@torch.no_grad()
def annealed_estimate(
    network: VAE,
    x: Tensor,
    chains: int,
    temperatures: int,
    *,
    seed: int = 0,
    start: int = 0,
    task: Task | None = None,
) -> ImportanceEstimate:
    """Estimate log p(x) of images (N, C, H, W) from `chains` chains of `temperatures` steps each.

    All draws are keyed by (seed, the image's number counted from `start`, temperature, chain), as
    in `importance_estimate`. The network must be in evaluation mode. The task counts
    `gradients_of_chains` for each image.
    """
    path, found = inverse_temperatures(temperatures), []
    for group in _groups(network, x, chains, start, seed, task):
        weights = group.weights(path, group.lengths(path))
        found.append(weights[: group.count])
    every = torch.cat(found) if found else torch.empty(0, chains, dtype=torch.float64)
    return ImportanceEstimate.of_weights(every)


@torch.no_grad()
def simulated_interval(
    network: VAE,
    images: int,
    chains: int,
    temperatures: int,
    *,
    seed: int = 0,
    task: Task | None = None,
) -> LikelihoodBounds:
    """Bounds from below and from above for images that the model draws.

    Each holds on average over draws. The true error of the lower bound is at most their difference,
    again on average; on other images it may be larger. The task counts `gradients_of_chains`, both
    ways, for each image.
    """
    own, path = key(seed, "ais simulated"), inverse_temperatures(temperatures)
    z, x = _drawn(network, images, own)
    lower, upper = [], []
    for first, group in _numbered(_groups(network, x, chains, 0, own, task)):
        lengths = group.lengths(path)
        own_z = pad_rows(z[first : first + group.size], group.size)
        forward = group.weights(path, lengths)
        backward = group.backward_weights(path, lengths, own_z)
        lower.append((forward.logsumexp(1) - math.log(chains))[: group.count])
        upper.append((math.log(chains) - backward.logsumexp(1))[: group.count])
    return LikelihoodBounds(torch.cat(lower), torch.cat(upper))


def gradients_of_chains(
    network: VAE, chains: int, temperatures: int, *, both_ways: bool = False
) -> int:
    """How many gradients an image takes, at most: of the fit, the pilot chains, and the chains."""
    fit = gradients_of_fit(network.latent_dim) if _fits(network) else 0
    moving = PILOT_CHAINS + (2 * chains if both_ways else chains)
    return fit + moving * (temperatures - 1) * LEAPFROG_STEPS


def inverse_temperatures(count: int) -> list[float]:
    """The `count` + 1 values of b, from 0 to 1.

    >>> [round(b, 3) for b in inverse_temperatures(4)]
    [0.0, 0.045, 0.5, 0.955, 1.0]
    """
    if count < 1:
        raise UsageError(f"--nll-temperatures {count}: at least 1")
    raw = [1 / (1 + math.exp(STEEPNESS * (1 - 2 * t / count))) for t in range(count + 1)]
    return [(value - raw[0]) / (raw[-1] - raw[0]) for value in raw]


@dataclass(frozen=True, eq=False)
class _Group:
    """Images whose chains move together, always the same number of them."""

    network: VAE
    x: Tensor
    shift: Tensor
    scale: Tensor | None
    numbers: range
    """The images' numbers, which key their noise."""
    count: int
    """How many of the images are asked for; the rest fill up."""
    chains: int
    together: int
    """Chains of an image that move at once."""
    seed: int
    task: Task | None

    @property
    def size(self) -> int:
        return len(self.x)

    def lengths(self, path: list[float]) -> list[Tensor]:
        """The length of steps (N,) at each temperature between the ends.

        From chains of their own, so the chains that are weighed do not choose the length of their
        own steps, which would bias their weights.
        """
        chains, width = range(PILOT_CHAINS), self.network.latent_dim
        target = self._target(PILOT_CHAINS)
        place = target.at(self._noise("ais pilot start", 0, chains, width))
        step, found = place.value.new_full((self.size,), FIRST_STEP * width**-0.25), []
        for t, b in _inner(path):
            found.append(step)
            noise = self._noise("ais pilot", t, chains, width + EXTRA_NOISE)
            place, accepted = self._move(target, place, b, step, noise)
            step = step * torch.exp(ADAPTATION * (accepted.mean(1) - ACCEPTANCE))
        return found

    def weights(self, path: list[float], lengths: list[Tensor]) -> Tensor:
        """The log weight of each chain, (N, K)."""
        return torch.cat([self._forward(path, lengths, part) for part in self._parts()], 1)

    def backward_weights(self, path: list[float], lengths: list[Tensor], z: Tensor) -> Tensor:
        """The log weights of chains from exact draws z (N, D) of the posteriors: of 1 / p(x)."""
        u = self._position(z.to(self.x.device))
        return torch.cat([self._backward(path, lengths, part, u) for part in self._parts()], 1)

    def _forward(self, path: list[float], lengths: list[Tensor], chains: range) -> Tensor:
        width, target = self.network.latent_dim, self._target(len(chains))
        place = target.at(self._noise("ais start", 0, chains, width))
        total = path[1] * _ratio(place)
        for t, b in _inner(path):
            noise = self._noise("ais", t, chains, width + EXTRA_NOISE)
            place, _ = self._move(target, place, b, lengths[t - 1], noise)
            total += (path[t + 1] - b) * _ratio(place)
        return total

    def _backward(
        self, path: list[float], lengths: list[Tensor], chains: range, u: Tensor
    ) -> Tensor:
        width, target = self.network.latent_dim, self._target(len(chains))
        place = target.at(u[:, None].repeat(1, len(chains), 1))
        total = (path[-2] - 1) * _ratio(place)
        for t, b in reversed([*_inner(path)]):
            noise = self._noise("ais backward", t, chains, width + EXTRA_NOISE)
            place, _ = self._move(target, place, b, lengths[t - 1], noise)
            total += (path[t - 1] - b) * _ratio(place)
        return total

    def _move(
        self, target: ChainTarget, place: ChainPosition, b: float, step: Tensor, noise: Tensor
    ) -> tuple[ChainPosition, Tensor]:
        """One `move` of some chains, with its progress."""
        moved = move(target, place, b, step, noise)
        if self.task is not None:
            self.task.advance(self.count * noise.shape[1] * LEAPFROG_STEPS)
        return moved

    def _target(self, chains: int) -> ChainTarget:
        many = pad_rows(self.x.repeat_interleave(chains, 0), self.size * chains)
        target = NoiseTarget(self.network, many, self.network.encode(many))
        return ChainTarget(target, self.shift, self.scale)

    def _position(self, z: Tensor) -> Tensor:
        """The u of latents z, (N, D)."""
        groups = len(self.network.group_sizes)
        moved = noise_of(self.network.encode(self.x), z, groups) - self.shift
        if self.scale is None:
            return moved
        u: Tensor = torch.linalg.solve_triangular(self.scale, moved[:, :, None], upper=False)
        return u[:, :, 0]

    def _parts(self) -> Iterator[range]:
        for first in range(0, self.chains, self.together):
            yield range(first, min(first + self.together, self.chains))

    def _noise(self, what: str, t: int, chains: range, width: int) -> Tensor:
        """Standard normal draws (N, K, width), keyed by image, temperature and chain."""
        first, stop = chains.start, chains.stop
        rows = [normal_rows(first, stop, width, self.seed, what, i, t) for i in self.numbers]
        return torch.stack(rows).to(self.x.device)


def noise_of(posterior: Posterior, z: Tensor, groups: int) -> Tensor:
    """The noise from which a posterior draws these latents, (N, D).

    In a hierarchy each group's normals depend on the groups above it, so every round gets one
    group more right.
    """
    noise = torch.zeros_like(z)
    for _ in range(groups):
        q = posterior.draw(noise).q
        noise = (z - q.mean) / q.std
    return noise


def _inner(path: list[float]) -> Iterator[tuple[int, float]]:
    """The temperatures between the ends, by number."""
    return ((t, path[t]) for t in range(1, len(path) - 1))


def _ratio(place: ChainPosition) -> Tensor:
    """Log f − log N, in float64 on the CPU: (N, K)."""
    return (place.value - log_standard(place.u)).cpu().double()


def _groups(
    network: VAE, x: Tensor, chains: int, start: int, seed: int, task: Task | None
) -> Iterator[_Group]:
    """The images in groups of one size, each with the normal from which its chains start.

    That is the fitted one, or the encoder's where there are too many latents to fit it.
    """
    if chains < 1:
        raise UsageError(f"--nll-samples {chains}: at least 1")
    rows, device = rows_at_once(network), next(network.parameters()).device
    together = min(chains, rows)
    size = min(BLOCK, 2 ** int(math.log2(rows // together)))  # so that blocks of images divide
    fitted = None
    if _fits(network) and len(x):
        fitted = fit_noise(network, x, start=start, seed=seed, task=task)
    for first in range(0, len(x), size):
        chosen = torch.arange(first, first + size).clamp_max(len(x) - 1)
        shift = torch.zeros(size, network.latent_dim) if fitted is None else fitted.shift[chosen]
        yield _Group(
            network=network,
            x=pad_rows(x[chosen.to(x.device)], size).to(device),
            shift=shift.to(device),
            scale=None if fitted is None else fitted.scale[chosen].to(device),
            numbers=range(start + first, start + first + size),
            count=min(size, len(x) - first),
            chains=chains,
            together=together,
            seed=seed,
            task=task,
        )


def _fits(network: VAE) -> bool:
    return network.latent_dim <= MOST_LATENTS


def _numbered(groups: Iterator[_Group]) -> Iterator[tuple[int, _Group]]:
    """Each group with the row of its first image."""
    first = 0
    for group in groups:
        yield first, group
        first += group.count


def _drawn(network: VAE, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Latents from the prior, and images drawn from p(x|z)."""
    height, width, channels = network.image
    device = next(network.parameters()).device
    z = network.prior.sample(normal_rows(0, count, network.latent_dim, seed, "latents"))
    uniform = uniform_rows(0, count, height * width * channels, seed, "pixels")
    shape = (channels, height, width)
    images = []
    for first in range(0, count, network.chunk):
        part = slice(first, first + network.chunk)
        params = network.decode(pad_rows(z[part], network.chunk).to(device))
        drawn = uniform[part].reshape(-1, *shape).to(device)
        images.append(network.likelihood.sample(params[: len(drawn)], drawn))
    return z, torch.cat(images)
