"""Random changes of training images, each image on its own.

What changes is drawn for every image of a step from (seed, step); `torchvision.transforms.v2` draws
once for a stack of images. All changes are plain indexing, which interpolates nothing and needs no
torchvision, whose import takes seconds. Each result equals torchvision's for the same draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaekit import seeds

CROP_SHARE = 8
"""`crop` moves an image by up to a side's 1/8, as is usual at 32 pixels: 4."""


def augmentation(names: Sequence[str], count: int, seed: int, step: int) -> Augmentation:
    """The changes of the `count` images of one step."""
    generator = seeds.generator(seed, "augment", step)
    draws = {name: torch.rand(count, 2, generator=generator) for name in AUGMENTATIONS}
    return Augmentation({name: draws[name] for name in AUGMENTATIONS if name in names})


class Augmentation:
    """The changes of a batch, drawn: uniform numbers (N, 2) for each."""

    def __init__(self, draws: dict[str, Tensor]) -> None:
        self._draws = draws

    def apply(self, x: Tensor, start: int = 0) -> Tensor:
        """Change images (B, C, H, W), which are the rows from `start` on of the batch."""
        for name, uniform in self._draws.items():
            rows = uniform[start : start + len(x)].to(x.device)
            x = AUGMENTATIONS[name](x, rows)
        return x


def hflip(x: Tensor, uniform: Tensor) -> Tensor:
    """Left and right exchanged in every second image.

    >>> hflip(torch.tensor([[[[0.0, 1.0]]], [[[0.0, 1.0]]]]), torch.tensor([[0.2], [0.7]])).ravel()
    tensor([1., 0., 0., 1.])
    """
    return torch.where(_chosen(uniform), x.flip(3), x)


def vflip(x: Tensor, uniform: Tensor) -> Tensor:
    """Top and bottom exchanged in every second image."""
    return torch.where(_chosen(uniform), x.flip(2), x)


def crop(x: Tensor, uniform: Tensor) -> Tensor:
    """Moved by up to 1/8 of each side in whole pixels; what comes in is the image's reflection."""
    down, across = (
        _mirrored(side, column) for side, column in zip(x.shape[2:], uniform.unbind(1), strict=True)
    )
    image = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[image, down[:, :, None], across[:, None, :]]
    return moved.permute(0, 3, 1, 2)


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hflip": hflip,
    "vflip": vflip,
    "crop": crop,
}
"""The changes by name, in the order in which they are made."""


def _chosen(uniform: Tensor) -> Tensor:
    return (uniform[:, 0] < 0.5)[:, None, None, None]


def _mirrored(side: int, uniform: Tensor) -> Tensor:
    """For each image (N, side): which row or column of the image is shown at each place."""
    reach = side // CROP_SHARE
    moved = (uniform * (2 * reach + 1)).long() - reach
    place = torch.arange(side, device=uniform.device) + moved[:, None]
    place = place.abs()
    return torch.minimum(place, 2 * (side - 1) - place)
