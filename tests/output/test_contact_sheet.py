"""A contact sheet: every image whole, in order, and text that fits."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.errors import UsageError
from vaekit.output.contact_sheet import BORDER, BOX, SheetEntry, contact_sheet

INK = (10, 20, 30)


def entry(level: int, size: tuple[int, int] = (8, 8), lines: tuple[str, ...] = ()) -> SheetEntry:
    return SheetEntry(np.full((*size, 3), level, np.uint8), "7.0", INK, lines)


def test_images_stand_row_by_row_and_are_enlarged_whole() -> None:
    sheet = contact_sheet([entry(level) for level in range(101, 107)], "title", "subtitle")
    places = [np.argwhere((sheet == level).all(-1)) for level in range(101, 107)]
    assert [len(place) for place in places] == [BOX * BOX] * 6
    lefts = [int(place[:, 1].min()) for place in places]
    assert lefts[0] == BORDER
    assert lefts[:5] == sorted({*lefts})
    assert lefts[5] == BORDER
    tops = [int(place[:, 0].min()) for place in places]
    assert len({*tops[:5]}) == 1
    assert tops[5] > tops[0] + BOX


def test_a_large_or_narrow_image_keeps_its_shape() -> None:
    sheet = contact_sheet([entry(101, (400, 100))], "t", "s")
    tall = np.argwhere((sheet == 101).all(-1))
    high, wide = np.ptp(tall, axis=0) + 1
    assert (high, wide) == (BOX, BOX // 4)


def test_a_long_title_or_name_is_never_cut_off_by_the_edge() -> None:
    sheet = contact_sheet([entry(101, lines=("x" * 300,))], "t", "word " * 60)
    edge = sheet[:, -8:]
    assert (edge == 255).all()
    assert (sheet == INK).all(-1).any()


def test_no_images_are_refused() -> None:
    with pytest.raises(UsageError, match="no images"):
        contact_sheet([], "t", "s")
