"""Data sets that vaekit draws: a picture for each combination of some factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vaekit import seeds
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Size, Source
from vaekit.data.splits import enough_for_train
from vaekit.errors import UsageError

TRAIN_IMAGES, TEST_IMAGES = 20_000, 4_000
"""Drawn unless `--limit` asks for more."""

_BLOCK = 256


@dataclass(frozen=True)
class FactorGrid:
    """The grid of a drawn data set; its first factor is the class."""

    name: str
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    counts: tuple[int, ...]
    """How many values each factor has."""

    def open(
        self,
        request: Request,
        size: Size,
        draw: Callable[[Integers, Size], Pixels],
        *,
        channels: int,
        drawn_by: str = "",
    ) -> Source:
        """Train and test are drawn at random from disjoint parts of the grid.

        `drawn_by` says what else the pixels depend on, for the cache.
        """
        train, test = self._parts()
        wanted = request.limit or 0
        from_train = max(TRAIN_IMAGES, enough_for_train(wanted, request.val_split))
        cells = {"train": train[:from_train], "test": test[: max(TEST_IMAGES, wanted)]}
        parts = {part: self._rows(found, draw, (*size, channels)) for part, found in cells.items()}
        drawn = [len(found) for found in cells.values()]
        identity = f"{self.name}/1 {size} {drawn} {drawn_by}".rstrip()
        return Source(self.name, parts, identity, self.classes, self.factors)

    def factors_of(self, cells: Integers) -> Integers:
        """The factors of cells of the grid, by number; the last factor runs fastest."""
        return np.stack(np.unravel_index(cells, self.counts), axis=1).astype(np.int64)

    def check(self, factors: Integers) -> None:
        """Refuse what is not rows of factors within the grid."""
        counts = np.array(self.counts)
        if (
            factors.ndim != 2
            or factors.shape[1] != len(counts)
            or np.any((factors < 0) | (factors >= counts))
        ):
            raise UsageError(
                f"factors must be rows of {self.factors}, each from 0 to below {self.counts}"
            )

    def _parts(self) -> tuple[Integers, Integers]:
        """The cells in two parts, nine in ten and one in ten, each in a fixed random order."""
        total = math.prod(self.counts)
        cells = seeds.numpy_generator(0, self.name).permutation(total)
        return cells[: -total // 10], cells[-total // 10 :]

    def _rows(
        self,
        cells: Integers,
        draw: Callable[[Integers, Size], Pixels],
        shape: tuple[int, int, int],
    ) -> Rows:
        factors = self.factors_of(cells)

        def blocks(indices: Integers) -> Iterator[Pixels]:
            for start in range(0, len(indices), _BLOCK):
                yield draw(factors[indices[start : start + _BLOCK]], shape[:2])

        return Rows(
            names=NumberedNames(len(cells)),
            shape=shape,
            blocks=blocks,
            labels=factors[:, 0],
            factors=factors,
            quick=False,
            keys=lambda: cells.astype(np.uint64),
        )
