"""Bernoulli likelihoods: black and white values, and cross-entropy on grey levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.likelihoods import fast_bernoulli
from vaekit.likelihoods.likelihood import Likelihood, wide


class Bernoulli(Likelihood):
    """Each value is a coin: x is 0 or 1, and the parameter is the logit of p(x = 1).

    log p(x) = x log p + (1 − x) log(1 − p)

    >>> Bernoulli().mean(torch.zeros(1, 1, 1, 1)).item()
    0.5
    """

    name = "bernoulli"
    kind = "black and white"
    discrete = True
    binary = True
    logits = True

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """As in the base class, but negated after the sum, which saves a pass in training."""
        return -self._nats(wide(params), x).flatten(1).sum(1)

    def log_prob_of_draws(self, params: Tensor, x: Tensor) -> Tensor:
        """All draws share the image, which makes this fast: see `fast_bernoulli`."""
        logits = wide(params).flatten(2)
        return fast_bernoulli.log_prob(logits, x.to(logits.dtype).flatten(1))

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The log mass x log p + (1 − x) log(1 − p) of each value."""
        return -self._nats(params, x)

    def _nats(self, params: Tensor, x: Tensor) -> Tensor:
        """From the logit: a rounded probability would lose the tails."""
        return F.binary_cross_entropy_with_logits(params, x.to(params.dtype), reduction="none")

    def mean(self, params: Tensor) -> Tensor:
        """The probability that a value is 1."""
        return torch.sigmoid(wide(params))

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """Zeros and ones: 1 where the noise is below the probability."""
        drawn: Tensor = uniform < self.mean(params)
        return drawn.to(uniform.dtype)

    def integral_transform(self, params: Tensor, x: Tensor, uniform: Tensor) -> Tensor:
        """The lower 1 − p of [0, 1] where x is 0, the upper p where x is 1."""
        zero = torch.sigmoid(-wide(params))
        return torch.where(x > 0.5, zero + uniform * (1 - zero), uniform * zero)

    def params_of_mean(self, mean: Tensor) -> Tensor:
        """The logit. A pixel that is 0 in every image starts at 0.001 and not at minus infinity."""
        return torch.logit(mean, eps=1e-3)


class CrossEntropy(Bernoulli):
    """Binary cross-entropy on grey levels: popular, useful, and not a likelihood.

    x log p + (1 − x) log(1 − p), with x anywhere in [0, 1]. Over [0, 1] its exponential does not
    integrate to one (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845): its nats rank models
    trained with it and compare with nothing else. Samples are zeros and ones, the only images for
    which p is a probability.

    >>> CrossEntropy.normalised
    False
    """

    name = "bce"
    kind = "no likelihood"
    discrete = False
    binary = False
    normalised = False
