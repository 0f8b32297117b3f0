"""Hierarchical latents: groups of spatial latents, each conditioned on those above it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vaekit.gaussian import Draw, Normal
from vaekit.likelihoods import Likelihood
from vaekit.models.ladder_grids import check_ladder, check_latent_total, grids, group_shapes
from vaekit.models.ladder_networks import BottomUp, TopDown
from vaekit.models.layers import full_precision
from vaekit.models.settings import Image
from vaekit.models.vae import VAE


class LadderSize(NamedTuple):
    """Settings that go together."""

    narrow: int
    """Channels of the finest grid, where every channel costs most."""
    wide: int
    """Channels of the other grids."""
    groups: tuple[int, int, int, int, int]
    """Groups of latents on grids up to 1, 2, 6 and 13 cells a side, and on larger ones."""
    latents: int
    depth: int


LADDER_SIZES = {
    "small": LadderSize(32, 64, groups=(1, 1, 1, 2, 1), latents=8, depth=1),
    "base": LadderSize(64, 128, groups=(1, 1, 2, 4, 2), latents=8, depth=1),
    "large": LadderSize(128, 256, groups=(1, 2, 4, 8, 4), latents=16, depth=2),
}
"""Most groups are on grids of about 8x8: finer ones cost four times as much."""

LARGEST_SIDES = (1, 2, 6, 13)
MANY_FOR_SMALL = 100_000
"""Images from which `base` is the default."""


class Ladder(VAE):
    """A top-down hierarchy of latents, from a grid of one pixel to a fine one.

    The decoder walks from the coarsest grid to the finest and carries a state h. At each group of
    latents it adds what a grid of them says; the encoder's features e of the same grid, with the
    state, give the posterior (Sønderby et al. 2016, arXiv:1602.02282; Child 2021, 2011.10650):

        p(u) = N(0, I),   q(u_l | x, u_<l) = N(m(h, e), s(h, e)²),   h ← h + f(h) + W (σ(h) · u_l)

    Latents are in units of their conditional prior, z_l = μ(h) + σ(h) · u_l, so that the prior of
    all u is the standard normal of every other model, and so are draws, temperature, paths,
    importance weights and the KL divergence. What a block adds to the state is scaled by the number
    of groups; upsampling repeats pixels, which leaves no checkerboard.

    >>> from vaekit.likelihoods import build_likelihood
    >>> model = Ladder((8, 8, 1), 36, build_likelihood("bce"), channels=[8],
    ...                latent_groups=[1, 2, 0, 0], latent_channels=4)
    >>> model.group_shapes  # the coarsest first
    [(4, 1, 1), (4, 2, 2), (4, 2, 2)]
    >>> model.decode(torch.zeros(2, 36)).shape
    torch.Size([2, 1, 8, 8])
    """

    name = "ladder"
    factorised = False
    size_names = tuple(LADDER_SIZES)
    encoder: BottomUp
    decoder: TopDown

    def __init__(
        self,
        image: Image,
        latent_dim: int,
        likelihood: Likelihood,
        *,
        channels: Sequence[int] = (32, 64),
        latent_groups: Sequence[int] = (1,),
        latent_channels: int = 8,
        depth: int = 1,
        activation: str = "silu",
    ) -> None:
        super().__init__(image, latent_dim, likelihood)
        self.sizes = grids(image)
        self.channels, self.latent_groups = list(channels), list(latent_groups)
        self.latent_channels, self.depth, self.activation = latent_channels, depth, activation
        check_ladder(self.sizes, self.channels, self.latent_groups)
        self.group_shapes = group_shapes(self.sizes, latent_groups, latent_channels)
        check_latent_total(latent_dim, sum(map(math.prod, self.group_shapes)))
        widths = [channels[min(i, len(channels) - 1)] for i in range(len(self.sizes))]
        self.encoder = BottomUp(image, self.sizes, widths, depth, activation)
        self.decoder = TopDown(image[:2], self, widths)
        self.output = nn.Conv2d(self.decoder.width, self.output_channels, 3, padding=1)
        nn.init.normal_(self.output.weight, std=0.1 / math.sqrt(9 * self.decoder.width))

    @classmethod
    def defaults(cls, image: Image) -> dict[str, Any]:
        """Those of the size `small`."""
        return cls.sized(image, "small")

    @classmethod
    def size_for(cls, images: int) -> str:
        """`small`, unless there are very many images; `large` only where it is asked for."""
        return "base" if images >= MANY_FOR_SMALL else "small"

    @classmethod
    def sized(cls, image: Image, size: str) -> dict[str, Any]:
        """The settings of a size, for the grids of this image."""
        chosen, sides = LADDER_SIZES[size], [max(grid) for grid in reversed(grids(image))]
        return {
            "channels": [chosen.narrow, chosen.wide][: len(sides)],
            "latent_groups": [chosen.groups[bisect_left(LARGEST_SIDES, side)] for side in sides],
            "latent_channels": chosen.latents,
            "depth": chosen.depth,
            "activation": "silu",
        }

    @classmethod
    def latent_dim_for(
        cls, image: Image, settings: Mapping[str, Any], asked: int | None, usual: int
    ) -> int:
        """The latents of all groups together, which the settings decide."""
        full = {**cls.defaults(image), **settings}
        sizes = grids(image)
        check_ladder(sizes, full["channels"], full["latent_groups"])
        shapes = group_shapes(sizes, full["latent_groups"], full["latent_channels"])
        total = sum(map(math.prod, shapes))
        check_latent_total(asked or total, total)
        return total

    @property
    def group_sizes(self) -> list[int]:
        """How many latents each group has, the coarsest first."""
        return [math.prod(shape) for shape in self.group_shapes]

    @property
    def settings(self) -> dict[str, Any]:
        """Widths from the finest grid on, groups from the coarsest, latents, blocks, activation."""
        return {
            "channels": self.channels,
            "latent_groups": self.latent_groups,
            "latent_channels": self.latent_channels,
            "depth": self.depth,
            "activation": self.activation,
        }

    def encode(self, x: Tensor) -> LadderPosterior:
        """q(u|x): the features of every grid, from which each group's normals follow."""
        features: list[Tensor] = self.encoder(x)
        return LadderPosterior(self, features)

    def parameters_of(self, state: Tensor) -> Tensor:
        """The parameters of p(x|z), from the decoder's last state."""
        with full_precision(state):
            params: Tensor = self.output(state.to(self.output.weight.dtype))
        return params


