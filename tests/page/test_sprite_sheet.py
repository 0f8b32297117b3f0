"""Every picture of the page: cells hold the right pixels, and a sheet keeps to its size."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.page.sprite_sheet import sprite_sheet

NOISE = np.random.default_rng(3).integers(0, 256, (23, 9, 6, 3)).astype(np.uint8)


def cells(sheet: dict[str, Any]) -> list[np.ndarray]:
    """The cells, cut out as the page does it."""
    prefix, _, content = sheet["src"].partition(",")
    assert prefix == "data:image/webp;base64"
    board = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    wide, tall = sheet["width"], sheet["height"]
    corners = [divmod(index, sheet["columns"]) for index in range(sheet["count"])]
    return [board[r * tall : (r + 1) * tall, c * wide : (c + 1) * wide] for r, c in corners]


def test_a_small_sheet_keeps_every_bit() -> None:
    sheet = sprite_sheet(NOISE, longest_side=64, most_bytes=100_000)
    assert sheet["lossless"]
    assert np.array_equal(np.stack(cells(sheet)), NOISE)


def test_grey_floats_are_shown_as_pictures_show_them() -> None:
    grey = np.linspace(-0.2, 1.2, 2 * 25, dtype=np.float32).reshape(2, 1, 5, 5)
    expected = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    found = cells(sprite_sheet(grey, longest_side=64, most_bytes=100_000))
    assert np.array_equal(np.stack(found)[..., 0], expected[:, 0])


def test_a_sheet_too_large_loses_detail_and_says_so() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    sheet = sprite_sheet(noise, longest_side=64, most_bytes=40_000)
    assert not sheet["lossless"]
    assert len(base64.b64decode(sheet["src"].partition(",")[2])) <= 40_000
    assert len(cells(sheet)) == 40


def test_large_images_are_shrunk_to_means_of_their_pixels_and_it_says_so() -> None:
    halves = np.zeros((1, 128, 64, 1), np.uint8)
    halves[:, 64:] = 200
    sheet = sprite_sheet(halves, longest_side=32, most_bytes=100_000)
    assert (sheet["width"], sheet["height"], sheet["lossless"]) == (16, 32, False)
    (cell,) = cells(sheet)
    assert (cell[:16] == 0).all()
    assert (cell[16:] == 200).all()


@pytest.mark.parametrize("shape", [(3, 1, 40, 1), (3, 40, 1, 3), (1, 5, 5, 1)])
def test_images_of_any_shape_are_packed(shape: tuple[int, int, int, int]) -> None:
    images = np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)
    found = np.stack(cells(sprite_sheet(images, longest_side=64, most_bytes=100_000)))
    assert np.array_equal(found, np.broadcast_to(images, (*shape[:3], 3)))
