"""Binarizes images as in training, for models of black and white."""

from __future__ import annotations

from torch import Tensor

from vaekit import seeds
from vaekit.data.batches import binarize_by_threshold, binarize_dynamic, binarize_static
from vaekit.errors import UsageError


def binarize(x: Tensor, indices: Tensor, how: str | None, seed: int) -> Tensor:
    """Images (N, C, H, W) in [0, 1] as the model sees them; `indices` are consecutive.

    `dynamic` draws each pixel with P(1) = x, keyed by the seed and the image's index; `static`
    does so keyed by the image's content, so every model sees the same version of it; `threshold`
    cuts at one half; None leaves grey levels as they are.

    >>> import torch
    >>> binarize(torch.tensor([[[[0.2, 0.9]]]]), torch.tensor([0]), "threshold", 0)
    tensor([[[[0., 1.]]]])
    """
    if how is None:
        return x
    if how == "threshold":
        return binarize_by_threshold(x)
    if how == "static":
        return binarize_static(x)
    if how != "dynamic":
        raise UsageError(f"--binarize {how}: dynamic, static or threshold")
    first = int(indices[0])
    noise = seeds.uniform_rows(first, first + len(x), x[0].numel(), seed, "observe")
    return binarize_dynamic(x, noise.view(x.shape).to(x.device))
