"""p(x|z): what a decoder's output says of an image, in nats.

A decoder gives `params` of shape (N, P·C, H, W), P parameters for each of the C·H·W values of an
image; a likelihood turns them into a log-probability, a mean or a sample. Images are in [0, 1].
All take the same calls, so that one can stand in for another:

    >>> from vaekit.likelihoods import build_likelihood
    >>> likelihood = build_likelihood("bernoulli")
    >>> likelihood.log_prob(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))  # four fair coins
    tensor([-2.7726])
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.errors import UsageError
from vaekit.gaussian import LOG_TWO_PI, soft_bound
from vaekit.registry import resolve

LEVELS = 256
"""The grey levels of an 8-bit image: level k stands at k / 255."""

TYPICAL_SIGMA = 0.25
"""How far a decoder that knows only the mean image is off: a sound place to start from."""

SIGMA_SETTINGS = ("learned", "optimal")


class Likelihood(nn.Module):
    """The contract of every p(x|z). It may own state, such as a learned sigma."""

    name: ClassVar[str]
    discrete: ClassVar[bool] = False
    """Probabilities of values, rather than a density: bits per dimension mean something."""
    normalised: ClassVar[bool] = True
    """It sums or integrates to one over all images; where not, its nats are no log-likelihood."""
    binary: ClassVar[bool] = False
    """It expects images of zeros and ones."""
    parameters_per_value: ClassVar[int] = 1

    @property
    def settings(self) -> dict[str, float | str]:
        """What `build_likelihood(name, **settings)` needs to make this one again."""
        return {}

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """The log-probability of each image in nats, summed over all its values: shape (N,)."""
        return self.log_prob_per_value(_wide(params), x).flatten(1).sum(1)

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The log-probability of each value of each image, in nats: the shape of x."""
        raise NotImplementedError

    def mean(self, params: Tensor) -> Tensor:
        """The mean image, (N, C, H, W)."""
        raise NotImplementedError

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """Turn uniform noise in [0, 1), of an image's shape, into images drawn from p(x|z)."""
        raise NotImplementedError

    def unmean(self, mean: Tensor) -> Tensor:
        """Parameters whose mean is this image: where a decoder should start."""
        raise NotImplementedError


def build_likelihood(name: str, *, sigma: float | str | None = None) -> Likelihood:
    """Make the likelihood of this name; only `gaussian` takes a sigma.

    >>> build_likelihood("gaussian", sigma=0.1).settings
    {'sigma': 0.1}
    """
    kind: type[Likelihood] = resolve("likelihood", name)
    if issubclass(kind, Gaussian):
        return kind() if sigma is None else kind(sigma)
    if sigma is not None:
        raise UsageError(f"--sigma goes with --likelihood gaussian, not with {name}")
    return kind()


class Bernoulli(Likelihood):
    """Each value is a coin: x is 0 or 1, and the parameter is the logit of p(x = 1).

    log p(x) = x log p + (1 − x) log(1 − p)

    >>> Bernoulli().mean(torch.zeros(1, 1, 1, 1)).item()
    0.5
    """

    name = "bernoulli"
    discrete = True
    binary = True

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """From the logit: the logarithm of a rounded probability would lose the tails."""
        return -F.binary_cross_entropy_with_logits(params, x.to(params.dtype), reduction="none")

    def mean(self, params: Tensor) -> Tensor:
        """The probability that a value is 1."""
        return torch.sigmoid(_wide(params))

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
    discrete = False
    binary = False
    normalised = False


