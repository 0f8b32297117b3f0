"""Hashes of the training images in a model file, to count these among other images.

The file holds 48 bits of a hash of each training image's pixels, sorted, 6 bytes an image. An image
that was trained on is always found if it has the same pixels in the model's shape. One that was not
is mistaken for one with a probability of N / 2^48: below 4 in 10^9 for a million training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vaekit.array_types import UInt64s
from vaekit.data.content_keys import pixel_keys
from vaekit.data.imageset import Pixels
from vaekit.errors import ModelFileError
from vaekit.model_file.header import TRAINED_ON, ModelFile, ModelHeader, read_model_file

_BYTES = 6
_BLOCK = 4096


def pack_trained_images(images: Pixels) -> npt.NDArray[np.uint8]:
    """The tensor (N, 6) for the model file, from the images as they were before binarization."""
    return _packed(np.unique(_short_keys(images)))


@dataclass(frozen=True, eq=False)
class TrainedImages:
    """The images that a model was trained on."""

    keys: UInt64s
    """Sorted."""

    def packed(self) -> npt.NDArray[np.uint8]:
        """The tensor for a model file."""
        return _packed(self.keys)

    def found(self, images: Pixels) -> npt.NDArray[np.bool_]:
        """Whether each image (N, H, W, C), in the model's shape, was trained on."""
        wanted = _short_keys(images)
        if not len(self.keys):
            return np.zeros(len(wanted), bool)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.asarray(self.keys[places] == wanted)

    def count(self, images: Pixels) -> int:
        """How many of the images were trained on."""
        parts = range(0, len(images), _BLOCK)
        return sum(int(self.found(images[start : start + _BLOCK]).sum()) for start in parts)


def read_trained_images(path: Path, header: ModelHeader) -> TrainedImages | None:
    """The training images of the model that was loaded from a file.

    None where the file does not hold them, is gone, or is another by now.
    """
    if not path.exists():
        return None
    file = read_model_file(path)
    place = file.tensors.get(TRAINED_ON)
    if place is None or file.header != header:
        return None
    if place.dtype != "U8" or len(place.shape) != 2 or place.shape[1] != _BYTES:
        raise ModelFileError(f"{path}: tensor {TRAINED_ON} is not a list of {_BYTES}-byte hashes")
    rows = np.zeros((place.shape[0], 8), np.uint8)
    rows[:, -_BYTES:] = _content(file).reshape(-1, _BYTES)
    return TrainedImages(np.sort(rows.view(">u8").ravel().astype(np.uint64)))


def _content(file: ModelFile) -> npt.NDArray[np.uint8]:
    place = file.tensors[TRAINED_ON]
    begin = file.size - max(each.stop for each in file.tensors.values())
    try:
        with file.path.open("rb") as opened:
            opened.seek(begin + place.start)
            data = opened.read(place.stop - place.start)
    except OSError as error:
        raise ModelFileError(
            f"{file.path}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    if len(data) != place.stop - place.start:
        raise ModelFileError(f"{file.path}: file is truncated")
    return np.frombuffer(data, np.uint8)


def trained_note(count: int, total: int) -> str:
    """How many images were trained on, in words.

    >>> trained_note(12, 40), trained_note(1, 1)
    ('12 of 40 images were trained on', '1 of 1 images was trained on')
    """
    return f"{count:,} of {total:,} images {'was' if count == 1 else 'were'} trained on"


def _packed(keys: UInt64s) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(keys.astype(">u8").view(np.uint8).reshape(-1, 8)[:, -_BYTES:])


def _short_keys(images: Pixels) -> UInt64s:
    return np.asarray(pixel_keys(images) >> np.uint64(64 - 8 * _BYTES))
