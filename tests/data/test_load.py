"""What a data set becomes when it is loaded.

This also tests `data/source.py`, `data/selection.py`, `data/imageset.py`, and of `data/decoding/`
the modules `decode_all.py`, `decode_batch.py`, `conversions.py` and `skipped.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vaekit.data import ImageSet, load_dataset
from vaekit.data.load import open_dataset
from vaekit.data.source import Request
from vaekit.errors import DataError, UsageError


@pytest.fixture
def folder(fill_folder, picture):
    return fill_folder({f"{n}.png": picture(n) for n in range(20)})


def test_a_size_that_cannot_be_names_the_flag():
    with pytest.raises(UsageError, match="--image-size 0: write a number of pixels"):
        load_dataset("digits", image_size=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "--split tset: did you mean 'test'"),
        ({"limit": 0}, "--limit 0"),
        ({"val_split": 1.0}, "--val-split 1.0"),
        ({"val_split": float("nan")}, "--val-split nan"),
        ({"channels": 2}, "channels=2"),
    ],
)
def test_a_wrong_option_is_refused_with_its_flag(options, message):
    with pytest.raises(UsageError, match=message):
        load_dataset("digits", **options)


def test_an_unknown_name_is_told_the_nearest_and_what_else_is_taken():
    with pytest.raises(UsageError, match=r"did you mean 'mnist'.*a path to a folder, \.zip, \.tar"):
        load_dataset("minst")


@pytest.mark.parametrize("path", ["no/such/folder", "gone.zip", "./mnist"])
def test_a_path_that_is_not_there_is_a_data_error_that_names_it(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{path}: no such file or folder"):
        load_dataset(path)


def test_a_bare_name_that_exists_is_a_path(fill_folder, picture, monkeypatch):
    monkeypatch.chdir(fill_folder({"1.png": picture()}).parent)
    assert load_dataset("pictures", "all").name == "pictures"


def test_a_known_name_is_the_data_set_even_beside_a_folder_of_that_name(
    fill_folder, picture, monkeypatch, heard
):
    monkeypatch.chdir(fill_folder({"1.png": picture()}, "digits").parent)
    assert len(load_dataset("digits", "all", reporter=heard)) == 1797
    assert any("./digits" in note for note in heard.notes)
    assert len(load_dataset("./digits", "all")) == 1


def test_a_file_of_another_kind_says_what_a_data_set_is(tmp_path, picture):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "one.png").write_bytes(picture())
    for name, what in (("notes.txt", "is not a kind of file"), ("one.png", "is one image")):
        with pytest.raises(DataError, match=f"{name}: {what}.*a folder of images"):
            load_dataset(tmp_path / name)


def test_a_source_that_cannot_be_opened_is_a_data_error(tmp_path, picture, monkeypatch):
    import zipfile

    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("1.png", picture())

    def refuse(*_, **__):
        (tmp_path / "set.zip").unlink()  # gone between listing and reading
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("vaekit.data.sources.zip_files.open_zip_reader", refuse)
    with pytest.raises(DataError, match=r"set\.zip: cannot be read \(No such file"):
        load_dataset(tmp_path / "set.zip", "all")


def test_the_limit_is_made_before_decoding(folder, heard):
    assert len(load_dataset(folder, "all", limit=5, reporter=heard)) == 5
    assert heard.decodings == [5]


def test_a_limit_keeps_order_and_its_seed_chooses(folder):
    five = load_dataset(folder, "all", limit=5)
    assert list(five.names) == sorted(five.names, key=lambda name: int(name[:-4]))
    assert load_dataset(folder, "all", limit=5).names == five.names
    assert load_dataset(folder, "all", limit=5, seed=1).names != five.names
    assert len(load_dataset(folder, "all", limit=500)) == 20


def test_the_training_seed_moves_no_image_between_splits(folder):
    for split in ("train", "val", "test"):
        assert load_dataset(folder, split).names == load_dataset(folder, split, seed=5).names


def test_images_that_share_a_size_keep_it(fill_folder, picture, heard):
    folder = fill_folder({f"{n}.png": picture(n, (20, 30)) for n in range(5)})
    assert load_dataset(folder, "all", reporter=heard).images.shape == (5, 20, 30, 3)
    assert not heard.notes


@pytest.mark.parametrize("odd", [0, 9])
def test_images_that_do_not_share_a_size_become_64_and_it_is_said(fill_folder, picture, heard, odd):
    sizes = {n: (20, 30) if n == odd else (30, 20) for n in range(10)}
    folder = fill_folder({f"{n}.png": picture(n, size) for n, size in sizes.items()})
    for listener in (heard, type(heard)()):  # from the cache too
        images = load_dataset(folder, "all", reporter=listener).images
        assert images.shape == (10, 64, 64, 3)
        notes = listener.notes
        assert len([note for note in notes if "resized to 64x64 (--image-size" in note]) == 1


def test_two_splits_of_an_opened_set_are_listed_once_and_noted_once(
    fill_folder, picture, heard, monkeypatch
):
    """`train` takes train and val: a large folder is walked once, and its notes appear once."""
    scan, scanned = os.scandir, []

    def watched(path):
        scanned.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", watched)
    folder = fill_folder({**{f"{n}.png": picture(n) for n in range(20)}, "labels.csv": b""})
    opened = open_dataset(folder, Request(reporter=heard))
    train = opened.take("train")
    assert len(train) > len(opened.take("val", like=train)) > 0
    assert scanned.count(folder) == 1
    assert len(heard.notes) == 1
    assert "1 file that is no image" in heard.notes[0]


def test_a_second_split_gets_the_shape_of_the_first(fill_folder, picture):
    """Else a network could not be given its validation images."""
    files = {f"train/{n}.png": picture(n) for n in range(4)}
    folder = fill_folder({**files, "val/1.png": picture(9, (20, 30), mode="L")})
    opened = open_dataset(folder, Request())
    assert opened.take("val").image_shape == (20, 30, 1)
    assert opened.take("val", like=opened.take("train")).image_shape == (12, 12, 3)


def test_large_images_become_64(fill_folder, picture, heard):
    folder = fill_folder({"1.png": picture(0, (257, 20))})
    assert load_dataset(folder, "all", reporter=heard).image_shape == (64, 64, 3)
    assert len(heard.notes) == 1


@pytest.mark.parametrize("colourful", [0, 9])
def test_fault_12_grey_among_colour_becomes_rgb_and_is_counted(
    fill_folder, picture, heard, colourful
):
    modes = {n: "RGB" if n == colourful else "L" for n in range(10)}
    folder = fill_folder({f"{n}.png": picture(n, mode=mode) for n, mode in modes.items()})
    data = load_dataset(folder, "all", reporter=heard)
    assert data.image_shape == (12, 12, 3)
    assert [note for note in heard.notes if "9 grey images were turned to RGB" in note]
    row = 1 if colourful == 0 else 0
    original = np.asarray(Image.open(folder / f"{row}.png"))
    assert np.array_equal(data.images[row], np.stack([original] * 3, -1))


def test_grey_alone_has_one_channel_and_channels_says_otherwise(fill_folder, picture):
    folder = fill_folder({f"{n}.png": picture(n, mode="L") for n in range(3)})
    assert load_dataset(folder, "all").image_shape == (12, 12, 1)
    assert load_dataset(folder, "all", channels=3).image_shape == (12, 12, 3)


def test_grayscale_makes_one_channel_of_colour(folder):
    data = load_dataset(folder, "all", grayscale=True)
    expected = np.asarray(Image.open(folder / "0.png").convert("L"))
    assert np.array_equal(data.images[0, ..., 0], expected)


def test_fault_8_animations_are_mentioned_once(fill_folder, encode, heard):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    folder = fill_folder({f"{n}.gif": gif for n in range(3)})
    load_dataset(folder, "all", reporter=heard)
    assert heard.notes == [
        "pictures: 3 images have several frames: the first frame was taken",
    ]


@pytest.fixture
def spoil(folder):
    """Damages the first of the twenty images, as many as asked."""

    def spoil(count, bad=b""):
        for number in range(count):
            (folder / f"{number}.png").write_bytes(bad)
        return folder

    return spoil


@pytest.mark.parametrize(
    ("bad", "why"), [(b"", "is empty"), (b"some text", "is not an image that can be read")]
)
def test_faults_1_2_3_a_bad_image_is_skipped_counted_and_named(spoil, heard, bad, why):
    data = load_dataset(spoil(1, bad), "all", reporter=heard)
    assert (len(data), data.skipped) == (19, (f"0.png: {why}",))
    assert "0.png" not in data.names
    assert np.array_equal(data.images[0], np.asarray(Image.open(spoil(0) / data.names[0])))
    assert heard.warnings == [f"pictures (all): 1 bad image was skipped: 0.png: {why}"]


def test_fault_1_a_truncated_jpeg_is_skipped(folder, picture):
    (folder / "3.jpg").write_bytes(picture(form="JPEG", size=(64, 64))[:900])
    assert load_dataset(folder, "all").skipped == ("3.jpg: is truncated",)


def test_many_bad_images_are_one_line_of_warning(spoil, heard):
    for listener in (heard, type(heard)()):  # from the cache too
        load_dataset(spoil(5), "all", reporter=listener)
        (line,) = listener.warnings
        assert "5 bad images were skipped: 0.png: is empty; 1.png" in line
        assert line.endswith("2.png: is empty; and 2 more")


def test_strict_makes_the_first_bad_image_an_error(spoil):
    with pytest.raises(DataError, match=r"0\.png: is empty \(--strict\)"):
        load_dataset(spoil(1), "all", strict=True)


def test_strict_holds_for_what_comes_from_the_cache(spoil):
    folder = spoil(1)
    load_dataset(folder, "all")
    with pytest.raises(DataError, match="--strict"):
        load_dataset(folder, "all", strict=True)


def test_more_than_ten_and_one_in_a_hundred_bad_is_an_error(spoil):
    assert len(load_dataset(spoil(10), "all")) == 10
    folder = spoil(11)
    with pytest.raises(
        DataError, match=r"11 of 20 images are bad: .*\(--max-bad 0\.55 skips them\)"
    ):
        load_dataset(folder, "all")
    assert len(load_dataset(folder, "all", max_bad=0.55)) == 9
    with pytest.raises(DataError, match=r"11 of 20 images are bad"):
        load_dataset(folder, "all", max_bad=0.54)
    with pytest.raises(UsageError, match=r"--max-bad 1\.5: must be a share from 0 to 1"):
        load_dataset(folder, "all", max_bad=1.5)


def test_no_good_image_lists_what_is_taken(spoil):
    with pytest.raises(DataError, match=r"no image can be read.*taken are \.png"):
        load_dataset(spoil(20), "all")


def test_fault_10_a_bomb_is_skipped_without_a_python_warning(folder, encode, recwarn, monkeypatch):
    monkeypatch.setattr("vaekit.data.decoding.decode_image.MAX_PIXELS", 1000)
    (folder / "a.png").write_bytes(encode(Image.new("L", (100, 100))))
    assert load_dataset(folder, "all").skipped[0].startswith("a.png: has more than")
    assert not recwarn.list


def test_fault_11_odd_sizes_load_together(fill_folder, picture):
    shapes = [(1, 1), (1, 900), (900, 1), (33, 64)]
    folder = fill_folder({f"{n}.png": picture(n, shape) for n, shape in enumerate(shapes)})
    assert load_dataset(folder, "all").images.shape == (4, 64, 64, 3)


def test_fault_17_a_single_image_is_all_there_is(fill_folder, picture):
    folder = fill_folder({"1.png": picture()})
    assert len(load_dataset(folder, "train")) == len(load_dataset(folder, "all")) == 1
    with pytest.raises(DataError, match="holds a single image, which goes to train"):
        load_dataset(folder, "test")


def test_a_set_without_validation_says_how_to_have_one(folder):
    with pytest.raises(DataError, match="--val-split must be over 0"):
        load_dataset(folder, "val", val_split=0)


def test_the_fingerprint_depends_on_content_not_on_place(fill_folder, picture, encode):
    files = {f"{n}.png": picture(n) for n in range(5)}
    one, other = (load_dataset(fill_folder(files, name), "all") for name in ("one", "other"))
    assert one.fingerprint == other.fingerprint
    files["4.png"] = picture(99)
    assert load_dataset(fill_folder(files, "third"), "all").fingerprint != one.fingerprint


def test_other_labels_are_another_fingerprint():
    images = np.zeros((2, 2, 2, 1), np.uint8)
    plain, zero, one = (
        ImageSet("a", "all", images, labels).fingerprint
        for labels in (None, np.zeros(2, np.int64), np.ones(2, np.int64))
    )
    assert len({plain, zero, one}) == 3
    assert ImageSet("b", "test", images.copy()).fingerprint == plain
    assert ImageSet("c", "all", images.reshape(2, 4, 1, 1)).fingerprint != plain


def test_loading_a_folder_imports_nothing_heavy(folder):
    code = (
        "import sys, vaekit.data\n"
        "assert 'numpy' not in sys.modules\n"
        f"print(len(vaekit.data.load_dataset({str(folder)!r}, 'all')))\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "20\n"), done.stderr
