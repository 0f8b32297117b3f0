from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.datasets.shapes import (
    COUNTS,
    GROUND,
    SHAPE_FACTORS,
    SHAPE_NAMES,
    SHAPES,
    draw,
    palette,
)
from vaekit.errors import UsageError

MIDDLE = [0, 0, 5, 0, 5, 5]


def one(size=(64, 64), **factors):
    row = list(MIDDLE)
    for name, value in factors.items():
        row[SHAPE_FACTORS.index(name)] = value
    return draw(np.array([row]), size)[0].astype(int)


def sample(count, seed=0):
    return SHAPES.factors_of(np.random.default_rng(seed).choice(480_000, count, replace=False))


def test_the_grid_is_every_combination_once():
    everything = SHAPES.factors_of(np.arange(480_000))
    assert everything.shape == (480_000, 6)
    assert everything.max(0).tolist() == [count - 1 for count in COUNTS]
    assert len(np.unique(everything @ np.array([10**9, 10**7, 10**6, 10**4, 100, 1]))) == 480_000


def test_the_same_factors_are_the_same_picture_for_ever():
    digest = hashlib.sha256(draw(sample(64)).tobytes()).hexdigest()
    assert digest == hashlib.sha256(draw(sample(64)).tobytes()).hexdigest()
    assert np.array_equal(draw(sample(64))[10], draw(sample(64)[10:11])[0])


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (16, 16), (48, 80), (128, 128)])
def test_every_shape_lies_whole_within_the_frame(size):
    """In a corner it covers as much as in the middle, so nothing of it is cut off."""
    for shape, turn in itertools.product(range(4), range(20)):
        places = [(5, 5), (0, 0), (0, 9), (9, 0), (9, 9)]
        images = draw(np.array([[shape, 0, 5, turn, x, y] for x, y in places]), size)
        cover = np.abs(images.astype(int) - GROUND).sum((1, 2, 3))
        assert np.abs(cover / cover[0] - 1).max() < (0.01 if min(size) >= 32 else 0.03)


def test_a_margin_is_left_around_every_shape():
    corners = itertools.product(range(4), [0], [5], range(20), (0, 9), (0, 9))
    images = draw(np.array(list(corners)))
    frame = np.ones((64, 64), bool)
    frame[1:-1, 1:-1] = False
    assert (images[:, frame] == GROUND).all()


def test_edges_are_antialiased():
    image = one(shape=SHAPE_NAMES.index("drop"), rotation=1)
    distance = np.abs(image - GROUND).sum(-1)
    between = (distance > 20) & (distance < distance.max() - 20)
    assert 20 < between.sum() < 150
    assert (distance == distance.max()).sum() > 200


@pytest.mark.parametrize("shape", range(4))
def test_the_area_is_the_same_however_a_shape_is_turned(shape):
    """Coverage, and with it antialiasing, is right only if turning moves no area."""
    cover = [np.abs(one((128, 128), shape=shape, rotation=r) - GROUND).sum() for r in range(20)]
    assert np.ptp(cover) / np.mean(cover) < 0.005


def test_colour_and_ground_are_pure_away_from_the_edge():
    for hue in range(COUNTS[1]):
        image = one(hue=hue, shape=1)
        assert image[0, 0].tolist() == list(GROUND)
        strongest = image.reshape(-1, 3)[np.abs(image - GROUND).sum(-1).argmax()]
        assert np.abs(strongest - palette()[hue]).max() <= 1


def test_hues_are_equally_light_and_apart():
    hues = palette()
    apart = np.linalg.norm(hues - np.roll(hues, 1, axis=0), axis=1)
    assert apart.min() > 35
    luma = hues @ [0.299, 0.587, 0.114]
    assert np.ptp(luma) < 40


@pytest.mark.parametrize("factor", SHAPE_FACTORS)
@pytest.mark.parametrize("size", [(64, 64), (32, 32)])
def test_every_value_of_every_factor_is_another_picture(factor, size):
    """Even at the smallest scale no two values look alike, so that factors can be told."""
    for shape in range(4):
        count = COUNTS[SHAPE_FACTORS.index(factor)]
        base = {"shape": shape, "scale": 0, "hue": 2}
        images = np.stack([one(size, **(base | {factor: value})) for value in range(count)])
        for a in range(count):
            for b in range(a):
                assert np.abs(images[a] - images[b]).max() > 30, (shape, a, b)


