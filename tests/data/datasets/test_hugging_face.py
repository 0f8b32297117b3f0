"""Hugging Face data sets, made here by the package `datasets`; without it all but one test skip."""

from __future__ import annotations

import io
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from vaekit.data import load_dataset
from vaekit.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # what the packages warn of is not ours


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (40, 9, 8, 3), np.uint8)


@pytest.fixture
def saved(library, pixels):
    """Saves a set with `save_to_disk`, of rows of `pixels` by split; gives its name."""

    def make(splits=None, name="pets", **columns):
        kinds = {"label": library.ClassLabel(names=["cat", "dog", "cow"]), **columns}
        features = library.Features({"image": library.Image(), **kinds})

        def of(rows):
            given = {name: [n % 3 for n in rows] for name in kinds}
            images = [Image.fromarray(pixels[n]) for n in rows]
            return library.Dataset.from_dict({"image": images, **given}, features=features)

        parts = {split: of(rows) for split, rows in (splits or {}).items()}
        made = library.DatasetDict(parts) if parts else of(range(40))
        made.save_to_disk(name)
        return f"hf:./{name}"

    return make


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"hf:owner/pets: needs .*pip install 'vaekit\[hf\]'$"):
        load_dataset("hf:owner/pets")


def test_a_saved_set_gives_its_pixels_labels_and_classes(saved, pixels):
    data = load_dataset(saved(), "all")
    assert np.array_equal(data.images, pixels)
    assert data.labels.tolist() == [n % 3 for n in range(40)]
    assert (data.classes, data.name) == (("cat", "dog", "cow"), "hf:pets")


def test_its_splits_are_the_splits(saved, pixels, heard):
    name = saved({"train": range(10), "validation": range(10, 14), "extra": range(14, 16)})
    assert np.array_equal(load_dataset(name, "val", reporter=heard).images, pixels[10:14])
    assert heard.notes == ["hf:./pets: splits left alone: extra"]
    assert len(load_dataset(name, "train")) + len(load_dataset(name, "test")) == 10


def test_the_parts_are_those_of_a_folder_of_the_same_files(library, fill_folder, picture):
    files = {f"{n:02d}.png": picture(n) for n in range(50)}
    folder = fill_folder(files)
    rows = [{"bytes": data, "path": None} for data in files.values()]
    features = library.Features({"img": library.Image()})
    library.Dataset.from_dict({"img": rows}, features=features).save_to_disk("same")
    for split in ("train", "val", "test"):
        ours, theirs = load_dataset(folder, split), load_dataset("hf:./same", split)
        assert [int(name[:2]) for name in ours.names] == [int(name) for name in theirs.names]
        assert ours.fingerprint == theirs.fingerprint


def test_it_is_decoded_once_and_a_change_is_noticed(saved, pixels, heard):
    name = saved()
    for _ in range(2):
        load_dataset(name, "all", reporter=heard)
    assert heard.decodings == [40]
    shutil.rmtree("pets")
    saved({"train": range(7)})
    assert len(load_dataset(name, "all", reporter=heard)) == 7


def test_a_folder_of_images_is_read_as_the_library_reads_it(library, fill_folder, picture):
    files = {f"train/{pet}/{n}.png": picture(n) for n, pet in enumerate(("dog", "cat", "dog"))}
    fill_folder(files, "photos")
    data = load_dataset("hf:./photos", "all", data_dir="downloads")
    assert data.classes == ("cat", "dog")
    assert sorted(data.labels.tolist()) == [0, 1, 1]
    assert np.array_equal(
        sorted(image.sum() for image in data.images),
        sorted(np.asarray(Image.open(io.BytesIO(f))).sum() for f in files.values()),
    )


def test_a_bad_image_is_named_by_its_number(library, picture, heard):
    rows = [{"bytes": picture(n), "path": None} for n in range(5)]
    rows[3] = {"bytes": b"no picture", "path": None}
    features = library.Features({"image": library.Image()})
    library.Dataset.from_dict({"image": rows}, features=features).save_to_disk("some")
    data = load_dataset("hf:./some", "all", reporter=heard)
    assert data.skipped == ("3: is not an image that can be read",)
    assert list(data.names) == ["0", "1", "2", "4"]


def test_labels_that_are_missing_are_none(library, saved):
    name = saved({"train": range(10), "test": range(6)})
    loaded = library.load_from_disk("pets")
    loaded["test"] = loaded["test"].map(lambda row: {"label": -1})
    loaded.save_to_disk("other")
    assert load_dataset(name, "test").labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert load_dataset("hf:./other", "test").labels is None
    assert load_dataset("hf:./other", "train").labels is not None


def test_columns_of_one_kind_are_chosen_by_name(saved, library, heard):
    fine = library.ClassLabel(names=["x", "y", "z"])
    assert load_dataset(saved(coarse=fine), "all").classes == ("cat", "dog", "cow")


def test_a_set_without_images_says_what_it_has(library):
    library.Dataset.from_dict({"text": ["a"], "n": [1]}).save_to_disk("texts")
    with pytest.raises(DataError, match="has no column of images; its columns are text, n"):
        load_dataset("hf:./texts")


def test_a_folder_that_is_not_there_is_named(library):
    with pytest.raises(DataError, match=r"hf:\./gone: no such folder"):
        load_dataset("hf:./gone")


def test_what_the_hub_answers_is_one_line(library, monkeypatch, heard):
    asked = []

    def refuse(*args, **options):
        asked.append((*args, options["cache_dir"]))
        raise ConnectionError("cannot\n reach the hub")

    monkeypatch.setattr(library, "load_dataset", refuse)
    with pytest.raises(DataError, match=r"hf:owner/pets:small: cannot be loaded \(cannot reach"):
        load_dataset("hf:owner/pets:small", data_dir="place", reporter=heard)
    assert asked == [("owner/pets", "small", "place/huggingface")]
    assert heard.notes == ["hf:owner/pets:small: asks the Hugging Face hub"]
