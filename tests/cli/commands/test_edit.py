"""`vaekit edit` and `vaekit manifold`: the images that the latent arithmetic gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm

import vaekit as package
from vaekit.cli.commands.edit import split_difference
from vaekit.inference import Model


@pytest.fixture
def one() -> np.ndarray:
    image = package.load_dataset("digits", "test").images[:1]
    np.save("one.npy", image)
    return image


def edited(cli: Any, model: Path, *options: str) -> np.ndarray:
    done = cli("edit", model, "one.npy", "-o", "x.npy", "-q", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "x.npy\n", "")
    return np.load("x.npy")


def last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


def test_towards_a_label_adds_the_mean_of_the_class_minus_the_mean_of_the_rest(
    cli: Any, tiny_model: Path, model: Model, one: np.ndarray
) -> None:
    found = edited(cli, tiny_model, "--towards", "9", "--strength", "1.5", "--steps", "3")
    digits = package.load_dataset("digits", "test")
    z = model.embed(digits.images).double().numpy()
    nine = digits.labels == 9
    vector = torch.from_numpy((z[nine].mean(0) - z[~nine].mean(0)).astype(np.float32))
    start = model.embed(one)
    wanted = model.decode(torch.cat([start, start + 0.75 * vector, start + 1.5 * vector]))
    assert np.allclose(found, last(wanted), atol=1e-5)
    python = package.load(tiny_model, "cpu")
    own = python.edit(one, python.attribute(digits, nine), strength=1.5, steps=3)
    assert np.array_equal(last(own), found)


def test_adding_a_difference_takes_latents_and_images(
    cli: Any, tiny_model: Path, model: Model, one: np.ndarray
) -> None:
    a, b = np.float32([[1, 0, 0, 0], [3, 0, 0, 0]]), np.float32([[0, 1, 0, 0]])
    np.savez("a-b.npz", z=a)
    np.save("b.npy", b)
    found = edited(cli, tiny_model, "--add", "a-b.npz-b.npy", "--steps", "2")
    start = model.embed(one)
    wanted = model.decode(torch.cat([start, start + torch.tensor([[2.0, -1.0, 0.0, 0.0]])]))
    assert np.allclose(found, last(wanted), atol=1e-6)
    alone = edited(cli, tiny_model, "--add", "one.npy", "--steps", "2")
    assert np.allclose(alone[1], last(model.decode(2 * start))[0], atol=1e-5)
    assert split_difference("a-b.npz") == ["a-b.npz"]


def test_an_animation_and_a_sheet_have_a_row_per_image(
    cli: Any, tiny_model: Path, one: np.ndarray
) -> None:
    np.save("one.npy", np.repeat(one, 2, axis=0))
    options = ["--towards", "3", "--steps", "4"]
    assert cli("edit", tiny_model, "one.npy", *options, "-o", "e.gif").code == 0
    with Image.open("e.gif") as animation:
        assert animation.n_frames == 6
    assert cli("edit", tiny_model, "one.npy", *options).stdout == "edited.png\n"
    with Image.open("edited.png") as sheet:
        assert sheet.height >= 2 * 64 + 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "edit needs one of --towards LABEL and --add A-B"),
        (["--towards", "1", "--add", "one.npy"], "edit needs one of"),
        (["--towards", "cat"], "--towards cat: no image has this label; labels: 0, 1"),
        (["--add", "a.npz-b.npz"], "--add a.npz-b.npz: two existing paths"),
        (["--towards", "1", "--strength", "nan"], "--strength nan"),
    ],
)
@pytest.mark.usefixtures("one")
def test_what_cannot_be_edited_is_refused(
    cli: Any, tiny_model: Path, options: list[str], said: str
) -> None:
    done = cli("edit", tiny_model, "one.npy", *options)
    assert (done.code, done.stdout) == (2, "")
    assert said in done.stderr


# manifold


def test_the_grid_decodes_quantiles_of_the_prior(cli: Any, tiny_model: Path, model: Model) -> None:
    done = cli("manifold", tiny_model, "--size", "3", "--dims", "2,0", "-o", "x.npy", "-q")
    assert (done.code, done.stdout) == (0, "x.npy\n")
    low, high = norm.ppf(1 / 6), norm.ppf(5 / 6)
    z = torch.zeros(9, 4)
    z[:, 2] = torch.tensor([low, 0, high] * 3)
    z[:, 0] = torch.tensor([high] * 3 + [0] * 3 + [low] * 3)
    assert np.allclose(np.load("x.npy"), last(model.decode(z)), atol=1e-5)
    assert cli("manifold", tiny_model, "--size", "3").stdout == "manifold.png\n"
    with Image.open("manifold.png") as grid:
        assert grid.size == (3 * 66 - 2, 3 * 66 - 2)


@pytest.mark.parametrize("dims", ["0", "0,0", "0,4", "a,b", "0,1,2"])
def test_a_plane_needs_two_dimensions_of_the_model(cli: Any, tiny_model: Path, dims: str) -> None:
    done = cli("manifold", tiny_model, "--dims", dims)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert f"--dims {dims}: two different dimensions from 0 to 3" in done.stderr
