"""`Run`: what `vaekit.train` returns, with the model, the history of losses and a plot."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.configuration.config import RunConfig
from vaekit.configuration.dataset_names import short_name
from vaekit.python.trained_model import TrainedModel, load_model
from vaekit.training.run_files.run_folder import folder_at

if TYPE_CHECKING:
    from PIL.Image import Image

FINAL = ("val_neg_elbo", "val_reconstruction", "val_kl", "train_neg_elbo", "train_kl")


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """A finished training run; it stands for the path of its model file wherever one is taken.

    Example:
        run = vaekit.train(dataset="digits")
        run.model.sample(64)
        run.history[-1]["val_neg_elbo"]
    """

    path: Path
    """The model file."""
    folder: Path
    """The run's folder, with the pictures and metrics."""
    config: RunConfig
    """Every option of the run, the defaults filled in."""
    best_epoch: int
    """The epoch whose weights were kept; 0 where the last ones were."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self._summary()})"

    @cached_property
    def model(self) -> TrainedModel:
        """The trained model, on the device of the run."""
        return load_model(self.path, self.config.device)

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of each epoch, as in metrics.jsonl: `pandas.DataFrame(run.history)`."""
        return folder_at(self.folder).records()

    def plot(self) -> Image:
        """The losses epoch by epoch, as a picture."""
        from PIL.Image import fromarray

        from vaekit.output.plot_style import figure_pixels
        from vaekit.output.plots import loss_figure

        title = f"{short_name(self.config.dataset)}, {self.config.model}, {self.config.likelihood}"
        return fromarray(figure_pixels(loss_figure(self.history, title=title)))

    def _summary(self) -> str:
        last = self.history[-1]
        name, value = next((name, last[name]) for name in FINAL if name in last)
        return f"{len(self.history)} epochs, {name} {value:.2f} nats"

    def _repr_html_(self) -> str:
        """What a notebook shows: the path, the result and the losses."""
        from vaekit.python.model_pictures import png_tag

        return (
            f"<p>Run: <code>{html.escape(str(self.path))}</code>, {self._summary()}</p>"
            f"{png_tag(self.plot(), width=760)}"
        )
