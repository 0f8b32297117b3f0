"""A moving average of the weights (`--ema`)."""

from __future__ import annotations

import copy

import torch

from vaekit import torch_internals
from vaekit.models.vae import VAE


class WeightAverage:
    """average = decay * average + (1 - decay) * weights after every step (Polyak & Juditsky, 1992).

    The decay is at most (1 + t) / (10 + t), so that the random initial weights soon fade. Buffers,
    such as the statistics of a batch norm, are copied.
    """

    def __init__(self, network: VAE, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: VAE, step: int) -> None:
        """Update the average with the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        ours = [p.detach() for p in self.network.parameters()]
        theirs = [p.detach() for p in network.parameters()]
        torch_internals.lerp_each(ours, theirs, 1 - decay)
        for mine, its in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(its)
