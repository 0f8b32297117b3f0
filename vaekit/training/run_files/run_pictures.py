"""Draws a run's pictures: samples, reconstructions, losses, latents, interpolation.

Every picture shows the same images and latents as the one before, so that they can be compared.
Plots are imported where they are drawn, which saves half a second before the first step.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from vaekit import inference, registry
from vaekit.configuration.config import RunConfig
from vaekit.data import ImageSet
from vaekit.image_arguments import as_floats
from vaekit.latents.walks import latent_path
from vaekit.models.vae import VAE
from vaekit.output import pictures, projection
from vaekit.seeds import normal_rows, numpy_generator
from vaekit.training.run_files.run_folder import RunFolder

SAMPLE_COUNT = 64
ORIGINALS = 32
PATHS = 8
STEPS = 12
MOST_POINTS = {"auto": 1000, "pca": 5000, "tsne": 2000}
FEWEST_FOR_AUTO = 1000
"""With fewer points training often takes a few seconds, and t-SNE would add a good part to them."""
FEW_POINTS = 500
CURVES_EVERY = 20.0
"""Seconds between two plots of the loss: drawing takes longer than some epochs."""


class RunPictures:
    """Draws the pictures of one run."""

    def __init__(
        self, config: RunConfig, folder: RunFolder, train: ImageSet, val: ImageSet | None
    ) -> None:
        self.config, self.folder = config, folder
        self._images = val if val is not None else train
        self._scatter_images = self._images if len(self._images) >= FEW_POINTS else train
        assert config.latent_dim is not None
        self._curves_drawn = time.monotonic()
        self._latents = normal_rows(0, SAMPLE_COUNT, config.latent_dim, config.seed, "sample")

    @property
    def off(self) -> bool:
        """Whether the run draws nothing."""
        return self.config.pictures_every == "off"

    def due(self, epoch: int, last: bool) -> bool:
        """Whether to draw after this epoch: the first, every `--pictures-every`, and the last."""
        every = self.config.pictures_every
        return isinstance(every, int) and (epoch == 1 or epoch % every == 0 or last)

    def draw(self, network: VAE, epoch: int) -> None:
        """Draw reconstructions and samples after an epoch."""
        paths = [self.folder.picture(kind, epoch) for kind in ("samples", "reconstructions")]
        self.folder.manifest.claim(*paths)
        samples = inference.decode(network, network.prior.sample(self._latents))
        pictures.save_picture(paths[0], pictures.grid(samples))
        x = self._floats(self._choice(self._images, ORIGINALS))
        pairs = [x, inference.decode(network, inference.encode(network, x).mean)]
        picture = pictures.rows(pairs, ["original", "reconstruction"])
        pictures.save_picture(paths[1], picture)

    def curves(self, *, last: bool) -> None:
        """Plot the losses so far, at most every `CURVES_EVERY` seconds and at the end."""
        if not last and time.monotonic() - self._curves_drawn < CURVES_EVERY:
            return
        from vaekit.output import plots

        self.folder.manifest.claim(self.folder.loss)
        plots.loss_curves(
            self.folder.records(),
            self.folder.loss,
            title=f"{self._images.name}, {self.config.model}, {self._loss_name()}",
        )
        self._curves_drawn = time.monotonic()

    def finish(self, network: VAE) -> None:
        """Draw the latent space in two dimensions, and interpolations."""
        if self.off:
            return
        self.folder.manifest.claim(self.folder.latents, self.folder.interpolation)
        self._latent_space(network)
        self._interpolation(network)

    def _loss_name(self) -> str:
        name = str(self.config.likelihood)
        normalised = registry.resolve("likelihood", name).normalised
        return name if normalised else f"{name} (not a likelihood)"

    def _floats(self, indices: np.ndarray) -> Tensor:
        return as_floats(np.asarray(self._images.images[indices]))

    def _latent_space(self, network: VAE) -> None:
        from vaekit.output import plots

        indices = self._choice(self._scatter_images, MOST_POINTS[self.config.project])
        z = self._encoded(network, indices).numpy()
        method = self.config.project
        if method == "auto" and len(z) < FEWEST_FOR_AUTO:
            method = "pca"
        points, axes = projection.project_to_plane(z, method, self.config.seed)
        labels = (
            None if self._scatter_images.labels is None else self._scatter_images.labels[indices]
        )
        plots.latent_scatter(
            points,
            self.folder.latents,
            labels=labels,
            classes=self._scatter_images.classes,
            title=f"{self._images.name}: latent space of {len(indices):,} images",
            axes=axes,
        )

    def _encoded(self, network: VAE, indices: np.ndarray) -> Tensor:
        """Posterior means, chunk by chunk: thousands of large images are more than memory holds."""
        parts = np.split(indices, range(network.chunk, len(indices), network.chunk))
        images = self._scatter_images.images
        floats = (as_floats(np.asarray(images[part])) for part in parts)
        return torch.cat([inference.encode(network, x).mean for x in floats])

    def _choice(self, images: ImageSet, most: int) -> np.ndarray:
        """Indices of at most `most` images, chosen by the seed, in order."""
        shuffled = numpy_generator(self.config.seed, "shown").permutation(len(images))
        return np.sort(shuffled[:most])

    def _interpolation(self, network: VAE) -> None:
        """One per row, between the originals; of different classes if there are any."""
        x, y = (self._floats(indices) for indices in self._ends())
        a, b = (inference.encode(network, images).mean for images in (x, y))
        paths = [
            inference.decode(network, latent_path(start, end, STEPS))
            for start, end in zip(a, b, strict=True)
        ]
        rows = [
            torch.cat([first[None], path, last[None]])
            for first, path, last in zip(x, paths, y, strict=True)
        ]
        headings = ["original", *[""] * STEPS, "original"]
        picture = pictures.strip(rows, headings=headings)
        pictures.save_picture(self.folder.interpolation, picture)

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of first and last images, of different classes where possible."""
        shuffled = numpy_generator(self.config.seed, "ends").permutation(len(self._images)).tolist()
        half = max(1, min(PATHS, len(shuffled) // 2))
        starts, others = shuffled[:half], shuffled[half:] or shuffled
        ends = [others.pop(self._differing(start, others)) for start in starts]
        return np.asarray(starts), np.asarray(ends)

    def _differing(self, start: int, others: list[int]) -> int:
        """The position in `others` of the first image of another class, else 0."""
        labels = self._images.labels
        if labels is None:
            return 0
        return next((i for i, other in enumerate(others) if labels[other] != labels[start]), 0)
