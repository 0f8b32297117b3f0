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
    density = _LogDensity(q)
    own, others = torch.empty_like(z[:, 0]), torch.empty_like(z[:, 0])
    for first in range(0, len(z), step):
        block = slice(first, first + step)
        densities, columns = density(z[block]), rows[block, None]
        own[block] = densities.gather(1, columns)[:, 0]
        others[block] = torch.logsumexp(densities.scatter_(1, columns, -math.inf), 1)
    every = torch.logaddexp(own, others)
    lower = own - every + math.log(n)
    upper = float((own - others).mean()) + math.log(n - 1) if n > 1 else math.inf
    return MutualInformation(float(lower.mean()), standard_error(lower), upper)


class _LogDensity:
    """The log density of each z under each of N posteriors, (M, N), by one product in float64."""

    def __init__(self, q: Normal) -> None:
        precision = torch.exp(-q.logvar)
        constant = (q.mean.square() * precision + q.logvar + LOG_TWO_PI).sum(1, keepdim=True)
        self._factors = torch.cat([-precision / 2, q.mean * precision, -constant / 2], 1).T

    def __call__(self, z: Tensor) -> Tensor:
        """−½ Σ_d [(z − mean)² / variance + logvar + log 2π]."""
        return torch.cat([z.square(), z, z.new_ones(len(z), 1)], 1) @ self._factors
