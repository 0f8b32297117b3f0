from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.streams.mixed_inputs import stream_images
from vaekit.errors import DataError


def names(folder, split="all", **options):
    return list(load_dataset(folder, split, **options).names)


def test_a_flat_folder_has_no_labels_and_natural_order(fill_folder, picture):
    folder = fill_folder({f"{n}.png": picture(n) for n in (10, 9, 1)})
    data = load_dataset(folder, "all")
    assert list(data.names) == ["1.png", "9.png", "10.png"]
    assert data.labels is None
    assert data.name == "pictures"


def test_class_folders_are_labels_in_natural_order(fill_folder, picture):
    folder = fill_folder({f"{n}/a.png": picture(n) for n in (10, 2, 0)})
    data = load_dataset(folder, "all")
    assert data.classes == ("0", "2", "10")
    assert data.labels.tolist() == [0, 1, 2]
    assert list(data.names) == ["0/a.png", "2/a.png", "10/a.png"]


def test_images_deeper_than_a_class_folder_belong_to_it(fill_folder, picture):
    folder = fill_folder({"cat/old/a.png": picture(1), "dog/b.png": picture(2)})
    data = load_dataset(folder, "all")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 1]


def test_train_and_test_folders_are_the_splits(fill_folder, picture):
    files = {f"train/{c}/{n}.png": picture(n) for c in "ab" for n in range(10)}
    files |= {"test/b/x.png": picture(50), "test/a/y.png": picture(51)}
    folder = fill_folder(files)
    test = load_dataset(folder, "test")
    assert list(test.names) == ["test/a/y.png", "test/b/x.png"]
    assert test.labels.tolist() == [0, 1]
    train, val = (len(load_dataset(folder, split)) for split in ("train", "val"))
    assert train > val > 0
    assert train + val == 20
    assert len(load_dataset(folder, "all")) == 22


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_a_val_folder_is_val(fill_folder, picture, val):
    files = {"Train/1.png": picture(1), "Train/2.png": picture(2), f"{val}/3.png": picture(3)}
    folder = fill_folder(files)
    assert names(folder, "val") == [f"{val}/3.png"]
    assert len(names(folder, "train") + names(folder, "test")) == 2


def test_train_without_test_gives_some_of_its_images_to_test(fill_folder, picture):
    folder = fill_folder({f"train/{n}.png": picture(n) for n in range(20)})
    test = set(names(folder, "test"))
    assert 0 < len(test) < 10
    assert not test & {*names(folder, "train"), *names(folder, "val")}


def test_only_a_test_folder_is_a_set_to_evaluate_on(fill_folder, picture):
    folder = fill_folder({"test/1.png": picture(1), "test/2.png": picture(2)})
    assert len(names(folder, "test")) == 2
    with pytest.raises(DataError, match="has no train images"):
        load_dataset(folder, "train")


def test_a_class_that_train_lacks_is_named(fill_folder, picture):
    folder = fill_folder({"train/cat/1.png": picture(), "test/dog/1.png": picture()})
    with pytest.raises(DataError, match="test holds the class folder 'dog'"):
        load_dataset(folder, "test")


def test_one_folder_around_everything_is_looked_through(fill_folder, picture):
    folder = fill_folder({f"set/train/{c}/1.png": picture() for c in "ab"})
    assert load_dataset(folder, "all").classes == ("a", "b")


def test_images_beside_class_folders_are_a_class_and_the_others_keep_theirs(
    fill_folder, picture, heard
):
    """A few photos in the wrong place cost the labels of all."""
    files = {f"{c}/{n}.png": picture(n) for n in range(3) for c in "01"}
    folder = fill_folder({**files, "loose.png": picture(7)})
    data = load_dataset(folder, "all", reporter=heard)
    assert data.classes == ("0", "1", ".")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert data.names[-1] == "loose.png"
    assert [note.partition(": ")[2] for note in heard.notes] == [
        "1 image lies beside the class folders: labelled '.'"
    ]
    with stream_images([str(folder)], shape=(8, 8, 3)) as stream:
        words = [word for chunk in stream for word in chunk.words(stream.classes)]
    assert words == ["0", "0", "0", "1", "1", "1", "."]


def test_an_image_beside_the_classes_of_test_alone_leaves_test_without_labels(fill_folder, picture):
    files = {f"{split}/{c}/1.png": picture() for c in "ab" for split in ("train", "test")}
    folder = fill_folder({**files, "test/2.png": picture()})
    assert load_dataset(folder, "train").labels.tolist() == [0, 1]
    test = load_dataset(folder, "test")
    assert (len(test), test.labels) == (3, None)


def test_clutter_is_silent_and_other_files_are_counted(fill_folder, picture, heard):
    clutter = {".DS_Store": b"", "__MACOSX/._1.png": b"", ".cache/1.png": b"", "Thumbs.db": b""}
    files = {"1.png": picture(), "labels.csv": b"", "readme.txt": b""}
    assert names(fill_folder(clutter | files), reporter=heard) == ["1.png"]
    assert [note for note in heard.notes if "2 files that are not images" in note]
    assert not heard.warnings


