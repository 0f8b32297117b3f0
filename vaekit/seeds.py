"""Random draws as pure functions of a seed and a place; no generator state is kept.

The order of epoch 3, the noise of step 417 and the 64th sample are each keyed by what they are, so
a run can resume anywhere, and the number of images changes no bit of any of them.

    >>> key(0, "order", 3) == key(0, "order", 3)
    True
    >>> key(0, "order", 3) == key(0, "order", 4)
    False
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vaekit.array_types import UInt64s

SPLITMIX_STEP = 0x9E3779B97F4A7C15
"""What SplitMix64 adds to its state for each number."""

BLOCK = 64
"""Rows drawn under one key: short enough to waste little, long enough to be cheap."""


def key(*place: int | str) -> int:
    """A 63-bit seed for one place: a hash, so that neighbouring places share nothing."""
    text = "/".join(str(part) for part in place)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(*place: int | str) -> torch.Generator:
    """A torch generator for one place. Always on the CPU, so that devices see equal draws."""
    import torch

    return torch.Generator().manual_seed(key(*place))


def numpy_generator(*place: int | str) -> np.random.Generator:
    """A numpy generator for one place."""
    import numpy as np

    return np.random.default_rng(key(*place))


def hashed(values: UInt64s, *place: int | str) -> UInt64s:
    """A uniform 64-bit hash of each value for one place, whatever other values there are."""
    import numpy as np

    return splitmix(values ^ np.uint64(key(*place)))


def splitmix(states: UInt64s) -> UInt64s:
    """The number that the generator SplitMix64 gives from each state.

    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (2014).
    """
    import numpy as np

    mixed = states + np.uint64(SPLITMIX_STEP)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def normal_rows(start: int, stop: int, width: int, *place: int | str) -> torch.Tensor:
    """Rows `start` to `stop` of the endless matrix of standard normal draws of one place.

    >>> import torch
    >>> torch.equal(normal_rows(0, 16, 2, 7), normal_rows(0, 100, 2, 7)[:16])
    True
    """
    import torch

    blocks = range(start // BLOCK, -(-stop // BLOCK))
    drawn = [torch.randn(BLOCK, width, generator=generator(*place, "block", b)) for b in blocks]
    first = blocks.start * BLOCK
    return torch.cat(drawn)[start - first : stop - first] if drawn else torch.empty(0, width)


def uniform_rows(start: int, stop: int, width: int, *place: int | str) -> torch.Tensor:
    """Rows `start` to `stop` of the endless matrix of uniform draws in [0, 1) of one place."""
    import torch

    blocks = range(start // BLOCK, -(-stop // BLOCK))
    drawn = [torch.rand(BLOCK, width, generator=generator(*place, "block", b)) for b in blocks]
    first = blocks.start * BLOCK
    return torch.cat(drawn)[start - first : stop - first] if drawn else torch.empty(0, width)
