"""Plot the losses of a run, and latents as a scatter, without pyplot or global state.

`loss_figure` and `latent_figure` draw; `loss_curves` and `latent_scatter` also write the file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaekit.array_types import Float64s
from vaekit.errors import UsageError
from vaekit.output.pictures import ImageStack, save_picture
from vaekit.output.plot_style import BLUE, FAINT, ORANGE, figure_pixels, styled
from vaekit.output.scatter import draw_points
from vaekit.output.thumbnails import draw_thumbnails

PANELS = {
    "neg_elbo": "−ELBO",
    "reconstruction": "Reconstruction",
    "kl": "KL divergence",
}
PARTS = {"train": ("training", BLUE), "val": ("validation", ORANGE)}


def loss_curves(
    epochs: Sequence[Mapping[str, float]],
    path: str | Path,
    *,
    title: str = "Loss",
    unit_note: str = "nats per image",
) -> None:
    """Write the losses of a run, epoch by epoch, to the picture file at `path`."""
    save_picture(path, figure_pixels(loss_figure(epochs, title=title, unit_note=unit_note)))


def latent_scatter(
    points: ArrayLike,
    path: str | Path,
    *,
    labels: Sequence[Any] | NDArray[Any] | None = None,
    classes: Sequence[str] | None = None,
    title: str = "Latents",
    axes: tuple[str, str] = ("", ""),
    thumbnails: ImageStack | None = None,
) -> None:
    """Write a scatter of 2-D latents, coloured by label, to the picture file at `path`."""
    figure = latent_figure(
        points, labels=labels, classes=classes, title=title, axes=axes, thumbnails=thumbnails
    )
    save_picture(path, figure_pixels(figure))


def loss_figure(
    epochs: Sequence[Mapping[str, float]], *, title: str = "Loss", unit_note: str = "nats per image"
) -> Figure:
    """−ELBO and its two terms side by side, training and validation in each.

    `epochs` are records as in `metrics.jsonl`: `epoch`, `train_neg_elbo`, `val_neg_elbo` and so
    on. Missing terms, epochs and validation are left out. A line marks the epoch that is best on
    validation, whose weights are kept.
    """
    kept = best_on_validation(epochs)
    with styled():
        figure = Figure(figsize=(10.8, 3.4), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for axes, (term, name) in zip(panels, PANELS.items(), strict=True):
            _draw_term(axes, epochs, term, name)
            if kept is not None and len(epochs) > 1:
                label = f"kept: epoch {kept:.0f}"
                axes.axvline(kept, color=FAINT, linewidth=1, linestyle=":", label=label)
        panels[0].set_ylabel(textwrap.fill(unit_note, 32, break_on_hyphens=False))
        figure.suptitle(title, x=0.01, ha="left", size=12, weight="bold")
        _set_epochs(panels[0], [record["epoch"] for record in epochs])
        handles = {line.get_label(): line for axes in panels for line in axes.lines}
        figure.legend(handles=list(handles.values()), loc="outside upper right", ncols=3)
    return figure


def best_on_validation(epochs: Sequence[Mapping[str, float]]) -> float | None:
    """The first epoch with the lowest validation loss; None without validation.

    >>> best_on_validation([{"epoch": 1, "val_neg_elbo": 3.0}, {"epoch": 2, "val_neg_elbo": 2.0}])
    2
    """
    known = [record for record in epochs if record.get("val_neg_elbo") is not None]
    return min(known, key=lambda record: record["val_neg_elbo"])["epoch"] if known else None


def latent_figure(
    points: ArrayLike,
    *,
    labels: Sequence[Any] | NDArray[Any] | None = None,
    classes: Sequence[str] | None = None,
    title: str = "Latents",
    axes: tuple[str, str] = ("", ""),
    thumbnails: ImageStack | None = None,
) -> Figure:
    """Points (N, 2) on one scale, coloured by label.

    Up to 20 classes are named in a legend and, if the names do not overlap, at their centres; more
    are drawn as their names where these are single letters or digits, else, as fractional labels
    are, on a colour scale. Without labels there is one colour. `labels`
    are indices of `classes`, names or quantities. `thumbnails` are the images of the points: those
    that fit without overlap replace their dots, framed in the dots' colours, and the plot says how
    many.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) == 0:
        raise UsageError(f"a scatter needs points of shape (N, 2), N > 0, not {places.shape}")
    with styled():
        size = (7.2, 6.0) if thumbnails is None else (10.0, 8.4)
        figure = Figure(figsize=size, layout="constrained")
        panel = figure.subplots()
        panel.set_title(title, size=12, weight="bold", pad=10)
        panel.set_xlabel(axes[0])
        panel.set_ylabel(axes[1])
        panel.set_aspect("equal", adjustable="datalim")
        draw_points(panel, places, labels, classes)
        if thumbnails is not None:
            _add_thumbnails(figure, panel, places, thumbnails)
    return figure


