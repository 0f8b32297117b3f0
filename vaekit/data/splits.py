"""Which images are train, val and test: pure functions from counts to indices.

Where a source has no splits of its own, they are drawn with a constant key, not the training seed.
Else a model trained with one seed would have seen the test images of another, and their numbers
could not be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vaekit import seeds
from vaekit.data.imageset import Integers
from vaekit.data.source import SPLITS

Chosen = list[tuple[str, Integers]]
"""Names of a source's parts, each with the indices taken from it, ascending."""


def choose_split(sizes: Mapping[str, int], split: str, val_split: float) -> Chosen:
    """The indices of one split, given the number of images in each part of the source.

    >>> [(part, len(indices)) for part, indices in choose_split({"train": 100}, "test", 0.1)]
    [('train', 10)]
    >>> [(part, len(indices)) for part, indices in choose_split({"train": 100}, "train", 0.1)]
    [('train', 81)]
    """
    if split == "all":
        return [(part, np.arange(sizes[part])) for part in SPLITS if part in sizes]
    if split != "train" and split in sizes:
        return [(split, np.arange(sizes[split]))]
    train = np.arange(sizes.get("train", 0))
    test = np.empty(0, np.int64)
    if "test" not in sizes:
        train, test = _cut(train, _tenth(len(train)), "test")
    if split == "test":
        return [("train", test)]
    if "val" not in sizes:
        train, val = _cut(train, _fraction(len(train), val_split), "val")
        if split == "val":
            return [("train", val)]
    return [("train", train)]


def _tenth(count: int) -> int:
    return max(1, count // 10) if count >= 2 else 0


def _fraction(count: int, fraction: float) -> int:
    if fraction == 0 or count < 2:
        return 0
    return min(max(1, round(count * fraction)), count - 1)


def _cut(indices: Integers, count: int, use: str) -> tuple[Integers, Integers]:
    """The rest, and `count` indices drawn at random; both in ascending order."""
    shuffled = seeds.numpy_generator(0, "split", use).permutation(len(indices))
    return indices[np.sort(shuffled[count:])], indices[np.sort(shuffled[:count])]


def limit(chosen: Chosen, count: int | None, seed: int, split: str) -> Chosen:
    """A seeded choice of `count` images, in order; a larger count contains a smaller one's."""
    total = sum(len(indices) for _, indices in chosen)
    if count is None or count >= total:
        return chosen
    shuffled = seeds.numpy_generator(seed, "limit", split).permutation(total)
    kept = np.zeros(total, bool)
    kept[shuffled[:count]] = True
    masks = np.split(kept, np.cumsum([len(indices) for _, indices in chosen])[:-1])
    return [(part, indices[mask]) for (part, indices), mask in zip(chosen, masks, strict=True)]