def test_rotation_can_be_told_over_the_full_turn():
    for shape in range(4):
        upright, half = one(shape=shape), one(shape=shape, rotation=10)
        assert np.abs(upright - half).mean() > 1


def test_x_runs_across_and_y_runs_down():
    def centre(image):
        away = np.abs(image - GROUND).sum(-1)
        down, across = (np.average(place, weights=away) for place in np.indices((64, 64)))
        return across, down

    (x0, y0), (x1, y1), (_, y2) = (centre(one(x=x, y=y)) for x, y in ((2, 5), (7, 5), (2, 8)))
    assert x1 - x0 > 10
    assert abs(y1 - y0) < 0.2
    assert y2 - y0 > 5


def test_scale_grows():
    areas = [np.abs(one(scale=scale) - GROUND).sum() for scale in range(6)]
    assert all(b > 1.1 * a for a, b in itertools.pairwise(areas))


def test_the_set_is_its_factors():
    data = load_dataset("shapes", "test", limit=50)
    assert data.factor_names == SHAPE_FACTORS
    assert data.classes == SHAPE_NAMES
    assert np.array_equal(data.labels, data.factors[:, 0])
    assert np.array_equal(data.images, draw(data.factors))
    assert data.image_shape == (64, 64, 3)


def test_an_image_size_is_drawn_not_shrunk():
    data = load_dataset("shapes", "test", limit=20, image_size="24x40")
    assert np.array_equal(data.images, draw(data.factors, (24, 40)))


def test_train_and_test_have_no_picture_in_common():
    options = {"image_size": 8, "limit": 30_000}
    train, test = (
        {tuple(row) for row in load_dataset("shapes", split, **options).factors.tolist()}
        for split in ("train", "test")
    )
    assert len(train) == len(test) == 30_000
    assert not train & test


@pytest.fixture
def undrawn(monkeypatch):
    def blank(factors, size):
        return np.zeros((len(factors), *size, 3), np.uint8)

    monkeypatch.setattr("vaekit.data.datasets.shapes.draw", blank)


@pytest.mark.usefixtures("undrawn")
def test_by_default_there_are_20000_and_4000():
    assert len(load_dataset("shapes", "train", image_size=4, val_split=0)) == 20_000
    assert len(load_dataset("shapes", "train", image_size=4)) == 18_067
    assert len(load_dataset("shapes", "val", image_size=4)) == 1_933
    assert len(load_dataset("shapes", "test", image_size=4)) == 4_000
    assert len(load_dataset("shapes", "all", image_size=4)) == 24_000


@pytest.mark.usefixtures("undrawn")
def test_a_limit_stops_at_the_grid():
    assert len(load_dataset("shapes", "test", image_size=1, limit=10**9)) == 48_000
    assert len(load_dataset("shapes", "train", image_size=1, limit=10**9, val_split=0)) == 432_000


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("limit", [21_000, 60_000])
def test_a_limit_above_the_usual_number_draws_as_many_more(limit):
    assert len(load_dataset("shapes", "train", image_size=1, limit=limit, val_split=0.3)) == limit


@pytest.mark.usefixtures("undrawn")
def test_a_cell_of_the_grid_is_in_the_same_part_at_every_size_and_limit():
    """Else a model trained at one size would have seen the test images of another."""

    def cells(split, **options):
        data = load_dataset("shapes", split, **options)
        return {tuple(row) for row in data.factors.tolist()}

    assert cells("val", image_size=1, limit=500) == cells("val", image_size=2, limit=500)
    assert not cells("val", image_size=1) & cells("train", image_size=1, limit=30_000)


@pytest.mark.parametrize("bad", [[4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, -1], [0, 0]])
def test_factors_off_the_grid_are_refused(bad):
    with pytest.raises(UsageError, match="factors must be rows of"):
        draw(np.array([bad]))
