"""The mixture of discretized logistics (`dmol`), whose channels depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.errors import UsageError
from vaekit.gaussian import soft_bound
from vaekit.likelihoods.likelihood import LEVELS, TYPICAL_SIGMA, Likelihood, wide
from vaekit.likelihoods.logistic import clipped_mean, log_mass, mass_up_to

MOST_MIXTURES = 1000

SHARPER = 0.4
"""How much sharper a component starts than the whole mixture, which has the spread of images."""

REACH, BISECTIONS = 8.0, 50
"""How far from the mean the centre of the components is sought, and in how many halvings."""


class Components(NamedTuple):
    """The logistics of every pixel, on [−1, 1]: K of them for each channel."""

    log_weights: Tensor
    """Of the components, (N, K, H, W)."""
    locations: Tensor
    """Where all earlier channels are 0, the middle grey: (N, C, K, H, W)."""
    log_scales: Tensor
    """As the locations, (N, C, K, H, W)."""
    slopes: Tensor
    """Of channel 1 on 0, 2 on 0, 2 on 1, 3 on 0, ...: (N, C(C − 1)/2, K, H, W)."""

    @property
    def channels(self) -> range:
        """The channels of the image, in the order in which they depend on each other."""
        return range(self.locations.shape[1])

    def logistics(self, channel: int, earlier: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Locations and log-scales of a channel, given the earlier channels on [−1, 1]."""
        location = self.locations[:, channel]
        for slope, value in zip(self.slopes_of(channel), earlier, strict=True):
            location = location + slope * value
        return location, self.log_scales[:, channel]

    def slopes_of(self, channel: int) -> tuple[Tensor, ...]:
        """The slopes of a channel on each of those before it."""
        first = channel * (channel - 1) // 2
        return self.slopes[:, first : first + channel].unbind(1)


