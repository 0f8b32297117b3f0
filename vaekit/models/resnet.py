"""Residual networks, deeper than `conv`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from vaekit.likelihoods import Likelihood
from vaekit.models.layers import PosteriorHead, Resize, activate, normalise
from vaekit.models.linear import Linear
from vaekit.models.settings import GridSize, Image, stage_widths
from vaekit.models.vae import VAE


class ResNet(VAE):
    """Residual blocks at every scale, with resizing between them.

    Each stage halves the sides, rounding up, and runs `depth` pre-activation blocks at that size
    (He et al. 2016, arXiv:1603.05027); the decoder mirrors it with nearest-neighbour upsampling,
    which avoids checkerboard artefacts (Odena et al. 2016, doi:10.23915/distill.00003). Group
    normalisation (Wu & He 2018, arXiv:1803.08494) makes an image's latent independent of the other
    images in its batch.

    >>> from vaekit.likelihoods import build_likelihood
    >>> model = ResNet((35, 20, 1), 2, build_likelihood("bce"), channels=[8, 16])
    >>> model.sizes
    [(35, 20), (18, 10), (9, 5)]
    """

    name = "resnet"

    def __init__(
        self,
        image: Image,
        latent_dim: int,
        likelihood: Likelihood,
        *,
        channels: Sequence[int] = (32, 64, 128, 256),
        activation: str = "silu",
        norm: str = "group",
        depth: int = 1,
    ) -> None:
        super().__init__(image, latent_dim, likelihood)
        self.channels, self.activation = list(channels), activation
        self.norm, self.depth = norm, depth
        self.sizes = _sizes(image[:2], len(channels))
        features = channels[-1] * math.prod(self.sizes[-1])
        self.encoder = nn.Sequential(*self._down(), *self._ready(channels[-1]), nn.Flatten())
        self.posterior = PosteriorHead(features, latent_dim)
        unflatten = nn.Unflatten(1, (channels[-1], *self.sizes[-1]))
        self.decoder = nn.Sequential(Linear(latent_dim, features), unflatten, *self._up())
        self.output = nn.Conv2d(channels[0], self.output_channels, 3, padding=1)
        # Normalised features are large: usual weights would outweigh the bias that `start_at` sets.
        nn.init.normal_(self.output.weight, std=0.1 / math.sqrt(9 * channels[0]))

    @classmethod
    def defaults(cls, image: Image) -> dict[str, Any]:
        """One block a stage, until the longer side is 2 pixels: four stages at 17 to 32 pixels."""
        stages = math.ceil(math.log2(max(image[:2]))) - 1
        return {
            "channels": stage_widths(stages),
            "activation": "silu",
            "norm": "group",
            "depth": 1,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The width of each stage, its number of blocks, the activation, the normalisation."""
        return {
            "channels": self.channels,
            "activation": self.activation,
            "norm": self.norm,
            "depth": self.depth,
        }

    def _down(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for a, b in pairwise([self.image[2], *self.channels]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), *self._blocks(b)]
        return layers

    def _up(self) -> list[nn.Module]:
        # The convolution after the last block runs at full size, for detail finer than the first
        # stage's grid; whole blocks there would cost more than all others together.
        layers: list[nn.Module] = []
        widths = [*reversed(self.channels), self.channels[0]]
        for (a, b), size in zip(pairwise(widths), self.sizes[-2::-1], strict=True):
            layers += [*self._blocks(a), Resize(size), nn.Conv2d(a, b, 3, padding=1)]
        return [*layers, *self._ready(self.channels[0])]

    def _blocks(self, width: int) -> list[nn.Module]:
        return [ResidualBlock(width, self.activation, self.norm) for _ in range(self.depth)]

    def _ready(self, width: int) -> list[nn.Module]:
        """The layers between the sum of residuals and the next layer."""
        return [*normalise(self.norm, width), activate(self.activation)]


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), initially the identity.

    The last convolution starts at zero, so a deep stack trains from the first step
    (Goyal et al. 2017, arXiv:1706.02677).
    """

    def __init__(self, width: int, activation: str, norm: str) -> None:
        super().__init__()
        last = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type] # it has one
        self.residual = nn.Sequential(
            *normalise(norm, width),
            activate(activation),
            nn.Conv2d(width, width, 3, padding=1),
            *normalise(norm, width),
            activate(activation),
            last,
        )

    def forward(self, h: Tensor) -> Tensor:
        """Return x plus its residual."""
        added: Tensor = self.residual(h)
        return h + added


def _sizes(size: tuple[int, ...], stages: int) -> list[GridSize]:
    """The height and width before the first stage and after each."""
    sizes = [(size[0], size[1])]
    for _ in range(stages):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes
