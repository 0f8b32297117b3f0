"""What a user would lose: true pixels, images in their place, whole and repeatable files."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.errors import UsageError, VaekitError
from vaekit.output import pictures
from vaekit.output.pictures import encode_picture, grid, rows, save_picture, strip, to_uint8


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def flat(*greys: int, size: tuple[int, int] = (64, 64), channels: int = 1) -> np.ndarray:
    """Images of one grey each, large enough not to be enlarged."""
    return np.stack([np.full((*size, channels), grey, np.uint8) for grey in greys])


def test_floats_are_clamped_and_rounded_never_truncated():
    values = row(-0.1, 0.0, 0.49 / 255, 0.51 / 255, 1.49 / 255, 254.49 / 255, 254.51 / 255, 1.7)
    assert to_uint8(values).ravel().tolist() == [0, 0, 0, 1, 1, 254, 255, 255]
    assert to_uint8(row(-np.inf, np.inf)).ravel().tolist() == [0, 255]


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
def test_every_byte_survives_the_way_through_floats(kind):
    every = np.arange(256)
    if isinstance(kind, torch.dtype):
        floats = (torch.from_numpy(every).to(kind) / 255).reshape(1, 1, 16, 16)
    else:
        floats = (every.astype(kind) / kind(255)).reshape(1, 1, 16, 16)
    assert to_uint8(floats).ravel().tolist() == every.tolist()


def test_channels_go_last_and_are_not_mixed_up():
    image = torch.zeros(2, 3, 4, 5)
    image[1, 2, 3, 4] = 1.0
    out = to_uint8(image)
    assert out.shape == (2, 4, 5, 3)
    assert out[1, 3, 4].tolist() == [0, 0, 255]
    assert out.sum() == 255


def test_half_precision_and_tensors_with_gradients_can_be_drawn():
    image = torch.full((1, 1, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
    assert to_uint8(image).ravel().tolist() == [128] * 4
    assert to_uint8(np.full((1, 1, 2, 2), 0.5, np.float16)).ravel().tolist() == [128] * 4


def test_the_input_is_left_as_it_was():
    values = row(-1.0, 2.0)
    to_uint8(values)
    assert values.ravel().tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_bytes_pass_through(make):
    images = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    assert np.array_equal(to_uint8(make(images)), images)


def test_nan_is_named_by_image_not_painted():
    images = torch.zeros(4, 1, 2, 2)
    images[2, 0, 1, 1] = float("nan")
    with pytest.raises(VaekitError, match=r"1 of 4 images .* image 2: "):
        to_uint8(images)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 2)),
        np.zeros((1, 2, 4, 4), np.float32),
        np.zeros((1, 4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 1), np.int64),
        torch.zeros(1, 4, 4, 1, dtype=torch.bool),
    ],
)
def test_arrays_that_are_not_images_are_refused(images):
    with pytest.raises(UsageError):
        to_uint8(images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (70, 40), (40, 70)])
def test_each_image_of_a_grid_is_found_at_its_place(size, channels):
    rng = np.random.default_rng(0)
    height, width = size
    images = rng.integers(0, 255, (7, height, width, channels), dtype=np.uint8)
    picture = grid(images, columns=3, gap=5)
    assert picture.shape == (3 * height + 10, 3 * width + 10, channels)
    seen = np.zeros(picture.shape, bool)
    for index, image in enumerate(images):
        top, left = index // 3 * (height + 5), index % 3 * (width + 5)
        place = np.s_[top : top + height, left : left + width]
        assert np.array_equal(picture[place], image)
        seen[place] = True
    assert (picture[~seen] == 255).all()


@pytest.mark.parametrize(
    ("side", "cell"), [(8, 64), (28, 84), (32, 64), (63, 126), (64, 64), (128, 128)]
)
def test_small_images_are_enlarged_pixel_by_pixel_and_large_ones_kept(side, cell):
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 1), dtype=np.uint8)
    picture = grid(image)
    assert picture.shape == (cell, cell, 1)
    assert np.array_equal(picture[:: cell // side, :: cell // side], image[0])
    assert np.array_equal(
        picture, np.kron(image[0, ..., 0], np.ones((cell // side,) * 2))[..., None]
    )


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (12, 4), (16, 4), (64, 8), (100, 10)]
)
def test_a_grid_is_near_square(count, columns):
    picture = grid(flat(*[0] * count))
    assert picture.shape[1] == columns * 66 - 2
    assert picture.shape[0] == -(-count // columns) * 66 - 2


def test_a_grid_of_many_is_near_square_and_nearly_full():
    for count in range(5, 200):
        columns = pictures.best_columns(count, 1.0, wanted=1.0)
        down = -(-count // columns)
        assert 0 <= columns * down - count <= max(2, count / 10)
        assert columns / down <= 8


def test_tall_images_are_given_more_columns():
    picture = grid(flat(*[0] * 32, size=(128, 64)))
    assert picture.shape == (4 * 130 - 2, 8 * 66 - 2, 1)


def test_a_reconstruction_stands_under_its_original():
    originals, reconstructions = flat(1, 2, 3, 4, 5), flat(11, 12, 13, 14, 15)
    picture = rows([originals, reconstructions], columns=3, gap=2)
    assert picture.shape == (2 * 130 + 12, 3 * 66 - 2, 1)
    greys = picture[[32, 98, 32 + 142, 98 + 142]][:, [32, 98, 164], 0]
    assert greys.tolist() == [[1, 2, 3], [11, 12, 13], [4, 5, 255], [14, 15, 255]]
    assert (picture[64:66] == 255).all()
    assert (picture[130:142] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (16, 8), (32, 8), (64, 16)])
def test_rows_wrap_at_a_sensible_width(count, columns):
    images = flat(*[0] * count)
    assert rows([images, images]).shape[1] == columns * 66 - 2


def test_labels_stand_left_of_their_rows_and_move_nothing():
    stacks = [flat(*range(16)), flat(*range(100, 116))]
    plain, labelled = rows(stacks), rows(stacks, ["original", "reconstruction"])
    width = labelled.shape[1] - plain.shape[1]
    assert np.array_equal(labelled[:, width:], plain)
    captions = labelled[:, :width, 0]
    assert [(captions[top : top + 64] < 128).any() for top in (0, 66, 142, 208)] == [True] * 4
    assert (captions[:, 0] == 255).all(), "text reaches the picture's edge"
    assert (captions[:, -3:] == 255).all(), "text touches the images"
    assert (captions[[0, 63, 66, 129]] == 255).all(), "text leaves its row"


def test_labels_fit_rows_of_low_images():
    picture = strip([np.zeros((3, 10, 100, 1), np.uint8)] * 2, ["z0", "z1"], gap=0)
    assert picture.shape[0] == 20


def test_a_strip_takes_one_row_or_several():
    steps = flat(0, 50, 100, 150)
    assert strip(steps).shape == (64, 4 * 66 - 2, 1)
    several = strip(np.stack([steps, steps[::-1]]))
    assert several[[32, 98]][:, [32, 98, 164, 230], 0].tolist() == [
        [0, 50, 100, 150],
        [150, 100, 50, 0],
    ]
    assert np.array_equal(several, strip([steps, steps[::-1]]))
    assert np.array_equal(several, strip(torch.from_numpy(np.stack([steps, steps[::-1]]))))


@pytest.mark.parametrize(
    "make",
    [
        lambda: grid(np.zeros((0, 1, 8, 8), np.float32)),
        lambda: strip([]),
        lambda: rows([flat(1)[:0], flat(1)[:0]]),
        lambda: rows([flat(1, 2), flat(1)]),
        lambda: rows([flat(1), flat(1, channels=3)]),
        lambda: rows([flat(1), flat(1)], ["original"]),
        lambda: rows([flat(1), flat(1)], columns=-1),
        lambda: grid(flat(1), columns=0),
    ],
)
def test_nothing_and_unlike_stacks_are_refused(make):
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "form", "error"),
    [("a.png", "PNG", 0), ("a.webp", "WEBP", 0), ("a.JPG", "JPEG", 12), ("a.jpeg", "JPEG", 12)],
)
def test_a_file_is_what_its_ending_says_and_holds_the_pixels(tmp_path, name, form, error, channels):
    slope = np.arange(64, dtype=np.uint8)[:, None] + 2 * np.arange(48, dtype=np.uint8)
    picture = np.stack([slope] * channels, axis=-1)
    save_picture(tmp_path / name, picture)
    with Image.open(tmp_path / name) as read:
        assert read.format == form
        assert read.mode == ("RGB" if channels == 3 or form == "WEBP" else "L")
        wanted = picture if read.mode == "RGB" and channels == 3 else slope
        pixels = (
            np.asarray(read)[..., 0] if wanted.ndim < np.asarray(read).ndim else np.asarray(read)
        )
    assert np.abs(pixels.astype(int) - wanted).max() <= error


@pytest.mark.parametrize("form", ["png", "jpeg", "jpg", "webp"])
def test_bytes_are_equal_every_time(form):
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    first = encode_picture(picture, form)
    assert encode_picture(picture.copy(order="F"), form) == first
    with Image.open(io.BytesIO(first)) as read:
        assert not {"exif", "date:create", "Software"} & set(read.info)


def test_an_unknown_ending_lists_those_that_are_taken(tmp_path):
    for name in ("samples.tiff", "samples"):
        with pytest.raises(UsageError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
            save_picture(tmp_path / name, np.zeros((4, 4, 1), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_large_for_webp_is_refused_with_a_way_out():
    with pytest.raises(UsageError, match=r"16383 pixels.*\.png"):
        encode_picture(np.zeros((2, 16_384, 1), np.uint8), "webp")


def test_floats_are_refused_as_a_picture():
    with pytest.raises(UsageError):
        encode_picture(np.zeros((4, 4, 1), np.float32), "png")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_umask_decides_who_may_read_it(tmp_path):
    old = os.umask(0o027)
    try:
        save_picture(tmp_path / "a.png", np.zeros((4, 4, 1), np.uint8))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_picture(path, np.zeros((4, 4, 1), np.uint8))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("vaekit.files.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_picture(path, np.full((4, 4, 1), 255, np.uint8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_need_neither_torch_nor_matplotlib():
    code = (
        "import sys, numpy as np; from vaekit.output import pictures as p;"
        "p.encode_picture(p.rows([np.zeros((2, 1, 8, 8), np.float32)] * 2, ['a', 'b']));"
        "print({'torch', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
