from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from vaekit.data import load_dataset


def test_grey_levels_are_rounded_and_labels_kept():
    data, original = load_dataset("digits", "all"), load_digits()
    assert data.images.shape == (1797, 8, 8, 1)
    assert np.array_equal(data.images[..., 0], np.floor(original.images * 255 / 16 + 0.5))
    assert data.images.max() == 255
    assert np.array_equal(data.labels, original.target)
    assert data.classes == tuple("0123456789")


def test_about_one_in_ten_is_for_test_and_splits_share_nothing():
    splits = [load_dataset("digits", split) for split in ("train", "val", "test")]
    assert [len(data) for data in splits] == [1451, 156, 190]
    assert len({name for data in splits for name in data.names}) == 1797


def test_every_class_is_in_every_split():
    for split in ("train", "val", "test"):
        assert set(load_dataset("digits", split).labels.tolist()) == set(range(10))
