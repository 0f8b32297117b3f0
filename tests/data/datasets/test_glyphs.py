from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vaekit.data import load_dataset
from vaekit.data.datasets import glyph_outlines, glyphs
from vaekit.data.datasets.glyph_outlines import FONTS, LETTERS
from vaekit.data.datasets.glyphs import GLYPH_COUNTS, GLYPH_FACTORS, SIZES, SLANTS, draw_glyphs
from vaekit.errors import DataError, UsageError

MIDDLE = {"letter": 0, "font": 0, "weight": 0, "slant": 0, "size": 2, "x": 2, "y": 2}


def one(image_size=(32, 32), **factors):
    return draw_glyphs(np.array([list((MIDDLE | factors).values())]), image_size)[
        0, :, :, 0
    ].astype(int)


def rendered(letter, font, side):
    """The letter upright in the middle, drawn by FreeType at 8 times the size and averaged."""
    path = f"{mpl.get_data_path()}/fonts/ttf/{FONTS[font]}"
    _, top, _, bottom = ImageFont.truetype(path, 200).getbbox("H")
    wanted = SIZES[2] * side * 8
    large = ImageFont.truetype(path, 200 * wanted / (bottom - top))
    canvas = Image.new("L", (8 * side, 8 * side), 0)
    ImageDraw.Draw(canvas).text((side, side), letter, fill=255, font=large)
    ink = np.asarray(canvas.crop(canvas.getbbox()), float)
    above, left = ((8 * side - length) // 2 for length in ink.shape)
    framed = np.zeros((8 * side, 8 * side))
    framed[above : above + ink.shape[0], left : left + ink.shape[1]] = ink
    return 255 - framed.reshape(side, 8, side, 8).mean((1, 3))


@pytest.mark.parametrize("font", range(len(FONTS)))
def test_a_letter_looks_as_its_font_draws_it(font):
    for letter in (0, 10, 22, 31):  # A, K, W, 5
        ours = one((64, 64), letter=letter, font=font)
        expected = rendered(LETTERS[letter], tuple(FONTS)[font], 64)
        ink = (255 - expected).sum()
        assert abs((255 - ours).sum() / ink - 1) < 0.06
        assert np.abs(ours - expected).sum() / ink < 0.12


def test_every_font_has_letters_of_its_own():
    for letter in range(len(LETTERS)):
        images = [one((64, 64), letter=letter, font=font) for font in range(len(FONTS))]
        for a, b in itertools.combinations(images, 2):
            assert np.abs(a - b).max() > 80


def test_letters_are_black_on_white_with_grey_edges_only():
    image = one((64, 64), letter=LETTERS.index("E"), weight=4)
    assert image.min() == 0
    assert (image[[0, -1]] == 255).all()
    assert np.mean((image > 0) & (image < 255)) < 0.08


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (48, 80)])
def test_every_letter_is_whole_wherever_it_stands(size):
    """In a corner the heaviest letters have as much ink as in the middle, so nothing is cut off."""
    for letter, font in itertools.product(range(len(LETTERS)), range(len(FONTS))):
        places = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
        rows = [(letter, font, 4, slant, 4, x, y) for slant in (0, 4) for x, y in places]
        ink = (255 - draw_glyphs(np.array(rows), size).astype(int)).sum((1, 2, 3)).reshape(2, 5)
        assert np.abs(ink / ink[:, :1] - 1).max() < 0.03


@pytest.mark.parametrize("factor", GLYPH_FACTORS[1:])
def test_every_value_of_every_factor_is_another_picture(factor):
    count = GLYPH_COUNTS[GLYPH_FACTORS.index(factor)]
    for letter in (1, 12, 16, 34):  # B, M, Q, 8
        images = [one(letter=letter, **{factor: value}) for value in range(count)]
        for a, b in itertools.combinations(images, 2):
            assert np.abs(a - b).max() > 20


def test_weight_and_size_add_ink():
    for factor in ("weight", "size"):
        ink = [(255 - one(letter=7, **{factor: value})).sum() for value in range(5)]
        assert all(b > 1.05 * a for a, b in itertools.pairwise(ink))


def test_slant_leans_to_the_right_by_what_it_says():
    def lean(image):
        rows = np.flatnonzero((image < 128).any(1))
        middles = np.average(np.tile(np.arange(128), (128, 1)), axis=1, weights=255.001 - image)
        return -np.polyfit(rows[4:-4], middles[rows[4:-4]], 1)[0]

    for slant, expected in enumerate(SLANTS):
        assert lean(one((128, 128), letter=LETTERS.index("I"), slant=slant)) == pytest.approx(
            expected, abs=0.01
        )


def test_x_runs_across_and_y_runs_down():
    def middle(image):
        return [np.average(place, weights=255 - image) for place in np.indices(image.shape)]

    (down, across), (down_x, across_x), (down_y, across_y) = (
        middle(one(**place)) for place in ({}, {"x": 4}, {"y": 4})
    )
    assert (across_x - across, down_x - down) == pytest.approx((0.96, 0), abs=0.05)
    assert (across_y - across, down_y - down) == pytest.approx((0, 0.96), abs=0.05)


def test_the_set_is_its_factors():
    data = load_dataset("glyphs", "test", limit=50, image_size="24x40")
    assert data.factor_names == GLYPH_FACTORS
    assert data.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    assert np.array_equal(data.labels, data.factors[:, 0])
    assert np.array_equal(data.images, draw_glyphs(data.factors, (24, 40)))


def test_train_and_test_have_no_picture_in_common():
    parts = glyphs.open_glyphs(glyphs.Request(limit=30_000)).parts
    rows = np.concatenate([part.factors for part in parts.values()])
    assert len(rows) >= 63_334
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("bad", [[36, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, -1], [0, 0]])
def test_factors_off_the_grid_are_refused(bad):
    with pytest.raises(UsageError, match="factors must be rows of"):
        draw_glyphs(np.array([bad]))


def test_an_installation_without_the_fonts_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(mpl, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"matplotlib's font DejaVuSans.ttf cannot be read"):
        glyph_outlines.fonts_identity()
