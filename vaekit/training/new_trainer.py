"""Builds the trainer of a run: its network, its batches, and its place among the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vaekit.configuration.config import RunConfig
from vaekit.data import ImageSet
from vaekit.data.batches import Batches
from vaekit.machine.ranks import Ranks
from vaekit.reporting import Reporter
from vaekit.training import follower, rank_division
from vaekit.training.defaults import network_from_config
from vaekit.training.initial_weights import start_network
from vaekit.training.loop import Trainer

if TYPE_CHECKING:
    from vaekit.training.run import TrainingData


def new_trainer(
    config: RunConfig,
    data: TrainingData,
    device: torch.device,
    reporter: Reporter,
    ranks: Ranks,
    *,
    fresh: bool,
) -> Trainer:
    """The trainer of this rank; `fresh`, its network starts from `--init` where that is given.

    On several ranks the weights are those of the run once rank 0 has shared its state.
    """
    ranks.begin(device)
    if ranks.several:
        follower.refuse_other_images(ranks, data.fingerprint)
    mean = mean_image(data.train) if ranks.is_first else None
    network = network_from_config(config, data.train.image_shape, mean)
    if fresh:
        start_network(network, config, reporter)
    network = network.to(device).to(memory_format=torch.channels_last)  # faster for convolutions
    network = rank_division.with_sync_bn(network, config, ranks)
    val = None if data.val is None else Batches(data.val, device)
    train = Batches(data.train, device)
    train.expect_random_order()
    rank_division.report_division(config, network, ranks, reporter)
    return Trainer(config, network, train, val, reporter, ranks)


def mean_image(images: ImageSet) -> Tensor:
    """The mean of the images, (C, H, W) in [0, 1]."""
    mean = images.images.mean(axis=0, dtype=np.float64) / 255
    return torch.from_numpy(mean.astype(np.float32)).permute(2, 0, 1)
