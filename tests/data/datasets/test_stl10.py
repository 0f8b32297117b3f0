from __future__ import annotations

import numpy as np
import torchvision

from tests.data.datasets.made_files import md5, tar_of
from vaekit.data import load_dataset


def test_stl10_is_read_column_by_column(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    stored = images.transpose(0, 3, 2, 1).tobytes()
    files = {"class_names.txt": b"airplane\nbird\n"}
    for split in ("train", "test"):
        files |= {f"{split}_X.bin": stored, f"{split}_y.bin": bytes([1, 2, 1])}
    packed = tar_of({f"stl10_binary/{name}": data for name, data in files.items()})
    (tmp_path / "stl10_binary.tar.gz").write_bytes(packed)
    monkeypatch.setattr(torchvision.datasets.STL10, "tgz_md5", md5(packed))
    data = load_dataset("stl10", "test", data_dir=tmp_path)
    assert np.array_equal(data.images, images)
    assert data.labels.tolist() == [0, 1, 0]
    assert data.classes == ("airplane", "bird")
