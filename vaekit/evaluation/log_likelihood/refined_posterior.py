"""Posteriors fitted to each image, for importance weighting where the encoder is far off.

The encoder gives z = z(ε) for noise ε. In place of ε ~ N(0, I), a normal is fitted to the exact
posterior of ε, whose log density is, up to a constant,

    f(ε) = log p(x|z(ε)) + log p(z(ε)) − log q(z(ε)|x) + log N(ε; 0, I).

Laplace's approximation comes first: the mode of f by Newton's steps, and the inverse of −∇²f there
as the covariance. With a linear decoder and a normal likelihood, f is quadratic and this is the
exact posterior. Elsewhere steps along the gradient of the image's own ELBO move mean and covariance
from the mode to the mass (Cremer et al. 2018, arXiv:1801.03558). Last, the normal is widened a
little, since importance weights need tails no lighter than the posterior's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaekit.chunks import pad_rows
from vaekit.gaussian import LOG_TWO_PI, Draw, Normal, Posterior
from vaekit.models.vae import VAE
from vaekit.reporting import Task
from vaekit.seeds import BLOCK, normal_rows

MOST_LATENTS = 256
"""The fit takes two gradients per latent and step, and a matrix per image."""

NEWTON_STEPS = 12
SHORTENED = (1.0, 0.5, 0.1, 0.01)
"""Newton's step is tried at these lengths; it is exact only where f is quadratic."""
SETTLED = 1e-3
"""Nats: an image that gains less from a step takes no more."""
PROBE = 0.1
"""Where the curvature is unknown, gradients are compared at this distance."""

GRADIENT_STEPS, GRADIENT_RATE = 100, 0.02
ELBO_DRAWS = 64
WIDER = 0.4
"""Standard deviations grow by this over √D: few draws are lost, and tails are covered."""


@dataclass(frozen=True, eq=False)
class RefinedPosterior:
    """Another posterior, of which the noise is moved: ε = shift + scale · noise."""

    base: Posterior
    shift: Tensor
    """(N, D)"""
    scale: Tensor
    """Lower triangles (N, D, D)."""

    def draw(self, noise: Tensor) -> Draw:
        """Latents from noise (N, D), or K draws of each image from noise (N, K, D).

        `Draw.q.log_prob_of_noise(noise)` is the log density of the draws. The means of `Draw.q` are
        the encoder's.
        """
        rows = noise if noise.ndim == 3 else noise[:, None]
        moved = self.shift[:, None] + rows @ self.scale.mT
        log_widths = self.scale.diagonal(dim1=1, dim2=2).log()
        if noise.ndim == 3:
            log_widths = log_widths[:, None]
        z, q, params = self.base.draw(moved.reshape(noise.shape))
        return Draw(z, Normal(q.mean, q.logvar + 2 * log_widths), params)

    def at_mean(self) -> Normal:
        """The encoder's normals at the mean of the moved noise."""
        return self.base.draw(self.shift).q

    def to(self, *args: Any, **kwargs: Any) -> RefinedPosterior:
        """The same on another device or in another precision, as `Tensor.to`."""
        base = self.base.to(*args, **kwargs)
        return RefinedPosterior(
            base, self.shift.to(*args, **kwargs), self.scale.to(*args, **kwargs)
        )


@dataclass(frozen=True, eq=False)
class NoiseFit:
    """The normals fitted to images, on the CPU."""

    shift: Tensor
    scale: Tensor
    """Of a `RefinedPosterior`: (N, D), and lower triangles (N, D, D)."""
    diagonal_elbo: Tensor
    """(N,): the ELBO of the best posterior of the encoder's own kind, diagonal in ε."""


CountGradients = Callable[[int], None]
"""Reports that this many gradients of each image are done."""


def gradients_of_fit(width: int) -> int:
    """How many gradients the fit of an image with this many latents takes, at most."""
    return 2 * width * (NEWTON_STEPS + 1) + 2 * 2 * GRADIENT_STEPS


