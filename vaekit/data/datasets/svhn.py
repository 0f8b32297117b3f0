"""SVHN, house numbers in the street, from two MATLAB files.

<data-dir>/train_32x32.mat, test_32x32.mat: images (32, 32, 3, N), the digit 0 labelled 10
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import torchvision_files
from vaekit.data.datasets.download import datasets_dir, downloaded
from vaekit.data.datasets.unpack import damaged_file
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Source, array_blocks, file_identity


def open_svhn(request: Request) -> Source:
    """House numbers, the publisher's train and test splits."""
    root, parts, identity = datasets_dir(request), {}, "svhn"
    for split in ("train", "test"):
        remote = partial(torchvision_files.svhn_file, split)
        path = downloaded(root / f"{split}_32x32.mat", remote, request.reporter)
        labels = _matlab(path, "y").reshape(-1).astype(np.int64) % 10
        blocks = partial(_blocks, path)
        parts[split] = Rows(NumberedNames(len(labels)), (32, 32, 3), blocks, labels, quick=False)
        identity += f"\n{file_identity(path)}"
    return Source("svhn", parts, identity, tuple("0123456789"))


def _blocks(path: Path, indices: Integers) -> Iterator[Pixels]:
    return array_blocks(_matlab(path, "X").transpose(3, 0, 1, 2))(indices)


def _matlab(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[name])[name]
    except Exception as error:  # noqa: BLE001  scipy raises what it likes on bad bytes
        raise damaged_file(path, error) from None