class _Normal(Likelihood):
    """Each value is normal about the parameter, with one standard deviation for all of them."""

    def log_sigma(self, params: Tensor, x: Tensor) -> Tensor:
        """The logarithm of the standard deviation, for these images."""
        raise NotImplementedError

    @property
    def sigma(self) -> Tensor:
        """The standard deviation, as it stands."""
        raise NotImplementedError

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """−½ ((x − mean) / sigma)² − log sigma − ½ log 2π, the constant included."""
        log_sigma = self.log_sigma(params, x)
        scaled = (x - params) / log_sigma.exp()
        return -0.5 * scaled.square() - log_sigma - 0.5 * LOG_TWO_PI

    def mean(self, params: Tensor) -> Tensor:
        """The parameter itself. It is not squashed, and may leave [0, 1]."""
        return _wide(params)

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """The inverse of the normal's distribution function, at the noise."""
        standard = math.sqrt(2) * torch.erfinv(2 * _inside(uniform) - 1)
        return self.mean(params) + self.sigma * standard

    def unmean(self, mean: Tensor) -> Tensor:
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

    `learned` is one parameter beside the network's, kept within e^±6 by `soft_bound`; at the
    optimizer's pace it takes thousands of steps to come down.

    `optimal`, the default, is the sigma-VAE of Rybkin et al. 2021 (arXiv:2006.13202): in
    training, sigma² is the mean squared error of the batch, which maximises its likelihood, and
    gradients pass through it. As the density then depends on the batch, a running estimate is
    kept: the mean over the first 100 batches, and from there on an average that moves by 1/100
    with each. In evaluation that stored sigma is used: the density is normalised, and no image's
    number depends on its neighbours. No mean squared error below e^−12 is believed.

    >>> Gaussian(0.5).log_prob(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    tensor([-0.2258])
    """

    name = "gaussian"
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
        """The sigma that was asked for."""
        return {"sigma": self._setting}

    @property
    def sigma(self) -> Tensor:
        """The standard deviation, as it stands: a scalar."""
        if self._setting == "learned":
            return soft_bound(self.raw_log_sigma, self.limit).exp()
        return self.variance.sqrt() if self._setting == "optimal" else torch.tensor(self._setting)

    def log_sigma(self, params: Tensor, x: Tensor) -> Tensor:
        """The stored sigma's, or in training, where sigma is `optimal`, the batch's own."""
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


class DiscretizedLogistic(Likelihood):
    """Each value is one of 256 grey levels, with the mass of a logistic law on its interval.

    With levels and parameters laid on [−1, 1], h = 1/255 half a level, and σ the logistic function,

        p(x) = σ((x + h − m) / s) − σ((x − h − m) / s),

    where the darkest level also takes all mass below it and the brightest all mass above:
    Kingma et al. 2016 (arXiv:1606.04934), Salimans et al. 2017 (arXiv:1701.05517). The first C
    channels of the parameters are the locations m, the next C the log-scales, of which
    `soft_bound` makes log s within ±7: a ninth of a level at the sharpest, nearly flat at the
    other end.

    >>> grey = torch.tensor([0.0, -1.0]).reshape(1, 2, 1, 1).expand(256, 2, 1, 1)
    >>> levels = (torch.arange(256) / 255).reshape(256, 1, 1, 1)
    >>> f"{DiscretizedLogistic().log_prob(grey, levels).exp().sum():.4f}"
    '1.0000'
    """

    name = "logistic"
    discrete = True
    parameters_per_value = 2
    limit: ClassVar[float] = 7.0
    start: ClassVar[float] = 2 * TYPICAL_SIGMA * math.sqrt(3) / math.pi
    """The scale to start from: that of a logistic law on [−1, 1] as wide as images are."""

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The mass of each value's level, by log-space sums alone.

        For a > b, σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b−a)): a product, in which nothing cancels.
        In units of half a level every edge is a whole number, so that the upper edge of one
        level is to the bit the lower edge of the next, and the levels' masses sum to one.
        """
        location, log_scale = self._split(params)
        level = (x * (LEVELS - 1)).round()
        per_half_level = torch.exp(-log_scale) / (LEVELS - 1)
        centre = 2 * level - (LEVELS - 1) - location * (LEVELS - 1)
        below_upper = F.logsigmoid((centre + 1) * per_half_level)
        above_lower = F.logsigmoid((1 - centre) * per_half_level)
        inside = below_upper + above_lower + torch.log(-torch.expm1(-2 * per_half_level))
        darkest, brightest = level <= 0, level >= LEVELS - 1
        return torch.where(darkest, below_upper, torch.where(brightest, above_lower, inside))

    def mean(self, params: Tensor) -> Tensor:
        """The mean of the logistic law clipped to [−1, 1], back in [0, 1].

        clip(m) + s [softplus(−|m + 1| / s) − softplus(−|m − 1| / s)] is the integral of which
        the mean over 256 levels is the midpoint sum: the two differ by less than 0.17 of a level
        at the sharpest scale, log s = −7, and by less than 0.05 from log s = −6 upwards.
        """
        location, log_scale = self._split(params)
        scale = log_scale.exp()
        from_dark = F.softplus(-(location + 1).abs() / scale)
        from_bright = F.softplus(-(location - 1).abs() / scale)
        return (location.clamp(-1, 1) + scale * (from_dark - from_bright) + 1) / 2

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """The inverse of the logistic distribution function at the noise, on the nearest level."""
        location, log_scale = self._split(params)
        drawn = location + log_scale.exp() * torch.logit(_inside(uniform))
        last = LEVELS - 1
        return ((drawn + 1) * last / 2).round().clamp(0, last) / last

    def unmean(self, mean: Tensor) -> Tensor:
        """The location whose clipped mean is this image, at the scale a decoder starts from.

        m + s [log(1 − e^(−(1+m)/s)) − log(1 − e^(−(1−m)/s))], the inverse of `mean` in closed
        form; the image is kept a quarter of a level off black and white, which no scale reaches.
        """
        margin, s = 0.5 / (LEVELS - 1), self.start
        m = (2 * mean - 1).clamp(margin - 1, 1 - margin)
        towards_dark = torch.log(-torch.expm1(-(1 + m) / s))
        towards_bright = torch.log(-torch.expm1(-(1 - m) / s))
        raw = self.limit * math.atanh(math.log(s) / self.limit)
        return torch.cat([m + s * (towards_dark - towards_bright), torch.full_like(m, raw)], dim=1)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        location, raw = _wide(params).chunk(2, dim=1)
        return location, soft_bound(raw, self.limit)


def _wide(params: Tensor) -> Tensor:
    """At least float32: half precision cannot tell 256 grey levels apart."""
    return params.to(torch.promote_types(params.dtype, torch.float32))


def _inside(uniform: Tensor) -> Tensor:
    """Keep [0, 1) off both ends, where an inverse distribution function is infinite."""
    return uniform.clamp(2.0**-25, 1 - 2.0**-24)


def _checked_sigma(sigma: float | str) -> float | str:
    number = isinstance(sigma, int | float) and not isinstance(sigma, bool)
    if sigma in SIGMA_SETTINGS or (number and 1e-3 <= float(sigma) <= 1e3):
        return float(sigma) if number else sigma
    raise UsageError(f"--sigma {sigma!r}: give a number from 0.001 to 1000, learned or optimal")
