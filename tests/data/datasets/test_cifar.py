from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torchvision

from tests.data.datasets.made_files import NOWHERE, Bomb, md5, tar_of
from vaekit.data import load_dataset
from vaekit.data.datasets import cifar
from vaekit.errors import DataError

rng = np.random.default_rng(0)


@pytest.fixture
def photographs():
    return rng.integers(0, 256, (4, 3, 32, 32), np.uint8), np.array([3, 1, 0, 2])


def records(photographs, label_bytes):
    pixels, labels = photographs
    return b"".join(
        bytes([9] * (label_bytes - 1) + [label]) + picture.tobytes()
        for picture, label in zip(pixels, labels.tolist(), strict=True)
    )


@pytest.mark.parametrize(("name", "edition"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar_is_read_from_its_binary_edition(tmp_path, photographs, name, edition, monkeypatch):
    binary, pickled = getattr(cifar, edition)
    data = records(photographs, binary.label_bytes)
    files = dict.fromkeys((*binary.train, *binary.test), data) | {
        binary.class_names: b"a\nb\nc\nd\n\n"
    }
    packed = tar_of({f"{binary.folder}/{file}": content for file, content in files.items()})
    (tmp_path / binary.archive).write_bytes(packed)
    ours = replace(binary, md5=md5(packed))
    monkeypatch.setattr(cifar, edition, (ours, pickled))
    test = load_dataset(name, "test", data_dir=tmp_path)
    assert np.array_equal(test.images, photographs[0].transpose(0, 2, 3, 1))
    assert test.labels.tolist() == [3, 1, 0, 2]
    assert test.classes == ("a", "b", "c", "d")
    assert len(load_dataset(name, "train", data_dir=tmp_path, val_split=0)) == 4 * len(binary.train)
    (tmp_path / binary.folder / binary.test[0]).write_bytes(data[:-1])
    with pytest.raises(DataError, match="is not as its publisher made it: remove the folder"):
        load_dataset(name, "test", data_dir=tmp_path)


@pytest.fixture
def python_edition(tmp_path, photographs, monkeypatch):
    """CIFAR-10 as torchvision keeps it, with the MD5s of what is there."""
    binary, pickled = cifar.CIFAR10
    pixels, labels = photographs
    folder = tmp_path / pickled.folder
    folder.mkdir()

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return md5(data)

    batch = {"data": pixels.reshape(4, -1), "labels": labels.tolist()}
    edition = replace(
        pickled,
        train={name: write(name, batch) for name in pickled.train},
        test={name: write(name, batch) for name in pickled.test},
        class_names={"batches.meta": write("batches.meta", {"label_names": list("abcd")})},
    )
    monkeypatch.setattr(cifar, "CIFAR10", (binary, edition))
    monkeypatch.setattr(cifar, "_HOME", NOWHERE)
    return tmp_path, folder, edition


def test_who_has_torchvisions_edition_need_not_download(python_edition, photographs):
    data_dir, *_ = python_edition
    test = load_dataset("cifar10", "test", data_dir=data_dir)
    assert np.array_equal(test.images, photographs[0].transpose(0, 2, 3, 1))
    assert (test.labels.tolist(), test.classes) == ([3, 1, 0, 2], ("a", "b", "c", "d"))


def test_who_has_torchvisions_archive_need_not_download(python_edition, photographs, monkeypatch):
    data_dir, folder, edition = python_edition
    files = {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    packed = tar_of(files)
    (data_dir / edition.archive).write_bytes(packed)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(packed))
    assert len(load_dataset("cifar10", "test", data_dir=data_dir)) == 4


def test_a_pickle_with_another_checksum_is_never_opened(python_edition):
    data_dir, folder, _ = python_edition
    (folder / "test_batch").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="test_batch: is not as its publisher made it"):
        load_dataset("cifar10", "test", data_dir=data_dir)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_only_the_pickles_that_torchvision_unpickles_are_unpickled(name):
    _, ours = getattr(cifar, name)
    theirs = getattr(torchvision.datasets, name)
    assert [list(pair) for pair in ours.train.items()] == theirs.train_list
    assert [list(pair) for pair in ours.test.items()] == theirs.test_list
    assert dict(ours.class_names) == {theirs.meta["filename"]: theirs.meta["md5"]}
    assert (ours.folder, ours.names_key) == (theirs.base_folder, theirs.meta["key"])
    assert (ours.torchvision_name, ours.archive) == (name, theirs.filename)
