"""Plots rate against distortion, a point per model, with lines of equal −ELBO."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vaekit.errors import UsageError
from vaekit.output.plot_style import FAINT, styled
from vaekit.output.scatter import CLASS_COLOURS

BOUND_LINES = 10
"""About how many lines of equal −ELBO cross the plot."""


@dataclass(frozen=True)
class RatePoint:
    """A model's rate and distortion, in nats per image, with their standard errors."""

    label: str
    rate: float
    distortion: float
    rate_stderr: float = 0.0
    distortion_stderr: float = 0.0
    curve: str = ""
    """Points of the same curve have one colour, and are joined in the order given."""


def rate_distortion_figure(
    points: Sequence[RatePoint], *, title: str = "Rate and distortion", unit: str = "nats per image"
) -> Figure:
    """The rate KL(q(z|x) ‖ p(z)) across, the distortion −log p(x|z) upwards.

    Their sum is −ELBO, so models on one dotted line have the same bound: Alemi et al. 2018
    (arXiv:1711.00464). Bars are standard errors over images.
    """
    shown = [point for point in points if math.isfinite(point.rate + point.distortion)]
    if not shown:
        raise UsageError("there is no model with a finite rate and distortion to draw")
    curves = {point.curve: CLASS_COLOURS[0] for point in shown}
    for place, name in enumerate(curves):
        curves[name] = CLASS_COLOURS[place % len(CLASS_COLOURS)]
    with styled():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        axes = figure.subplots()
        axes.margins(0.14)
        for name, colour in curves.items():
            _draw_curve(axes, [point for point in shown if point.curve == name], name, colour)
        _draw_bounds(axes)
        axes.set_title(title, size=12, weight="bold", pad=22)
        axes.set_xlabel(f"rate: KL(q(z|x) ‖ p(z)), {unit}")
        axes.set_ylabel(f"distortion: −log p(x|z), {unit}")
        axes.grid(visible=False)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _draw_curve(axes: Axes, points: Sequence[RatePoint], name: str, colour: str) -> None:
    axes.errorbar(
        [point.rate for point in points],
        [point.distortion for point in points],
        xerr=[_length(point.rate_stderr) for point in points],
        yerr=[_length(point.distortion_stderr) for point in points],
        color=colour,
        marker="o",
        markersize=5,
        elinewidth=1,
        capsize=2,
        label=name or None,
    )
    for point in points:
        place = (point.rate, point.distortion)
        axes.annotate(point.label, place, (6, 5), textcoords="offset points", size=8)


def _length(stderr: float) -> float:
    return stderr if math.isfinite(stderr) else 0.0


def _draw_bounds(axes: Axes) -> None:
    """Lines of equal −ELBO through the plot as it is, each with its number where it begins."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    label: str | None = "equal −ELBO"
    for bound in MaxNLocator(BOUND_LINES).tick_values(left + bottom, right + top):
        if not left + bottom < bound < right + top:
            continue
        across, down = [left, right], [bound - left, bound - right]
        axes.plot(across, down, color=FAINT, linewidth=0.8, linestyle=":", zorder=0.5, label=label)
        label = None
        _write_bound(axes, bound, (left, top))


def _write_bound(axes: Axes, bound: float, corner: tuple[float, float]) -> None:
    """The number of a line at the top of the plot, or inside its left edge."""
    left, top = corner
    if bound - top >= left:
        place, offset, side = (bound - top, top), (0, 3), "center"
    else:
        place, offset, side = (left, bound - left), (4, 3), "left"
    axes.annotate(
        f"{bound:g}", place, offset, textcoords="offset points", ha=side, size=7, color=FAINT
    )