@torch.no_grad()
def fit_noise(
    network: VAE, x: Tensor, *, start: int = 0, seed: int = 0, task: Task | None = None
) -> NoiseFit:
    """Fit the posterior of each image (N, C, H, W); `start` is the number of the first.

    Images are fitted in chunks of one size. The network must be in evaluation mode. The task counts
    `gradients_of_fit` for each image.
    """
    found, size = [], BLOCK
    device = next(network.parameters()).device
    for first in range(0, len(x), size):
        part = x[first : first + size]
        padded = pad_rows(part, size).to(device)
        target = NoiseTarget(network, padded, network.encode(padded))
        fitted = _fit_chunk(target, start + first, seed, partial(_advance, task, len(part)))
        found.append([one[: len(part)].cpu() for one in fitted])
    return NoiseFit(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _advance(task: Task | None, images: int, gradients: int) -> None:
    if task is not None:
        task.advance(images * gradients)


def _fit_chunk(
    target: NoiseTarget, first: int, seed: int, advance: CountGradients
) -> tuple[Tensor, Tensor, Tensor]:
    mode, triangle = _by_newton(target, advance)
    precision = torch.cholesky_inverse(triangle.double().cpu())
    widths = precision.diagonal(dim1=1, dim2=2).rsqrt().to(triangle)
    diagonal = torch.diag_embed(widths)
    best = _by_gradients(target, mode, diagonal, first, seed, advance, diagonal=True)
    shift, scale = _by_gradients(target, mode, triangle, first, seed, advance)
    scale = scale * (1 + WIDER / math.sqrt(target.network.latent_dim))
    return shift, scale, _mean_elbo(target, *best, first, seed)


def _mean_elbo(target: NoiseTarget, shift: Tensor, scale: Tensor, first: int, seed: int) -> Tensor:
    """The ELBO of each image under ε = shift + scale · noise, from `ELBO_DRAWS` draws."""
    rows, width = shift.shape
    total = torch.zeros(rows, device=shift.device)
    for draw in range(ELBO_DRAWS):
        noise = normal_rows(first, first + rows, width, seed, "refined elbo", draw).to(shift.device)
        value = target.log_density(shift + _turned(scale, noise))
        total += value + 0.5 * (noise.square() + LOG_TWO_PI).sum(1)
    return total / ELBO_DRAWS + scale.diagonal(dim1=1, dim2=2).log().sum(1)


@dataclass(frozen=True, eq=False)
class NoiseTarget:
    """f(ε) of each image of a batch, and its derivatives."""

    network: VAE
    x: Tensor
    base: Posterior

    def log_density(self, noise: Tensor) -> Tensor:
        """The log density f of each row (N, D): shape (N,)."""
        z, q, params = self.base.draw(noise)
        if params is None:
            params = self.network.decode(z)
        log_px = self.network.likelihood.log_prob(params, self.x)
        return log_px + self.network.prior.log_prob(z) + 0.5 * q.logvar.sum(-1)

    def gradient(self, noise: Tensor) -> Tensor:
        """∇f of each row, (N, D)."""
        with torch.enable_grad():
            noise = noise.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.log_density(noise).sum(), noise)
        return found

    def curvature(self, noise: Tensor, reach: Tensor) -> Tensor:
        """−∇²f of each row, (N, D, D), by differences of gradients at ± `reach` (N, D).

        Decoders with kinks have no useful second derivatives at a point; differences over about
        the posterior's width do, and need no second backward pass.
        """
        columns = []
        for d in range(noise.shape[1]):
            step = torch.zeros_like(noise)
            step[:, d] = reach[:, d]
            change = self.gradient(noise - step) - self.gradient(noise + step)
            columns.append(change / (2 * reach[:, d : d + 1]))
        found = torch.stack(columns, 2)
        return (found + found.mT) / 2


def _by_newton(target: NoiseTarget, advance: CountGradients) -> tuple[Tensor, Tensor]:
    """The mode of f, and a triangle L with L Lᵀ = (−∇²f)⁻¹ there."""
    each, left = 2 * target.network.latent_dim, NEWTON_STEPS
    floor = _least_precision(target)
    noise = torch.zeros(len(target.x), target.network.latent_dim, device=target.x.device)
    reach = torch.full_like(noise, PROBE)
    value = target.log_density(noise)
    moving = torch.ones_like(value, dtype=torch.bool)
    for _ in range(NEWTON_STEPS):
        precision, covariance = _positive(target.curvature(noise, reach), floor)
        widths = precision.diagonal(dim1=1, dim2=2).rsqrt()
        reach = torch.where(moving[:, None], widths, reach)
        step = _turned(covariance, target.gradient(noise))
        noise, improved = _best_of(target, noise, value, step * moving[:, None])
        moving &= improved - value > SETTLED  # each image by itself, whatever its batch
        value, left = improved, left - 1
        advance(each)
        if not bool(moving.any()):
            break
    _, covariance = _positive(target.curvature(noise, reach), floor)
    advance(each * (1 + left))  # steps that were not needed are done too
    return noise, _triangle(covariance)


