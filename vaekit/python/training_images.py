"""The images that a Python caller trains on, as a source like any folder or archive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import seeds
from vaekit.array_types import UInt64s
from vaekit.data import ImageSet
from vaekit.data.content_keys import pixel_keys
from vaekit.data.decoding.decode_all import LARGEST_NATIVE
from vaekit.data.decoding.decode_batch import USUAL_SIZE
from vaekit.data.decoding.decode_image import fit
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.random_access import RandomAccess
from vaekit.data.source import (
    Files,
    NumberedNames,
    Part,
    Rows,
    Size,
    Source,
    array_blocks,
    file_state,
)
from vaekit.data.sources.folder import open_folder_reader
from vaekit.errors import DataError
from vaekit.image_arguments import (
    array_blocks_of,
    as_floats,
    decode_picture,
    is_array,
    is_encoded,
    is_picture,
    items_of,
    split_item,
)

AT_ONCE = 4096
"""Images of an array that are converted at a time."""


def training_source(images: Any, size: Size | None = None) -> Source:
    """A source of images for training, with labels where the images come in pairs with them.

    All of them are for training and validation: no test images are cut off. `size` is what
    pictures are resized to; without it they keep the size that they share, or become 64x64.
    """
    if isinstance(images, ImageSet):
        return _of_image_set(images)
    if is_array(images):
        return _of_pixels(_bytes_of(images))
    if isinstance(images, str | os.PathLike) or is_picture(images) or is_encoded(images):
        raise DataError("images to train on: pass several; a folder or an archive is a dataset")
    kept = images if isinstance(images, list | tuple) else None
    if kept and all(isinstance(item, str | os.PathLike) for item in kept):
        return _of_files([os.fspath(item) for item in kept])
    collected = _Collected(size)
    for item in items_of(images):
        collected.add(*split_item(item))
    labels, classes = _numbered(collected.labels, _class_names(images))
    return _of_pixels(collected.pixels(), labels, classes)


def _of_image_set(images: ImageSet) -> Source:
    rows = Rows(
        images.names or NumberedNames(len(images)),
        images.image_shape,
        array_blocks(images.images),
        images.labels,
        images.factors,
        keys=partial(_cut_keys, images.images),
    )
    return _source(images.name, rows, images.classes, images.factor_names)


def _of_pixels(
    pixels: Pixels, labels: Integers | None = None, classes: tuple[str, ...] | None = None
) -> Source:
    height, width, channels = pixels.shape[1:]
    names = NumberedNames(len(pixels))
    keys = partial(_cut_keys, pixels)
    rows = Rows(names, (height, width, channels), array_blocks(pixels), labels, keys=keys)
    return _source("images", rows, classes)


def _cut_keys(pixels: Pixels) -> UInt64s:
    """What decides which images are for validation: their content, under a key of its own.

    With the usual key, the train split of a data set, from which validation images were cut
    already, would have none left to cut.
    """
    keys = [pixel_keys(pixels[i : i + AT_ONCE]) for i in range(0, len(pixels), AT_ONCE)]
    return seeds.hashed(np.concatenate(keys), "given")


def _of_files(paths: Sequence[str]) -> Source:
    locations = [(path,) for path in paths]
    files = Files(paths, RandomAccess(open_folder_reader, "", locations))
    state = "\0".join(f"{Path(path).resolve()}\0{_state(path)}" for path in paths)
    return _source("images", files, identity=f"paths\0{state}")


def _state(path: str) -> str:
    try:
        return file_state(Path(path).stat())
    except OSError:
        return "missing"


def _source(
    name: str,
    part: Part,
    classes: tuple[str, ...] | None = None,
    factor_names: tuple[str, ...] | None = None,
    identity: str | None = None,
) -> Source:
    """A source without test images: those given are all for training."""
    none = Rows((), (1, 1, 1), array_blocks(np.empty((0, 1, 1, 1), np.uint8)))
    return Source(name, {"train": part, "test": none}, identity, classes, factor_names)


class _Collected:
    """Images one by one or in batches, brought to one shape, and their labels."""

    def __init__(self, size: Size | None) -> None:
        self.labels: list[Any] = []
        self._size, self._shape = size, (0, 0, 0)
        self._blocks: list[Pixels] = []

    def add(self, images: Any, labels: Any) -> None:
        """Append the images of one item, and their labels."""
        block = self._read(images)
        given = labels.tolist() if isinstance(labels, Tensor | np.ndarray | np.generic) else labels
        self.labels += given if isinstance(given, list) else [given] * len(block)
        if not self._blocks:
            self._shape = block.shape[1:]
        if block.shape[1:] != self._shape:
            self._agree_with(block.shape[1:])
            block = self._fitted(block)
        self._blocks.append(block)

    def pixels(self) -> Pixels:
        """All images, (N, H, W, C)."""
        if not self._blocks:
            raise DataError("there are no images to train on")
        return np.concatenate([self._fitted(block) for block in self._blocks])

    def _read(self, images: Any) -> Pixels:
        if is_array(images):
            return _bytes_of(images, single=True)
        if isinstance(images, str | os.PathLike):
            images = Path(images).read_bytes()
        pixels = decode_picture(images, self._size, None)[None]
        if self._size is None and max(pixels.shape[1:3]) > LARGEST_NATIVE:
            self._size = USUAL_SIZE
        return pixels if self._size is None else _fitted(pixels, (*self._size, pixels.shape[3]))

    def _agree_with(self, shape: tuple[int, ...]) -> None:
        """One shape for images of several: the usual size, and colour where any has it."""
        if self._shape[:2] != shape[:2]:
            self._size = self._size or USUAL_SIZE
        height, width = self._size or self._shape[:2]
        self._shape = (height, width, max(self._shape[2], shape[2]))

    def _fitted(self, block: Pixels) -> Pixels:
        return _fitted(block, self._shape)


def _fitted(block: Pixels, shape: tuple[int, ...]) -> Pixels:
    if block.shape[1:] == shape:
        return block
    return np.stack([fit(image, (shape[0], shape[1]), shape[2]) for image in block])


def _bytes_of(images: Any, *, single: bool = False) -> Pixels:
    """An array or a tensor as uint8 (N, H, W, C); floats are rounded to 256 levels."""
    values = images if isinstance(images, Tensor) else np.asarray(images)
    blocks = array_blocks_of(values, None, AT_ONCE, single=single)
    return np.concatenate([_rounded(block) for block in blocks])


def _rounded(block: Tensor) -> Pixels:
    if block.dtype != torch.uint8:
        block = (as_floats(block) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    pixels: Pixels = block.cpu().numpy()
    return pixels


def _class_names(images: Any) -> tuple[str, ...] | None:
    """The names that a data set, or a loader's data set, has for its labels."""
    names = getattr(images, "classes", None) or getattr(
        getattr(images, "dataset", None), "classes", None
    )
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if known and names else None


def _numbered(
    labels: Sequence[Any], names: tuple[str, ...] | None
) -> tuple[Integers | None, tuple[str, ...] | None]:
    """Labels as numbers, and their names; None where some images have none that are usable."""
    if all(isinstance(label, str) for label in labels):
        names = tuple(sorted(set(labels)))
        return np.array([names.index(label) for label in labels], np.int64), names
    if not all(isinstance(label, int) and label >= 0 for label in labels):
        return None, None
    numbers = np.array(labels, np.int64)
    return numbers, names if names and numbers.max(initial=0) < len(names) else None
