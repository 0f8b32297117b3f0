"""The gradients of all ranks, added up in one operation per step.

Every weight's gradient is a view into one flat tensor, into which the backward pass adds. Behind
them are the running statistics of the network, such as those of a batch norm, the step's sums, and
whether this rank was asked to stop: what one operation adds up, every rank then knows.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from vaekit.errors import LostRank
from vaekit.machine.ranks import Ranks

STOP_EVERY = 10
"""Steps between two looks at the requests to stop, on devices that are waited for to be read."""


class SharedGradients:
    """The flat tensor of a network's gradients, and what is added up with them.

    `extra` is how many further numbers a step has: its sums.
    """

    def __init__(self, network: nn.Module, ranks: Ranks, device: torch.device, extra: int) -> None:
        self._network, self._ranks = network, ranks
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._buffers: list[Tensor] | None = None
        self._sizes = [p.numel() for p in self._parameters]
        self._device, self._extra = device, extra
        self._flat = torch.zeros(1, device=device)
        self._kept = torch.zeros(0, device=device)
        self._wants_stop = False
        self._stop_every = 1 if device.type == "cpu" else STOP_EVERY

    def clear(self) -> None:
        """Set the gradients to zero, ready for a backward pass."""
        if self._buffers is None:
            self._lay_out()
        self._flat.zero_()
        starts = itertools.accumulate(self._sizes, initial=0)
        for parameter, start in zip(self._parameters, starts, strict=False):
            # The strides are the weight's own: Adam's kernel walks both in the order of memory.
            parameter.grad = self._flat.as_strided(parameter.shape, parameter.stride(), start)

    def _lay_out(self) -> None:
        """Make the flat tensor; here the network is in training mode, its frozen parts are not."""
        self._buffers = _running_statistics(self._network)
        sizes = (*self._sizes, *(b.numel() for b in self._buffers), self._extra, 1)
        self._flat = torch.zeros(sum(sizes), device=self._device)
        self._kept = self._packed_buffers()

    def add_up(self, sums: Tensor, share: float) -> Tensor:
        """Add up the gradients of all ranks, and these sums, which come back.

        Running statistics become their mean, weighted by each rank's share of the batch. If a rank
        is gone, they are as they were before the step, so that a checkpoint can be saved.
        """
        behind = self._flat[sum(self._sizes) :]
        statistics = len(self._kept)
        behind[:statistics] = self._packed_buffers() * share
        behind[statistics:-1] = sums
        behind[-1] = float(self._wants_stop)
        try:
            self._ranks.add_up(self._flat)
        except LostRank:
            self._unpack_buffers(self._kept)
            raise
        self._kept = behind[:statistics].clone()
        self._unpack_buffers(self._kept)
        return behind[statistics:-1].to(sums.dtype)

    def agree_to_stop(self, requested: bool, step: int) -> bool:
        """Whether a rank had asked to stop before step `step`: all ranks see the same.

        A request is passed on with the next step.
        """
        self._wants_stop = requested
        return step % self._stop_every == 0 and bool(self._flat[-1] > 0)

    def _packed_buffers(self) -> Tensor:
        parts = [b.detach().reshape(-1).to(self._flat.dtype) for b in self._buffers or ()]
        return torch.cat(parts) if parts else self._flat[:0].clone()

    @torch.no_grad()
    def _unpack_buffers(self, values: Tensor) -> None:
        start = 0
        for buffer in self._buffers or ():
            buffer.copy_(values[start : start + buffer.numel()].reshape(buffer.shape))
            start += buffer.numel()


def _running_statistics(network: nn.Module) -> list[Tensor]:
    """What training changes beside the weights: averages over batches."""
    return [
        buffer
        for module in network.modules()
        if module.training
        for buffer in module.buffers(recurse=False)
        if buffer.is_floating_point()
    ]
