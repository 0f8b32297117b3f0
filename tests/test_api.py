"""`vaekit.train`, `vaekit.evaluate` and `vaekit.compare` from a program's point of view."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from tests.conftest import TINY, Runner
from vaekit.errors import DataError, UsageError

SMALL = {
    "epochs": 2,
    "hidden": [8],
    "latent_dim": 2,
    "likelihood": "bce",
    "threads": 1,
    "pictures_every": "off",
    "checkpoint_every": "1h",
}


@pytest.fixture(scope="module")
def digits() -> package.ImageSet:
    return package.load_dataset("digits", "test")


def test_a_run_stands_for_its_model_file_and_holds_the_rest(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    run = package.train(**TINY, output="run", threads=1, watcher=seen.append)
    assert os.fspath(run) == str(run) == str(run.path) == "run/model.safetensors"
    assert run.folder == Path("run")
    assert run.history == seen
    assert [
        json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()
    ] == run.history
    assert run.config.latent_dim == 4
    assert run.model.latent_dim == 4
    assert package.load(run).header == run.model.header
    assert repr(run).startswith("Run('run/model.safetensors', 3 epochs, val_neg_elbo ")
    assert isinstance(run.plot(), Image.Image)
    assert run._repr_html_().count("<img") == 1


def test_training_on_an_array_is_training_on_a_file_of_it(
    digits: package.ImageSet, tmp_path: Path
) -> None:
    """The same images are cut off for validation; a file is cut for testing as well."""
    run = package.train(images=digits.images, output="run", **SMALL)
    training = run.model.header.training
    assert (training["n"] + training["n_val"], training["dataset"]) == (len(digits), "images")
    again = package.train(images=digits.images / 255, output="again", **SMALL)
    assert again.path.read_bytes() == run.path.read_bytes()


def test_the_folder_of_a_run_on_images_is_named_after_them(digits: package.ImageSet) -> None:
    assert package.train(images=digits.images, **SMALL).folder == Path("runs/images-mlp")
    assert package.train(images=digits, **SMALL).folder == Path("runs/digits-mlp")


def test_a_run_on_images_resumes_with_the_same_ones_alone(digits: package.ImageSet) -> None:
    options = {**SMALL, "schedule": "constant"}
    package.train(images=digits, output="run", **options)
    with pytest.raises(DataError, match=r"vaekit\.train\(resume=\.\.\., images=\.\.\.\)"):
        package.train(resume="run", epochs=3)
    with pytest.raises(DataError, match="not the images"):
        package.train(resume="run", epochs=3, images=digits.images[:100])
    longer = package.train(resume="run", epochs=3, images=digits)
    straight = package.train(images=digits, output="straight", **{**options, "epochs": 3})
    assert longer.path.read_bytes() == straight.path.read_bytes()


def test_a_path_of_images_is_a_data_set(digits: package.ImageSet) -> None:
    np.save("x.npy", package.load_dataset("digits", "all", limit=300).images)
    run = package.train(images=Path("x.npy"), output="run", **SMALL)
    assert run.config.dataset == "x.npy"
    with pytest.raises(UsageError, match="images and dataset exclude each other"):
        package.train(images=digits, dataset="digits")


def test_comparing_gives_the_record_of_the_command(cli: Runner, tiny_model: Path) -> None:
    other = package.train(**{**TINY, "epochs": 1}, output="other", threads=1)
    done = cli("compare", tiny_model, other, "--dataset", "digits", "--limit", "30", "--json")
    assert package.compare([tiny_model, other], "digits", limit=30) == json.loads(done.stdout)
    opened = package.compare([package.load(tiny_model), other.model], "digits", limit=30)
    assert opened["models"][0]["model"] == str(tiny_model)
    with pytest.raises(UsageError, match="two models or more"):
        package.compare([other])


def test_public_functions_have_their_public_names() -> None:
    for name in ("train", "evaluate", "compare", "load"):
        assert getattr(package, name).__name__ == name