class MixtureOfLogistics(Likelihood):
    """Each pixel comes from one of K components, in which each channel depends on those before it.

        p(x) = Σ_k π_k Π_c P(x_c; m_kc + Σ_{j<c} a_kcj x_j, s_kc)

    P is the mass that `logistic` gives one of 256 levels. Levels and parameters are on [−1, 1],
    log s is within ±7 and a = tanh(parameter): PixelCNN++, Salimans et al. 2017
    (arXiv:1701.05517), here for any number of channels C. A pixel has K (C + 1)(C + 2)/2
    parameters: K logits of π, then C times K locations, C times K log-scales, and K slopes a for
    each pair of channels.

    >>> pairs = torch.cartesian_prod(torch.arange(256), torch.arange(256)).reshape(-1, 2, 1, 1)
    >>> params = torch.linspace(-2, 2, 12).reshape(1, 12, 1, 1).expand(256**2, -1, -1, -1)
    >>> f"{MixtureOfLogistics(mixtures=2).log_prob(params, pairs / 255).exp().sum():.4f}"
    '1.0000'
    """

    name = "dmol"
    kind = "256 levels"
    discrete = True
    takes = ("mixtures",)
    limit: ClassVar[float] = 7.0
    levels: ClassVar[int] = LEVELS
    start: ClassVar[float] = 2 * TYPICAL_SIGMA * math.sqrt(3) / math.pi
    """The first scale: a logistic distribution on [−1, 1] with the spread of images."""

    def __init__(self, mixtures: int = 10) -> None:
        super().__init__()
        whole = isinstance(mixtures, int) and not isinstance(mixtures, bool)
        if not whole or not 1 <= mixtures <= MOST_MIXTURES:
            raise UsageError(f"--mixtures {mixtures!r}: a whole number from 1 to {MOST_MIXTURES}")
        self.mixtures = mixtures

    @property
    def settings(self) -> dict[str, float | str]:
        """The number of components."""
        return {"mixtures": self.mixtures}

    def parameters_per_pixel(self, channels: int) -> int:
        """K (C + 1)(C + 2)/2.

        >>> MixtureOfLogistics(mixtures=10).parameters_per_pixel(3)
        100
        """
        return self.mixtures * (channels + 1) * (channels + 2) // 2

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """The log-probability of each image: one mixture for all channels of a pixel."""
        return torch.logsumexp(self._joint(params, x)[-1], 1).flatten(1).sum(1)

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """That of each channel given the channels before it: the chain rule's terms."""
        so_far = torch.stack([torch.logsumexp(joint, 1) for joint in self._joint(params, x)], 1)
        return so_far.diff(dim=1, prepend=torch.zeros_like(so_far[:, :1]))

    def mean(self, params: Tensor) -> Tensor:
        """The mean image, in which each channel takes the earlier channels at their means.

        Within a component, a channel stands where the means of the earlier channels put it, and
        their spread adds to its own; the mean is that of one logistic clipped to [−1, 1]. It is
        exact for the first channel, and for the others where nothing is clipped at black or white.
        """
        parts, means, variances = self._components(params), list[Tensor](), list[Tensor]()
        for channel in parts.channels:
            location, log_scale = parts.logistics(channel, means)
            variance = torch.exp(2 * log_scale)
            for slope, earlier in zip(parts.slopes_of(channel), variances, strict=True):
                variance = variance + slope.square() * earlier
            scale = variance.sqrt()
            means.append(clipped_mean(location, scale.log()))
            kept = torch.sigmoid((1 - location) / scale) - torch.sigmoid((-1 - location) / scale)
            variances.append(variance * kept.square())
        weights = parts.log_weights.exp()
        return (torch.stack([(weights * mean).sum(1) for mean in means], 1) + 1) / 2

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """Each channel in turn: the level at which its distribution function passes the noise.

        Given the earlier channels, a channel is a mixture of logistics whose weights are the
        posterior of the component.
        """
        parts = self._components(params)
        log_weights, found = parts.log_weights, list[Tensor]()
        for channel in parts.channels:
            logistics = parts.logistics(channel, self._centred(found))
            weights = torch.softmax(log_weights, 1)
            found.append(self._quantile(weights, *logistics, uniform[:, channel]))
            log_weights = log_weights + log_mass(found[-1][:, None], *logistics, self.levels)
        return torch.stack(found, 1) / (self.levels - 1)

    def integral_transform(self, params: Tensor, x: Tensor, uniform: Tensor) -> Tensor:
        """That of each channel given the channels before it, as in `sample`."""
        parts, found = self._components(params), []
        levels = (x * (self.levels - 1)).round().unbind(1)
        before = [parts.log_weights, *self._joint(params, x)]
        for channel in parts.channels:
            logistics = parts.logistics(channel, self._centred(levels[:channel]))
            weights, level = torch.softmax(before[channel], 1), levels[channel][:, None]
            below, up_to = (
                (weights * mass_up_to(each, *logistics, self.levels)).sum(1)
                for each in (level - 1, level)
            )
            found.append(torch.lerp(below, up_to, uniform[:, channel]))
        return torch.stack(found, 1)

    def params_of_mean(self, mean: Tensor) -> Tensor:
        """Components spread around this image, and no dependence between channels."""
        margin, k = 0.5 / (self.levels - 1), self.mixtures
        target = (2 * mean - 1).clamp(margin - 1, 1 - margin)[:, :, None]
        log_scale = math.log(self.start * SHARPER if k > 1 else self.start)
        steps = torch.logit((torch.arange(k, device=mean.device) + 0.5) / k).to(target)
        spread = self.start * steps.reshape(k, 1, 1)
        locations = _centre(target, spread, log_scale) + spread
        scales = torch.full_like(locations, self.limit * math.atanh(log_scale / self.limit))
        n, channels, _, height, width = locations.shape
        logits = locations.new_zeros(n, 1, k, height, width)
        slopes = locations.new_zeros(n, channels * (channels - 1) // 2, k, height, width)
        return torch.cat([logits, locations, scales, slopes], 1).flatten(1, 2)

    def _components(self, params: Tensor) -> Components:
        rows = params.shape[1] // self.mixtures
        channels = (math.isqrt(8 * rows + 1) - 3) // 2
        pairs = channels * (channels - 1) // 2
        in_planes = wide(params).contiguous()  # the components of a pixel lie far apart: fast sums
        parts = in_planes.unflatten(1, (rows, self.mixtures))
        logits, locations, raw, slopes = parts.split([1, channels, channels, pairs], 1)
        return Components(
            F.log_softmax(logits[:, 0], 1),
            locations,
            soft_bound(raw, self.limit),
            torch.tanh(slopes),
        )

    def _joint(self, params: Tensor, x: Tensor) -> list[Tensor]:
        """Of each component, log π and the masses of the first channels, of one more at a time."""
        parts = self._components(params)
        levels = (x * (self.levels - 1)).round().unbind(1)
        so_far, found = parts.log_weights, []
        for channel in parts.channels:
            logistics = parts.logistics(channel, self._centred(levels[:channel]))
            so_far = so_far + log_mass(levels[channel][:, None], *logistics, self.levels)
            found.append(so_far)
        return found

    def _centred(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Levels (N, H, W) on [−1, 1], for all components."""
        return [(2 * level / (self.levels - 1) - 1)[:, None] for level in levels]

    def _quantile(
        self, weights: Tensor, location: Tensor, log_scale: Tensor, uniform: Tensor
    ) -> Tensor:
        """The lowest level at which a mixture's distribution function exceeds the noise."""
        last = self.levels - 1
        low, high = torch.zeros_like(uniform), torch.full_like(uniform, last)
        for _ in range(last.bit_length()):
            middle = ((low + high) / 2).floor()
            edge = ((2 * middle + 1) / last - 1)[:, None]
            below = (weights * torch.sigmoid((edge - location) * torch.exp(-log_scale))).sum(1)
            passed = (below > uniform) | (middle >= high)
            low, high = torch.where(passed, low, middle + 1), torch.where(passed, middle, high)
        return low


def _centre(target: Tensor, spread: Tensor, log_scale: float) -> Tensor:
    """The centre at which logistics at centre + spread have this mean together, by bisection."""
    scale = torch.full_like(spread, log_scale)
    low, high = target - REACH, target + REACH
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = clipped_mean(middle + spread, scale).mean(2, keepdim=True) < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
