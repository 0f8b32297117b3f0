"""CIFAR-10 and CIFAR-100, from the binary edition or a verified Python edition.

A record is one label (CIFAR-100: two) and 3072 bytes: red, green and blue planes of 32x32. A Python
edition that is there already, in the folder that torchvision uses, is read instead. Its files are
pickles: each is opened only if its MD5 is the one in this module. These MD5s are not read from
torchvision, because they decide what may be unpickled; a test compares them.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import torchvision_files
from vaekit.data.datasets.catalogue import CATALOGUE
from vaekit.data.datasets.download import Remote, datasets_dir, downloaded
from vaekit.data.datasets.unpack import unpack_tar
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks, file_identity
from vaekit.errors import DataError
from vaekit.wording import one_line

_HOME = "https://www.cs.toronto.edu/~kriz/"
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Binary:
    """The binary edition of one set."""

    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    class_names: str
    label_bytes: int
    """Labels before each image; the last one is used."""

    def remote(self, name: str) -> Remote:
        """Where the archive of the data set is."""
        return Remote((_HOME + self.archive,), self.md5, CATALOGUE[name].megabytes)


@dataclass(frozen=True)
class Pickled:
    """The Python edition of one set, with the MD5 of every file."""

    torchvision_name: str
    archive: str
    folder: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    class_names: Mapping[str, str]
    labels_key: str
    names_key: str


CIFAR10 = (
    Binary(
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test=("test_batch.bin",),
        class_names="batches.meta.txt",
        label_bytes=1,
    ),
    Pickled(
        torchvision_name="CIFAR10",
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
        class_names={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
        labels_key="labels",
        names_key="label_names",
    ),
)
CIFAR100 = (
    Binary(
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        class_names="fine_label_names.txt",
        label_bytes=2,
    ),
    Pickled(
        torchvision_name="CIFAR100",
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        class_names={"meta": "7973b15100ade9c7d40fb424638fde48"},
        labels_key="fine_labels",
        names_key="fine_label_names",
    ),
)


def open_cifar10(request: Request) -> Source:
    """Small photographs of ten classes."""
    return _open("cifar10", *CIFAR10, request)


def open_cifar100(request: Request) -> Source:
    """Small photographs of a hundred classes."""
    return _open("cifar100", *CIFAR100, request)


def _open(name: str, binary: Binary, pickled: Pickled, request: Request) -> Source:
    """Open the edition that is there; if none is, download the binary one."""
    root, reporter = datasets_dir(request), request.reporter
    if not (root / binary.folder).is_dir():
        if (root / pickled.folder).is_dir():
            return _from_pickled(name, pickled, root / pickled.folder)
        if (root / pickled.archive).is_file():
            remote = partial(torchvision_files.archive_file, pickled.torchvision_name)
            wanted = {*pickled.train, *pickled.test, *pickled.class_names}
            packed = downloaded(root / pickled.archive, remote, reporter, check=True)
            return _from_pickled(name, pickled, unpack_tar(packed, root / pickled.folder, wanted))
        wanted = {*binary.train, *binary.test, binary.class_names}
        packed = downloaded(
            root / binary.archive, partial(binary.remote, name), reporter, check=True
        )
        unpack_tar(packed, root / binary.folder, wanted)
    return _from_binary(name, binary, root / binary.folder)


def _from_binary(name: str, edition: Binary, folder: Path) -> Source:
    classes = tuple(_read(folder / edition.class_names).decode().split())
    parts = {
        split: _binary_rows([folder / file for file in files], edition.label_bytes)
        for split, files in (("train", edition.train), ("test", edition.test))
    }
    everything = [folder / file for file in (*edition.train, *edition.test)]
    return Source(name, parts, _identity(name, everything), classes)


def _binary_rows(paths: list[Path], label_bytes: int) -> Rows:
    records = []
    for path in paths:
        data = np.frombuffer(_read(path), np.uint8)
        if not len(data) or len(data) % (label_bytes + _PIXELS):
            raise _damaged(path)
        records.append(data.reshape(-1, label_bytes + _PIXELS))
    joined = np.concatenate(records)
    return _rows(joined[:, label_bytes:], joined[:, label_bytes - 1].astype(np.int64))


def _from_pickled(name: str, edition: Pickled, folder: Path) -> Source:
    (meta,) = _unpickled(folder, edition.class_names)
    classes = tuple(str(label) for label in meta[edition.names_key])
    parts = {}
    for split, files in (("train", edition.train), ("test", edition.test)):
        batches = _unpickled(folder, files)
        pixels = np.concatenate([batch["data"] for batch in batches])
        labels = np.concatenate([batch[edition.labels_key] for batch in batches])
        parts[split] = _rows(pixels, labels.astype(np.int64))
    everything = [folder / file for file in (*edition.train, *edition.test)]
    return Source(name, parts, _identity(name, everything), classes)


def _unpickled(folder: Path, md5s: Mapping[str, str]) -> list[dict[str, Any]]:
    """The content of pickles, each opened only after its MD5 is verified."""
    contents = []
    for name, md5 in md5s.items():
        data = _read(folder / name)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            raise _damaged(folder / name)
        contents.append(pickle.loads(data, encoding="latin1"))  # noqa: S301  checked just now
    return contents


def _rows(pixels: Pixels, labels: Integers) -> Rows:
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Rows(NumberedNames(len(images)), (32, 32, 3), array_blocks(images), labels)


def _identity(name: str, paths: list[Path]) -> str:
    return "\n".join([name, *(file_identity(path) for path in paths)])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{one_line(str(path))}: cannot be read ({error.strerror})") from None


def _damaged(path: Path) -> DataError:
    return DataError(
        f"{one_line(str(path))}: is not as its publisher made it: remove the folder "
        f"{one_line(path.parent.name)} to download it again"
    )
