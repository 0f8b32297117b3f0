from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torchvision

from tests.data.datasets.made_files import NOWHERE, md5
from vaekit import files
from vaekit.data import load_dataset
from vaekit.errors import DataError, DownloadError

rng = np.random.default_rng(0)


def idx_bytes(array):
    return struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digits():
    """Ten and five images of 6x4, with their labels, as idx files by name."""
    arrays = {}
    for stem, count in (("train", 10), ("t10k", 5)):
        arrays[f"{stem}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 6, 4), np.uint8)
        arrays[f"{stem}-labels-idx1-ubyte"] = rng.integers(0, 10, count, np.uint8)
    return arrays


@pytest.fixture
def publish(monkeypatch):
    """Makes torchvision say that the files have other MD5s, and lie where nobody answers."""

    def change(class_name, md5s):
        published = getattr(torchvision.datasets, class_name)
        monkeypatch.setattr(published, "mirrors", [NOWHERE])
        monkeypatch.setattr(published, "resources", [*md5s.items()])

    return change


FILES = [
    *("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
]
FAMILY = [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]


@pytest.mark.parametrize(("name", "folder"), FAMILY)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_in_torchvisions_folders_are_read_offline(
    tmp_path, digits, name, folder, packed, publish
):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    sums = {}
    for file, array in digits.items():
        data = gzip.compress(idx_bytes(array))
        sums[f"{file}.gz"] = md5(data)
        (raw / f"{file}.gz").write_bytes(data) if packed else (raw / file).write_bytes(
            idx_bytes(array)
        )
    publish(folder, sums)
    data = load_dataset(name, "test", data_dir=tmp_path)
    assert np.array_equal(data.images[..., 0], digits["t10k-images-idx3-ubyte"])
    assert np.array_equal(data.labels, digits["t10k-labels-idx1-ubyte"])
    assert len(data.classes) == 10
    sizes = [len(load_dataset(name, part, data_dir=tmp_path)) for part in ("train", "val")]
    assert min(sizes) > 0
    assert sum(sizes) == 10


def test_a_folder_is_named_once_and_found_again(tmp_path, digits, publish, monkeypatch):
    raw = tmp_path / "sets" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, array in digits.items():
        (raw / file).write_bytes(idx_bytes(array))
    publish("MNIST", dict.fromkeys(FILES, ""))
    monkeypatch.chdir(tmp_path)
    first = load_dataset("mnist", "test", data_dir="sets")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert np.array_equal(load_dataset("mnist", "test").images, first.images)
    with pytest.raises(DownloadError, match="fashion"):
        load_dataset("fashion-mnist", "test")
    (tmp_path / "sets").rename(tmp_path / "gone")
    with pytest.raises(DownloadError, match="MNIST"):
        load_dataset("mnist", "test")
    (files.cache_dir() / "data-folders.json").write_text("[1")
    with pytest.raises(DownloadError, match="MNIST"):
        load_dataset("mnist", "test")


def test_what_is_drawn_or_built_in_has_no_folder(tmp_path):
    load_dataset("digits", "test", limit=3, data_dir=tmp_path)
    assert not (files.cache_dir() / "data-folders.json").exists()


def test_fault_19_a_named_set_that_is_not_there_says_where_to_put_it(tmp_path, publish):
    publish("MNIST", dict.fromkeys(FILES, "0" * 32))
    where = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    with pytest.raises(DownloadError, match=f"put it at {where}"):
        load_dataset("mnist", data_dir=tmp_path)


def test_the_default_data_dir_is_in_the_cache(cache, publish):
    publish("MNIST", dict.fromkeys(FILES, "0" * 32))
    with pytest.raises(DownloadError, match=str(cache / "datasets" / "MNIST" / "raw")):
        load_dataset("mnist")


@pytest.mark.parametrize(
    "spoil", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"\1" + d[1:], lambda d: d[:7]]
)
def test_a_damaged_idx_file_is_named(tmp_path, digits, spoil):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, array in digits.items():
        data = idx_bytes(array)
        (raw / file).write_bytes(spoil(data) if file.startswith("t10k-images") else data)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte: is damaged: remove it"):
        load_dataset("mnist", data_dir=tmp_path)
