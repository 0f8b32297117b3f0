"""Labels from `.cls` files, in archives made by `tar` and `zip`, and in folders."""

from __future__ import annotations

import subprocess

import pytest

from vaekit.data import load_dataset
from vaekit.errors import DataError


@pytest.fixture
def packed(fill_folder, picture):
    """Makes a set of images with the given `.cls` texts; gives the folder or archive."""

    def make(texts, kind="tar", names=None):
        names = names or [f"{n:03d}.png" for n in range(len(texts))]
        files = {name: picture(n) for n, name in enumerate(names)}
        for name, text in zip(names, texts, strict=True):
            if text is not None:
                files[f"{name.split('.')[0]}.cls"] = text
        folder = fill_folder(files, "set")
        commands = {"tar": ["tar", "cf"], "tgz": ["tar", "czf"], "zip": ["zip", "-qr"]}
        if kind == "folder":
            return folder
        path = folder.parent / f"set.{kind}"
        subprocess.run([*commands[kind], path, "."], cwd=folder, check=True)
        return path

    return make


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip", "folder"])
def test_numbers_are_labels_as_they_are(packed, kind, heard):
    data = load_dataset(packed([b"3", b"0\n", b" 12 "], kind), "all", reporter=heard)
    assert (data.labels.tolist(), data.classes) == ([3, 0, 12], None)
    assert heard.notes == []


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_names_are_classes_in_natural_order(packed, kind):
    data = load_dataset(packed([b"dog", b"cat 10", b"cat 9", "Kätzchen".encode()], kind), "all")
    assert data.classes == ("Kätzchen", "cat 9", "cat 10", "dog")
    assert data.labels.tolist() == [3, 2, 1, 0]


def test_they_come_before_class_folders(packed):
    data = load_dataset(packed([b"1", b"0"], names=["cat/1.png", "dog/2.png"]), "all")
    assert (data.labels.tolist(), data.classes) == ([1, 0], None)


@pytest.mark.parametrize("other", [None, b"", b"\xff\xfe", b"x" * 300, b"a\x1b[31m"])
def test_an_image_without_a_label_leaves_the_class_folders(packed, other, heard):
    path = packed([b"1", other, b"0"], names=["cat/1.png", "dog/2.png", "dog/3.png"])
    data = load_dataset(path, "all", reporter=heard)
    assert (data.labels.tolist(), data.classes) == ([0, 1, 1], ("cat", "dog"))
    assert "1 of 3 images (train) have no .cls file" in heard.notes[0]


def test_images_of_a_sample_share_its_label(packed):
    data = load_dataset(packed([b"7", b"7"], names=["1.left.png", "1.right.png"]), "all")
    assert data.labels.tolist() == [7, 7]


def test_a_class_of_the_test_images_alone_is_refused(packed):
    names = [f"{split}/{n}.png" for split in ("train", "test") for n in range(3)]
    with pytest.raises(DataError, match=r"class 'cow' of a \.cls file is not in train"):
        load_dataset(packed([b"cat", b"dog", b"dog", b"cat", b"cow", b"cat"], names=names))


def test_a_changed_label_in_a_folder_is_noticed(packed, heard):
    folder = packed([b"1", b"0", b"1"], "folder")
    before = load_dataset(folder, "all", reporter=heard).fingerprint
    (folder / "000.cls").write_bytes(b"0")
    again = load_dataset(folder, "all", reporter=heard)
    assert again.labels.tolist() == [0, 0, 1]
    assert again.fingerprint != before
