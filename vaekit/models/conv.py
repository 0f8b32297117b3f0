"""Strided convolutions, the default for images from 16 pixels a side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from vaekit.likelihoods import Likelihood
from vaekit.models.layers import NearestConv, PosteriorHead, activate, normalise
from vaekit.models.linear import Linear
from vaekit.models.settings import GridSize, Image, stage_widths
from vaekit.models.vae import VAE


class Conv(VAE):
    """Convolutions of kernel 4 and stride 2, mirrored in the decoder.

    The encoder and decoder of DCGAN, Radford et al. 2015 (arXiv:1511.06434), for images of any
    height and width: every stage halves a side, rounding down, and the mirrored stage restores the
    odd pixel; a side of one pixel stays, by kernel 3 and stride 1.

    >>> from vaekit.likelihoods import build_likelihood
    >>> model = Conv((35, 20, 1), 2, build_likelihood("bce"), channels=[8, 16])
    >>> model.sizes
    [(35, 20), (17, 10), (8, 5)]
    """

    name = "conv"

    def __init__(
        self,
        image: Image,
        latent_dim: int,
        likelihood: Likelihood,
        *,
        channels: Sequence[int] = (32, 64, 128, 256),
        activation: str = "relu",
        norm: str = "batch",
        upsampling: str = "transposed",
    ) -> None:
        super().__init__(image, latent_dim, likelihood)
        self.channels, self.activation, self.norm = list(channels), activation, norm
        self.upsampling = upsampling
        self.sizes = _sizes(image[:2], len(channels))
        features = channels[-1] * math.prod(self.sizes[-1])
        self.encoder = nn.Sequential(*self._down(), nn.Flatten())
        self.posterior = PosteriorHead(features, latent_dim)
        unflatten = nn.Unflatten(1, (channels[-1], *self.sizes[-1]))
        self.decoder = nn.Sequential(Linear(latent_dim, features), unflatten, *self._up())
        self.output = self._doubling(channels[0], self.output_channels, self.sizes[0])

    @classmethod
    def defaults(cls, image: Image) -> dict[str, Any]:
        """Stages until the longer side is 2 or 3 pixels: 32, 64, 128, 256 at 32 pixels."""
        stages = int(math.log2(max(image[:2]))) - 1
        return {
            "channels": stage_widths(stages),
            "activation": "relu",
            "norm": "batch",
            "upsampling": "transposed",
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The width of each stage, the activation, the normalisation and the upsampling."""
        return {
            "channels": self.channels,
            "activation": self.activation,
            "norm": self.norm,
            "upsampling": self.upsampling,
        }

    def _down(self) -> list[nn.Module]:
        widths = pairwise([self.image[2], *self.channels])
        stages = zip(widths, self.sizes, strict=False)  # the last size is the output's
        return [layer for (a, b), size in stages for layer in self._stage(_halving(a, b, size), b)]

    def _up(self) -> list[nn.Module]:
        widths = pairwise(reversed(self.channels))
        stages = zip(widths, self.sizes[-2:0:-1], strict=True)
        return [
            layer for (a, b), size in stages for layer in self._stage(self._doubling(a, b, size), b)
        ]

    def _doubling(
        self, inputs: int, outputs: int, size: GridSize
    ) -> nn.Conv2d | nn.ConvTranspose2d:
        if self.upsampling == "nearest":
            return NearestConv(inputs, outputs, size)
        return _doubling(inputs, outputs, size)

    def _stage(self, convolution: nn.Module, width: int) -> list[nn.Module]:
        return [convolution, *normalise(self.norm, width), activate(self.activation)]


def _sizes(size: tuple[int, ...], stages: int) -> list[GridSize]:
    """The height and width before the first stage and after each."""
    halvings = range(stages + 1)
    return [(max(1, size[0] >> n), max(1, size[1] >> n)) for n in halvings]


def _halving(inputs: int, outputs: int, size: GridSize) -> nn.Conv2d:
    """A convolution from `size` to half of it."""
    kernel, stride = _geometry(size)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=1)


def _doubling(inputs: int, outputs: int, size: GridSize) -> nn.ConvTranspose2d:
    """The mirrored convolution, back to `size` exactly."""
    kernel, stride = _geometry(size)
    odd = (size[0] % 2 * (stride[0] - 1), size[1] % 2 * (stride[1] - 1))
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=1, output_padding=odd)


def _geometry(size: GridSize) -> tuple[GridSize, GridSize]:
    """The kernel and the stride, each for height and width."""
    tall, wide = size[0] > 1, size[1] > 1
    return (4 if tall else 3, 4 if wide else 3), (2 if tall else 1, 2 if wide else 1)
