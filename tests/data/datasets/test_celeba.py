from __future__ import annotations

import zipfile

import pytest

from vaekit.data import load_dataset
from vaekit.errors import DataError


@pytest.mark.parametrize("packed", [True, False])
def test_celeba_comes_in_its_publishers_splits_and_at_64(tmp_path, picture, packed):
    root = tmp_path / "celeba"
    root.mkdir()
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    lines = [f"{name} {split}\n" for name, split in zip(names, "001120", strict=True)]
    (root / "list_eval_partition.txt").write_text("".join(lines))
    faces = {name: picture(n, (218, 178), form="JPEG") for n, name in enumerate(names)}
    if packed:
        with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
            for name, data in faces.items():
                archive.writestr(f"img_align_celeba/{name}", data)
    else:
        (root / "img_align_celeba").mkdir()
        for name, data in faces.items():
            (root / "img_align_celeba" / name).write_bytes(data)
    assert load_dataset("celeba", "val", data_dir=tmp_path).names == ("000003.jpg", "000004.jpg")
    assert load_dataset("celeba", "test", data_dir=tmp_path).names == ("000005.jpg",)
    assert load_dataset("celeba", "train", data_dir=tmp_path).images.shape == (3, 64, 64, 3)
    native = load_dataset("celeba", "train", data_dir=tmp_path, image_size="218x178")
    assert native.image_shape == (218, 178, 3)


def test_a_zip_that_lacks_a_face_of_the_list_is_refused(tmp_path, picture):
    root = tmp_path / "celeba"
    root.mkdir()
    (root / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 0\n")
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/1.jpg", picture(form="JPEG"))
    with pytest.raises(DataError, match=r"img_align_celeba\.zip: lacks img_align_celeba/2\.jpg"):
        load_dataset("celeba", data_dir=tmp_path)