def _add_thumbnails(figure: Figure, panel: Axes, places: Float64s, images: ImageStack) -> None:
    if len(images) != len(places):
        raise UsageError(f"{len(places)} points need {len(places)} thumbnails, not {len(images)}")
    for name in list(panel.texts):
        name.remove()  # the legend has the names, which would cover images
    shown = draw_thumbnails(figure, panel, places, images)
    if shown < len(places):
        note = f"{shown:,} of {len(places):,} images shown, the rest are dots"
        panel.set_title(note, loc="right", size=8, color=FAINT, pad=10)


def _draw_term(axes: Axes, epochs: Sequence[Mapping[str, float]], term: str, name: str) -> None:
    drawn: list[Float64s] = []
    for part, (label, colour) in PARTS.items():
        x, y = _series(epochs, f"{part}_{term}")
        if len(x):
            size = 5 if len(x) == 1 else 3 if len(x) <= 12 else 0
            line = "none" if len(x) == 1 else "-"
            axes.plot(x, y, linestyle=line, color=colour, label=label, marker="o", markersize=size)
            drawn.append(y)
    axes.set_title(name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if drawn:
        _set_limits(axes, drawn)


def _set_epochs(axes: Axes, numbers: Sequence[float]) -> None:
    """Show the first epoch to the last, with a margin of less than one epoch."""
    if not numbers:
        return
    first, last = min(numbers), max(numbers)
    room = min(0.03 * (last - first), 0.9) or 0.9
    axes.set_xlim(first - room, last + room)


def _series(epochs: Sequence[Mapping[str, float]], key: str) -> tuple[Float64s, Float64s]:
    """The epochs with a finite value of `key`, and the values."""
    found = [(record["epoch"], record[key]) for record in epochs if record.get(key) is not None]
    pairs = np.array(found, np.float64).reshape(-1, 2)
    finite = np.isfinite(pairs[:, 1])
    return pairs[finite, 0], pairs[finite, 1]


def _set_limits(axes: Axes, drawn: Sequence[Float64s]) -> None:
    """Leave a margin around the curves; name outliers that are cut off beside the title."""
    low, high = readable_limits(drawn)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)
    least, most = min(y.min() for y in drawn), max(y.max() for y in drawn)
    beyond = [f"up to {most:.4g}"] * bool(most > high + room)
    beyond += [f"down to {least:.4g}"] * bool(least < low - room)
    if beyond:
        axes.set_title("cut off: " + ", ".join(beyond), loc="right", size=8, color=FAINT)


def readable_limits(drawn: Sequence[Float64s]) -> tuple[float, float]:
    """The range of y to show: all of it, unless a few outliers would flatten the rest.

    The rest is each series without its first epoch, between the first and the ninth decile and
    1.5 times their distance beyond.

    >>> readable_limits([np.array([1000.0, 5.0, 4.0, 3.0, 2.5, 2.0])])[1]
    5.0
    """
    every = np.concatenate(drawn)
    least, most = float(every.min()), float(every.max())
    settled = np.concatenate([y[1:] if len(y) > 2 else y for y in drawn])
    tenth, ninth = np.quantile(settled, (0.1, 0.9))
    reach = 1.5 * (ninth - tenth)
    inside = every[(every >= tenth - reach) & (every <= ninth + reach)]
    low, high = float(inside.min()), float(inside.max())
    return (low, high) if 0 < 3 * (high - low) < most - least else (least, most)
