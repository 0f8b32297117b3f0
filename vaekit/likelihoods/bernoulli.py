"""Values that are coins: of black and white, and of grey levels taken for such."""

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
        """As for any, but negated after the sum: training would pass all values once more."""
        return -self._nats(wide(params), x).flatten(1).sum(1)

    def log_prob_of_draws(self, params: Tensor, x: Tensor) -> Tensor:
        """The image, which all draws share, as a factor: `vaekit.likelihoods.fast_bernoulli`."""
        logits = wide(params).flatten(2)
        return fast_bernoulli.log_prob(logits, x.to(logits.dtype).flatten(1))

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The logarithm of the probability of each coin's side."""
        return -self._nats(params, x)

    def _nats(self, params: Tensor, x: Tensor) -> Tensor:
        """From the logit: the logarithm of a rounded probability would lose the tails."""
        return F.binary_cross_entropy_with_logits(params, x.to(params.dtype), reduction="none")

    def mean(self, params: Tensor) -> Tensor:
        """The probability that a value is 1."""
        return torch.sigmoid(wide(params))

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """Zeros and ones: a value is 1 where the noise falls below its probability."""
        drawn: Tensor = uniform < self.mean(params)
        return drawn.to(uniform.dtype)

    def unmean(self, mean: Tensor) -> Tensor:
        """The logit. A pixel that is 0 in every image starts at 0.001 and not at minus infinity."""
        return torch.logit(mean, eps=1e-3)


class CrossEntropy(Bernoulli):
    """Binary cross-entropy on grey levels: popular, useful, and not a likelihood.

    x log p + (1 − x) log(1 − p), with x anywhere in [0, 1]. Over [0, 1] its exponential does not
    integrate to one, as Loaiza-Ganem & Cunningham 2019 point out (arXiv:1907.06845): nats from it
    order models trained with it, and compare with nothing else. A sample is made of zeros and
    ones, the only images under which p is a probability.

    >>> CrossEntropy.normalised
    False
    """

    name = "bce"
    kind = "no likelihood"
    discrete = False
    binary = False
    normalised = False
