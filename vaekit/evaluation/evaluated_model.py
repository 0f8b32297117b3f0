"""A model and the images that it is evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vaekit import inference
from vaekit.data import ImageSet
from vaekit.data.batches import Batches
from vaekit.data.imageset import Pixels
from vaekit.errors import DataError
from vaekit.evaluation.binarize import binarize
from vaekit.gaussian import Normal
from vaekit.inference import Model
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

    def codes(self) -> npt.NDArray[np.float32]:
        """The posterior means of all images, (N, D)."""
        return np.concatenate([q.mean.numpy() for q in self.posteriors()])

    def drawn(self, count: int) -> Iterator[Pixels]:
        """Images from the prior, as `vaekit sample` shows them: the mean of p(x|z), in bytes."""
        for start in range(0, count, self.images_at_once):
            part = min(self.images_at_once, count - start)
            z = self.model.draw_latents(part, seed=self.seed, start=start)
            yield to_uint8(self.model.decode(z))

    def features_of_both(
        self, extract: Callable[[Pixels], npt.NDArray[np.float32]]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Features of the images, and of the same number of drawn images."""
        count = len(self.images)
        with self.reporter.task("features", 2 * count) as task:
            real, drawn = [], []
            for start in range(0, count, self.images_at_once):
                part = self.images.images[start : start + self.images_at_once]
                real.append(extract(part))
                task.advance(len(part))
            for part in self.drawn(count):
                drawn.append(extract(part))
                task.advance(len(part))
        return np.concatenate(real), np.concatenate(drawn)


def pixel_variance(images: ImageSet) -> float:
    """The mean squared distance of the images' values from the mean image, in [0, 1]²."""
    total, squares = np.zeros(images.image_shape), 0.0
    for start in range(0, len(images), 1024):
        part = images.images[start : start + 1024] / 255.0
        total += part.sum(axis=0)
        squares += float(np.square(part).sum())
    mean = total / len(images)
    return squares / (len(images) * mean.size) - float(np.square(mean).mean())
