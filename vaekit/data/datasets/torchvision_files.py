"""Addresses and MD5s of the data sets' files, read from torchvision's own classes.

torchvision keeps these up to date, but takes seconds to import. So each function imports it when
a file has to be downloaded, or checked before it is unpacked; images on disk never need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vaekit.data.datasets.catalogue import CATALOGUE
from vaekit.data.datasets.download import Remote
from vaekit.errors import DownloadError

_Place = tuple[tuple[str, ...], str]
"""Addresses and an MD5."""

_NAMES = {
    "MNIST": "mnist",
    "FashionMNIST": "fashion-mnist",
    "KMNIST": "kmnist",
    "SVHN": "svhn",
    "STL10": "stl10",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "CelebA": "celeba",
}
"""torchvision's names, and the catalogue's."""

_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="


def mnist_file(class_name: str, file: str) -> Remote:
    """A gzipped idx file of MNIST, FashionMNIST or KMNIST."""

    def read(published: Any) -> _Place:
        urls = tuple(f"{place}{file}" for place in published.mirrors)
        return urls, dict(published.resources)[file]

    return _published(class_name, read)


def svhn_file(split: str) -> Remote:
    """The MATLAB file of a split of SVHN."""

    def read(published: Any) -> _Place:
        url, _, md5 = published.split_list[split]
        return (url,), md5

    return _published("SVHN", read)


def archive_file(class_name: str) -> Remote:
    """The one archive of STL10, or of the Python edition of CIFAR10 or CIFAR100."""
    return _published(class_name, lambda it: ((it.url,), it.tgz_md5))


def celeba_file(file: str) -> Remote:
    """A file of CelebA, which lies on Google Drive."""

    def read(published: Any) -> _Place:
        where = {name: (key, md5) for key, md5, name in published.file_list}
        key, md5 = where[file]
        return (_DRIVE + key,), md5

    return _published("CelebA", read)


def _published(class_name: str, read: Callable[[Any], _Place]) -> Remote:
    try:
        from torchvision import datasets

        urls, md5 = read(getattr(datasets, class_name))
    except (ImportError, RuntimeError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DownloadError(
            f"the installed torchvision does not say where {class_name} is "
            f"({' '.join(str(error).split())[:100]}): vaekit doctor checks the installation"
        ) from None
    return Remote(urls, md5, CATALOGUE[_NAMES[class_name]].megabytes)
