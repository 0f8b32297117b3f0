"""Each command as a method of a model: the same numbers, files and pictures."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit as package
from tests.conftest import Runner
from vaekit.errors import DataError, UsageError
from vaekit.python.evaluation_images import image_set_for
from vaekit.python.model_pictures import png_tag
from vaekit.python.trained_model import TrainedModel


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> TrainedModel:
    return package.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def digits() -> package.ImageSet:
    return package.load_dataset("digits", "test", limit=40)


def test_evaluating_gives_the_record_of_the_command(
    model: TrainedModel, tiny_model: Path, cli: Runner
) -> None:
    options = ["--limit", "40", "--metrics", "kid", "--features", "pixels"]
    done = cli("evaluate", tiny_model, *options, "--json")
    expected = json.loads(done.stdout)
    asked = {"metrics": ["kid"], "features": "pixels"}
    assert model.evaluate(limit=40, **asked) == expected
    assert package.evaluate(tiny_model, "digits", limit=40, **asked) == expected


def test_an_empty_list_of_metrics_asks_for_none_beyond_the_usual_ones(
    model: TrainedModel, digits: package.ImageSet
) -> None:
    """So that a program can ask for scores only where there are factors."""
    assert model.evaluate(digits, metrics=[]) == model.evaluate(digits)


def test_evaluating_takes_a_set_a_name_and_pixels(
    model: TrainedModel, digits: package.ImageSet
) -> None:
    numbers = model.evaluate(digits)
    for images in (digits.images, digits.images / 255, list(digits.images)):
        found = model.evaluate(images)
        assert (found["neg_elbo"], found["n"]) == (numbers["neg_elbo"], 40)
        assert found["dataset"] == "images"


def test_a_model_of_other_images_asks_for_some(model: TrainedModel) -> None:
    training = {**model.header.training, "dataset": "photos"}
    header = model.header.model_copy(update={"training": training})
    with pytest.raises(UsageError, match="trained on photos, which is not a named data set"):
        image_set_for(TrainedModel(model.network, header))


def test_scores_are_those_of_the_command_and_average_to_the_evaluation(
    model: TrainedModel, tiny_model: Path, cli: Runner, digits: package.ImageSet
) -> None:
    found = model.score(digits)
    with pytest.raises(UsageError, match=r"^nll_samples: bce is not a likelihood"):
        model.score(digits, nll_samples=3)
    done = cli("score", tiny_model, "--limit", "40", "-q")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert found.keys() == lines[0].keys() - {"path", "label"}
    for name, column in found.items():
        given = [math.nan if line[name] is None else line[name] for line in lines]
        assert torch.allclose(column.double(), torch.tensor(given).double(), equal_nan=True)
    assert float(found["neg_elbo"].mean()) == pytest.approx(model.evaluate(digits)["neg_elbo"])


def test_scores_tell_which_images_were_trained_on(
    model: TrainedModel, digits: package.ImageSet
) -> None:
    trained = package.load_dataset("digits", "train", limit=300).images
    trained = trained[model.trained_images.found(trained)][:5]
    mixed = np.concatenate([digits.images[:3], trained, 255 - trained])
    expected = [False] * 3 + [True] * 5 + [False] * 5
    for images in (mixed, mixed / 255):
        found = model.score(images)["trained_on"]
        assert found.dtype == torch.bool
        assert found.tolist() == expected
    assert len(trained) == 5
    untold = TrainedModel(model.network, model.header)
    assert "trained_on" not in untold.score(mixed)


def test_a_saved_model_has_the_bytes_of_its_file(
    model: TrainedModel, tiny_model: Path, tmp_path: Path
) -> None:
    saved = model.save(tmp_path / "copy.safetensors")
    assert saved.read_bytes() == tiny_model.read_bytes()
    with pytest.raises(UsageError, match=r"is a model file; force replaces it"):
        model.save(saved)
    assert model.save(saved, force=True) == saved
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        model.save(tmp_path / "copy.pt")


def test_pictures_hold_the_images_that_the_methods_give(
    model: TrainedModel, digits: package.ImageSet
) -> None:
    grid = np.asarray(model.plot_samples(4, seed=2))
    drawn = (model.sample(4, seed=2).clamp(0, 1) * 255).round().to(torch.uint8)[:, 0].numpy()
    assert grid.shape == (130, 130)
    assert np.array_equal(grid[:64:8, :64:8], drawn[0])
    assert np.array_equal(grid[66::8, 66::8], drawn[3])
    pairs = np.asarray(model.plot_reconstructions(digits, 3))
    assert np.array_equal(pairs[:64:8, -64::8], digits.images[2, ..., 0])
    a, b = digits.images[:2]
    morph = np.asarray(model.plot_interpolation(a, b, steps=5))
    assert morph.shape[1] == 7 * 66 - 2
    assert np.array_equal(morph[-64::8, :64:8], a[..., 0])
    assert np.array_equal(morph[-64::8, -64::8], b[..., 0])
    assert model.plot_traversal(a, dims=[0, 2], steps=3).size[1] >= 130
    assert model.plot_reconstructions().size[0] > 64


def test_a_map_of_the_latents_is_coloured_by_the_labels_given(
    model: TrainedModel, digits: package.ImageSet
) -> None:
    own = np.asarray(model.plot_latents(digits))
    plain = np.asarray(model.plot_latents(digits.images))
    assert len(np.unique(own.reshape(-1, 3), axis=0)) > len(np.unique(plain.reshape(-1, 3), axis=0))


def test_a_model_says_what_it_is(model: TrainedModel) -> None:
    assert re.fullmatch(
        r"Model\(mlp, image=8x8x1, latent_dim=4, likelihood=bce, "
        r"trained on digits: \d+ images, 3 epochs\)",
        repr(model),
    )


def test_a_notebook_shows_facts_and_samples(model: TrainedModel) -> None:
    shown = model._repr_html_()
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert np.array_equal(np.asarray(picture), np.asarray(model.plot_samples(32)))
    assert "8 wide, 8 high, grey" in shown
    assert png_tag(picture, width=5).startswith('<img style="max-width:5px')


def test_errors_of_methods_name_keywords(model: TrainedModel, digits: package.ImageSet) -> None:
    a, b = digits.images[:2]
    with pytest.raises(UsageError, match=r"^steps 1: at least"):
        model.interpolate(a, b, steps=1)
    with pytest.raises(UsageError, match=r"^metrics nonsense"):
        model.evaluate(digits, metrics="nonsense")
    with pytest.raises(DataError, match="one image is needed, not 40"):
        model.interpolate(digits, b)
    assert isinstance(package.load(model.path), package.Model)  # type: ignore[arg-type]