def _least_precision(target: NoiseTarget) -> Tensor:
    """That of the prior in ε, (N,), below which no precision of a log-concave posterior falls."""
    return target.base.at_mean().logvar.exp().amin(1).clamp(1e-6, 1.0)


def _best_of(
    target: NoiseTarget, noise: Tensor, value: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """The best point for each image along its step, itself included, and f there."""
    for length in SHORTENED:
        tried = noise + length * step
        found = target.log_density(tried)
        better = found > value
        noise = torch.where(better[:, None], tried, noise)
        value = torch.where(better, found, value)
    return noise, value


def _positive(precision: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """The precision with eigenvalues of at least `floor`, and its inverse, in float64 inside."""
    values, vectors = torch.linalg.eigh(precision.double().cpu())
    values = torch.maximum(values, floor.double().cpu()[:, None])
    both = (vectors * values[:, None]) @ vectors.mT, (vectors / values[:, None]) @ vectors.mT
    return both[0].to(precision), both[1].to(precision)


def _triangle(covariance: Tensor) -> Tensor:
    triangle: Tensor = torch.linalg.cholesky(covariance.double().cpu()).to(covariance)
    return triangle


def _by_gradients(
    target: NoiseTarget,
    shift: Tensor,
    scale: Tensor,
    first: int,
    seed: int,
    advance: CountGradients,
    *,
    diagonal: bool = False,
) -> tuple[Tensor, Tensor]:
    """A normal of higher ELBO, by Adam from this one: ε = shift + scale (a + B noise).

    With `diagonal`, B is one. Each step uses a draw and its mirror image; the second half of the
    steps is averaged.
    """
    a, raw = torch.zeros_like(shift).requires_grad_(), torch.zeros_like(scale).requires_grad_()
    optimizer, sums = torch.optim.Adam([a, raw], GRADIENT_RATE, (0.9, 0.99)), [0 * a, 0 * raw]
    for step in range(GRADIENT_STEPS):
        noise = normal_rows(first, first + len(a), a.shape[1], seed, "refine", step).to(a.device)
        with torch.enable_grad():
            for side in (noise, -noise):
                b = _lower(_kept(raw, diagonal))
                loss = -_elbo(target, shift, scale, a, b, side).sum() / 2
                loss.backward(inputs=[a, raw])
        optimizer.step()
        optimizer.zero_grad()
        if step >= GRADIENT_STEPS // 2:
            sums = [total + one.detach() for total, one in zip(sums, (a, raw), strict=True)]
        advance(2)
    count = GRADIENT_STEPS - GRADIENT_STEPS // 2
    a, raw = (_kept(total.detach() / count, diagonal) for total in sums)
    return shift + _turned(scale, a), scale @ _lower(raw)


def _elbo(
    target: NoiseTarget, shift: Tensor, scale: Tensor, a: Tensor, b: Tensor, noise: Tensor
) -> Tensor:
    """The ELBO of one draw, up to a constant, with the gradient along the draw's path alone.

    That gradient is unbiased, and exactly zero where the normal is the posterior (Roeder et al.
    2017, arXiv:1703.09194), so an exact fit stays exact.
    """
    u = a + _turned(b, noise)
    back = torch.linalg.solve_triangular(b.detach(), (u - a.detach())[:, :, None], upper=False)
    found: Tensor = target.log_density(shift + _turned(scale, u)) + back.square().sum((1, 2)) / 2
    return found


def _kept(values: Tensor, diagonal: bool) -> Tensor:
    """Matrices without what is off their diagonal, if so asked; rows as they are."""
    if not diagonal or values.ndim == 2:
        return values
    return torch.diag_embed(values.diagonal(dim1=1, dim2=2))


def _lower(raw: Tensor) -> Tensor:
    """Lower triangles with positive diagonals; zeros give the identity."""
    return raw.tril(-1) + torch.diag_embed(raw.diagonal(dim1=1, dim2=2).exp())


def _turned(matrices: Tensor, rows: Tensor) -> Tensor:
    """Each matrix times its row."""
    return (matrices @ rows[:, :, None])[:, :, 0]
