"""Parts are cut by what images are: other files, names or containers move none of them."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from vaekit.data import cache_folder, load_dataset, part_keys
from vaekit.errors import DataError

SPLITS = ("train", "val", "test")


def parts(source):
    """The split of each image, by its pixels."""
    found = {}
    for split in SPLITS:
        found |= {image.tobytes(): split for image in load_dataset(source, split).images}
    return found


@pytest.fixture
def photos(fill_folder, picture):
    """A folder of 60 different images."""
    return fill_folder({f"{n}.png": picture(n, (4, 4)) for n in range(60)})


def test_fault_86_a_file_removed_or_added_moves_no_other_image(photos, picture):
    before = parts(photos)
    assert set(before.values()) == {*SPLITS}
    (photos / "7.png").unlink()
    removed = parts(photos)
    assert removed == {image: before[image] for image in removed}
    assert len(removed) == 59
    for n in range(100, 110):
        (photos / f"{n - 100}-new.png").write_bytes(picture(n, (4, 4)))
    added = parts(photos)
    assert len(added) == 69
    assert {image: added[image] for image in removed} == removed


def test_neither_names_nor_their_order_matter(photos):
    before = parts(photos)
    for n, path in enumerate(sorted(photos.iterdir())):
        path.rename(photos / f"renamed-{(n * 37) % 60:02}.png")
    assert parts(photos) == before


def test_fault_88_identical_images_are_in_the_same_part(photos):
    for path in list(photos.iterdir()):
        for copy in range(3):
            shutil.copy(path, photos / f"{path.stem}-copy-{copy}.png")
    loaded = {split: load_dataset(photos, split) for split in SPLITS}
    for split, data in loaded.items():
        contents = [image.tobytes() for image in data.images]
        assert {contents.count(each) for each in contents} == {4}, split
    assert sum(map(len, loaded.values())) == 240


@pytest.mark.parametrize("ending", ["zip", "stored.zip", "tar", "tar.gz"])
def test_an_archive_has_the_parts_of_the_folder(photos, tmp_path, ending):
    archive = tmp_path / f"photos.{ending}"
    if ending.endswith("zip"):
        method = zipfile.ZIP_STORED if ending == "stored.zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(archive, "w", method) as file:
            for path in sorted(photos.iterdir(), reverse=True):
                file.write(path, f"inside/{path.name}")
    else:
        with tarfile.open(archive, "w:gz" if ending == "tar.gz" else "w") as file:
            file.add(photos, "inside")
    assert parts(archive) == parts(photos)
    limited = [load_dataset(source, "train", limit=9, seed=3) for source in (archive, photos)]
    one, other = ({image.tobytes() for image in data.images} for data in limited)
    assert one == other


def test_rows_of_arrays_are_cut_by_their_pixels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 5, 5), np.uint8)
    np.save(tmp_path / "one.npy", images)
    np.savez_compressed(tmp_path / "other.npz", x=images[::-1][:190] / np.float32(255))
    one, other = parts(tmp_path / "one.npy"), parts(tmp_path / "other.npz")
    assert {image: one[image] for image in other} == other


def test_a_file_that_cannot_be_decoded_moves_no_image(photos):
    before = parts(photos)
    (photos / "bad.png").write_bytes(b"")
    (photos / "worse.png").write_text("no image")
    assert parts(photos) == before


def test_copies_of_one_image_cannot_be_divided(fill_folder, picture):
    folder = fill_folder({f"{n}.png": picture(0) for n in range(5)})
    assert len(load_dataset(folder, "train")) == 5
    with pytest.raises(DataError, match="holds only copies of one image"):
        load_dataset(folder, "test")
    with pytest.raises(DataError, match=r"only copies of one image are left .* --val-split 0"):
        load_dataset(folder, "val")


def hashed_counts(heard):
    return [total for label, total, _ in heard.tasks if label == "Hashing"]


def test_files_are_read_once_to_find_their_part(photos, heard):
    for split in SPLITS:
        load_dataset(photos, split, reporter=heard)
    assert hashed_counts(heard) == [60]
    load_dataset(photos, "test", refresh=True, reporter=heard)
    assert hashed_counts(heard) == [60, 60]


def test_a_zip_knows_the_parts_without_being_read(photos, tmp_path, heard):
    shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    load_dataset(tmp_path / "photos.zip", "train", reporter=heard)
    assert hashed_counts(heard) == []


def test_a_large_array_is_hashed_once(tmp_path, heard, monkeypatch):
    monkeypatch.setattr(part_keys, "_FEW_BYTES", 100)
    np.save(tmp_path / "x.npy", np.arange(400, dtype=np.uint8).reshape(100, 2, 2))
    for _ in range(2):
        load_dataset(tmp_path / "x.npy", "test", reporter=heard)
    assert hashed_counts(heard) == [100]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def let_others_write(path):
    path.chmod(0o666)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, let_others_write])
def test_kept_keys_that_are_damaged_or_not_private_are_read_again(photos, heard, damage):
    before = parts(photos)
    (kept,) = cache_folder.decoded_dir().glob("*.keys")
    damage(kept)
    assert parts(photos) == before
    load_dataset(photos, "test", reporter=heard)
    assert hashed_counts(heard) == []


def test_clearing_the_cache_removes_the_kept_keys(photos):
    load_dataset(photos, "test")
    cache_folder.clear()
    assert list(cache_folder.decoded_dir().iterdir()) == []


def test_keys_that_were_not_used_for_long_are_removed(photos, fill_folder, picture):
    load_dataset(photos, "test")
    (kept,) = cache_folder.decoded_dir().glob("*.keys")
    os.utime(kept, (0, 0))
    load_dataset(fill_folder({f"{n}.png": picture(n) for n in range(9)}, "other"), "all")
    assert not kept.exists()


def test_a_file_that_may_be_readable_later_is_hashed_again(photos, heard):
    (photos / "gone.png").symlink_to("nowhere.png")
    for _ in range(2):
        load_dataset(photos, "train", reporter=heard)
    assert hashed_counts(heard) == [61, 61]
