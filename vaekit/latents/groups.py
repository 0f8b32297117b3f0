"""The groups of a model's latents, read from its header, and what options may ask of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaekit.errors import UsageError
from vaekit.model_file.header import ModelHeader
from vaekit.models.ladder_grids import grids, group_shapes
from vaekit.models.settings import SETTINGS

Temperature = float | Sequence[float]
"""One for all groups of latents, or one for each, the coarsest first; the last is for the rest."""


@dataclass(frozen=True)
class LatentGroup:
    """Latents that a model draws together: their shape, their places, and what they carry."""

    number: int
    """From 1, the coarsest grid's."""
    shape: tuple[int, ...]
    """Channels, height and width; in a model without grids, how many latents there are."""
    start: int
    stop: int
    nats: float
    """The mean KL divergence on training images."""

    @property
    def grid(self) -> str:
        """The size of the grid, such as `4x4`; empty in a model without grids."""
        return "x".join(map(str, self.shape[1:]))

    def __len__(self) -> int:
        return self.stop - self.start


def groups_of(header: ModelHeader) -> list[LatentGroup]:
    """All groups, the coarsest first; one of all latents in a model without groups."""
    shapes = _shapes(header.model.settings, header.image, header.model.latent_dim)
    found, start = [], 0
    for number, shape in enumerate(shapes, 1):
        stop = start + math.prod(shape)
        nats = math.fsum(header.latents.kl[start:stop])
        found.append(LatentGroup(number, shape, start, stop, nats))
        start = stop
    return found


def _shapes(
    settings: Mapping[str, Any], image: tuple[int, int, int], total: int
) -> Sequence[tuple[int, ...]]:
    """The shapes that the settings describe, if they make up all latents: a file may lie."""
    counts, latents = settings.get("latent_groups"), settings.get("latent_channels")
    sizes = grids(image)
    if (
        isinstance(counts, list)
        and isinstance(latents, int)
        and SETTINGS["latent_groups"].accepts(counts)
        and SETTINGS["latent_channels"].accepts(latents)
        and len(counts) == len(sizes)
        and total == latents * sum(n * h * w for n, (h, w) in zip(counts, sizes[::-1], strict=True))
    ):
        return group_shapes(sizes, counts, latents)
    return [(total,)]


def latents_in(groups: Sequence[LatentGroup], asked: int | None) -> int:
    """How many latents the first `asked` groups have; None stands for all groups."""
    if asked is None:
        return groups[-1].stop
    if len(groups) == 1:
        raise UsageError(
            f"--groups {asked}: the latents of this model are one group; "
            "a model trained with --model ladder has several"
        )
    if not 1 <= asked <= len(groups):
        raise UsageError(
            f"--groups {asked}: this model has {len(groups)} groups of latents "
            f"({', '.join(group.grid for group in groups)}): give 1 to {len(groups)}"
        )
    return groups[asked - 1].stop


def temperatures(asked: str | Temperature, groups: Sequence[LatentGroup]) -> list[float]:
    """The temperature of each of these groups: one for all, or a list whose last is for the rest.

    >>> three = [LatentGroup(n, (1,), n, n + 1, 0.0) for n in range(3)]
    >>> temperatures("1,0.7", three), temperatures(0.5, three)
    ([1.0, 0.7, 0.7], [0.5, 0.5, 0.5])
    """
    values = parse_temperatures(asked)
    if len(values) > len(groups):
        one = "one group of latents is"
        drawn = one if len(groups) == 1 else f"{len(groups)} groups of latents are"
        raise UsageError(
            f"--temperature: {len(values)} numbers, where {drawn} drawn: "
            "give one number for each, the coarsest first, or fewer, whose last is for the rest"
        )
    return values + values[-1:] * (len(groups) - len(values))


def parse_temperatures(asked: str | Temperature) -> list[float]:
    """One number or several, each finite and at least 0."""
    parts = asked.split(",") if isinstance(asked, str) else asked
    try:
        values = [float(part) for part in (parts if isinstance(parts, Sequence) else [parts])]
    except ValueError:
        values = []
    if not values:
        raise UsageError(f"--temperature {asked}: give a number, or several such as 1,0.7,0.5")
    for value in values:
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(
                f"--temperature {value:g}: must be a finite number, at least 0 (0 gives the means)"
            )
    return values
