"""A model and the images that it is evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from vaekit import inference
from vaekit.array_types import Float32s
from vaekit.data import ImageSet
from vaekit.data.batches import Batches
from vaekit.data.imageset import Pixels
from vaekit.errors import DataError
from vaekit.evaluation.binarize import binarize
from vaekit.gaussian import Normal
from vaekit.inference import Model
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.output.pictures import to_uint8
from vaekit.reporting import SILENT, Reporter


@dataclass(frozen=True)
class EvaluatedModel:
    """The model, the images and the seed; about `batch_size` images are in memory at a time.

    Networks always see images in chunks of one size, so no number depends on it.
    """

    model: Model
    images: ImageSet
    seed: int = 0
    batch_size: int | None = None
    reporter: Reporter = SILENT
    ranks: Ranks = ALONE
    """The processes that share the work of encoding and of importance weights."""
    notes: list[str] = field(default_factory=list)
    """Warnings about the numbers, which the record keeps."""

    def __post_init__(self) -> None:
        own, needed = self.images.image_shape, self.model.header.image
        if own != needed:
            has, takes = ("x".join(map(str, shape)) for shape in (own, needed))
            raise DataError(f"{self.images.name}: its images are {has}, the model's are {takes}")

    def warn(self, message: str) -> None:
        """Print a warning, and keep it for the record."""
        self.reporter.warn(message)
        self.notes.append(message)

    @property
    def binarization(self) -> str | None:
        """How images become black and white, as in training; None leaves them grey."""
        return self.model.header.likelihood.binarize

    @property
    def images_at_once(self) -> int:
        """Images in memory at a time."""
        return self.model.images_at_once(self.batch_size)

    @cached_property
    def batches(self) -> Batches:
        """The images on the model's device."""
        return Batches(self.images, self.model.device)

    def observed(self) -> Iterator[tuple[int, Tensor]]:
        """(number of the first, images as the model sees them), on the model's device."""
        for indices, x in self.batches.in_order(self.images_at_once):
            yield int(indices[0]), binarize(x, indices, self.binarization, self.seed)

    def watched(self, label: str) -> Iterator[tuple[int, Tensor]]:
        """The same, with progress in images."""
        with self.reporter.task(label, len(self.images)) as task:
            for start, x in self.observed():
                yield start, x
                task.advance(len(x))

    def posteriors(self) -> Iterator[Normal]:
        """q(z|x) of the images as the model sees them."""
        for _, x in self.watched("latents"):
            for part in x.split(self.model.chunk):
                yield inference.encode(self.model.network, part)

    def codes(self) -> Float32s:
        """The posterior means of all images, (N, D)."""
        return np.concatenate([q.mean.numpy() for q in self.posteriors()])

    def drawn(self, count: int, seed: int | None = None) -> Iterator[Pixels]:
        """Images from the prior, as `vaekit sample` shows them: the mean of p(x|z), in bytes."""
        for start in range(0, count, self.images_at_once):
            part = min(self.images_at_once, count - start)
            own = self.seed if seed is None else seed
            z = self.model.draw_latents(part, seed=own, start=start)
            yield to_uint8(self.model.decode(z))

    def real_features(self, extract: Callable[[Pixels], Float32s]) -> Float32s:
        """Features of the images."""
        images, step = self.images.images, self.images_at_once
        parts = (images[start : start + step] for start in range(0, len(images), step))
        return self._features("features", parts, extract)

    def drawn_features(self, extract: Callable[[Pixels], Float32s], seed: int) -> Float32s:
        """Features of the same number of drawn images."""
        return self._features("samples", self.drawn(len(self.images), seed), extract)

    def _features(
        self, label: str, parts: Iterable[Pixels], extract: Callable[[Pixels], Float32s]
    ) -> Float32s:
        found = []
        with self.reporter.task(label, len(self.images)) as task:
            for part in parts:
                found.append(extract(part))
                task.advance(len(part))
        return np.concatenate(found)


def pixel_variance(images: ImageSet) -> float:
    """The mean squared distance of the images' values from the mean image, in [0, 1]²."""
    total, squares = np.zeros(images.image_shape), 0.0
    for start in range(0, len(images), 1024):
        part = images.images[start : start + 1024] / 255.0
        total += part.sum(axis=0)
        squares += float(np.square(part).sum())
    mean = total / len(images)
    return squares / (len(images) * mean.size) - float(np.square(mean).mean())
