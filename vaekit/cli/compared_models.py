"""What `compare` and `sweep` share: models evaluated on the same images, and their plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.cli.evaluation_options import load_evaluation_images
from vaekit.cli.model_commands import note_part, open_model
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.terminal.console import Terminal
from vaekit.errors import UsageError
from vaekit.output.formats import FORMS, PICTURES, listed

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.model_file.header import ModelHeader


@dataclass(frozen=True)
class ComparedModels:
    """Models by their places: the record of each, its values of single images, and its header."""

    records: list[dict[str, Any]]
    """Each with its model's path under `model`."""
    values: list[dict[str, Tensor]]
    headers: list[ModelHeader]


def evaluate_models(
    models: Sequence[Path],
    by: DatasetOptions,
    asked: MetricRequest,
    use: UseOptions,
    terminal: Terminal,
) -> ComparedModels:
    """Evaluate models on the same images, by default those of the first model's data set."""
    first = open_model(models[0], use, terminal)
    images, points = load_evaluation_images(first, by, asked, use, terminal)
    from vaekit.evaluation.evaluation_record import evaluate_each

    found = ComparedModels([], [], [])
    for path in models:
        model = open_model(path, use, terminal)
        record, each = evaluate_each(model, images, asked, points=points, reporter=terminal)
        found.records.append({"model": str(path), **record})
        found.values.append(each)
        found.headers.append(model.header)
    if by.dataset:
        note_part(by, len(images), by.dataset, terminal)
    return found


def plot_path(output: str | None) -> Path | None:
    """Where the plot goes; a name without a picture's extension is refused."""
    if output is None:
        return None
    path = Path(output)
    if not any(path.suffix.lower() in FORMS[form].endings for form in PICTURES):
        raise UsageError(f"--plot {output}: name a file that ends in {listed(PICTURES)}")
    return path


def write_plot(path: Path, compared: ComparedModels, terminal: Terminal) -> None:
    """Draw rate against distortion, and print where."""
    from vaekit.evaluation.rate_distortion import nats_of, rate_points
    from vaekit.output.pictures import save_picture
    from vaekit.output.plot_style import figure_pixels
    from vaekit.output.rate_distortion_plot import rate_distortion_figure

    points = rate_points(compared.records, compared.headers)
    figure = rate_distortion_figure(points, unit=nats_of(compared.headers))
    save_picture(path, figure_pixels(figure))
    terminal.note(f"rate and distortion: {path}")
