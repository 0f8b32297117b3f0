from __future__ import annotations

import numpy as np

from tests.data.datasets.made_files import Bomb
from vaekit.data import load_dataset
from vaekit.data.source import SPLITS

rng = np.random.default_rng(0)


def test_dsprites_is_read_without_its_pickle(tmp_path):
    sprites = rng.integers(0, 2, (30, 64, 64), np.uint8)
    classes = np.column_stack([np.zeros(30, int), rng.integers(0, 3, (30, 5))])
    bomb = np.empty((), object)
    bomb[()] = Bomb()
    np.savez_compressed(
        tmp_path / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
        imgs=sprites,
        latents_classes=classes,
        metadata=bomb,
    )
    data = load_dataset("dsprites", "all", data_dir=tmp_path)
    assert np.array_equal(data.images[..., 0], sprites * 255)
    assert np.array_equal(data.factors, classes[:, 1:])
    assert np.array_equal(data.labels, classes[:, 1])
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    sizes = [len(load_dataset("dsprites", part, data_dir=tmp_path)) for part in SPLITS]
    assert min(sizes) > 0
    assert sum(sizes) == len(data)
