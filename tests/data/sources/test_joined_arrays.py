"""Arrays in several files are one data set, file after file."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.errors import DataError


def images(count, seed, side=8):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def test_arrays_follow_each_other_in_the_order_of_their_names():
    parts = [images(30, seed) for seed in range(3)]
    for number, part in zip((10, 9, 2), parts, strict=True):
        np.save(f"x-{number}.npy", part)
    np.save("whole.npy", np.concatenate(parts[::-1]))
    for split in ("train", "test"):
        several, whole = (load_dataset(path, split) for path in ("x-*.npy", "whole.npy"))
        assert np.array_equal(several.images, whole.images)
        assert list(several.names) == list(whole.names)


def test_labels_and_factors_follow_each_other():
    for number in range(2):
        y, factors = np.arange(5) + number, np.arange(10).reshape(5, 2) * (number + 1)
        np.savez(f"x{number}.npz", x=images(5, number), y=y, factors=factors)
    data = load_dataset("x*.npz", "all")
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 1, 2, 3, 4, 5]
    assert data.factors[5].tolist() == [0, 2]


def test_labels_are_left_out_unless_every_file_has_them():
    np.savez("x0.npz", x=images(5, 0), y=np.arange(5))
    np.savez("x1.npz", x=images(5, 1))
    assert load_dataset("x*.npz", "all").labels is None


def test_a_file_with_other_images_is_named():
    np.save("x0.npy", images(5, 0))
    np.save("x1.npy", images(5, 0, side=9))
    with pytest.raises(DataError, match=r"x1\.npy has images of shape \(9, 9, 1\), x0\.npy has"):
        load_dataset("x*.npy")