class LadderPosterior:
    """q(u|x) of a batch: normals that depend, group after group, on the latents drawn before."""

    def __init__(self, network: Ladder, features: list[Tensor]) -> None:
        self.network, self.features = network, features

    def __len__(self) -> int:
        return len(self.features[0])

    def __getitem__(self, rows: Any) -> LadderPosterior:
        return LadderPosterior(self.network, [grid[rows] for grid in self.features])

    def to(self, *args: Any, **kwargs: Any) -> LadderPosterior:
        """The same on another device or in another precision, as `Tensor.to`."""
        return LadderPosterior(self.network, [grid.to(*args, **kwargs) for grid in self.features])

    def draw(self, noise: Tensor) -> Draw:
        """Latents from noise (N, D), or K draws of each image from noise (N, K, D)."""
        if noise.ndim == 3:
            count, draws, _ = noise.shape
            many = LadderPosterior(
                self.network, [grid.repeat_interleave(draws, 0) for grid in self.features]
            )
            z, q, params = many.draw(noise.flatten(0, 1))
            split = (count, draws)
            both = Normal(q.mean.unflatten(0, split), q.logvar.unflatten(0, split))
            return Draw(z.unflatten(0, split), both, params)
        state, means, logvars = self.network.decoder.drawn(noise, self.features)
        q = Normal(torch.cat(means, 1), torch.cat(logvars, 1))
        return Draw(q.sample(noise), q, self.network.parameters_of(state))

    def at_mean(self) -> Normal:
        """The normals of every group, where each latent above is at its mean."""
        rows = self.features[0]
        return self.draw(rows.new_zeros(len(rows), self.network.latent_dim)).q
