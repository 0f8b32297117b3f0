"""A model that was trained on a folder finds it again, if it is still the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from tests.conftest import Runner


def draw(numbers: range) -> None:
    Path("photos").mkdir(exist_ok=True)
    for n in numbers:
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(f"photos/{n}.png")


@pytest.fixture(params=["m.safetensors", "run"])
def model(request: pytest.FixtureRequest) -> Path:
    """A model with its run's folder beside it, and one in that folder."""
    draw(range(60))
    return package.train(
        dataset="photos", model="mlp", hidden=[8], latent_dim=2, epochs=1, output=request.param,
        threads=1, likelihood="bernoulli", binarize="static",
    ).path  # fmt: skip


def test_the_test_part_of_its_folder_is_used_and_named(
    cli: Runner, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, folder = package.load_dataset("photos", "test"), Path("photos").resolve()
    model = model.resolve()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    done = cli("evaluate", model, "--json")
    assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["dataset"], record["n"], record["trained_on"]) == ("photos", len(test), 0)
    assert str(folder) in done.stderr


def test_a_folder_with_other_training_images_is_not_used(cli: Runner, model: Path) -> None:
    name = package.load_dataset("photos", "train").names[0]
    Path("photos", name).unlink()
    done = cli("evaluate", model)
    assert (done.code, done.stdout) == (2, "")
    assert "photos no longer holds the images that the model was trained on" in done.stderr
    assert "--dataset" in done.stderr


def test_without_the_folder_or_the_config_images_must_be_given(cli: Runner, model: Path) -> None:
    shutil.copy(model, "copy.safetensors")
    for command in (["reconstruct", "-o", "x.png"], ["score"]):
        done = cli(*command, "copy.safetensors")
        assert done.stderr == "vaekit: no images: give paths, - for stdin, or --dataset\n"
    shutil.rmtree("photos")
    for command in ("evaluate", "explore", "report"):  # these take --dataset alone
        done = cli(command, model)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr == "vaekit: no images: name some with --dataset\n", command


def pack(name: str, numbers: range) -> None:
    Path("packed").mkdir(exist_ok=True)
    names = [f"{n}.png" for n in numbers]
    subprocess.run(["tar", "-cf", f"packed/{name}", "-C", "photos", *names], check=True)


def test_the_archives_of_a_pattern_are_found_again_until_one_is_added(
    cli: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(range(64))
    for number in range(3):
        pack(f"s-{number}.tar", range(20 * number, 20 * number + 20))
    trained = package.train(
        dataset="packed/s-*.tar", model="mlp", hidden=[8], latent_dim=2, epochs=1, threads=1
    )
    assert trained.folder == Path("runs/s-mlp")
    path = trained.path.resolve()
    Path("elsewhere").mkdir()
    with monkeypatch.context() as there:
        there.chdir("elsewhere")
        done = cli("evaluate", path, "--json")
        assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["dataset"], record["trained_on"]) == ("s-*.tar", 0)
    assert record["n"] == len(package.load_dataset("packed/s-*.tar", "test"))
    pack("s-3.tar", range(60, 64))
    assert "no longer holds the images" in cli("evaluate", path).stderr
