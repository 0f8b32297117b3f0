"""Training on what a Python program has: the same pixels and labels, and no images for testing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import vaekit
from vaekit.data.load import OpenDataset
from vaekit.data.source import Request
from vaekit.errors import DataError
from vaekit.python.training_images import training_source


def loaded(images: Any, size: tuple[int, int] | None = None) -> vaekit.ImageSet:
    source = training_source(images, size)
    return OpenDataset(source.name, source, Request(size=size, val_split=0.0)).take("train")


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_every_form_gives_the_same_images() -> None:
    x = pixels(6, 5, 7, 3)
    first = torch.from_numpy(x).permute(0, 3, 1, 2)
    pairs = TensorDataset(first.float() / 255, torch.arange(6) % 3)
    for form in (
        x, x / 255, first, first.float() / 255, list(x), [*first], [Image.fromarray(i) for i in x],
        pairs, DataLoader(pairs, 4), vaekit.ImageSet("mine", "all", x), (i for i in x),
    ):  # fmt: skip
        found = loaded(form)
        assert np.array_equal(found.images, x), type(form)
    grey = pixels(6, 5, 7)
    for form in (grey, grey / 255, grey[..., None], [*grey], grey.tolist()):
        assert np.array_equal(loaded(form).images, grey[..., None])


def test_labels_come_with_the_images() -> None:
    x = torch.rand(6, 1, 4, 4)
    assert loaded(TensorDataset(x, torch.arange(6) % 3)).labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert loaded(DataLoader(TensorDataset(x, torch.arange(6)), 4)).labels.tolist() == [*range(6)]
    named = loaded([(image, word) for image, word in zip(x, ["b", "a"] * 3, strict=True)])
    assert (named.classes, named.labels.tolist()) == (("a", "b"), [1, 0] * 3)
    data = vaekit.ImageSet("mine", "all", pixels(6, 4, 4, 1), np.arange(6) % 2, classes=("x", "y"))
    assert (loaded(data).classes, loaded(data).labels.tolist()) == (("x", "y"), [0, 1] * 3)
    assert loaded(x).labels is None


def test_a_data_sets_own_class_names_are_kept() -> None:
    data = TensorDataset(torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 1, 0]))
    data.classes = ["cat", "dog"]  # type: ignore[attr-defined]  # as torchvision's data sets have
    assert loaded(data).classes == ("cat", "dog")
    assert loaded(DataLoader(data, 2)).classes == ("cat", "dog")


def test_pictures_of_several_sizes_and_colours_get_one_shape() -> None:
    grey, colour = Image.new("L", (20, 10), 7), Image.new("RGB", (20, 10), (200, 0, 0))
    assert loaded([grey, grey]).image_shape == (10, 20, 1)
    mixed = loaded([grey, colour])
    assert mixed.image_shape == (10, 20, 3)
    assert (mixed.images[0] == 7).all()
    assert loaded([colour, colour.resize((30, 10))]).image_shape == (64, 64, 3)
    assert loaded([colour.resize((600, 300))] * 2).image_shape == (64, 64, 3)
    assert loaded([colour, colour.resize((30, 10))], size=(8, 6)).image_shape == (8, 6, 3)
    assert loaded(pixels(3, 10, 10, 1), size=(5, 5)).image_shape == (5, 5, 1)


def test_paths_are_read_like_a_folder(tmp_path: Path) -> None:
    x = pixels(3, 4, 4, 3)
    for i in range(3):
        Image.fromarray(x[i]).save(tmp_path / f"{i}.png")
    assert np.array_equal(loaded([tmp_path / f"{i}.png" for i in range(3)]).images, x)
    assert np.array_equal(loaded([(tmp_path / "0.png", 1), (tmp_path / "2.png", 0)]).images, x[::2])


def test_the_cache_never_takes_one_array_for_another() -> None:
    """Nothing tells two arrays in memory apart but their content, which changes in place too."""
    x = pixels(6, 5, 7, 1)
    for images in (x, 255 - x):
        source = training_source(images, None)
        shrunk = OpenDataset(source.name, source, Request(size=(1, 1), val_split=0.0)).take("train")
        assert shrunk.images.mean() == pytest.approx(images.mean(), abs=12)


def test_the_train_split_of_a_data_set_is_cut_again() -> None:
    """Its own validation images are not among it, so the same rule would find none."""
    train = vaekit.load_dataset("digits", "train")
    source = training_source(train)
    opened = OpenDataset(source.name, source, Request(val_split=0.2))
    share = len(opened.take("val")) / len(train)
    assert 0.15 < share < 0.25


def test_all_images_are_for_training_and_validation() -> None:
    source = training_source(pixels(10, 4, 4, 1))
    opened = OpenDataset(source.name, source, Request(val_split=0.2))
    assert len(opened.take("train")) + len(opened.take("val")) == 10
    with pytest.raises(DataError, match="test"):
        opened.take("test")


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (Image.new("L", (4, 4)), "pass several"),
        ([], "no images to train on"),
        (3, "images of type int"),
        (np.full((2, 4, 4, 1), 3.0), "divide by 3"),
        (np.zeros((2, 4, 4, 5)), "with 1 or 3 channels"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(images: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        training_source(images)
