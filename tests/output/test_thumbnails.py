"""What a user would lose: images they can see, where their points are, in true frames."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.offsetbox import AnnotationBbox

from vaekit.errors import UsageError
from vaekit.output.plot_style import figure_pixels
from vaekit.output.plots import latent_figure
from vaekit.output.scatter import CLASS_COLOURS
from vaekit.output.thumbnails import FRAME, MOST_THUMBNAILS, SIDE, without_overlap

rng = np.random.default_rng(0)


def boxes(figure) -> list[AnnotationBbox]:
    return [box for box in figure.axes[0].artists if isinstance(box, AnnotationBbox)]


def flat(count: int, size=(8, 8), channels=1) -> np.ndarray:
    return (
        (np.arange(count, dtype=np.uint8) % 100)[:, None, None, None]
        .repeat(size[0], 1)
        .repeat(size[1], 2)
        .repeat(channels, 3)
    )


@pytest.mark.parametrize("count", [1, 10, 1000, 20_000])
def test_thumbnails_never_overlap_and_use_the_room_there_is(count):
    places = rng.normal(scale=300, size=(count, 2))
    chosen = places[without_overlap(places, 40)]
    near = np.abs(chosen[:, None] - chosen[None]).max(axis=-1) + 1e9 * np.eye(len(chosen))
    assert near.min() >= 40 or len(chosen) == 1
    nearest = [np.abs(chosen - place).max(axis=1).min() for place in places[:1000]]
    assert max(nearest) < 40


def test_a_few_images_are_all_shown_where_their_points_are():
    points = np.array([[0.0, 0], [5, 5], [0, 5], [5, 0]])
    figure = latent_figure(points, labels=[0, 1, 2, 3], thumbnails=flat(4))
    assert sorted(box.xy for box in boxes(figure)) == sorted(map(tuple, points.tolist()))
    assert figure.axes[0].get_title("right") == ""


def test_each_has_the_frame_of_its_class_and_its_own_pixels():
    points = np.array([[0.0, 0], [5, 5], [0, 5]])
    figure = latent_figure(points, labels=[2, 0, 1], thumbnails=flat(3, channels=3))
    for box in boxes(figure):
        index = points.tolist().index(list(box.xy))
        image = box.offsetbox.get_data()
        assert np.allclose(image[0, 0], to_rgb(CLASS_COLOURS[[2, 0, 1][index]]))
        assert (np.rint(image[FRAME:-FRAME, FRAME:-FRAME] * 255) == index).all()
        assert image.shape == (SIDE + 2 * FRAME, SIDE + 2 * FRAME, 3)


def test_in_the_picture_they_stand_pixel_for_pixel():
    image = rng.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    picture = figure_pixels(latent_figure(np.zeros((1, 2)), thumbnails=image))
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (SIDE, SIDE))
    found = np.argwhere((windows[..., 0, :4] == image[0, 0, :4, 0]).all(axis=-1))
    assert len(found) == 1
    top, left = found[0]
    assert np.array_equal(picture[top : top + SIDE, left : left + SIDE], image[0])


def test_of_many_images_a_choice_is_shown_and_counted():
    points = rng.normal(size=(3000, 2))
    figure = latent_figure(points, labels=np.arange(3000) % 3, thumbnails=flat(3000))
    shown = len(boxes(figure))
    assert 100 < shown <= MOST_THUMBNAILS
    assert figure.axes[0].get_title("right") == f"{shown} of 3,000 images shown, the rest are dots"
    again = latent_figure(points, labels=np.arange(3000) % 3, thumbnails=flat(3000))
    assert [box.xy for box in boxes(again)] == [box.xy for box in boxes(figure)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "1", "2"]
    assert not figure.axes[0].texts


@pytest.mark.parametrize("labels", [None, np.linspace(0, 1, 50), np.arange(50)])
def test_thumbnails_work_with_every_kind_of_label(labels):
    points = rng.normal(size=(50, 2))
    points[3] = np.nan
    images = rng.random((50, 3, 60, 30)).astype(np.float32)
    figure = latent_figure(points, labels=labels, thumbnails=images)
    assert boxes(figure)
    assert all(
        box.offsetbox.get_data().shape[:2] == (SIDE + 4, SIDE // 2 + 4) for box in boxes(figure)
    )
    figure_pixels(figure)


def test_a_thumbnail_for_each_point_is_needed():
    with pytest.raises(UsageError, match="3 points need 3 thumbnails, not 2"):
        latent_figure(np.eye(3)[:, :2], thumbnails=flat(2))
