"""MNIST and the sets in its form: idx files, in the folders that torchvision uses for them.

<data-dir>/MNIST/raw/train-images-idx3-ubyte   and three more
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from vaekit.data.datasets.download import Remote, datasets_dir, fetch, unpack_gz
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks, file_identity
from vaekit.errors import DataError
from vaekit.wording import one_line

STEMS = {"train": "train", "test": "t10k"}

MNIST = (
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION_MNIST = (
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
KMNIST = (
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    {
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
    },
)
_Publisher = tuple[tuple[str, ...], dict[str, str]]
"""The places that have the files, and the MD5 of each file as it is packed there."""

_DIGITS = tuple("0123456789")
_CLOTHING = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def open_mnist(request: Request) -> Source:
    """Handwritten digits."""
    return _open("mnist", "MNIST", MNIST, _DIGITS, request)


def open_fashion_mnist(request: Request) -> Source:
    """Pieces of clothing."""
    return _open("fashion-mnist", "FashionMNIST", FASHION_MNIST, _CLOTHING, request)


def open_kmnist(request: Request) -> Source:
    """Cursive Japanese characters."""
    return _open("kmnist", "KMNIST", KMNIST, _KANA, request)


def _open(
    name: str, folder: str, publisher: _Publisher, classes: tuple[str, ...], request: Request
) -> Source:
    raw, parts, identity = datasets_dir(request) / folder / "raw", {}, name
    for split, stem in STEMS.items():
        images = _file(raw, f"{stem}-images-idx3-ubyte", publisher, request)
        labels = _file(raw, f"{stem}-labels-idx1-ubyte", publisher, request)
        parts[split] = _rows(images, labels)
        identity += f"\n{file_identity(images)}\n{file_identity(labels)}"
    return Source(name, parts, identity, classes)


def _file(raw: Path, name: str, publisher: _Publisher, request: Request) -> Path:
    """The unpacked file: there already, or unpacked from one that is there or is downloaded."""
    if (raw / name).is_file():
        return raw / name
    places, md5s = publisher
    remote = Remote(f"{name}.gz", md5s[name], tuple(f"{place}{name}.gz" for place in places))
    return unpack_gz(fetch(remote, raw, request.reporter), raw / name)


def _rows(images: Path, labels: Path) -> Rows:
    pixels = read_idx(images, 3)[..., None]
    classes: Integers = read_idx(labels, 1).astype(np.int64)
    if len(pixels) != len(classes):
        raise DataError(
            f"{one_line(str(images))}: has {len(pixels):,} images, but {labels.name} has "
            f"{len(classes):,} labels"
        )
    _, height, width, _ = pixels.shape
    names = NumberedNames(len(pixels))
    return Rows(names, (height, width, 1), array_blocks(pixels), classes)


def read_idx(path: Path, axes: int) -> Pixels:
    """An idx file of bytes, mapped: a magic number, the length of each axis, the values."""
    start = 4 + 4 * axes
    with path.open("rb") as file:
        head = file.read(start)
    magic, *shape = struct.unpack(f">{axes + 1}I", head) if len(head) == start else (0,)
    if magic != 0x0800 + axes or path.stat().st_size != start + int(np.prod(shape)):
        raise DataError(f"{one_line(str(path))}: is damaged: remove it to download it again")
    return np.memmap(path, np.uint8, "r", start, tuple(shape)).view(np.ndarray)
