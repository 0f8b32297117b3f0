"""The discretized logistic likelihood, of 256 grey levels, and its distribution's functions."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.gaussian import soft_bound
from vaekit.likelihoods.likelihood import LEVELS, TYPICAL_SIGMA, Likelihood, inside, wide


class DiscretizedLogistic(Likelihood):
    """Each value is one of 256 grey levels, with a logistic distribution's mass on its interval.

    With levels and parameters on [−1, 1], h = 1/255 half a level, and σ the logistic function,

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
    kind = "256 levels"
    discrete = True
    parameters_per_value = 2
    limit: ClassVar[float] = 7.0
    start: ClassVar[float] = 2 * TYPICAL_SIGMA * math.sqrt(3) / math.pi
    """The first scale: a logistic distribution on [−1, 1] with the spread of images."""

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The log mass of each value's level: see `log_mass`."""
        location, log_scale = self._split(params)
        return log_mass((x * (LEVELS - 1)).round(), location, log_scale)

    def mean(self, params: Tensor) -> Tensor:
        """The mean of the logistic distribution clipped to [−1, 1], mapped back to [0, 1].

        It is the integral of which the mean over 256 levels is the midpoint sum: the two differ by
        less than 0.17 of a level at the sharpest scale, log s = −7, and by less than 0.05 from
        log s = −6 upwards.
        """
        return (clipped_mean(*self._split(params)) + 1) / 2

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """The inverse of the logistic distribution function at the noise, on the nearest level."""
        location, log_scale = self._split(params)
        drawn = location + log_scale.exp() * torch.logit(inside(uniform))
        last = LEVELS - 1
        return ((drawn + 1) * last / 2).round().clamp(0, last) / last

    def integral_transform(self, params: Tensor, x: Tensor, uniform: Tensor) -> Tensor:
        """From the mass of all darker levels to that with this level: see `mass_up_to`."""
        level, logistic = (x * (LEVELS - 1)).round(), self._split(params)
        return torch.lerp(mass_up_to(level - 1, *logistic), mass_up_to(level, *logistic), uniform)

    def params_of_mean(self, mean: Tensor) -> Tensor:
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
        location, raw = wide(params).chunk(2, dim=1)
        return location, soft_bound(raw, self.limit)


def log_mass(level: Tensor, location: Tensor, log_scale: Tensor, levels: int = LEVELS) -> Tensor:
    """The log mass that a logistic distribution on [−1, 1] has on the interval of a level.

    For a > b, σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b−a)): a product, in which nothing cancels.
    In units of half a level every edge is a whole number, so the upper edge of one level
    equals the lower edge of the next to the bit, and the masses sum to one.
    """
    last = levels - 1
    per_half_level = torch.exp(-log_scale) / last
    centre = 2 * level - last - location * last
    below_upper = F.logsigmoid((centre + 1) * per_half_level)
    above_lower = F.logsigmoid((1 - centre) * per_half_level)
    inside = below_upper + above_lower + torch.log(-torch.expm1(-2 * per_half_level))
    return torch.where(level <= 0, below_upper, torch.where(level >= last, above_lower, inside))


def mass_up_to(level: Tensor, location: Tensor, log_scale: Tensor, levels: int = LEVELS) -> Tensor:
    """The mass that a logistic distribution on [−1, 1] has on all levels up to this one.

    None below level 0, and all of it at the brightest.
    """
    last = levels - 1
    mass = torch.sigmoid((2 * level + 1 - last - location * last) * torch.exp(-log_scale) / last)
    mass = torch.where(level < 0, torch.zeros_like(mass), mass)
    return torch.where(level >= last, torch.ones_like(mass), mass)


def clipped_mean(location: Tensor, log_scale: Tensor) -> Tensor:
    """The mean of a logistic distribution clipped to [−1, 1].

    clip(m) + s [softplus(−|m + 1| / s) − softplus(−|m − 1| / s)]
    """
    scale = log_scale.exp()
    from_dark = F.softplus(-(location + 1).abs() / scale)
    from_bright = F.softplus(-(location - 1).abs() / scale)
    return location.clamp(-1, 1) + scale * (from_dark - from_bright)
