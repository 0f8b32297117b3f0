from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.io

from vaekit.data import load_dataset
from vaekit.data.datasets import cifar, mnist, named
from vaekit.data.datasets.download import Remote
from vaekit.errors import DataError, DownloadError

rng = np.random.default_rng(0)


def md5(data):
    return hashlib.md5(data).hexdigest()


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def nowhere(remote):
    """The same file, at a place where nobody answers."""
    return replace(remote, urls=("http://127.0.0.1:9/",))


# MNIST and its kin


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


FAMILY = [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]


@pytest.mark.parametrize(("name", "folder"), FAMILY)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_in_torchvisions_folders_are_read_offline(
    tmp_path, digits, name, folder, packed, monkeypatch
):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    sums = {}
    for file, array in digits.items():
        data = gzip.compress(idx_bytes(array))
        sums[file] = md5(data)
        (raw / f"{file}.gz").write_bytes(data) if packed else (raw / file).write_bytes(
            idx_bytes(array)
        )
    monkeypatch.setattr(mnist, name.upper().replace("-", "_"), (("http://127.0.0.1:9/",), sums))
    data = load_dataset(name, "test", data_dir=tmp_path)
    assert np.array_equal(data.images[..., 0], digits["t10k-images-idx3-ubyte"])
    assert np.array_equal(data.labels, digits["t10k-labels-idx1-ubyte"])
    assert len(data.classes) == 10
    assert len(load_dataset(name, "train", data_dir=tmp_path)) == 9


def test_fault_19_a_named_set_that_is_not_there_says_where_to_put_it(tmp_path, monkeypatch):
    sums = dict.fromkeys(mnist.MNIST[1], "0" * 32)
    monkeypatch.setattr(mnist, "MNIST", (("http://127.0.0.1:9/",), sums))
    where = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    with pytest.raises(DownloadError, match=f"put it at {where}"):
        load_dataset("mnist", data_dir=tmp_path)


def test_the_default_data_dir_is_in_the_cache(cache, monkeypatch):
    monkeypatch.setattr(
        mnist, "MNIST", (("http://127.0.0.1:9/",), dict.fromkeys(mnist.MNIST[1], ""))
    )
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


def test_the_checksums_and_places_are_torchvisions():
    """The tables are ours, so that reading needs no torchvision; they must say what it says."""
    from torchvision import datasets

    for ours, theirs in ((mnist.MNIST, "MNIST"), (mnist.FASHION_MNIST, "FashionMNIST")):
        their = getattr(datasets, theirs)
        assert {f"{name}.gz": value for name, value in ours[1].items()} == dict(their.resources)
        assert set(ours[0]) == set(their.mirrors)
    assert dict(datasets.KMNIST.resources) == {f"{k}.gz": v for k, v in mnist.KMNIST[1].items()}
    for (_, pickled), their in ((cifar.CIFAR10, "CIFAR10"), (cifar.CIFAR100, "CIFAR100")):
        theirs = getattr(datasets, their)
        assert pickled.remote.md5 == theirs.tgz_md5
        assert [list(pair) for pair in pickled.train.items()] == theirs.train_list
        assert [list(pair) for pair in pickled.test.items()] == theirs.test_list
        assert list(pickled.class_names.values()) == [theirs.meta["md5"]]
        assert (pickled.folder, pickled.names_key) == (theirs.base_folder, theirs.meta["key"])
    for split, remote in named.SVHN.items():
        assert [remote.urls[0], remote.name, remote.md5] == datasets.SVHN.split_list[split]
    assert named.STL10.md5 == datasets.STL10.tgz_md5
    lists = {name: md5 for _, md5, name in datasets.CelebA.file_list}
    assert lists[named.CELEBA.name] == named.CELEBA.md5
    assert lists[named.CELEBA_SPLITS.name] == named.CELEBA_SPLITS.md5


# CIFAR


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
    (tmp_path / binary.remote.name).write_bytes(packed)
    ours = replace(binary, remote=nowhere(replace(binary.remote, md5=md5(packed))))
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
        remote=nowhere(pickled.remote),
    )
    monkeypatch.setattr(cifar, "CIFAR10", (replace(binary, remote=nowhere(binary.remote)), edition))
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
    (data_dir / edition.remote.name).write_bytes(packed)
    ours = replace(edition, remote=replace(edition.remote, md5=md5(packed)))
    monkeypatch.setattr(cifar, "CIFAR10", (cifar.CIFAR10[0], ours))
    assert len(load_dataset("cifar10", "test", data_dir=data_dir)) == 4


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_with_another_checksum_is_never_opened(python_edition):
    data_dir, folder, _ = python_edition
    (folder / "test_batch").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="test_batch: is not as its publisher made it"):
        load_dataset("cifar10", "test", data_dir=data_dir)


