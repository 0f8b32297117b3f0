"""Latents projected to 2-D: what `vaekit embed --project` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from vaekit.cli.options import switch_option, value_option
from vaekit.errors import DataError, UsageError
from vaekit.output.formats import PICTURES, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vaekit.data.streams.mixed_inputs import Chunk


@dataclass(frozen=True)
class ProjectionOptions:
    """Whether latents are projected to 2-D, and how a scatter of them is drawn."""

    project: Annotated[
        str | None,
        value_option("--project", metavar="auto|pca|tsne", help="project the latents to 2-D"),
    ] = None
    thumbnails: Annotated[
        bool, switch_option("--thumbnails", help="draw images, not dots, in a scatter")
    ] = False

    def check(self, target: Target) -> None:
        """Refuse an unknown projection, and thumbnails where no picture is written."""
        if self.project not in (None, "auto", "pca", "tsne"):
            raise UsageError(f"--project {self.project}: must be auto, pca or tsne")
        if self.thumbnails and target.form not in PICTURES:
            raise UsageError("--thumbnails needs a picture, such as -o latents.png")


class ProjectedLatents:
    """Collects latents, since a projection needs all of them."""

    def __init__(self, method: str, seed: int, *, keep_images: bool) -> None:
        self.method, self.seed, self.keep_images = method, seed, keep_images
        self.names: list[str] = []
        self._z: list[Tensor] = []
        self._labels: list[np.ndarray[Any, Any] | None] = []
        self._images: list[np.ndarray[Any, Any]] = []

    def add(self, chunk: Chunk, z: Tensor) -> None:
        """Add a chunk and its latents."""
        self.names += chunk.names
        self._z.append(z)
        self._labels.append(chunk.labels)
        if self.keep_images:
            self._images.append(chunk.images)

    def write(self, target: Target, classes: Sequence[str] | None) -> None:
        """Write a scatter if the target is a picture, else records of two numbers."""
        import numpy as np

        points, axes = self._points()
        known = [labels for labels in self._labels if labels is not None]
        labels = np.concatenate(known) if len(known) == len(self._labels) else None
        if target.form in PICTURES:
            self._scatter(target, points, axes, labels, classes)
            return
        from vaekit.output.latent_records import open_record_writer

        with open_record_writer(target, width=2, classes=classes, count=len(self.names)) as out:
            out.write(self.names, points.astype(np.float32), labels=labels)

    def _points(self) -> tuple[np.ndarray[Any, Any], tuple[str, str]]:
        import torch

        from vaekit.output import projection

        if not self._z:
            raise DataError("there are no images to embed")
        return projection.project_to_plane(torch.cat(self._z).numpy(), self.method, self.seed)

    def _scatter(
        self,
        target: Target,
        points: np.ndarray[Any, Any],
        axes: tuple[str, str],
        labels: np.ndarray[Any, Any] | None,
        classes: Sequence[str] | None,
    ) -> None:
        import numpy as np

        from vaekit.output.byte_streams import write_output
        from vaekit.output.pictures import encode_picture
        from vaekit.output.plot_style import figure_pixels
        from vaekit.output.plots import latent_figure

        figure = latent_figure(
            points,
            labels=labels,
            classes=classes,
            title=f"Latent space of {len(points):,} image{'s' * (len(points) != 1)}",
            axes=axes,
            thumbnails=np.concatenate(self._images) if self._images else None,
        )
        write_output(target, encode_picture(figure_pixels(figure), target.form))
