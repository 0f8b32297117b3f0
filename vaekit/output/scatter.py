"""Draw 2-D points, coloured by class, by value, or in one colour."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import to_rgba_array
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaekit.array_types import Float64s
from vaekit.errors import UsageError
from vaekit.output.plot_style import BLUE
from vaekit.seeds import numpy_generator

Numbers: TypeAlias = NDArray[np.intp]

CLASS_COLOURS = (
    *("#332288", "#feac3a", "#44aa99", "#cc6677", "#88ccee"),
    *("#aa4499", "#999933", "#882255", "#ddcc77", "#117733"),
)
"""Paul Tol's muted scheme and an amber. Under simulated protanopia, deuteranopia and tritanopia any
two differ by 15 or more in CIELAB."""

MARKERS = ("o", "^")
NO_NAME = "unlabelled"
UNLABELLED = "#d0d0d0"
NAMED_CLASSES = len(MARKERS) * len(CLASS_COLOURS)
"""More classes than this have no legend: they are letters, or colours on a scale."""


def draw_points(
    axes: Axes,
    points: Float64s,
    labels: Sequence[Any] | NDArray[Any] | None,
    classes: Sequence[str] | None,
) -> None:
    """Draw points by class, on a colour scale, or in one colour, as the labels allow.

    The order is shuffled, so that the last class does not cover the others.
    """
    order = numpy_generator("scatter").permutation(len(points))
    shown = order[np.isfinite(points[order]).all(axis=1)]
    if not len(shown):
        raise UsageError("there are no finite points to draw")
    if labels is None:
        _dots(axes, points[shown], len(shown), color=BLUE)
        return
    values = np.asarray(labels)
    if values.shape != (len(points),):
        raise UsageError(
            f"{len(points)} points need {len(points)} labels, not shape {values.shape}"
        )
    if values.dtype.kind == "f" and not np.array_equal(values, values.round()):
        _draw_scale(axes, _dots(axes, points[shown], len(shown), c=values[shown]), "label")
        return
    _draw_classes(axes, points[shown], values[shown], classes)


def _dots(axes: Axes, points: Float64s, total: int, **how: Any) -> PathCollection:
    """Dots that get smaller and more transparent as `total` grows."""
    size = float(np.clip(500 / math.sqrt(total), 3, 50))
    alpha = float(np.clip(1.5 * total**-0.12, 0.4, 0.9))
    return axes.scatter(points[:, 0], points[:, 1], s=size, alpha=alpha, linewidths=0, **how)


def _draw_classes(
    axes: Axes, points: Float64s, labels: NDArray[Any], classes: Sequence[str] | None
) -> None:
    values, index = np.unique(labels, return_inverse=True)
    names = [_name(value, classes) for value in values.tolist()]
    if sum(name != NO_NAME for name in names) <= NAMED_CLASSES:
        _draw_named(axes, points, index, _slots(values), names)
        _draw_names(axes, points, index, names)
        return
    if all(len(name) == 1 and name.isascii() and name.isalnum() for name in names):
        _draw_characters(axes, points, index, names)
        return
    drawn = _dots(axes, points, len(points), c=index, cmap="turbo")
    scale = _draw_scale(axes, drawn, f"{len(names)} classes")
    scale.ax.yaxis.set_major_locator(MaxNLocator(10, integer=True))
    scale.ax.yaxis.set_major_formatter(
        lambda place, _: names[int(place)] if 0 <= place < len(names) else ""
    )


def _draw_named(
    axes: Axes, points: Float64s, index: Numbers, slots: Numbers, names: Sequence[str]
) -> None:
    """One colour and marker per class, and a legend outside."""
    colours = to_rgba_array((*CLASS_COLOURS, *CLASS_COLOURS, UNLABELLED))[slots]
    markers = [MARKERS[max(slot, 0) // len(CLASS_COLOURS)] for slot in slots]
    for marker in MARKERS:
        with_marker = np.array([own == marker for own in markers])[index]
        colour = colours[index[with_marker]]
        _dots(axes, points[with_marker], len(points), c=colour, marker=marker)
    handles = [
        Line2D([], [], linestyle="", color=colour, marker=marker, markersize=7, label=name)
        for colour, marker, name in zip(colours, markers, names, strict=True)
    ]
    axes.figure.legend(handles=handles, loc="outside right upper", handletextpad=0.2)


def _draw_characters(axes: Axes, points: Float64s, index: Numbers, names: Sequence[str]) -> None:
    """Classes of one character each: it is the mark of its points."""
    colours = colormaps["turbo"](np.linspace(0.03, 0.97, len(names)))
    size = float(np.clip(2200 / math.sqrt(len(points)), 20, 70))
    for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
        own = points[index == number]
        axes.scatter(
            own[:, 0], own[:, 1], s=size, color=colour, marker=_outline(name), linewidths=0
        )


def _outline(character: str) -> Path:
    """A bold character as a marker, its middle at the origin."""
    bold = FontProperties(weight="bold")
    outline = TextPath((0, 0), character, size=1, prop=bold)
    low, high = outline.get_extents().get_points()
    return Path(outline.vertices - (low + high) / 2, outline.codes)


def _draw_names(axes: Axes, points: Float64s, index: Numbers, names: Sequence[str]) -> None:
    """Class names at the centres of the classes, unless they would overlap.

    A class whose dots would all lie beneath its name has it in the legend alone.
    """
    centres = {
        name: np.median(points[index == i], axis=0)
        for i, name in enumerate(names)
        if name != NO_NAME
    }
    span = float(np.ptp(points, axis=0).max()) or 1.0
    if any(_overlap(a, b, centres, span) for a, b in itertools.combinations(centres, 2)):
        return
    halo = [withStroke(linewidth=3, foreground="white")]
    places = {name: points[index == i] for i, name in enumerate(names)}
    for name, (x, y) in centres.items():
        if _covers(name, np.abs(places[name] - (x, y)) / span):
            continue
        look: dict[str, Any] = {"size": 11, "weight": "bold", "path_effects": halo}
        axes.text(x, y, name, ha="center", va="center", **look)


def _covers(name: str, distances: Float64s) -> bool:
    """Whether a name covers all dots at these distances from its middle, in widths of the plot."""
    across, down = distances.max(axis=0)
    return bool(across < 0.01 * len(name) + 0.01 and down < 0.02)


def _overlap(a: str, b: str, centres: Mapping[str, Float64s], span: float) -> bool:
    """Whether two names overlap; a letter is about 1/50 of the plot wide."""
    across, down = np.abs(centres[a] - centres[b]) / span
    return bool(across < 0.01 * (len(a) + len(b)) + 0.01 and down < 0.04)


def _slots(values: NDArray[Any]) -> Numbers:
    """The colour index of each class: its number, so that it keeps its colour in every plot."""
    if values.dtype.kind in "iuf" and values.min() >= -1 and values.max() < NAMED_CLASSES:
        return values.astype(np.intp)
    return np.arange(len(values))


def _name(value: Any, classes: Sequence[str] | None) -> str:
    """The name of a class, or its number if it has none; labels below zero are unknown."""
    if isinstance(value, str):
        name = value
    elif value < 0:
        name = NO_NAME
    elif classes is not None and value < len(classes):
        name = str(classes[int(value)])
    else:
        name = f"{value:g}"
    return textwrap.shorten(name, 24, placeholder="…") or "·"


def _draw_scale(axes: Axes, drawn: PathCollection, label: str) -> Colorbar:
    scale = axes.figure.colorbar(drawn, ax=axes, label=label, shrink=0.7, aspect=30, pad=0.02)
    if scale.solids is not None:
        scale.solids.set(alpha=1)
    scale.outline.set(visible=False)
    return scale
