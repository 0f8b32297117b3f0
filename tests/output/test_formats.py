"""What a user would lose: the form they asked for, in the place they named, or a plain no."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vaekit.errors import UsageError
from vaekit.output.formats import (
    ANIMATIONS,
    ARRAYS,
    FOLDER,
    FORMS,
    PICTURES,
    RECORDS,
    Target,
    choose_format,
    listed,
)

IMAGES = (*PICTURES, FOLDER, *ARRAYS)


def images(output, form=None) -> Target:
    return choose_format(output, form, IMAGES, "png", "samples.png")


@pytest.mark.parametrize(
    ("output", "form", "path", "chosen"),
    [
        (None, None, "samples.png", "png"),
        (None, "jpeg", "samples.jpg", "jpeg"),
        (None, "npy", "samples.npy", "npy"),
        (None, "folder", "samples", "folder"),
        ("a.PNG", None, "a.PNG", "png"),
        ("a.jpeg", None, "a.jpeg", "jpeg"),
        ("a.jpg", "jpg", "a.jpg", "jpeg"),
        ("a.b.npz", None, "a.b.npz", "npz"),
        ("faces", None, "faces", "folder"),
        ("faces/", None, "faces", "folder"),
        ("faces.v2/", None, "faces.v2", "folder"),
        ("faces", "npy", "faces", "npy"),
        ("faces.dat", "npy", "faces.dat", "npy"),
        (".hidden", None, ".hidden", "folder"),
        ("-", None, None, "png"),
        ("-", "npy", None, "npy"),
    ],
)
def test_output_and_format_choose_the_file_and_its_format(output, form, path, chosen):
    target = images(output, form)
    assert (target.path, target.form) == (None if path is None else Path(path), chosen)
    assert str(target) == (path or "stdout")


def test_a_folder_that_is_there_is_a_folder_whatever_its_name(tmp_path):
    (tmp_path / "faces.png").mkdir()
    assert images(str(tmp_path / "faces.png")).form == FOLDER


def test_single_images_of_a_folder_have_a_form_too():
    assert images("faces/").single == "png"
    assert images("faces/", "webp").single == "webp"


def test_a_png_moves_only_where_that_was_asked_for():
    takes = (*PICTURES, "gif", "apng")
    assert choose_format("a.png", None, takes, "png", "a.png").form == "png"
    assert choose_format("a.png", "apng", takes, "png", "a.png").form == "apng"
    assert choose_format(None, "apng", takes, "png", "a.png") == Target(Path("a.png"), "apng")
    assert choose_format("a.png", None, ANIMATIONS, "gif", "a.gif").form == "apng"


@pytest.mark.parametrize(
    ("output", "form", "message"),
    [
        ("a.tiff", None, r"\.png, \.jpg, \.jpeg, \.webp, \.npy, \.npz, a folder/.*\.tiff"),
        ("a.csv", None, r"\.csv is not one of them"),
        ("a.png", "npy", "disagree"),
        ("faces/", "npz", "--format npz"),
        ("-", "folder", "stdout cannot be a folder"),
        ("a", "csv", "--format csv: this command writes png, jpeg"),
        (None, "exe", "--format exe"),
        ("", None, "give a file name"),
    ],
)
def test_an_impossible_output_is_refused_with_the_possible_ones(output, form, message):
    with pytest.raises(UsageError, match=message):
        images(output, form)


def test_records_do_not_go_into_a_folder(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder; this command writes \.npy, \.npz, \.csv"):
        choose_format(f"{tmp_path}/", None, RECORDS, "jsonl", "z.npy")
    with pytest.raises(UsageError, match="it has no extension"):
        choose_format("latents", None, RECORDS, "jsonl", "z.npy")


def test_fault_57_only_text_goes_to_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match=r"png is binary.*-o FILE.*pipe"):
        images("-")
    assert choose_format("-", "csv", RECORDS, "jsonl", "z.npy").form == "csv"
    assert choose_format("-", None, RECORDS, "jsonl", "z.npy").form == "jsonl"


def test_no_ending_means_two_things_but_png():
    endings = [ending for form in FORMS.values() for ending in form.endings]
    assert {ending for ending in endings if endings.count(ending) > 1} == {".png"}
    assert listed(RECORDS) == ".npy, .npz, .csv, .jsonl, .ndjson, .parquet"


def test_the_table_imports_nothing_heavy():
    code = (
        "import sys, vaekit.output.formats;"
        "print({'numpy', 'torch', 'PIL', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