# SVHN, STL-10, CelebA, dSprites


def test_svhn_is_read_and_its_ten_is_a_zero(tmp_path):
    images = rng.integers(0, 256, (32, 32, 3, 6), np.uint8)
    labels = np.array([[10], [1], [2], [9], [10], [5]], np.uint8)
    for split in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels})
    data = load_dataset("svhn", "test", data_dir=tmp_path)
    assert np.array_equal(data.images, images.transpose(3, 0, 1, 2))
    assert data.labels.tolist() == [0, 1, 2, 9, 0, 5]
    (tmp_path / "test_32x32.mat").write_bytes(b"not a matrix")
    with pytest.raises(DataError, match=r"test_32x32\.mat: is damaged .* remove it"):
        load_dataset("svhn", "test", data_dir=tmp_path)


def test_stl10_is_read_column_by_column(tmp_path, monkeypatch):
    images = rng.integers(0, 256, (3, 96, 96, 3), np.uint8)
    stored = images.transpose(0, 3, 2, 1).tobytes()
    files = {"class_names.txt": b"airplane\nbird\n"}
    for split in ("train", "test"):
        files |= {f"{split}_X.bin": stored, f"{split}_y.bin": bytes([1, 2, 1])}
    packed = tar_of({f"stl10_binary/{name}": data for name, data in files.items()})
    (tmp_path / "stl10_binary.tar.gz").write_bytes(packed)
    monkeypatch.setattr(named, "STL10", nowhere(replace(named.STL10, md5=md5(packed))))
    data = load_dataset("stl10", "test", data_dir=tmp_path)
    assert np.array_equal(data.images, images)
    assert data.labels.tolist() == [0, 1, 0]
    assert data.classes == ("airplane", "bird")


@pytest.mark.parametrize("packed", [True, False])
def test_celeba_comes_in_its_publishers_splits_and_at_64(tmp_path, picture, packed):
    root = tmp_path / "celeba"
    root.mkdir()
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    lines = [f"{name} {split}\n" for name, split in zip(names, "001120", strict=True)]
    (root / "list_eval_partition.txt").write_text("".join(lines))
    faces = {name: picture(n, (218, 178), form="JPEG") for n, name in enumerate(names)}
    if packed:
        with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
            for name, data in faces.items():
                archive.writestr(f"img_align_celeba/{name}", data)
    else:
        (root / "img_align_celeba").mkdir()
        for name, data in faces.items():
            (root / "img_align_celeba" / name).write_bytes(data)
    assert load_dataset("celeba", "val", data_dir=tmp_path).names == ("000003.jpg", "000004.jpg")
    assert load_dataset("celeba", "test", data_dir=tmp_path).names == ("000005.jpg",)
    assert load_dataset("celeba", "train", data_dir=tmp_path).images.shape == (3, 64, 64, 3)
    native = load_dataset("celeba", "train", data_dir=tmp_path, image_size="218x178")
    assert native.image_shape == (218, 178, 3)


def test_dsprites_is_read_without_its_pickle(tmp_path):
    sprites = rng.integers(0, 2, (30, 64, 64), np.uint8)
    classes = np.column_stack([np.zeros(30, int), rng.integers(0, 3, (30, 5))])
    bomb = np.empty((), object)
    bomb[()] = Bomb()
    np.savez_compressed(
        tmp_path / named.DSPRITES.name, imgs=sprites, latents_classes=classes, metadata=bomb
    )
    data = load_dataset("dsprites", "all", data_dir=tmp_path)
    assert np.array_equal(data.images[..., 0], sprites * 255)
    assert np.array_equal(data.factors, classes[:, 1:])
    assert np.array_equal(data.labels, classes[:, 1])
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert len(load_dataset("dsprites", "test", data_dir=tmp_path)) == 3


def test_no_two_files_share_a_name_in_the_data_folder():
    remotes = [*named.SVHN.values(), named.STL10, named.CELEBA, named.CELEBA_SPLITS, named.DSPRITES]
    remotes += [edition.remote for pair in (cifar.CIFAR10, cifar.CIFAR100) for edition in pair]
    assert len({remote.name for remote in remotes}) == len(remotes)
    assert all(isinstance(remote, Remote) and len(remote.md5) == 32 for remote in remotes)
