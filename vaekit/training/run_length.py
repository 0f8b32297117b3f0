"""How an epoch is divided into batches, and how many epochs and steps a run has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit.configuration.config import RunConfig


@dataclass(frozen=True)
class RunLength:
    """How long a run is, unless early stopping ends it before."""

    epochs: int
    steps_per_epoch: int
    """Optimizer steps in one pass over the images."""

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs."""
        return self.epochs * self.steps_per_epoch


def run_length(config: RunConfig, images: int) -> RunLength:
    """The length of a run on this many images; the defaults of its config are filled in."""
    assert config.epochs is not None
    return RunLength(config.epochs, steps_in(images, config.images_per_step))


def split_epoch(indices: Tensor, size: int) -> list[Tensor]:
    """Batches of `size`, the last one smaller; a single last image joins the batch before it,
    since batch norm cannot train on one image.
    """
    batches = list(indices.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def steps_in(images: int, size: int) -> int:
    """How many batches `split_epoch` makes, by arithmetic.

    >>> [steps_in(n, 4) for n in (1, 4, 5, 6, 8, 9)]
    [1, 1, 1, 2, 2, 2]
    """
    count = -(-images // size)
    alone = images - (count - 1) * size == 1
    return count - 1 if alone and count > 1 else count
