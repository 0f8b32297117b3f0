"""Normal likelihoods: squared error with sigma 1, fixed, learned or optimal."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from vaekit.errors import UsageError
from vaekit.gaussian import LOG_TWO_PI, soft_bound
from vaekit.likelihoods.likelihood import TYPICAL_SIGMA, Likelihood, inside, wide

SIGMA_SETTINGS = ("learned", "optimal")


class _Normal(Likelihood):
    """Each value is normal around the parameter, with one standard deviation for all."""

    kind = "a density"

    def log_sigma(self, params: Tensor, x: Tensor) -> Tensor:
        """The logarithm of the standard deviation, for these images."""
        raise NotImplementedError

    @property
    def sigma(self) -> Tensor:
        """The current standard deviation."""
        raise NotImplementedError

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """−½ ((x − mean) / sigma)² − log sigma − ½ log 2π, the constant included."""
        log_sigma = self.log_sigma(params, x)
        scaled = (x - params) / log_sigma.exp()
        return -0.5 * scaled.square() - log_sigma - 0.5 * LOG_TWO_PI

    def mean(self, params: Tensor) -> Tensor:
        """The parameter itself. It is not squashed, and may leave [0, 1]."""
        return wide(params)

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """The inverse of the normal's distribution function, at the noise."""
        standard = math.sqrt(2) * torch.erfinv(2 * inside(uniform) - 1)
        return self.mean(params) + self.sigma * standard

    def integral_transform(self, params: Tensor, x: Tensor, uniform: Tensor) -> Tensor:
        """The normal's distribution function at x."""
        scaled = (x - self.mean(params)) / self.sigma
        return 0.5 + 0.5 * torch.erf(scaled / math.sqrt(2))

    def params_of_mean(self, mean: Tensor) -> Tensor:
        """The image itself."""
        return mean


class UnitGaussian(_Normal):
    """Squared error as a density: N(x; mean, 1), with its constant.

    log p(x) = −½ (x − mean)² − ½ log 2π

    >>> UnitGaussian().log_prob(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    tensor([-1.4189])
    """

    name = "mse"

    def log_sigma(self, params: Tensor, x: Tensor) -> Tensor:
        """Zero: sigma is 1."""
        return params.new_zeros(())

    @property
    def sigma(self) -> Tensor:
        """One."""
        return torch.ones(())


class Gaussian(_Normal):
    """N(x; mean, sigma²), one sigma for all values: fixed, learned, or the best one.

    `learned` is one extra parameter, kept within e^±6 by `soft_bound`; at usual learning rates it
    takes thousands of steps to come down.

    `optimal`, the default, is the sigma-VAE of Rybkin et al. 2021 (arXiv:2006.13202): in
    training, sigma² is the mean squared error of the batch, which maximises its likelihood, and
    gradients pass through it. As the density then depends on the batch, a running estimate is
    kept: the mean over the first 100 batches, then an average that moves by 1/100 with each.
    Evaluation uses that stored sigma: the density is normalised, and no image's number depends on
    other images. Mean squared errors below e^−12 count as e^−12.

    >>> Gaussian(0.5).log_prob(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    tensor([-0.2258])
    """

    name = "gaussian"
    takes = ("sigma",)
    limit: ClassVar[float] = 6.0
    momentum: ClassVar[float] = 0.01
    variance: Tensor
    batches: Tensor

    def __init__(self, sigma: float | str = "optimal") -> None:
        super().__init__()
        self._setting = _checked_sigma(sigma)
        start = sigma if isinstance(sigma, int | float) else TYPICAL_SIGMA
        if sigma == "learned":
            raw = self.limit * math.atanh(math.log(start) / self.limit)
            self.raw_log_sigma = nn.Parameter(torch.tensor(raw))
        elif sigma == "optimal":
            self.register_buffer("variance", torch.tensor(start**2))
            self.register_buffer("batches", torch.tensor(0))

    @property
    def settings(self) -> dict[str, float | str]:
        """The requested sigma."""
        return {"sigma": self._setting}

    @property
    def uses_batch(self) -> bool:
        """With sigma `optimal`, the batch's own error sets sigma."""
        return self._setting == "optimal"

    @property
    def sigma(self) -> Tensor:
        """The current standard deviation, a scalar."""
        if self._setting == "learned":
            return soft_bound(self.raw_log_sigma, self.limit).exp()
        return self.variance.sqrt() if self._setting == "optimal" else torch.tensor(self._setting)

    def log_sigma(self, params: Tensor, x: Tensor) -> Tensor:
        """That of the stored sigma; in training with sigma `optimal`, that of the batch."""
        if self._setting == "learned":
            return soft_bound(self.raw_log_sigma, self.limit)
        if self._setting == "optimal":
            return 0.5 * torch.log(self._batch_variance(params, x))
        return params.new_full((), math.log(float(self._setting)))

    def _batch_variance(self, params: Tensor, x: Tensor) -> Tensor:
        if not self.training:
            return self.variance
        variance = (x - params).square().mean().clamp_min(math.exp(-2 * self.limit))
        with torch.no_grad():
            self.batches.add_(1)
            weight = torch.clamp(1 / self.batches, min=self.momentum)
            self.variance.lerp_(variance.detach().to(self.variance.dtype), weight)
        return variance


def _checked_sigma(sigma: float | str) -> float | str:
    number = isinstance(sigma, int | float) and not isinstance(sigma, bool)
    if sigma in SIGMA_SETTINGS or (number and 1e-3 <= float(sigma) <= 1e3):
        return float(sigma) if number else sigma
    raise UsageError(f"--sigma {sigma!r}: give a number from 0.001 to 1000, learned or optimal")
