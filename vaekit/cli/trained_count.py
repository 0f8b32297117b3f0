"""Counts the images of a command that its model was trained on, and reports them in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaekit.cli.options import DatasetOptions, ImageOptions
from vaekit.cli.terminal.console import Terminal

if TYPE_CHECKING:
    from vaekit.data.imageset import Pixels
    from vaekit.inference import Model


class TrainedCount:
    """How many of the images that a command has seen so far were trained on."""

    def __init__(self, model: Model) -> None:
        self.trained = model.trained_images
        self.count = self.total = 0

    def add(self, images: Pixels) -> list[bool | None]:
        """Whether each image was trained on; None where the model file does not tell."""
        if self.trained is None:
            return [None] * len(images)
        found: list[bool | None] = list(self.trained.found(images).tolist())
        self.count += found.count(True)
        self.total += len(found)
        return found

    def report(self, source: DatasetOptions, terminal: Terminal) -> None:
        """A note, unless training images were asked for."""
        from vaekit.model_file.trained_images import trained_note

        files = isinstance(source, ImageOptions) and source.has_images
        meant = source.allow_trained or (source.split == "train" and not files)
        if self.count and not meant:
            terminal.note(trained_note(self.count, self.total))
