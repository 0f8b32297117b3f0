"""The contract of every p(x|z), and helpers that several of them use."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

LEVELS = 256
"""The grey levels of an 8-bit image: level k stands at k / 255."""

TYPICAL_SIGMA = 0.25
"""The typical error of a decoder that knows only the mean image: where sigma starts."""


class Likelihood(nn.Module):
    """The base class of every p(x|z). It may have state, such as a learned sigma."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """What its nats measure: nats of different kinds do not compare."""
    discrete: ClassVar[bool] = False
    """Gives probabilities, not a density, so bits per dimension are defined."""
    normalised: ClassVar[bool] = True
    """Sums or integrates to one over all images; if not, its nats are no log-likelihood."""
    binary: ClassVar[bool] = False
    """Expects images of zeros and ones."""
    takes: ClassVar[tuple[str, ...]] = ()
    """The names of its settings, such as `sigma`."""
    logits: ClassVar[bool] = False
    """Parameters are logits: a value's gradient is at most 1, so a higher learning rate is safe."""
    parameters_per_value: ClassVar[int] = 1

    def parameters_per_pixel(self, channels: int) -> int:
        """The number of parameters that a decoder gives for one pixel of an image."""
        return self.parameters_per_value * channels

    @property
    def uses_batch(self) -> bool:
        """Whether, in training, an image's density depends on the other images of its batch."""
        return False

    @property
    def settings(self) -> dict[str, float | str]:
        """The arguments of `build_likelihood` that make this one again."""
        return {}

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """The log-probability of each image in nats, summed over all its values: shape (N,)."""
        return self.log_prob_per_value(wide(params), x).flatten(1).sum(1)

    def log_prob_of_draws(self, params: Tensor, x: Tensor) -> Tensor:
        """`log_prob` of each image (N, ...) under K parameters each (N, K, ...): shape (N, K)."""
        draws = params.shape[1]
        seen = x.repeat_interleave(draws, 0)
        return self.log_prob(params.flatten(0, 1), seen).reshape(len(x), draws)

    def log_prob_per_value(self, params: Tensor, x: Tensor) -> Tensor:
        """The log-probability of each value of each image, in nats: the shape of x."""
        raise NotImplementedError

    def mean(self, params: Tensor) -> Tensor:
        """The mean image, (N, C, H, W)."""
        raise NotImplementedError

    def sample(self, params: Tensor, uniform: Tensor) -> Tensor:
        """Turn uniform noise in [0, 1), of an image's shape, into images drawn from p(x|z)."""
        raise NotImplementedError

    def integral_transform(self, params: Tensor, x: Tensor, uniform: Tensor) -> Tensor:
        """The probability integral transform of each value of each image: the shape of x.

            u = F(x⁻) + uniform · p(x)

        F is the distribution function of a value given z and, where channels depend on each other,
        the earlier channels of its pixel; F(x⁻) leaves out the mass p(x) at x itself. If x is drawn
        from p(x|z), then u is uniform on [0, 1]. A density has no mass at x and ignores `uniform`.
        """
        raise NotImplementedError

    def params_of_mean(self, mean: Tensor) -> Tensor:
        """Parameters whose mean is this image: a good start for a decoder."""
        raise NotImplementedError


def wide(params: Tensor) -> Tensor:
    """At least float32: half precision cannot tell 256 grey levels apart."""
    return params.to(torch.promote_types(params.dtype, torch.float32))


def inside(uniform: Tensor) -> Tensor:
    """Keep [0, 1) off both ends, where an inverse distribution function is infinite."""
    return uniform.clamp(2.0**-25, 1 - 2.0**-24)
