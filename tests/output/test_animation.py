"""What a user would lose: motion in true colours, at the asked pace, the same bytes every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from vaekit.errors import UsageError
from vaekit.output.animation import encode_animation, frames
from vaekit.output.pictures import grid

rng = np.random.default_rng(0)
FORMS = ["gif", "webp", "apng"]
GREY = rng.integers(0, 256, (7, 20, 30, 1), np.uint8)
COLOUR = rng.integers(0, 256, (7, 20, 30, 3), np.uint8)


def slope(count: int = 12) -> np.ndarray:
    """A smooth picture of thousands of colours that changes slowly."""
    y, x = np.mgrid[0:64, 0:64] / 63
    turned = [np.stack([x, y, np.full_like(x, t)], axis=-1) for t in np.linspace(0, 1, count)]
    return (np.stack(turned) * 255).astype(np.uint8)


def decoded(content: bytes) -> tuple[np.ndarray, list[int], Image.Image]:
    with Image.open(io.BytesIO(content)) as read:
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(read)]
        pauses = []
        for index in range(read.n_frames):
            read.seek(index)
            read.load()
            pauses.append(int(read.info["duration"]))
        return np.stack(shown), pauses, read


@pytest.mark.parametrize("form", FORMS)
def test_greys_are_exact_everywhere(form):
    shown, _, read = decoded(encode_animation(GREY, form))
    assert read.format == {"gif": "GIF", "webp": "WEBP", "apng": "PNG"}[form]
    assert np.array_equal(shown, GREY.repeat(3, axis=-1))


@pytest.mark.parametrize("form", ["webp", "apng"])
def test_colours_are_exact_where_the_form_can_hold_them(form):
    shown, _, _ = decoded(encode_animation(COLOUR, form))
    assert np.array_equal(shown, COLOUR)


def test_few_colours_are_exact_in_a_gif():
    few = rng.integers(0, 6, COLOUR.shape).astype(np.uint8) * 51
    shown, _, _ = decoded(encode_animation(few, "gif"))
    assert np.array_equal(shown, few)


def test_many_colours_in_a_gif_are_near_and_do_not_shimmer():
    pictures = slope()
    pictures[:, :, :20] = pictures[:1, :, :20]  # a part that stands still
    shown, _, _ = decoded(encode_animation(pictures, "gif"))
    error = np.abs(shown.astype(int) - pictures)
    assert error.mean() < 10
    assert (shown[:, :, :20] == shown[:1, :, :20]).all()
    # Flat stays flat: no dots are strewn.
    flat = (
        np.full((3, 40, 40, 3), 100, np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None]
    )
    flat[:, :8] = slope(3)[:, 8:16, :40]
    assert all(len(np.unique(frame[8:].reshape(-1, 3), axis=0)) == 1
               for frame in decoded(encode_animation(flat, "gif"))[0])  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("fps", "pause"), [(10, 100), (12, 83), (25, 40), (50, 20), (0.5, 2000)])
def test_the_pace_is_as_asked(form, fps, pause):
    _, pauses, _ = decoded(encode_animation(GREY, form, fps=fps))
    assert len(pauses) == 7
    assert all(abs(each - pause) <= (5 if form == "gif" else 1) for each in pauses)


@pytest.mark.parametrize("form", FORMS)
def test_it_loops_for_ever_or_plays_once(form):
    for loop, expected in ((True, 0), (False, None if form == "gif" else 1)):
        content = encode_animation(GREY, form, loop=loop)
        with Image.open(io.BytesIO(content)) as read:
            assert read.info.get("loop") == expected


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back_shows_neither_end_twice(form):
    shown, _, _ = decoded(encode_animation(GREY, form, there_and_back=True))
    order = [0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1]
    assert np.array_equal(shown, GREY[order].repeat(3, axis=-1))


@pytest.mark.parametrize("form", FORMS)
def test_bytes_are_equal_every_time(form):
    assert encode_animation(slope(), form) == encode_animation(slope().copy(), form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 2])
def test_one_frame_is_a_picture_and_equal_frames_can_be_encoded(form, count):
    still = np.full((count, 16, 16, 3), 7, np.uint8)
    with Image.open(io.BytesIO(encode_animation(still, form, there_and_back=True))) as read:
        assert np.array_equal(np.asarray(read.convert("RGB")), still[0])


def test_frames_show_a_step_of_every_path_at_once():
    paths = [torch.rand(5, 1, 8, 8) for _ in range(4)]
    shown = frames(paths)
    assert len(shown) == 5
    for step, frame in enumerate(shown):
        images = torch.stack([path[step] for path in paths])
        assert np.array_equal(frame, grid(images, scale=16)), "2 x 2 images make 256 pixels"


@pytest.mark.parametrize(
    ("size", "count", "scale", "shape"),
    [(8, 1, None, (256, 256)), (100, 1, None, (300, 300)), (300, 1, None, (300, 300)),
     (8, 1, 3, (24, 24)), (64, 2, None, (256, 128)), (64, 9, None, (196, 196))],
)  # fmt: skip
def test_frames_are_large_enough_to_look_at_unless_a_scale_is_given(size, count, scale, shape):
    paths = [np.zeros((2, size, size, 1), np.uint8)] * count
    height, width = frames(paths, scale=scale, columns=1 if count == 2 else None).shape[1:3]
    assert height >= shape[0]
    assert width >= shape[1]
    assert max(height, width) <= 3 * 256 or scale is not None


@pytest.mark.parametrize("form", FORMS)
def test_the_ends_of_the_way_are_held(form):
    content = encode_animation(GREY, form, fps=10, hold=0.5, there_and_back=True)
    _, pauses, _ = decoded(content)
    assert pauses == [500, *[100] * 5, 500, *[100] * 5]


def test_frames_are_labelled():
    paths = list(rng.integers(0, 256, (16, 3, 8, 8, 1), np.uint8))
    shown = frames(paths, [f"z{i}  1.92 nats" for i in range(16)], columns=2)
    bare = frames(paths, columns=2)
    assert shown.shape[1] == bare.shape[1]
    width = (shown.shape[2] - bare.shape[2]) // 2
    assert 80 < width < 120
    assert np.array_equal(shown[:, :, width : width + 64], bare[:, :, :64])
    assert (shown[:, :, :width] == shown[:1, :, :width]).all()
    assert (shown[0, :64, :width] < 128).sum() > 50


@pytest.mark.parametrize(
    ("pictures", "form", "options", "message"),
    [
        (GREY[:0], "gif", {}, "at least one frame"),
        (GREY, "gif", {"fps": 0}, "frames per second"),
        (GREY, "gif", {"fps": float("nan")}, "frames per second"),
        (GREY, "mp4", {}, "gif, webp or apng, not mp4"),
        (GREY / 255, "gif", {}, "uint8"),
        (GREY[0], "gif", {}, "uint8"),
    ],
)
def test_frames_that_make_no_animation_are_refused(pictures, form, options, message):
    with pytest.raises(UsageError, match=message):
        encode_animation(pictures, form, **options)


def test_paths_of_unequal_length_are_refused():
    with pytest.raises(UsageError, match="paths of equal length"):
        frames([GREY, GREY[:2]])
    with pytest.raises(UsageError, match="paths of equal length"):
        frames([])
