"""Which images are train, val and test: pure functions from counts to indices.

Where a source does not come divided, the cuts are keyed by a constant, not by the training seed:
if they moved with the seed, a model trained with one seed would have seen the images that a model
trained with another is tested on, and their numbers could not be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vaekit import seeds
from vaekit.data.imageset import Integers
from vaekit.data.source import SPLITS

Chosen = list[tuple[str, Integers]]
"""Parts of a source, each with the indices taken from it, ascending."""


def choose_split(sizes: Mapping[str, int], split: str, val_split: float) -> Chosen:
    """The indices that make up one split, given how many images each part of the source has.

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
    """What remains, and the `count` that are cut off at random; both keep their order."""
    shuffled = seeds.numpy_generator(0, "split", use).permutation(len(indices))
    return indices[np.sort(shuffled[count:])], indices[np.sort(shuffled[:count])]


def limit(chosen: Chosen, count: int | None, seed: int, split: str) -> Chosen:
    """A seeded choice of `count` images, in their order; a larger count holds the smaller one's."""
    total = sum(len(indices) for _, indices in chosen)
    if count is None or count >= total:
        return chosen
    shuffled = seeds.numpy_generator(seed, "limit", split).permutation(total)
    kept = np.zeros(total, bool)
    kept[shuffled[:count]] = True
    masks = np.split(kept, np.cumsum([len(indices) for _, indices in chosen])[:-1])
    return [(part, indices[mask]) for (part, indices), mask in zip(chosen, masks, strict=True)]
