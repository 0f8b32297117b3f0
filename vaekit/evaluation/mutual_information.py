"""I(x; z), the information that a latent carries about its image.

    KL(q(z) ‖ p(z)) = mean KL(q(z|x) ‖ p(z)) − I(x; z),   q(z) = 1/N Σ_i q(z|x_i)

Hoffman & Johnson 2016 (approximateinference.org/accepted/HoffmanJohnson2016.pdf). Two estimates
enclose the truth on average (Poole et al. 2019, arXiv:1905.06922): with an image's own posterior in
q(z) it comes out too small, and never above log N; without it too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit import seeds
from vaekit.evaluation.dataset_elbo import standard_error
from vaekit.gaussian import LOG_TWO_PI, Normal

MOST_DRAWS = 1024
BLOCK_DENSITIES = 1 << 22
"""Densities in memory at once, of each draw under every posterior."""


@dataclass(frozen=True)
class MutualInformation:
    """I(x; z) in nats, from below and from above."""

    lower: float
    stderr: float
    """Of `lower`, over draws."""
    upper: float
    """Infinite for a single image."""


def mutual_information(q: Normal, *, seed: int = 0) -> MutualInformation:
    """Estimate it from one draw of each of up to 1,024 images, under the posteriors of all.

        lower = mean log q(z|x_i) − log 1/N Σ_j q(z|x_j),   upper with j ≠ i and 1/(N − 1)

    Example:
        information = mutual_information(model.posterior(images))
    """
    q, n = Normal(q.mean.double(), q.logvar.double()), len(q)
    order = seeds.numpy_generator(seed, "aggregate").permutation(n)[:MOST_DRAWS]
    rows = torch.from_numpy(order)
    noise = seeds.normal_rows(0, len(rows), q.mean.shape[1], seed, "aggregate").double()
    z, step = q[rows].sample(noise), max(1, BLOCK_DENSITIES // n)
    parts = zip(z.split(step), rows.split(step), strict=True)
    sums = [_sums(q, *part) for part in parts]
    own, every, others = (torch.cat(columns) for columns in zip(*sums, strict=True))
    lower = own - every + math.log(n)
    upper = float((own - others).mean()) + math.log(n - 1) if n > 1 else math.inf
    return MutualInformation(float(lower.mean()), standard_error(lower), upper)


def _sums(q: Normal, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The log density of each z under its own posterior, and log sums over all, and all others."""
    densities = _log_densities(q, z)
    own = densities.gather(1, rows[:, None])
    every = torch.logsumexp(densities, 1)
    others = torch.logsumexp(densities.scatter(1, rows[:, None], -math.inf), 1)
    return own[:, 0], every, others


def _log_densities(q: Normal, z: Tensor) -> Tensor:
    """The log density of each z under each posterior, (M, N), by matrix products in float64."""
    precision = torch.exp(-q.logvar)
    squares = z.square() @ precision.T - 2 * z @ (q.mean * precision).T
    constant = (q.mean.square() * precision + q.logvar + LOG_TWO_PI).sum(1)
    return -0.5 * (squares + constant)
