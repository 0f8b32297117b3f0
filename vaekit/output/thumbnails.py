"""Draw images in place of dots, without overlap, framed in the colours of their classes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image

from vaekit.array_types import Float64s
from vaekit.output.pictures import Bytes, ImageStack, to_uint8
from vaekit.seeds import numpy_generator

SIDE = 34
"""The longer side of a thumbnail, in pixels of the plot."""

FRAME = 2
"""The width of its frame in pixels."""

MOST_THUMBNAILS = 500
"""The most thumbnails in a plot."""


def draw_thumbnails(figure: Figure, axes: Axes, points: Float64s, images: ImageStack) -> int:
    """Draw thumbnails that do not overlap over their dots; returns their number.

    Points are tried in a fixed shuffled order, so that the choice is fair.
    """
    figure.draw_without_rendering()  # before this, the positions of the dots are unknown
    chosen = without_overlap(axes.transData.transform(points), SIDE + 2 * FRAME)[:MOST_THUMBNAILS]
    pixels, colours = to_uint8(images), _colours(axes)
    for index in chosen:
        x, y = points[index].tolist()
        _draw(axes, (x, y), _small(pixels[index]), colours[x, y])
    return len(chosen)


def without_overlap(places: Float64s, side: float) -> list[int]:
    """Indices of places, tried in a shuffled order, at least `side` from all chosen before.

    >>> sorted(without_overlap(np.array([[0.0, 0], [1, 0], [50, 0], [50, 90]]), 10))[1:]
    [2, 3]
    """
    taken: dict[tuple[int, int], Float64s] = {}
    chosen = []
    for index in numpy_generator("thumbnails").permutation(len(places)).tolist():
        place = places[index]
        if not np.isfinite(place).all():
            continue
        # A cell of this size holds at most one; all that are too near lie in nine cells.
        column, row = (int(part // side) for part in place)
        near = [(column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        if all(np.abs(taken[cell] - place).max() >= side for cell in near if cell in taken):
            taken[column, row] = place
            chosen.append(index)
    return chosen


def _small(image: Bytes) -> Bytes:
    """An image at its size in the plot, as RGB."""
    height, width, channels = image.shape
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.fromarray(image[..., 0] if channels == 1 else image).convert("RGB")
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    return np.asarray(picture.resize(size, method))


def _colours(axes: Axes) -> dict[tuple[float, float], Float64s]:
    """The colour of the dot at each place."""
    found: dict[tuple[float, float], Float64s] = {}
    for dots in axes.collections:
        dots.update_scalarmappable()
        places = np.asarray(dots.get_offsets())
        colours = np.broadcast_to(np.asarray(dots.get_facecolor()), (len(places), 4))
        found |= {(x, y): colour for (x, y), colour in zip(places.tolist(), colours, strict=True)}
    return found


def _draw(axes: Axes, place: tuple[float, float], image: Bytes, colour: Float64s) -> None:
    height, width, _ = image.shape
    framed = np.empty((height + 2 * FRAME, width + 2 * FRAME, 3))
    framed[:] = colour[:3]
    framed[FRAME:-FRAME, FRAME:-FRAME] = image / 255
    picture = OffsetImage(framed, zoom=1.0, dpi_cor=False, interpolation="nearest")
    box = AnnotationBbox(picture, place, frameon=False, pad=0)
    box.set_in_layout(False)  # positions were computed for the layout as it is
    axes.add_artist(box)
