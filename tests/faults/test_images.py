"""Rows 1 to 18, as one meets them in training; tests/cli/test_faults_using.py has the rest."""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.faults.conftest import encoded, photo, refused
from vaekit.model_file.header import read_model_file

# Rows 1 to 3 and 10: one bad image among good ones.


def skipped_and_named(train: Any, photos: Path, name: str, content: bytes, why: str) -> None:
    """The others are trained on, and one line says which was left out, and why."""
    (photos / "train" / name).write_bytes(content)
    strict = train("--dataset", photos, "--val-split", "0", "--strict")
    refused(strict, 3, f"train/{name}: {why}", "(--strict)")
    done = train("--dataset", photos, "--val-split", "0")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert warning.startswith(
        f"warning: photos (train): 1 bad image was skipped: train/{name}: {why}"
    )
    assert read_model_file("run/model.safetensors").header.training["n"] == 20


def test_truncated_jpeg_among_good_ones_is_skipped_and_named(train: Any, photos: Path) -> None:
    content = encoded(photo(0, 64), "JPEG")
    skipped_and_named(train, photos, "bad.jpg", content[: len(content) // 2], "is truncated")


def test_zero_byte_file_among_good_ones_is_skipped_and_named(train: Any, photos: Path) -> None:
    skipped_and_named(train, photos, "bad.png", b"", "is empty")


def test_text_named_png_among_good_ones_is_skipped_and_named(train: Any, photos: Path) -> None:
    skipped_and_named(train, photos, "bad.png", b"dear diary", "is not an image")


def test_decompression_bomb_among_good_ones_is_skipped_and_named(train: Any, photos: Path) -> None:
    bomb = bytearray(encoded(photo(0), "PNG"))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    skipped_and_named(train, photos, "bad.png", bytes(bomb), "has more than 100 million pixels")


# How many bad ones are survived, whatever they are.


def spoil(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"bad-{number:02}.png").write_bytes(b"")


def test_ten_bad_images_of_thirty_are_skipped_and_eleven_end_training(
    train: Any, photos: Path
) -> None:
    spoil(photos / "train", 11)
    refused(train("--dataset", photos, "--val-split", "0"), 3, "photos", "11 of 31 images are bad")
    (photos / "train" / "bad-00.png").unlink()
    done = train("--dataset", photos, "--val-split", "0")
    assert done.code == 0
    assert "10 bad images were skipped: train/bad-01.png" in done.stderr


def test_eleven_bad_images_in_a_stream_end_with_3_after_the_good_ones_are_done(
    cli: Any, tiny_model: Path, photos: Path
) -> None:
    spoil(photos / "train", 11)
    done = cli("embed", tiny_model, photos, "-o", "-", "--format", "jsonl")
    assert done.code == 3
    names = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert len(names) == 21
    assert done.stderr.splitlines()[-1].startswith("vaekit: 11 of 32 images are bad: ")
    assert "bad-00.png" in done.stderr


@pytest.mark.parametrize("way", ["train", "named", "dataset"])
def test_a_share_of_bad_images_can_be_allowed_by_the_option_that_the_error_names(
    cli: Any, tiny_model: Path, train: Any, photos: Path, way: str
) -> None:
    spoil(photos / "train", 11)
    folder = photos / "train"
    command: Any = {
        "train": lambda *more: train("--dataset", photos, "--val-split", "0", *more, "--force"),
        "named": lambda *more: cli("embed", tiny_model, folder, "-o", "z.npy", *more),
        "dataset": lambda *more: cli(
            "embed", tiny_model, "--dataset", folder, "--split", "all", "-o", "z.npy", *more
        ),
    }[way]
    done = command()
    assert done.code == 3
    assert "(--max-bad 0.36 skips them)" in done.stderr.splitlines()[-1]
    assert command("--max-bad", "0.36").code == 0


# Row 8: an animation to train on.


def test_animated_gif_among_photos_gives_its_first_frame_and_it_is_said(
    train: Any, photos: Path
) -> None:
    frames = [photo(40), photo(41)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    (photos / "train" / "moving.gif").write_bytes(content)
    done = train("--dataset", photos, "--val-split", "0")
    assert done.code == 0
    assert "photos: 1 image has several frames: the first frame was taken" in done.stderr


# Row 15: names that are hard on lines.


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
def test_newline_and_bytes_beyond_utf_8_in_names_leave_json_lines_valid(
    cli: Any, train: Any, tiny_model: Path, photos: Path
) -> None:
    names = [b"two\nlines.png", b"\xff\xfe.png", b'quote".png', b"\x1b[2J.png"]
    for number, name in enumerate(names):
        Path(os.fsdecode(b"photos/train/" + name)).write_bytes(encoded(photo(number), "PNG"))
    assert train("--dataset", photos).code == 0
    done = cli("score", tiny_model, "photos/train")
    assert done.code == 0
    found = [os.fsencode(json.loads(line)["path"]) for line in done.stdout.splitlines()]
    assert len(found) == 24
    assert {b"photos/train/" + name for name in names} <= {*found}


# Rows 16 and 17: too few.


@pytest.mark.parametrize("inside", [[], ["notes.txt", "x.csv"]], ids=["empty", "no images"])
def test_folder_without_images_is_refused_with_the_endings_it_takes(
    cli: Any, train: Any, tiny_model: Path, inside: list[str]
) -> None:
    Path("empty").mkdir()
    for name in inside:
        Path("empty", name).write_text("text")
    for done in (train("--dataset", "empty"), cli("embed", tiny_model, "empty", "-o", "z.npy")):
        refused(done, 3, "empty: holds no image", ".png", ".jpg", ".webp")
    assert not Path("z.npy").exists()


def test_fewer_images_than_a_batch_train_with_a_smaller_batch_and_it_is_said(
    train: Any, photos: Path
) -> None:
    done = train("--dataset", photos, "--val-split", "0", "--batch-size", "128")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    assert "--batch-size 128: there are 20 images, so a batch holds them all" in done.stderr
    training = read_model_file("run/model.safetensors").header.training
    assert (training["n"], training["steps"]) == (20, 1)


# Row 18: a file that goes while it is read.


def test_photo_deleted_while_training_reads_is_named(
    train: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit.data.sources import folder as module

    read_file = module.read_file

    def deleting(path: Path) -> bytes:
        if path.name == "07.png":
            path.unlink(missing_ok=True)
        return bytes(read_file(path))

    monkeypatch.setattr(module, "read_file", deleting)
    done = train("--dataset", photos, "--val-split", "0")
    assert done.code == 0
    assert "1 bad image was skipped: train/07.png: cannot be read" in done.stderr


def test_transparent_photos_are_laid_on_white_in_training(train: Any, photos: Path) -> None:
    """Row 6: what nobody can see must not be learned."""
    fingerprints = set()
    for hidden in (0, 255):
        image = Image.merge("LA", (Image.new("L", (8, 8), hidden), Image.new("L", (8, 8), 0)))
        image.save(photos / "train" / "clear.png")
        assert train("--dataset", photos, "--val-split", "0", "--force").code == 0
        fingerprints.add(read_model_file("run/model.safetensors").header.training["fingerprint"])
    assert len(fingerprints) == 1
