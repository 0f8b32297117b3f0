"""STL-10, labelled photographs, from binary files in torchvision's folder.

<data-dir>/stl10_binary/train_X.bin: planes of 96x96 bytes, each stored column by column
<data-dir>/stl10_binary/train_y.bin: one byte an image, labels from 1; and two files for test
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from vaekit.data.datasets import torchvision_files
from vaekit.data.datasets.download import datasets_dir, downloaded
from vaekit.data.datasets.unpack import damaged_file, unpack_tar
from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks, file_identity

_FILES = {"train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt"}


def open_stl10(request: Request) -> Source:
    """Photographs of ten classes; the unlabelled ones are left out."""
    folder = datasets_dir(request) / "stl10_binary"
    if not folder.is_dir():
        archive = folder.with_name("stl10_binary.tar.gz")
        remote = partial(torchvision_files.archive_file, "STL10")
        unpack_tar(downloaded(archive, remote, request.reporter, check=True), folder, _FILES)
    try:
        parts = {split: _rows(folder, split) for split in ("train", "test")}
        classes = tuple((folder / "class_names.txt").read_text().split())
    except (OSError, ValueError) as error:
        raise damaged_file(folder, error) from None
    identity = "\n".join(file_identity(folder / f"{split}_X.bin") for split in parts)
    return Source("stl10", parts, f"stl10\n{identity}", classes)


def _rows(folder: Path, split: str) -> Rows:
    labels = np.fromfile(folder / f"{split}_y.bin", np.uint8).astype(np.int64) - 1
    images = np.memmap(folder / f"{split}_X.bin", np.uint8, "r").view(np.ndarray)
    images = images.reshape(len(labels), 3, 96, 96).transpose(0, 3, 2, 1)
    return Rows(NumberedNames(len(labels)), (96, 96, 3), array_blocks(images), labels)
