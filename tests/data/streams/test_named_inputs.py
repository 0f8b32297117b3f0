"""The names, labels and number of the images in what a user names."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from tests.data.input_ways import SHAPE, WAYS, gathered, taken, tarred, zipped
from vaekit.data import load_dataset
from vaekit.data.source import Request
from vaekit.data.streams.mixed_inputs import stream_dataset, stream_images
from vaekit.errors import DataError


@pytest.mark.parametrize("given", ["pictures", "pictures/", "./pictures"])
def test_a_name_is_the_path_as_typed(pets, given):
    inside = ["cat/2.png", "cat/10.png", "dog/2.png", "dog/10.png"]
    assert taken(given).names == [os.path.join(given, name) for name in inside]  # noqa: PTH118


def test_class_folders_are_labels_numbered_as_in_a_data_set(pets):
    with stream_images(["pictures"], shape=SHAPE) as stream:
        assert stream.classes == ["cat", "dog"]
        assert (stream.expected, stream.count) == (4, None)
        (chunk,) = stream
    assert chunk.labels.tolist() == load_dataset("pictures", "all").labels.tolist()
    assert chunk.labels.dtype == np.int64


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_class_folders_are_the_same_labels_in_every_way(pets, way, tmp_path):
    """`select(.label=="cat")` must find the cats, from `find`, from a tar and from the folder."""
    got = way(pets, tmp_path / "pictures")
    assert got.words == ["cat", "cat", "dog", "dog"]
    assert got.classes == ["cat", "dog"]


def test_a_flat_folder_has_no_labels(fill_folder, picture):
    with stream_images([str(fill_folder({"1.png": picture()}))], shape=SHAPE) as stream:
        (chunk,) = stream
    assert (stream.classes, chunk.labels, chunk.words(None)) == (None, None, [None])


def test_train_and_test_are_all_taken_and_classes_read_in_both(fill_folder, picture):
    files = ["train/cat/1.png", "test/cat/2.png", "test/eel/3.png", "extra/4.png"]
    got = taken(fill_folder({name: picture(n) for n, name in enumerate(files)}))
    assert [name.partition("pictures/")[2] for name in got.names] == sorted(files)
    assert got.words == [None, "cat", "eel", "cat"]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_an_archive_gives_what_its_folder_would(tmp_path, pets, ending):
    path = tmp_path / f"set.{ending}"
    packed = zipped(pets) if ending == "zip" else tarred(pets, "w" if ending == "tar" else "w:gz")
    path.write_bytes(packed)
    got, unpacked = taken("set." + ending), taken("pictures")
    assert np.array_equal(got.images, unpacked.images)
    assert got.names == [f"set.{ending}/{name}" for name in pets]
    assert got.words == unpacked.words


def test_inputs_of_all_kinds_come_in_the_order_given(tmp_path, pets, picture):
    np.savez("set.npz", x=np.zeros((2, *SHAPE), np.uint8), y=[7, 8])
    (tmp_path / "one.png").write_bytes(picture(5))
    got = taken("one.png", "set.npz", "pictures/dog", "-", stdin=io.BytesIO(tarred(pets)))
    assert got.names == [
        *("one.png", "set.npz/0", "set.npz/1", "pictures/dog/2.png", "pictures/dog/10.png"),
        *("cat/2.png", "cat/10.png", "dog/2.png", "dog/10.png"),
    ]
    assert got.words == [None, "7", "8", None, None, "cat", "cat", "dog", "dog"]


def test_named_images_come_before_those_of_the_list(tmp_path, pets):
    (tmp_path / "list.txt").write_bytes(b"pictures/dog/2.png\r\n\npictures/cat/2.png\n")
    got = taken("pictures/dog/10.png", files_from="list.txt")
    assert got.names == ["pictures/dog/10.png", "pictures/dog/2.png", "pictures/cat/2.png"]


# Arrays and data sets.


def test_an_array_gives_its_rows_and_their_number(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (150, *SHAPE), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(150) % 2, classes=["cat", "dog"])
    np.save(tmp_path / "x.npy", x / 255)
    for name, words in (("set.npz", ["cat", "dog"]), ("x.npy", [None, None])):
        with stream_images([str(tmp_path / name)], shape=SHAPE) as stream:
            assert stream.count == stream.expected == 150
            got = gathered(stream)
        assert np.array_equal(got.images, x)
        assert got.names == [str(n) for n in range(150)]
        assert got.words[:2] == words


def test_numbers_for_labels_stay_numbers(tmp_path):
    np.savez(tmp_path / "set.npz", x=np.zeros((3, *SHAPE), np.uint8), y=[5, 0, 5])
    got = taken(tmp_path / "set.npz")
    assert (got.words, got.classes) == ([5, 0, 5], None)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_fault_26_an_array_of_another_shape_names_both_shapes(tmp_path, name):
    x = np.zeros((2, 28, 28), np.uint8)
    np.save(tmp_path / name, x) if name == "x.npy" else np.savez(tmp_path / name, x=x)
    message = "its images are 28x28x1, the model's are 12x12x3"
    with pytest.raises(DataError, match=rf"{name}: {message}"):
        stream_images([str(tmp_path / name)], shape=SHAPE)
    with pytest.raises(DataError, match=rf"standard input: {message}"):
        stream_images(["-"], shape=SHAPE, stdin=io.BytesIO((tmp_path / name).read_bytes()))
    with pytest.raises(DataError, match=rf"{name}: {message}"):
        stream_dataset(str(tmp_path / name), "all", SHAPE, Request())


def test_fault_25_values_out_of_range_say_the_range(tmp_path):
    x = np.full((2, *SHAPE), 0.5)
    x[1, 0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    message = "1 value is NaN or infinite, the others are 0.5"
    with pytest.raises(DataError, match=f"x.npy: {message}"):
        taken(tmp_path / "x.npy")
    with pytest.raises(DataError, match=f"standard input: {message}"):
        taken("-", stdin=io.BytesIO((tmp_path / "x.npy").read_bytes()))


def test_a_data_set_is_streamed_whole_with_count_and_classes():
    with stream_dataset("digits", "test", (8, 8, 1), Request()) as stream:
        data = load_dataset("digits", "test")
        assert stream.count == stream.expected == len(data)
        got = gathered(stream)
    assert np.array_equal(got.images, data.images)
    assert got.words == [data.classes[label] for label in data.labels]
    assert got.names == list(data.names)


def test_a_data_set_of_another_shape_is_converted_with_a_note(heard):
    with stream_dataset("digits", "test", SHAPE, Request(limit=5, reporter=heard)) as stream:
        got = gathered(stream)
    assert got.images.shape == (5, *SHAPE)
    assert heard.notes == [
        "digits: 5 images were resized from 8x8 to 12x12",
        "digits: 5 grey images were turned to RGB",
    ]


def test_a_folder_for_a_data_set_is_converted_and_its_bad_images_named(fill_folder, picture, heard):
    root = fill_folder({"1.png": picture(1, (24, 24)), "2.png": b"", "3.png": picture(3)})
    for listener in (heard, type(heard)()):  # from the cache too
        with stream_dataset(str(root), "all", SHAPE, Request(reporter=listener)) as stream:
            assert (stream.count, stream.skipped) == (2, ["2.png: is empty"])
            gathered(stream)
        assert listener.notes == ["pictures: 1 image was resized from 24x24 to 12x12"]
        assert listener.warnings == ["pictures (all): 1 bad image was skipped: 2.png: is empty"]
