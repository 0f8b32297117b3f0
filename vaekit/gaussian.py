"""Diagonal normal distributions: sampling, log density, KL divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

LOG_TWO_PI = math.log(2 * math.pi)


class Draw(NamedTuple):
    """Latents drawn from a posterior, and the normals that each of them came from."""

    z: Tensor
    q: Normal
    params: Tensor | None = None
    """The parameters of p(x|z), where drawing gave them as well."""


class Posterior(Protocol):
    """q(z|x) of a batch, whether its latents are independent or each group depends on others."""

    def draw(self, noise: Tensor) -> Draw:
        """Latents from noise (N, D), or K draws of each image from noise (N, K, D)."""
        ...

    def at_mean(self) -> Normal:
        """The normals of all latents where every latent they depend on is at its mean."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Posterior:
        """The same on another device or in another precision, as `Tensor.to`."""
        ...


@dataclass(frozen=True, eq=False)
class Normal:
    """A batch of diagonal normals, N(mean, exp(logvar)): one row per image, one column per latent.

    >>> q = Normal(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.0]]))
    >>> q.kl_to_standard()
    tensor([[0.0000, 0.5000]])
    """

    mean: Tensor
    logvar: Tensor

    @property
    def std(self) -> Tensor:
        """The standard deviation, exp(logvar / 2)."""
        return torch.exp(self.logvar / 2)

    def sample(self, noise: Tensor) -> Tensor:
        """Turn standard normal noise into differentiable draws.

        z = mean + std · noise: the reparameterisation of Kingma & Welling 2013 (arXiv:1312.6114).
        """
        return self.mean + self.std * noise

    def draw(self, noise: Tensor) -> Draw:
        """Draws from noise (N, D), or K draws of each row from noise (N, K, D)."""
        many = noise.ndim > self.mean.ndim
        q = Normal(self.mean[:, None], self.logvar[:, None]) if many else self
        return Draw(q.sample(noise), q)

    def at_mean(self) -> Normal:
        """These normals, which depend on no latent."""
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        """The log density of each row of z, in nats: shape (N,)."""
        squares = (z - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + LOG_TWO_PI).sum(-1)

    def log_prob_of_noise(self, noise: Tensor) -> Tensor:
        """The log density of `sample(noise)`, computed from the noise itself."""
        return -0.5 * (noise.square().sum(-1) + (self.logvar + LOG_TWO_PI).sum(-1))

    def kl_to_standard(self) -> Tensor:
        """KL(self ‖ N(0, 1)) of each dimension, in nats: shape (N, D).

        ½ (mean² + e^logvar − 1 − logvar), Kingma & Welling 2013, appendix B (arXiv:1312.6114).
        `expm1` keeps the small divergences of unused dimensions exact.
        """
        return 0.5 * (self.mean.square() + torch.expm1(self.logvar) - self.logvar)

    def to(self, *args: Any, **kwargs: Any) -> Normal:
        """The same normals on another device or in another precision, as `Tensor.to`."""
        return Normal(self.mean.to(*args, **kwargs), self.logvar.to(*args, **kwargs))

    def __getitem__(self, rows: Any) -> Normal:
        return Normal(self.mean[rows], self.logvar[rows])

    def __len__(self) -> int:
        return len(self.mean)


def concatenate_normals(parts: Sequence[Normal]) -> Normal:
    """The rows of several batches of normals as one batch."""
    if len(parts) == 1:
        return parts[0]
    return Normal(torch.cat([q.mean for q in parts]), torch.cat([q.logvar for q in parts]))


class StandardNormal(nn.Module):
    """The prior N(0, 1) on every latent. Another prior is another module with these methods.

    >>> StandardNormal().log_prob(torch.zeros(1, 2))
    tensor([-1.8379])
    """

    def kl(self, q: Normal) -> Tensor:
        """KL(q ‖ prior) of each dimension: shape (N, D)."""
        return q.kl_to_standard()

    def log_prob(self, z: Tensor) -> Tensor:
        """The log density of each row of z, in nats: shape (N,)."""
        return -0.5 * (z.square() + LOG_TWO_PI).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """Turn standard normal noise into draws from the prior."""
        return noise


def soft_bound(raw: Tensor, limit: float) -> Tensor:
    """Keep a number within ±limit, smoothly: limit · tanh(raw / limit).

    Near zero this is the identity. A hard clamp has no gradient outside its bounds, so a parameter
    that stepped over one would stay there.

    >>> soft_bound(torch.tensor([0.5, 1e30, -1e30]), 20.0)
    tensor([  0.4999,  20.0000, -20.0000])
    """
    return limit * torch.tanh(raw / limit)
