"""SVHN, STL-10, CelebA and dSprites, in the folders that torchvision uses for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets.download import Remote, datasets_dir, fetch, unpack_tar
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import (
    SPLITS,
    Files,
    NumberedNames,
    Request,
    Rows,
    Source,
    array_blocks,
    file_identity,
)
from vaekit.data.sources import array_files
from vaekit.data.sources.folder import in_folder
from vaekit.data.sources.zip_files import in_zip, zip_members
from vaekit.errors import DataError
from vaekit.wording import one_line

_HOUSES = "http://ufldl.stanford.edu/housenumbers/"
SVHN = {
    "train": Remote(
        "train_32x32.mat",
        "e26dedcc434d2e4c54c9b2d4a06d8373",
        (f"{_HOUSES}train_32x32.mat",),
    ),
    "test": Remote(
        "test_32x32.mat",
        "eb5a983be6a315427106f1b164d9cef3",
        (f"{_HOUSES}test_32x32.mat",),
    ),
}
STL10 = Remote(
    "stl10_binary.tar.gz",
    "91f7769df0f17e558f3565bffb0c7dfb",
    ("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",),
)
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
CELEBA = Remote(
    "img_align_celeba.zip",
    "00d2c5bc6d35e252742224ab0c1e8fcb",
    (f"{_DRIVE}0B7EVK8r0v71pZjFTYXZWM3FlRnM",),
)
CELEBA_SPLITS = Remote(
    "list_eval_partition.txt",
    "d32c9cbf5e040fd4025c592c306e6668",
    (f"{_DRIVE}0B7EVK8r0v71pY0NSMzRuSXJEVkk",),
)
DSPRITES = Remote(
    "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
    "7da33b31b13a06f4b04a70402ce90c2e",
    (
        "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
        "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
    ),
)


def open_svhn(request: Request) -> Source:
    """House numbers: MATLAB files, (32, 32, 3, N), with the digit 0 labelled 10."""
    root, parts, identity = datasets_dir(request), {}, "svhn"
    for split, remote in SVHN.items():
        path = _there(remote, root, request)
        labels = _matlab(path, "y").reshape(-1).astype(np.int64) % 10
        blocks = partial(_svhn_blocks, path)
        parts[split] = Rows(NumberedNames(len(labels)), (32, 32, 3), blocks, labels, quick=False)
        identity += f"\n{file_identity(path)}"
    return Source("svhn", parts, identity, tuple("0123456789"))


def _svhn_blocks(path: Path, indices: Integers) -> Iterator[Pixels]:
    return array_blocks(_matlab(path, "X").transpose(3, 0, 1, 2))(indices)


def _matlab(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[name])[name]
    except Exception as error:  # noqa: BLE001  scipy raises what it likes on bad bytes
        raise _damaged(path, error) from None


def open_stl10(request: Request) -> Source:
    """Photographs: planes of 96x96 bytes, each stored column by column; labels from 1."""
    root = datasets_dir(request)
    folder = root / "stl10_binary"
    if not folder.is_dir():
        wanted = {"train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt"}
        unpack_tar(fetch(STL10, root, request.reporter), folder, wanted)
    try:
        parts = {split: _stl10_rows(folder, split) for split in ("train", "test")}
        classes = tuple((folder / "class_names.txt").read_text().split())
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from None
    identity = "\n".join(file_identity(folder / f"{split}_X.bin") for split in parts)
    return Source("stl10", parts, f"stl10\n{identity}", classes)


def _stl10_rows(folder: Path, split: str) -> Rows:
    labels = np.fromfile(folder / f"{split}_y.bin", np.uint8).astype(np.int64) - 1
    images = np.memmap(folder / f"{split}_X.bin", np.uint8, "r").view(np.ndarray)
    images = images.reshape(len(labels), 3, 96, 96).transpose(0, 3, 2, 1)
    return Rows(NumberedNames(len(labels)), (96, 96, 3), array_blocks(images), labels)


def open_celeba(request: Request) -> Source:
    """Faces, in the publisher's three splits: the zip as it is, or the folder unpacked from it.

    The photographs are 218x178; unless a size is asked for, they become 64x64, as is usual.
    """
    root = datasets_dir(request) / "celeba"
    listing = _there(CELEBA_SPLITS, root, request)
    rows = [line.split() for line in listing.read_text().splitlines() if line.strip()]
    folder = root / "img_align_celeba"
    archive = None if folder.is_dir() else _there(CELEBA, root, request)
    members = {} if archive is None else zip_members(archive)
    parts: dict[str, Files] = {}
    for number, split in enumerate(SPLITS):
        names = tuple(row[0] for row in rows if row[1:] == [str(number)])
        if archive is None:
            parts[split] = Files(names, in_folder(folder, names))
        else:
            missing = [name for name in names if f"img_align_celeba/{name}" not in members]
            if missing:
                raise DataError(f"{one_line(str(archive))}: lacks {one_line(missing[0])}")
            chosen = [members[f"img_align_celeba/{name}"] for name in names]
            parts[split] = Files(names, in_zip(archive, chosen))
    identity = f"celeba\n{file_identity(listing)}\n{file_identity(archive or folder)}"
    return Source("celeba", parts, identity, usual_size=(64, 64))


def open_dsprites(request: Request) -> Source:
    """White shapes; the constant factor, colour, is left out.

    Of the members of the .npz only the images and the factors are read; one other is a pickle.
    """
    path = _there(DSPRITES, datasets_dir(request), request)
    found = array_files.read_members(path, one_line(str(path)), ("imgs", "latents_classes"))
    if "latents_classes" not in found:
        raise _damaged(path, "it has no latents_classes")
    factors = found["latents_classes"].whole().astype(np.int64)[:, 1:]
    rows = array_files.image_rows(found["imgs"], factors[:, 0], factors)
    whitened = replace(rows, blocks=lambda at: (b * np.uint8(255) for b in rows.blocks(at)))
    return Source(
        "dsprites",
        {"train": whitened},
        f"dsprites\n{file_identity(path)}",
        ("square", "ellipse", "heart"),
        ("shape", "scale", "orientation", "x", "y"),
    )


def _there(remote: Remote, folder: Path, request: Request) -> Path:
    """A file that is used as it was downloaded; its checksum is checked when it arrives."""
    path = folder / remote.name
    return path if path.is_file() else fetch(remote, folder, request.reporter)


def _damaged(path: Path, why: object) -> DataError:
    text = " ".join(str(why).split())[:100]
    return DataError(f"{one_line(str(path))}: is damaged ({text}): remove it to download it again")
