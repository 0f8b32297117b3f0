"""Batches for training: the order of each epoch; the only place where bytes become floats.

    uint8 (N, H, W, C)  --gather by index-->  float32 (B, C, H, W) in [0, 1], exactly v / 255

The images are on the device if they fit there. Otherwise they stay in memory or memory-mapped, and
each batch is gathered from them; for CUDA that happens while the previous batch is computed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vaekit import seeds
from vaekit.data.content_keys import pixel_keys
from vaekit.data.imageset import ImageSet, Pixels
from vaekit.data.prefetch import Prefetcher
from vaekit.library_internals import expect_random_reads

MEMORY_SHARE = 0.4
"""Images take up to this share of an accelerator's free memory; the rest is for the model."""


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits the images: a permutation keyed by (seed, epoch)."""
    return torch.randperm(count, generator=seeds.generator(seed, "order", epoch))


class Batches:
    """Batches of one image set on one device.

    >>> images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    >>> batches = Batches(images)
    >>> batches.gather(torch.tensor([2, 0])).shape
    torch.Size([2, 1, 2, 2])
    >>> [len(x) for _, x in batches.in_order(2)]
    [2, 1]
    """

    def __init__(self, images: ImageSet | Pixels, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._source = images.images if isinstance(images, ImageSet) else images
        self._resident = _resident(self._source, self.device)
        is_remote = self.device.type == "cuda" and self._resident is None
        self._prefetcher = Prefetcher(self._gather, self.device) if is_remote else None
        # Some devices multiply by the reciprocal instead of dividing by a number, which is not
        # exactly v / 255; they do divide by a tensor.
        self._full_scale = torch.tensor(255.0, device=self.device)

    def __len__(self) -> int:
        return len(self._source)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self._source.shape[1:]
        return height, width, channels

    @property
    def bytes_on_device(self) -> int:
        """What the images take of an accelerator's memory, if they are there."""
        return (
            self._source.nbytes if self._resident is not None and self.device.type != "cpu" else 0
        )

    def expect_random_order(self) -> None:
        """Prepare to gather in random order, as training does."""
        expect_random_reads(self._source)

    def gather(self, indices: Tensor) -> Tensor:
        """The images at `indices`: float32 (B, C, H, W) in [0, 1] on the device.

        Colour images are in the memory format channels_last, which convolutions prefer.
        """
        return self._gather(indices) if self._prefetcher is None else self._prefetcher.take(indices)

    def expect(self, indices: Tensor) -> None:
        """Start prefetching the images that will be gathered next, where that saves time."""
        if self._prefetcher is not None:
            self._prefetcher.expect(indices)

    def _gather(self, indices: Tensor) -> Tensor:
        if self._resident is not None:
            taken = self._resident.index_select(0, to_device(indices, self.device))
        else:
            taken = to_device(torch.from_numpy(self._source[indices.cpu().numpy()]), self.device)
        return _channels_first(taken).to(torch.float32).div_(self._full_scale)

    def in_order(
        self, batch_size: int, visit: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(indices, x) batch by batch, the last one smaller; in the order `visit` if given."""
        indices = torch.arange(len(self)) if visit is None else visit
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            yield batch, self.gather(batch)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a copy to CUDA does not wait for the work under way there."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _channels_first(taken: Tensor) -> Tensor:
    """A view (B, C, H, W) of (B, H, W, C)."""
    batch, height, width, channels = taken.shape
    if channels == 1:
        return taken.reshape(batch, 1, height, width)
    return taken.permute(0, 3, 1, 2)


def _resident(images: Pixels, device: torch.device) -> Tensor | None:
    """The whole set as a tensor on the device; None where it is gathered batch by batch."""
    mapped = isinstance(images, np.memmap) or not images.flags.writeable
    if device.type == "cpu":
        return None if mapped else torch.from_numpy(images)
    if device.type == "cuda" and images.nbytes > MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    if device.type != "cuda" and mapped:  # its memory is the system's too: leave it free
        return None
    return _upload(images, device)


def _upload(images: Pixels, device: torch.device) -> Tensor:
    """Copy to the device in pieces: the host never holds a second copy of a large set."""
    target = torch.empty(images.shape, dtype=torch.uint8, device=device)
    rows = max(1, (1 << 26) // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        piece = np.array(images[start : start + rows])
        target[start : start + rows] = torch.from_numpy(piece).to(device)
    return target


def binarize_by_threshold(x: Tensor) -> Tensor:
    """1 where x > 0.5, else 0."""
    return (x > 0.5).to(x.dtype)


def binarize_dynamic(x: Tensor, uniform: Tensor) -> Tensor:
    """A fresh draw with P(1) = x, given uniform noise in [0, 1) of the same shape."""
    return (x > uniform).to(x.dtype)


def binarize_static(x: Tensor) -> Tensor:
    """A draw with P(1) = x that is always the same for an image, wherever it stands.

    The noise is keyed by the image's content, not by the training seed, so that every model sees
    the same black-and-white data set. Values count to the nearest multiple of 1/255.
    """
    values = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    white = torch.from_numpy(_drawn_once(values)).permute(0, 3, 1, 2) > 0
    return white.to(x.device, x.dtype)


def statically_binarized(images: ImageSet) -> ImageSet:
    """The set with every pixel drawn 0 or 255: `binarize_static` of all images, once."""
    drawn = _drawn_once(images.images)
    return dataclasses.replace(images, images=drawn, known_fingerprint=None)


_WHITE_BELOW = np.array([-(-value * 2**32 // 255) for value in range(256)], np.uint64)
"""A pixel of this value becomes white if its 32 random bits are a smaller number."""


def _drawn_once(images: Pixels) -> Pixels:
    """Every pixel 0 or 255, by random bits from SplitMix64, which each image's key seeds."""
    drawn, width = np.empty(images.shape, np.uint8), math.prod(images.shape[1:])
    steps = np.arange(-(-width // 2), dtype=np.uint64) * np.uint64(seeds.SPLITMIX_STEP)
    rows = max(1, (1 << 18) // max(1, width))  # the noise of a block stays in a core's cache
    for start in range(0, len(images), rows):
        block = np.ascontiguousarray(images[start : start + rows])
        keys = seeds.hashed(pixel_keys(block), "binarize")
        noise = seeds.splitmix(keys[:, None] + steps).astype("<u8", copy=False).view("<u4")
        white = noise[:, :width] < _WHITE_BELOW[block.reshape(-1, width)]
        drawn[start : start + rows] = (white * np.uint8(255)).reshape(block.shape)
    return drawn
