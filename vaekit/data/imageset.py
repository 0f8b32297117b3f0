"""`ImageSet`: what loading returns, with images, labels, class names, factors, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

_PIECE = 1 << 24


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """One split of one data set, decoded.

    >>> grey = ImageSet("tiny", "all", np.zeros((2, 4, 4, 1), np.uint8), names=("a.png", "b.png"))
    >>> len(grey), grey.image_shape
    (2, (4, 4, 1))
    """

    name: str
    """The name of the data set, or of the folder or file it came from."""
    split: str
    """`train`, `val`, `test` or `all`."""
    images: Pixels
    """(N, H, W, C) with C 1 or 3; memory-mapped and read-only when large."""
    labels: Integers | None = None
    """(N,): the index of each image's class."""
    factors: Integers | None = None
    """(N, F): the index of each factor's value, where the images have known factors."""
    classes: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    names: Sequence[str] = ()
    """The name of each image: its path in the source, its archive member, or its index."""
    skipped: tuple[str, ...] = ()
    """Bad images that were skipped, each as `name: why`."""
    known_fingerprint: str | None = None
    """The fingerprint, where the cache has it already."""

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"ImageSet({self.name!r}, {self.split!r}, {len(self):,} images {self.image_shape})"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def all_equal(self) -> bool:
        """Whether all images are the same; reading stops at the first that differs."""
        rows = max(1, _PIECE // max(1, self.images[:1].nbytes))
        pieces = (self.images[start : start + rows] for start in range(0, len(self), rows))
        return all((piece == self.images[:1]).all() for piece in pieces)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: shape, pixels and labels, but neither names nor source."""
        return self.known_fingerprint or fingerprint(self.images, self.labels)


def fingerprint(images: Pixels, labels: Integers | None) -> str:
    """SHA-256 of the shape, the pixels and the labels, in bounded memory."""
    digest = hashlib.sha256(repr(images.shape).encode())
    rows = max(1, _PIECE // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        _update(digest, images[start : start + rows])
    if labels is not None:
        digest.update(b"labels")
        _update(digest, labels.astype("<i8"))
    return digest.hexdigest()


def _update(digest: Any, array: npt.NDArray[Any]) -> None:
    digest.update(np.ascontiguousarray(array).data)
