"""Which images are train, val and test: pure functions from content keys to indices.

Where a source has no splits of its own, a hash of each image's content decides. So adding or
removing images moves no other image from one part to another, and identical images are always in
the same part. The training seed plays no role: else a model trained with one seed would have seen
the test images of another, and their numbers could not be compared.

A part gets close to the share asked for, not exactly that. One rule makes an exception for tiny
sets: a part that would be empty gets one image (with its copies) if there are two different ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from vaekit import seeds
from vaekit.array_types import UInt64s
from vaekit.data.imageset import Integers
from vaekit.data.source import SPLITS

Chosen = list[tuple[str, Integers]]
"""Names of a source's parts, each with the indices taken from it, ascending."""

Keys = Callable[[str], UInt64s]
"""The content key of each image of a part, by the part's name; asked for only where it is needed,
since it may mean to read every file."""

TEST_SHARE = 0.1
"""The share of an undivided source that goes to test."""


def choose_split(sizes: Mapping[str, int], keys: Keys, split: str, val_split: float) -> Chosen:
    """The indices of one split, given the number of images in each part of the source.

    >>> def keys(part):
    ...     return np.arange(1000, dtype=np.uint64)
    >>> for split in ("train", "val", "test"):
    ...     ((part, rows),) = choose_split({"train": 1000}, keys, split, 0.1)
    ...     print(part, len(rows))
    train 819
    train 75
    train 106
    """
    if split == "all":
        return [(part, np.arange(sizes[part])) for part in SPLITS if part in sizes]
    if split != "train" and split in sizes:
        return [(split, np.arange(sizes[split]))]
    rows, rest = np.arange(sizes.get("train", 0)), "train"
    for part, share in (("test", TEST_SHARE), ("val", val_split)):
        if part in sizes or share == 0 or not len(rows):
            continue
        inside = _inside(keys(rest)[rows], share, part)
        if split == part:
            return [(rest, rows[inside])]
        rows = rows[~inside]
    return [(rest, rows if split == "train" else rows[:0])]


def enough_for_train(limit: int, val_split: float) -> int:
    """The training images to draw so that `limit` are left once validation is cut from them.

    How many validation gets varies by chance; eight standard deviations are allowed for.
    """
    return math.ceil((limit + 8 * math.sqrt(limit)) / (1 - val_split))


def _inside(keys: UInt64s, share: float, part: str) -> npt.NDArray[np.bool_]:
    """Which images go to the part rather than stay in train."""
    hashed = seeds.hashed(keys, "split", part)
    first, last = hashed.min(), hashed.max()
    if first == last:
        return np.zeros(len(keys), bool)
    inside: npt.NDArray[np.bool_] = hashed < np.uint64(int(share * 2**64))
    if not inside.any():
        inside = hashed == first
    elif inside.all():
        inside = hashed != last
    return inside


def limit(chosen: Chosen, keys: Keys, count: int | None, seed: int) -> Chosen:
    """A seeded choice of `count` images by their content, in order.

    A larger count contains a smaller one's choice, and other images added to the source replace
    only as many as they are.
    """
    total = sum(len(rows) for _, rows in chosen)
    if count is None or count >= total:
        return chosen
    ranks = np.concatenate([seeds.hashed(keys(part)[rows], seed, "limit") for part, rows in chosen])
    kept = np.zeros(total, bool)
    kept[np.argsort(ranks, kind="stable")[:count]] = True
    masks = np.split(kept, np.cumsum([len(rows) for _, rows in chosen])[:-1])
    return [(part, rows[mask]) for (part, rows), mask in zip(chosen, masks, strict=True)]
