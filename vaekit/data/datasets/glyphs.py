"""Letters and digits drawn from seven known factors: no download, any size, black on white.

Every combination of factors is a different picture: 36 x 5 x 5 x 5 x 5 x 5 x 5 = 562,500.

    letter      A to Z, then 0 to 9
    font        sans, serif, times, roman, typewriter: fonts that come with matplotlib
    weight      5, from the font's own to bold
    slant       5, from upright to leaning by 16 degrees
    size        5
    x, y        5 each; a letter is always whole

    >>> draw_glyphs(np.zeros((1, 7), np.int64), (28, 28)).shape
    (1, 28, 28, 1)
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from vaekit.data.datasets.factor_grid import FactorGrid
from vaekit.data.datasets.glyph_outlines import CAP, FONTS, LETTERS, Outline, fonts_identity
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import Request, Size, Source

GLYPH_FACTORS = ("letter", "font", "weight", "slant", "size", "x", "y")
PLACES = 5
GLYPH_COUNTS = (len(LETTERS), len(FONTS), 5, 5, 5, PLACES, PLACES)
GLYPHS = FactorGrid("glyphs", tuple(LETTERS), GLYPH_FACTORS, GLYPH_COUNTS)
GLYPH_SIZE = (32, 32)

STROKE_WEIGHTS = np.linspace(0, 0.045, GLYPH_COUNTS[2])
"""How far the outline moves outwards, as a share of the height of capitals."""
SLANTS = np.linspace(0, 0.28, GLYPH_COUNTS[3])
"""Run over rise."""
SIZES = np.linspace(0.48, 0.58, GLYPH_COUNTS[4])
"""Height of capitals, as a share of the image's shorter side."""
REACH = 0.03
"""How far a letter moves from the centre, as a share of the side."""
GLYPH_MARGIN = 0.01

_FAR = 40.0
"""Distance from the ink, in cells, beyond the field."""


def open_glyphs(request: Request) -> Source:
    """Train and test are drawn at random from disjoint parts of the grid."""
    size = request.size or GLYPH_SIZE
    return GLYPHS.open(request, size, draw_glyphs, channels=1, drawn_by=fonts_identity())


def draw_glyphs(factors: Integers, size: Size = GLYPH_SIZE) -> Pixels:
    """Draw images (N, H, W, 1), one for each row of factors, antialiased at the size asked for."""
    GLYPHS.check(factors)
    cover = np.empty((len(factors), *size), np.float32)
    for image, row in zip(cover, factors.tolist(), strict=True):
        image[:] = _coverage(row, size)
    return np.rint(255 * (1 - cover)).astype(np.uint8)[..., None]


def _coverage(factors: list[int], size: Size) -> npt.NDArray[np.float32]:
    """(H, W): 1 within the letter, 0 outside, and between on pixels that its edge crosses.

    Pillow samples the letter's distance field at every pixel, scaled, sheared and moved. A pixel is
    covered by half where the distance is 0, and wholly half a pixel further in.
    """
    letter, font, weight, slant, cap, *place = factors
    height, width = size
    outline, shear = _outline(letter, font), float(SLANTS[slant])
    cells = CAP / (float(SIZES[cap]) * min(size))  # cells to one pixel
    bolder = float(STROKE_WEIGHTS[weight]) * CAP
    left, top, right, bottom = outline.box(shear)
    x = _centre(place[0], width, (right - left + 2 * bolder) / cells)
    y = _centre(place[1], height, (bottom - top + 2 * bolder) / cells)
    matrix = (
        *(cells, shear * cells, (left + right) / 2 - cells * (x + shear * y)),
        *(0.0, cells, (top + bottom) / 2 - cells * y),
    )
    distance = outline.field.transform(
        (width, height),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=_FAR,
    )
    pixels = (np.asarray(distance, np.float32) - np.float32(bolder)) / np.float32(cells)
    cover: npt.NDArray[np.float32] = np.clip(0.5 - pixels, 0, 1)
    return cover


def _centre(place: int, side: int, ink: float) -> float:
    """Where a letter's middle is along a side, in pixels; wide letters move less, to stay whole."""
    reach = max(0.0, min(REACH * side, (side - ink) / 2 - GLYPH_MARGIN * side))
    return side / 2 + reach * (place - PLACES // 2) / (PLACES // 2)


@cache
def _outline(letter: int, font: int) -> Outline:
    return Outline.of(LETTERS[letter], tuple(FONTS.values())[font])
