"""Layers that several networks share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit.gaussian import Normal, soft_bound
from vaekit.models.linear import Linear
from vaekit.models.settings import ACTIVATIONS

LOGVAR_LIMIT = 20.0
"""The posterior's log-variance stays within ±20, where its exponential is harmless."""


class PosteriorHead(nn.Module):
    """The head of an encoder: two linear maps, to the mean and the log-variance of q(z|x).

    They run in full precision even under autocast: an embedding should not be rounded to bfloat16.
    The mean is unbounded; images in [0, 1] keep it small.
    """

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = Linear(features, latent_dim)
        self.logvar = Linear(features, latent_dim)

    def forward(self, h: Tensor) -> Normal:
        """The posterior, from an encoder's features (N, features)."""
        with full_precision(h):
            h = h.to(self.mean.weight.dtype)
            return Normal(self.mean(h), soft_bound(self.logvar(h), LOGVAR_LIMIT))


def full_precision(h: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on this tensor's device."""
    if h.device.type == "meta" or not torch.is_autocast_enabled(h.device.type):
        return nullcontext()  # autocast does not support meta; when it is off, this is cheaper
    return torch.autocast(h.device.type, enabled=False)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that accepts a batch with one value per channel.

    torch raises an error there, since one value has no spread: a last batch of one image at a stage
    of one pixel. This layer uses its running statistics instead.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name for it
        """Normalise (N, C, H, W) by channel."""
        if self.training and input.numel() == input.shape[1]:
            statistics = self.running_mean, self.running_var
            return F.batch_norm(input, *statistics, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class Resize(nn.Module):
    """Repeat pixels until an image has exactly this size: nearest-neighbour upsampling."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, h: Tensor) -> Tensor:
        """From (N, C, h, w) to (N, C, H, W)."""
        return F.interpolate(h, size=self.size, mode="nearest")

    def extra_repr(self) -> str:
        """The size, for `print(model)`."""
        return f"{self.size[0]}x{self.size[1]}"


class NearestConv(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then a convolution of kernel 3, as one transposed one.

    Neighbouring pixels share their weights, so an untrained or half-trained network draws no
    checkerboard (Odena et al. 2016, doi:10.23915/distill.00003). Each repeated pixel would be
    multiplied by up to four weights; multiplying it by their sum takes 4/9 of the operations. So
    the kernel is summed over 2x2 neighbours, flipped, and used with stride 2. A side of one pixel
    stays as it is, and an odd side gets its last pixel from what is there.

    >>> NearestConv(8, 4, (7, 1))(torch.zeros(2, 8, 3, 1)).shape
    torch.Size([2, 4, 7, 1])
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__(inputs, outputs, 3)
        self.size = size
        """Height and width of the result."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name for it
        """From (N, C, h, w) to (N, outputs, H, W), where h = H // 2 or H = 1."""
        kernel = self.weight
        for axis, side in zip((2, 3), self.size, strict=True):
            kernel = _summed_pairs(kernel, axis) if side > 1 else kernel
        stride = [min(side, 2) for side in self.size]
        odd = [side % 2 * (step - 1) for side, step in zip(self.size, stride, strict=True)]
        flipped = kernel.flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(input, flipped, self.bias, stride, 1, odd)

    def extra_repr(self) -> str:
        """The channels and the size, for `print(model)`."""
        return f"{self.in_channels}, {self.out_channels}, to {self.size[0]}x{self.size[1]}"


def _summed_pairs(kernel: Tensor, axis: int) -> Tensor:
    """Sums of neighbours along an axis, one more than there were: (a, a + b, b + c, c)."""
    end = torch.zeros_like(kernel.narrow(axis, 0, 1))
    return torch.cat([kernel, end], axis) + torch.cat([end, kernel], axis)


def activate(activation: str) -> nn.Module:
    """The activation layer with this name."""
    layer: nn.Module = getattr(nn, ACTIVATIONS[activation])()
    return layer


def normalise(norm: str, channels: int) -> list[nn.Module]:
    """The normalisation with this name, as a list of one layer or none."""
    if norm == "batch":
        return [BatchNorm(channels)]
    return [nn.GroupNorm(groups(channels), channels)] if norm == "group" else []


def groups(channels: int) -> int:
    """The number of groups to normalise: up to 32, equal, with at least 4 channels each.

    A group of a single channel would normalise a single pixel to nothing.

    >>> [groups(channels) for channels in (3, 32, 100, 256)]
    [1, 8, 25, 32]
    """
    return next(g for g in range(max(1, min(32, channels // 4)), 0, -1) if channels % g == 0)
