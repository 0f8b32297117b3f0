"""The encoder and decoder of a ladder, and the blocks they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.gaussian import Normal, soft_bound
from vaekit.models.ladder_grids import doublings, stem_stride
from vaekit.models.layers import LOGVAR_LIMIT, Resize, activate, full_precision
from vaekit.models.settings import GridSize, Image

MEAN_LIMIT = 30.0
"""A posterior's mean stays within ±30 spreads of its prior: the KL of a bad step stays finite."""

SCALE_LIMIT = 5.0
"""The logarithm of a latent's scale in the decoder stays within ±5."""

MIN_WIDTH = 8


class LadderSettings(Protocol):
    """The settings of a ladder that its networks are built from."""

    sizes: list[GridSize]
    latent_groups: list[int]
    latent_channels: int
    depth: int
    activation: str


class BottomUp(nn.Module):
    """The encoder: features of every grid, the finest first."""

    def __init__(
        self,
        image: Image,
        sizes: Sequence[GridSize],
        widths: Sequence[int],
        depth: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.stride = stride = stem_stride(image)
        self.stem = nn.Conv2d(image[2], widths[0], stride + 2, stride=stride, padding=1)
        self.stages = nn.ModuleList(
            _residuals(width, depth, size, activation, 1 / math.sqrt(depth * len(sizes)))
            for width, size in zip(widths, sizes, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """From images (N, C, H, W) to features (N, width, h, w) of every grid."""
        height, width = x.shape[2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        h: Tensor = self.stem(F.pad(2 * x - 1, padding))
        found = []
        for number, stage in enumerate(self.stages):
            h = stage(h if number == 0 else self.down[number - 1](h))
            found.append(h)
        return found


class TopDown(nn.Module):
    """The decoder: from the coarsest grid to the finest, and from there to the image."""

    def __init__(self, size: GridSize, ladder: LadderSettings, widths: Sequence[int]) -> None:
        super().__init__()
        sizes, activation = ladder.sizes[::-1], ladder.activation
        widths = list(widths[::-1])
        total = max(1, sum(ladder.latent_groups))
        self.starts = nn.ParameterList(
            torch.zeros(1, width, *grid) for width, grid in zip(widths, sizes, strict=True)
        )
        self.levels = [
            [LadderGroup(ladder, width, grid, total) for _ in range(count)]
            for count, width, grid in zip(ladder.latent_groups, widths, sizes, strict=True)
        ]
        self.groups = nn.ModuleList(self._all())
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 1), Resize(grid))
            for (a, b), grid in zip(pairwise(widths), sizes[1:], strict=True)
        )
        targets = doublings(sizes[-1], size)
        self.width = max(MIN_WIDTH, widths[-1] // 2) if targets else widths[-1]
        """Channels of the last state."""
        self.finish = nn.Sequential(*_to_image(widths[-1], self.width, targets, activation))

    def forward(self, z: Tensor) -> Tensor:
        """The last state, from latents (N, D) of all groups."""
        parts = iter(z.split([math.prod(group.shape) for group in self._all()], 1))
        return self._walked(len(z), lambda group, h, _: next(parts).unflatten(1, group.shape))

    def drawn(
        self, noise: Tensor, features: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The last state with latents drawn from the posterior, its means and log-variances."""
        parts = iter(noise.split([math.prod(group.shape) for group in self._all()], 1))
        means: list[Tensor] = []
        logvars: list[Tensor] = []

        def draw(group: LadderGroup, h: Tensor, level: int) -> Tensor:
            q = group.posterior_of(h, features[len(features) - 1 - level])
            means.append(q.mean)
            logvars.append(q.logvar)
            z: Tensor = q.sample(next(parts)).unflatten(1, group.shape)
            return z

        return self._walked(len(noise), draw), means, logvars

    def _all(self) -> Iterator[LadderGroup]:
        return (group for level in self.levels for group in level)

    def _walked(self, count: int, latents: Callable[[LadderGroup, Tensor, int], Tensor]) -> Tensor:
        h = self.starts[0].expand(count, -1, -1, -1)
        for number, level in enumerate(self.levels):
            if number:
                h = self.up[number - 1](h) + self.starts[number]
            for group in level:
                h = group(h, latents(group, h, number))
        finished: Tensor = self.finish(h)
        return finished


class LadderGroup(nn.Module):
    """One grid of latents: its posterior, and what it adds to the state."""

    def __init__(self, ladder: LadderSettings, width: int, grid: GridSize, total: int) -> None:
        super().__init__()
        self.shape = (ladder.latent_channels, *grid)
        self.width, latents, scale = width, ladder.latent_channels, 1 / math.sqrt(total)
        activation = ladder.activation
        self.posterior = ScaledBlock(2 * width, 2 * latents, grid, activation, 0.0)
        self.prior = ScaledBlock(width, width + latents, grid, activation, scale)
        self.said = nn.Conv2d(latents, width, 1)
        self.residuals = _residuals(width, ladder.depth, grid, activation, scale)
        with torch.no_grad():
            self.said.weight.mul_(scale)

    def posterior_of(self, h: Tensor, features: Tensor) -> Normal:
        """The normals of this group's latents, one row an image."""
        found = self.posterior(torch.cat([h, features], 1), exact=True)
        mean, logvar = found.flatten(1).chunk(2, 1)
        return Normal(soft_bound(mean, MEAN_LIMIT), soft_bound(logvar, LOGVAR_LIMIT))

    def forward(self, h: Tensor, u: Tensor) -> Tensor:
        """The state with what the latents u say, and what is made of it."""
        added, scale = self.prior(h).split([self.width, self.shape[0]], 1)
        h = h + added + self.said(u * torch.exp(soft_bound(scale, SCALE_LIMIT)))
        out: Tensor = self.residuals(h)
        return out


class ScaledBlock(nn.Module):
    """Two convolutions, the last one scaled, so that a deep stack trains from the first step."""

    def __init__(
        self, inputs: int, outputs: int, grid: GridSize, activation: str, scale: float
    ) -> None:
        super().__init__()
        kernel = 3 if max(grid) > 2 else 1  # on smaller grids, most of a kernel meets padding
        middle = max(MIN_WIDTH, outputs // 2, inputs // 4)
        self.first = nn.Conv2d(inputs, middle, kernel, padding=kernel // 2)
        self.last = nn.Conv2d(middle, outputs, kernel, padding=kernel // 2)
        self.activation = activate(activation)
        with torch.no_grad():
            for parameter in self.last.parameters():
                parameter.mul_(scale)

    def forward(self, h: Tensor, *, exact: bool = False) -> Tensor:
        """From (N, inputs, h, w) to (N, outputs, h, w); the last layer in float32 if `exact`."""
        h = self.activation(self.first(self.activation(h)))
        with full_precision(h) if exact else nullcontext():
            out: Tensor = self.last(h.to(self.last.weight.dtype) if exact else h)
        return out


class ScaledResidual(nn.Module):
    """The input and what a block adds to it."""

    def __init__(self, block: ScaledBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, h: Tensor) -> Tensor:
        """From (N, width, h, w) to the same."""
        return h + self.block(h)  # type: ignore[no-any-return]


def _residuals(
    width: int, depth: int, grid: GridSize, activation: str, scale: float
) -> nn.Sequential:
    blocks = [ScaledBlock(width, width, grid, activation, scale) for _ in range(depth)]
    return nn.Sequential(*map(ScaledResidual, blocks))


def _to_image(
    width: int, last: int, doublings: Sequence[GridSize], activation: str
) -> list[nn.Module]:
    """Doubling by repeated pixels, a convolution after each."""
    layers: list[nn.Module] = [activate(activation)]
    for target in doublings:
        layers += [Resize(target), nn.Conv2d(width, last, 3, padding=1), activate(activation)]
        width = last
    return layers
