"""Points in the plane, coloured by what is known of them."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
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
"""Paul Tol's muted scheme and an amber, to be told apart with any colour vision: under simulated
protanopia, deuteranopia and tritanopia no two are nearer than 15 in CIELAB."""

MARKERS = ("o", "^")
NO_NAME = "unlabelled"
UNLABELLED = "#d0d0d0"
NAMED_CLASSES = len(MARKERS) * len(CLASS_COLOURS)
"""More classes than colours times markers are shown on a scale instead of by name."""


def draw_points(
    axes: Axes,
    points: Float64s,
    labels: Sequence[Any] | NDArray[Any] | None,
    classes: Sequence[str] | None,
) -> None:
    """Points by class name, on a scale, or in one colour: whatever the labels allow.

    They are drawn in a shuffled order, so that no class covers another for coming last.
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
        raise UsageError(f"{len(points)} points need as many labels, not shape {values.shape}")
    if values.dtype.kind == "f" and not np.array_equal(values, values.round()):
        _draw_scale(axes, _dots(axes, points[shown], len(shown), c=values[shown]), "label")
        return
    _draw_classes(axes, points[shown], values[shown], classes)


def _dots(axes: Axes, points: Float64s, total: int, **how: Any) -> PathCollection:
    """Dots the smaller and the lighter the more of them there are in `total`."""
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
    drawn = _dots(axes, points, len(points), c=index, cmap="turbo")
    scale = _draw_scale(axes, drawn, f"{len(names)} classes")
    scale.ax.yaxis.set_major_locator(MaxNLocator(10, integer=True))
    scale.ax.yaxis.set_major_formatter(
        lambda place, _: names[int(place)] if 0 <= place < len(names) else ""
    )


def _draw_named(
    axes: Axes, points: Float64s, index: Numbers, slots: Numbers, names: Sequence[str]
) -> None:
    """One colour and marker a class, and a legend outside."""
    colours = to_rgba_array((*CLASS_COLOURS, *CLASS_COLOURS, UNLABELLED))[slots]
    markers = [MARKERS[max(slot, 0) // len(CLASS_COLOURS)] for slot in slots]
    for marker in MARKERS:
        of_it = np.array([own == marker for own in markers])[index]
        _dots(axes, points[of_it], len(points), c=colours[index[of_it]], marker=marker)
    handles = [
        Line2D([], [], linestyle="", color=colour, marker=marker, markersize=7, label=name)
        for colour, marker, name in zip(colours, markers, names, strict=True)
    ]
    axes.figure.legend(handles=handles, loc="outside right upper", handletextpad=0.2)


def _draw_names(axes: Axes, points: Float64s, index: Numbers, names: Sequence[str]) -> None:
    """The classes' names at their centres, unless they would stand on one another."""
    centres = {
        name: np.median(points[index == i], axis=0)
        for i, name in enumerate(names)
        if name != NO_NAME
    }
    span = float(np.ptp(points, axis=0).max()) or 1.0
    if any(_touch(a, b, centres, span) for a, b in itertools.combinations(centres, 2)):
        return
    halo = [withStroke(linewidth=3, foreground="white")]
    for name, (x, y) in centres.items():
        look: dict[str, Any] = {"size": 11, "weight": "bold", "path_effects": halo}
        axes.text(x, y, name, ha="center", va="center", **look)


def _touch(a: str, b: str, centres: Mapping[str, Float64s], span: float) -> bool:
    """Whether two names would touch; a letter is about a fiftieth of the plot wide."""
    across, down = np.abs(centres[a] - centres[b]) / span
    return bool(across < 0.01 * (len(a) + len(b)) + 0.01 and down < 0.04)


def _slots(values: NDArray[Any]) -> Numbers:
    """The colour of each class: its number, so that a class keeps it whatever else is shown."""
    if values.dtype.kind in "iuf" and values.min() >= -1 and values.max() < NAMED_CLASSES:
        return values.astype(np.intp)
    return np.arange(len(values))


def _name(value: Any, classes: Sequence[str] | None) -> str:
    """A class's name, or its number where it has none; labels below zero mean none was given."""
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
