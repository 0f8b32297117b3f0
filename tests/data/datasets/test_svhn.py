from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from vaekit.data import load_dataset
from vaekit.errors import DataError


def test_svhn_is_read_and_its_ten_is_a_zero(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 6), np.uint8)
    labels = np.array([[10], [1], [2], [9], [10], [5]], np.uint8)
    for split in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels})
    data = load_dataset("svhn", "test", data_dir=tmp_path)
    assert np.array_equal(data.images, images.transpose(3, 0, 1, 2))
    assert data.labels.tolist() == [0, 1, 2, 9, 0, 5]
    (tmp_path / "test_32x32.mat").write_bytes(b"not a matrix")
    with pytest.raises(DataError, match=r"test_32x32\.mat: is damaged .* remove it"):
        load_dataset("svhn", "test", data_dir=tmp_path)
