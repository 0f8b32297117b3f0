"""What a user would lose: every image, true, in a picture, a folder or an array."""

from __future__ import annotations

import io
import os
import stat

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.errors import UsageError
from vaekit.output import image_writer
from vaekit.output.formats import Target
from vaekit.output.image_writer import open_image_writer
from vaekit.output.pictures import grid, rows, to_uint8

rng = np.random.default_rng(0)
FLOATS = (rng.normal(0.5, 0.6, size=(10, 3, 8, 6))).astype(np.float32)  # beyond [0, 1] too
BYTES = to_uint8(FLOATS)
SHAPE = (8, 6, 3)


def send(target, stack=FLOATS, *, names=None, originals=None, **options):
    with open_image_writer(
        target, stack.shape[1:] if stack.dtype == np.uint8 else SHAPE, **options
    ) as o:
        for part in (slice(0, 4), slice(4, None)):
            o.write(
                stack[part],
                names=None if names is None else names[part],
                originals=None if originals is None else originals[part],
            )
    return target.path


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_picture_is_a_grid_of_all_of_them(tmp_path, form):
    path = send(Target(tmp_path / "a", form))
    with Image.open(path) as read:
        assert np.array_equal(np.asarray(read), grid(FLOATS))


def test_reconstructions_stand_under_their_originals(tmp_path):
    path = send(Target(tmp_path / "a", "png"), originals=BYTES[::-1])
    with Image.open(path) as read:
        expected = rows([BYTES[::-1], BYTES], ["original", "reconstruction"])
        assert np.array_equal(np.asarray(read), expected)


def test_a_picture_down_a_pipe(piped, tmp_path):
    with piped("png") as (target, taken):
        send(target)
    assert taken.getvalue() == send(Target(tmp_path / "a", "png")).read_bytes()


@pytest.mark.parametrize("form", ["npy", "npz"])
@pytest.mark.parametrize("count", [None, 10])
def test_arrays_hold_what_the_decoder_gave_channels_last(tmp_path, form, count):
    loaded = np.load(
        send(Target(tmp_path / "a", form), torch.from_numpy(FLOATS).numpy(), count=count)
    )
    array = loaded if form == "npy" else loaded["x"]
    assert array.dtype == np.float32
    assert np.array_equal(array, FLOATS.transpose(0, 2, 3, 1))
    assert array.min() < 0
    assert array.max() > 1
    if form == "npz":
        loaded.close()


def test_tensors_are_taken_and_bytes_become_fractions(tmp_path):
    with open_image_writer(Target(tmp_path / "a", "npy"), SHAPE) as out:
        out.write(torch.from_numpy(FLOATS).requires_grad_())
        out.write(BYTES)
    expected = np.concatenate([FLOATS.transpose(0, 2, 3, 1), BYTES.astype(np.float32) / 255])
    assert np.array_equal(np.load(tmp_path / "a"), expected)


def test_bytes_on_request(tmp_path):
    array = np.load(send(Target(tmp_path / "a", "npy"), as_bytes=True))
    assert array.dtype == np.uint8
    assert np.array_equal(array, BYTES)


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (10, ["0000.png", "0009.png"]),
        (None, ["000000.png", "000009.png"]),
        (10_000, ["0000.png", "0009.png"]),
        (10_001, ["00000.png", "00009.png"]),
    ],
)
def test_a_folder_of_single_images_with_padded_numbers(tmp_path, count, names):
    folder = send(Target(tmp_path / "a" / "b", "folder"), count=count)
    found = sorted(folder.iterdir())
    assert [found[0].name, found[-1].name] == names
    for path, image in zip(found, BYTES, strict=True):
        with Image.open(path) as read:
            assert np.array_equal(np.asarray(read), image)


def test_single_images_bear_the_names_they_came_from(tmp_path):
    names = [
        "cats/a.jpg",
        "../../etc/passwd",
        "x" * 300,
        "ä" * 300,
        "a\nb\udcff:c.png",
        ".png",
        "/",
    ]
    names += ["a/b\\c.JPG", "..", ""]
    folder = send(Target(tmp_path / "out", "folder", "webp"), names=names)
    found = sorted(path.name for path in folder.iterdir())
    assert found == [
        "000000-a.webp",
        "000001-passwd.webp",
        f"000002-{'x' * 100}.webp",
        f"000003-{'ä' * 50}.webp",
        "000004-a_b__c.webp",
        "000005-.png.webp",
        "000006-_.webp",
        "000007-c.webp",
        "000008-...webp",
        "000009-_.webp",
    ]
    assert list(tmp_path.iterdir()) == [folder]


def test_what_else_is_in_a_folder_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "000000.png").write_text("old")
    send(Target(tmp_path, "folder"))
    assert (tmp_path / "note.txt").read_text() == "mine"
    assert (tmp_path / "000000.png").read_bytes().startswith(b"\x89PNG")


def test_images_of_an_interrupted_folder_are_whole(tmp_path, monkeypatch):
    whole = image_writer.encode_picture

    def full(picture, form):
        if len(list(tmp_path.iterdir())) == 3:
            raise OSError("no space left on device")
        return whole(picture, form)

    monkeypatch.setattr(image_writer, "encode_picture", full)
    with pytest.raises(OSError, match="no space"):
        send(Target(tmp_path, "folder"))
    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        with Image.open(path) as read:
            read.load()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_umask_decides_who_may_read_them(tmp_path):
    old = os.umask(0o027)
    try:
        send(Target(tmp_path / "a", "folder"))
    finally:
        os.umask(old)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a").iterdir()} == {0o640}


def test_a_training_run_is_no_place_for_images(tmp_path):
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds a training run"):
        send(Target(tmp_path, "folder"))
    assert len(list(tmp_path.iterdir())) == 2


def test_too_many_images_for_a_picture_are_refused_before_they_are_made(tmp_path, monkeypatch):
    message = r"20,000 images are too many.*up to 10,000.*-o NAME/.*-o NAME\.npy"
    with (
        pytest.raises(UsageError, match=message),
        open_image_writer(Target(tmp_path / "a", "png"), (8, 8, 1), count=20_000),
    ):
        pass
    with (
        pytest.raises(UsageError, match="up to 190 of this size"),
        open_image_writer(Target(tmp_path / "a", "png"), (1024, 1024, 3), count=191),
    ):
        pass
    monkeypatch.setattr(image_writer, "MOST_IN_GRID", 9)
    with pytest.raises(UsageError, match="10 images are too many"):
        send(Target(tmp_path / "a", "png"))
    assert list(tmp_path.iterdir()) == []


def test_no_images_make_no_picture_but_a_valid_array(tmp_path):
    with (
        pytest.raises(UsageError, match="no images to draw"),
        open_image_writer(Target(tmp_path / "a.png", "png"), SHAPE),
    ):
        pass
    with open_image_writer(Target(tmp_path / "a.npy", "npy"), SHAPE):
        pass
    assert np.load(tmp_path / "a.npy").shape == (0, *SHAPE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_grey_stays_grey(tmp_path, piped):
    grey = BYTES[..., :1]
    with piped("png") as (target, taken):
        send(target, grey)
    with Image.open(io.BytesIO(taken.getvalue())) as read:
        assert read.mode == "L"
