"""Shapes drawn from six known factors: no download, any size, always the same pixels.

Every image is one shape on a plain light ground. Six factors say what it looks like, and every
combination is a different picture: 4 x 10 x 6 x 20 x 10 x 10 = 480,000.

    shape       heart, drop, arrow, crescent: none looks the same after a part of a turn
    hue         10, evenly spaced and equally light
    scale       6
    rotation    20, over the full turn
    x, y        10 each; a shape is always whole

    >>> draw(np.zeros((1, 6), np.int64), (32, 32)).shape
    (1, 32, 32, 3)
    >>> SHAPES.factors_of(np.array([1, 479_999])).tolist()
    [[0, 0, 0, 0, 0, 1], [3, 9, 5, 19, 9, 9]]
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from vaekit.array_types import Float64s
from vaekit.data.datasets import shape_outlines
from vaekit.data.datasets.factor_grid import FactorGrid
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import Request, Size, Source

SHAPE_NAMES = tuple(shape_outlines.OUTLINES)
SHAPE_FACTORS = ("shape", "hue", "scale", "rotation", "x", "y")
COUNTS = (4, 10, 6, 20, 10, 10)
SHAPES = FactorGrid("shapes", SHAPE_NAMES, SHAPE_FACTORS, COUNTS)
SIZE = (64, 64)

SCALES = np.linspace(0.13, 0.28, COUNTS[2])
"""Radius of the circle around a shape, as a share of the image's shorter side."""
MARGIN = 0.02
GROUND = (250, 248, 244)
LIGHTNESS, CHROMA = 0.68, 0.15

_EXTENT = 1.3
"""The distance fields reach this far from a shape's centre, whose radius is 1."""
_CELLS = 512
_BLOCK = 256


def open_shapes(request: Request) -> Source:
    """Train and test are drawn at random from disjoint parts of the grid."""
    return SHAPES.open(request, request.size or SIZE, draw, channels=3)


def draw(factors: Integers, size: Size = SIZE) -> Pixels:
    """Draw images (N, H, W, 3), one for each row of factors, antialiased at the size asked for."""
    SHAPES.check(factors)
    images = np.empty((len(factors), *size, 3), np.uint8)
    for start in range(0, len(factors), _BLOCK):
        rows = factors[start : start + _BLOCK]
        images[start : start + _BLOCK] = _painted(rows, size)
    return images


def _painted(factors: Integers, size: Size) -> Pixels:
    """Colour over ground, by how much of each pixel the shape covers."""
    cover = np.stack([_coverage(row, size) for row in factors.tolist()])[..., None]
    ground, colours = np.array(GROUND, np.float32), palette()[factors[:, 1], None, None, :]
    return np.rint(ground + cover * (colours - ground)).astype(np.uint8)


def _coverage(factors: list[int], size: Size) -> npt.NDArray[np.float32]:
    """(H, W): 1 within the shape, 0 outside, and between on pixels that its edge crosses.

    Pillow samples the shape's distance field at every pixel, turned, scaled and moved; the
    distance from the edge, in pixels, is how much of the pixel is covered.
    """
    shape, _, scale, rotation, x, y = factors
    height, width = size
    radius = float(SCALES[scale]) * min(size)
    room = float(SCALES[-1]) * min(size) + MARGIN * min(size)
    centre_x = room + (width - 2 * room) * x / (COUNTS[4] - 1)
    centre_y = room + (height - 2 * room) * y / (COUNTS[5] - 1)
    turn = 2 * math.pi * rotation / COUNTS[3]
    cells = _CELLS / (2 * _EXTENT)  # cells of the field to one radius
    cos, sin = cells * math.cos(turn) / radius, cells * math.sin(turn) / radius
    matrix = (
        *(cos, sin, _CELLS / 2 - cos * centre_x - sin * centre_y),
        *(-sin, cos, _CELLS / 2 + sin * centre_x - cos * centre_y),
    )
    distance = _field(SHAPE_NAMES[shape]).transform(
        (width, height),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=_EXTENT,
    )
    pixels = np.asarray(distance, np.float32) * np.float32(radius)
    cover: npt.NDArray[np.float32] = np.clip(0.5 - pixels, 0, 1)
    return cover


@cache
def palette() -> npt.NDArray[np.float32]:
    """The hues (10, 3): evenly spaced in Oklch, where equal steps look equal and equally light."""
    angles = np.linspace(0, 2 * np.pi, COUNTS[1], endpoint=False) + 0.35
    a, b = CHROMA * np.cos(angles), CHROMA * np.sin(angles)
    long = (LIGHTNESS + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (LIGHTNESS - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (LIGHTNESS - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short
    linear = np.clip(np.stack([red, green, blue], axis=1), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * encoded).astype(np.float32)


@cache
def _field(shape: str) -> Image.Image:
    """A shape's signed distances as a picture of floats: centred, of radius 1, negative within."""
    distance, rounding = shape_outlines.OUTLINES[shape]
    steps = np.linspace(-2, 2, 1001)
    x, y = np.meshgrid(steps, steps)
    reach = np.where(distance(x, y) <= rounding, np.abs(x), -1).max(axis=1)
    centre, radius = _circle_around(reach[reach >= 0], steps[reach >= 0])
    cells = (np.arange(_CELLS) + 0.5) * (2 * _EXTENT / _CELLS) - _EXTENT
    x, y = np.meshgrid(cells * radius, centre - cells * radius)  # rows of a picture run down
    return Image.fromarray(((distance(x, y) - rounding) / radius).astype(np.float32))


def _circle_around(x: Float64s, y: Float64s) -> tuple[float, float]:
    """Centre (0, c) and radius of the smallest circle around points that mirror in x = 0."""
    centres = np.linspace(y.min(), y.max(), 801)
    farthest = np.hypot(x, y - centres[:, None]).max(axis=1)
    best = int(np.argmin(farthest))
    return float(centres[best]), float(farthest[best]) + 0.005
