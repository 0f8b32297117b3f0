"""The grids of a ladder's latents, and the checks of settings against them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vaekit.errors import UsageError
from vaekit.models.settings import GridSize, Image

FINEST_GRID = 16
"""Sides of the finest grid of latents, at most: steps on larger ones cost most of the time."""


MOST_GROUPS = 1000
"""Groups of a ladder, at most: each is a few layers, and published models have under 100."""


def doublings(grid: GridSize, size: GridSize) -> list[GridSize]:
    """The sizes between a grid and the image, the image's last.

    >>> doublings((16, 12), (64, 45))
    [(32, 24), (64, 45)]
    """
    steps = math.ceil(math.log2(max(1.0, size[0] / grid[0], size[1] / grid[1])) - 1e-9)
    between = [(grid[0] << step, grid[1] << step) for step in range(1, steps)]
    return [(min(h, size[0]), min(w, size[1])) for h, w in between] + [size] * bool(steps)


def stem_stride(image: Image) -> int:
    """How many pixels a cell of the finest grid covers: a power of two."""
    return 1 << max(0, math.ceil(math.log2(max(image[:2]) / FINEST_GRID)))


def grids(image: Image) -> list[GridSize]:
    """The grids, the finest first: half as large each, rounded up, down to one cell.

    >>> grids((28, 20, 1))
    [(14, 10), (7, 5), (4, 3), (2, 2), (1, 1)]
    """
    stride = stem_stride(image)
    sizes = [(math.ceil(image[0] / stride), math.ceil(image[1] / stride))]
    while max(sizes[-1]) > 1:
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return sizes


def group_shapes(
    sizes: Sequence[GridSize], counts: Sequence[int], latents: int
) -> list[tuple[int, int, int]]:
    """The shape (C, H, W) of every group, the coarsest first."""
    if sum(counts) > MOST_GROUPS:
        raise UsageError(
            f"--latent-groups: {sum(counts):,} groups; up to {MOST_GROUPS:,} are built"
        )
    return [
        (latents, *size)
        for count, size in zip(counts, reversed(sizes), strict=True)
        for _ in range(count)
    ]


def check_ladder(sizes: Sequence[GridSize], channels: Sequence[int], counts: Sequence[int]) -> None:
    """Refuse widths and groups that do not fit the grids of the image."""
    grids = ", ".join(f"{height}x{width}" for height, width in reversed(sizes))
    if len(counts) != len(sizes):
        raise UsageError(
            f"--latent-groups: {len(counts)} numbers; this image has {len(sizes)} grids ({grids}) "
            "and needs as many, 0 for none"
        )
    if len(channels) > len(sizes):
        raise UsageError(
            f"--channels: {len(channels)} widths; this image has {len(sizes)} grids ({grids})"
        )


def check_latent_total(asked: int, total: int) -> None:
    """Refuse another number of latents than the groups have."""
    if asked != total:
        raise UsageError(
            f"--latent-dim {asked}: the groups of this ladder have {total} latents together; "
            "--latent-groups and --latent-channels change that"
        )
