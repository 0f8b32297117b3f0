"""MNIST, Fashion-MNIST and KMNIST, from idx files in torchvision's folders.

<data-dir>/MNIST/raw/train-images-idx3-ubyte   and three more
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import numpy as np

from vaekit.data.datasets import torchvision_files
from vaekit.data.datasets.download import datasets_dir, downloaded
from vaekit.data.datasets.unpack import unpack_gz
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks, file_identity
from vaekit.errors import DataError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

STEMS = {"train": "train", "test": "t10k"}

_DIGITS = tuple("0123456789")
_CLOTHING = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def open_mnist(request: Request) -> Source:
    """Handwritten digits."""
    return _open("mnist", "MNIST", _DIGITS, request)


def open_fashion_mnist(request: Request) -> Source:
    """Pieces of clothing."""
    return _open("fashion-mnist", "FashionMNIST", _CLOTHING, request)


def open_kmnist(request: Request) -> Source:
    """Cursive Japanese characters."""
    return _open("kmnist", "KMNIST", _KANA, request)


def _open(name: str, torchvision_name: str, classes: tuple[str, ...], request: Request) -> Source:
    root, parts, identity = datasets_dir(request), {}, name
    for split, stem in STEMS.items():
        images = _file(root, torchvision_name, f"{stem}-images-idx3-ubyte", request.reporter)
        labels = _file(root, torchvision_name, f"{stem}-labels-idx1-ubyte", request.reporter)
        parts[split] = _rows(images, labels)
        identity += f"\n{file_identity(images)}\n{file_identity(labels)}"
    return Source(name, parts, identity, classes)


def _file(root: Path, torchvision_name: str, name: str, reporter: Reporter) -> Path:
    """The unpacked file: there already, or unpacked from one that is there or is downloaded."""
    path = root / torchvision_name / "raw" / name
    if path.is_file():
        return path
    packed = path.with_name(f"{name}.gz")
    remote = partial(torchvision_files.mnist_file, torchvision_name, packed.name)
    return unpack_gz(downloaded(packed, remote, reporter, check=True), path)


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