def test_fault_13_an_unreadable_file_is_skipped_and_named(fill_folder, picture, heard, monkeypatch):
    folder = fill_folder({f"{n}.png": picture(n) for n in range(4)})
    refuse_to_read(monkeypatch, "2.png", PermissionError(13, "Permission denied"))
    data = load_dataset(folder, "all", reporter=heard)
    assert len(data) == 3
    assert data.skipped == ("2.png: cannot be read (Permission denied)",)
    assert len(heard.warnings) == 1


def test_fault_13_a_file_that_can_be_read_again_is_taken_again(fill_folder, picture, monkeypatch):
    folder = fill_folder({f"{n}.png": picture(n) for n in range(4)})
    with monkeypatch.context() as patch:
        refuse_to_read(patch, "2.png", PermissionError(13, "Permission denied"))
        load_dataset(folder, "all")
    assert len(load_dataset(folder, "all")) == 4


def refuse_to_read(patch, name, error):
    from vaekit.data.sources import folder as module

    read = module.read_file

    def reading(path):
        if path.name == name:
            raise error
        return read(path)

    patch.setattr(module, "read_file", reading)


def test_fault_14_a_loop_of_links_ends(fill_folder, picture):
    folder = fill_folder({"a/1.png": picture(1), "b/2.png": picture(2)})
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "b" / "self").symlink_to(folder / "b", target_is_directory=True)
    assert names(folder) == ["a/1.png", "b/2.png"]


def test_links_to_folders_elsewhere_are_followed(fill_folder, picture, tmp_path):
    elsewhere = fill_folder({"1.png": picture(1)}, "elsewhere")
    folder = fill_folder({"b/2.png": picture(2)})
    (folder / "a").symlink_to(elsewhere, target_is_directory=True)
    assert names(folder) == ["a/1.png", "b/2.png"]


def test_fault_15_any_name_a_file_can_have_works(fill_folder, picture, heard):
    folder = fill_folder({"plain.png": picture(0)})
    odd = [b"two\nlines.png", b"\xff\xfe.png", "größe 猫.png".encode()]
    for number, name in enumerate(odd):
        (folder / os.fsdecode(name)).write_bytes(picture(number + 1))
    data = load_dataset(folder, "all", reporter=heard)
    assert sorted(os.fsencode(name) for name in data.names) == sorted([*odd, b"plain.png"])


def test_fault_15_odd_names_are_printed_on_one_line(fill_folder, picture, heard):
    folder = fill_folder({"good.png": picture()})
    (folder / os.fsdecode(b"a\nb\xff.png")).write_bytes(b"")
    load_dataset(folder, "all", reporter=heard)
    assert heard.warnings == [r"pictures (all): 1 bad image was skipped: a\nb\xff.png: is empty"]


def test_fault_16_an_empty_folder_lists_what_it_takes(tmp_path):
    with pytest.raises(DataError, match=r"holds no image; taken are \.png \.jpg"):
        load_dataset(tmp_path)


def test_fault_18_a_file_gone_during_the_read_is_named(fill_folder, picture, heard, monkeypatch):
    folder = fill_folder({f"{n}.png": picture(n) for n in range(3)})
    from vaekit.data.sources import folder as module

    read = module.read_file

    def vanishing(path):
        (folder / "1.png").unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(module, "read_file", vanishing)
    data = load_dataset(folder, "all", reporter=heard)
    assert data.skipped == ("1.png: cannot be read (No such file or directory)",)


def test_a_link_that_leads_nowhere_is_named(fill_folder, picture):
    folder = fill_folder({"1.png": picture()})
    (folder / "2.png").symlink_to("gone.png")
    assert load_dataset(folder, "all").skipped[0].startswith("2.png: cannot be read")


def test_a_pipe_named_like_an_image_does_not_hang(fill_folder, picture):
    folder = fill_folder({"1.png": picture()})
    os.mkfifo(folder / "2.png")
    assert names(folder) == ["1.png"]


def test_the_images_are_those_of_the_files(fill_folder, picture, encode):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    folder = fill_folder({f"{n}.png": encode(Image.fromarray(v)) for n, v in enumerate(values)})
    assert np.array_equal(load_dataset(folder, "all").images, values)


@pytest.fixture
def deep_folder(tmp_path, picture):
    """Makes folders nested 1,500 deep, of a given name, around an image; takes them away again."""
    above, made = Path.cwd(), []

    def make(name):
        root = tmp_path / "deep"
        root.mkdir()
        os.chdir(root)
        for _ in range(1500):
            Path(name).mkdir()
            os.chdir(name)
        Path("1.png").write_bytes(picture())
        made.append(name)
        return root

    yield make
    Path("1.png").unlink()
    for name in made * 1500:  # shutil.rmtree would go down by recursion
        os.chdir("..")
        Path(name).rmdir()
    os.chdir(above)


def test_fault_76_an_image_1500_folders_down_is_read(deep_folder):
    data = load_dataset(deep_folder("a"), "all")
    assert data.names == ("a/" * 1500 + "1.png",)


def test_fault_76_folders_too_deep_for_the_system_are_left_out_in_one_line(deep_folder, heard):
    with pytest.raises(DataError, match="deep: holds no image; taken are"):
        load_dataset(deep_folder("name"), "all", reporter=heard)
    (warning,) = heard.warnings
    assert warning.endswith("cannot be read (File name too long): left out")
    assert "\n" not in warning
