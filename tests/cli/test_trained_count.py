"""Images that a model was trained on are counted where it is used, and reported in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from tests.conftest import Runner

COUNT = 200


@pytest.fixture
def photos() -> Path:
    """A folder of 200 different images, as those that a user adds to and removes from."""
    folder = Path("photos")
    folder.mkdir()
    for n in range(COUNT):
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:03}.png")
    return folder


@pytest.fixture
def model(photos: Path) -> Path:
    return package.train(
        dataset=photos, model="mlp", hidden=[8], latent_dim=2, epochs=1, output="m.safetensors",
        threads=1,
    ).path  # fmt: skip


def record_of(cli: Runner, *arguments: str | Path) -> tuple[dict, str]:
    done = cli("evaluate", *arguments, "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_fault_87_a_changed_folder_leaks_no_training_image_into_test(
    cli: Runner, model: Path, photos: Path
) -> None:
    before = {*package.load_dataset(photos, "test").names}
    (photos / "150.png").unlink()
    (photos / "000.png").rename(photos / "zzz.png")
    record, said = record_of(cli, model, "--dataset", photos)
    assert record["trained_on"] == 0
    assert "trained on" not in said
    changed = {*package.load_dataset(photos, "test").names} ^ before
    assert changed <= {"150.png", "000.png", "zzz.png"}


def test_fault_87_training_images_among_test_images_are_counted_and_reported(
    cli: Runner, model: Path, photos: Path
) -> None:
    train = package.load_dataset(photos, "train")
    mixed = Path("mixed.npz")
    np.savez(mixed, x=np.concatenate([train.images[:12], 255 - train.images[:28]]))
    record, said = record_of(cli, model, "--dataset", mixed, "--split", "all")
    assert (record["n"], record["trained_on"]) == (40, 12)
    assert said.count("12 of 40 images were trained on") == 1
    record, said = record_of(
        cli, model, "--dataset", mixed, "--split", "all", "--allow-trained", "-q"
    )
    assert record["trained_on"] == 12
    assert said == ""


def test_training_images_that_were_asked_for_are_counted_without_a_warning(
    cli: Runner, model: Path, photos: Path
) -> None:
    record, said = record_of(cli, model, "--dataset", photos, "--split", "train")
    assert record["trained_on"] == record["n"] > 100
    assert "trained on" not in said


def test_scores_say_it_of_each_image(cli: Runner, model: Path, photos: Path) -> None:
    done = cli("score", model, photos)
    trained = {*package.load_dataset(photos, "train").names}
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(line["path"]).name for line in lines if line["trained_on"]} == trained
    assert f"{len(trained)} of {COUNT} images were trained on" in done.stderr
    header = cli("score", model, photos, "-o", "-", "--format", "csv").stdout.splitlines()[0]
    assert header.startswith("path,label,trained_on,neg_elbo,reconstruction,kl")
    assert "trained on" not in cli("score", model, photos, "--allow-trained").stderr


def test_comparing_counts_for_each_model(cli: Runner, model: Path, photos: Path) -> None:
    other = package.train(
        dataset=photos, limit=20, model="mlp", hidden=[8], latent_dim=2, epochs=1, output="other",
        threads=1,
    ).path  # fmt: skip
    trained = len(package.load_dataset(photos, "train"))
    done = cli("compare", model, other, "--dataset", photos, "--split", "all")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("trained on"))
    assert line.split("  ")[-1].strip() == "20 of 200 images"
    assert f"{trained} of 200 images" in line


@pytest.mark.parametrize(
    "command",
    [
        ["reconstruct", "-n", "70", "-o", "a.png"],
        ["embed", "-o", "a.csv"],
        ["interpolate", "-o", "a.npy", "--steps", "2"],
    ],
)
def test_using_a_model_on_its_training_images_is_reported_once(
    cli: Runner, model: Path, photos: Path, command: list[str]
) -> None:
    files = sorted(photos.iterdir())[:80]
    used = files[:70] if command[0] == "reconstruct" else files
    trained = {*package.load_dataset(photos, "train").names} & {path.name for path in used}
    done = cli(command[0], model, *files, *command[1:])
    assert done.stderr.count(f"{len(trained)} of {len(used)} images were trained on") == 1
    meant = cli(command[0], model, *files, *command[1:], "--allow-trained")
    assert "trained on" not in meant.stderr
