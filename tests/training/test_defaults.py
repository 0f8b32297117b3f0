"""The default learning rate is the one measured in docs/defaults.md."""

from __future__ import annotations

from typing import Any

import pytest

from vaekit.configuration.config import RunConfig
from vaekit.errors import UsageError
from vaekit.training.defaults import fill_defaults

GREY, MANY = (28, 28, 1), 54_000


@pytest.mark.parametrize(
    ("options", "images", "rate"),
    [
        ({"likelihood": "bce"}, MANY, 5e-3),
        ({"likelihood": "bernoulli"}, MANY, 5e-3),
        ({"likelihood": "logistic"}, MANY, 2e-3),
        ({"likelihood": "gaussian"}, MANY, 2e-3),
        ({"likelihood": "bce"}, 9_999, 2e-3),
        ({"likelihood": "bce", "batch_size": 32}, MANY, 2.5e-3),
        ({"likelihood": "bce", "batch_size": 8}, MANY, 2e-3),
        ({"likelihood": "bce", "batch_size": 512}, MANY, 5e-3),
        ({"likelihood": "bce", "schedule": "constant"}, MANY, 2e-3),
        ({"likelihood": "bce", "lr": 0.01}, MANY, 0.01),
        ({"likelihood": "bce", "model": "ladder"}, MANY, 1e-3),
        ({"likelihood": "logistic", "model": "ladder", "lr": 0.002}, 300, 2e-3),
    ],
)  # fmt: skip
def test_the_rate_suits_the_loss_and_the_images(
    options: dict[str, object], images: int, rate: float
) -> None:
    settled = fill_defaults(RunConfig(dataset="mnist", **options), GREY, "mnist", images)
    assert settled.lr == pytest.approx(rate)
    assert fill_defaults(settled, GREY, "mnist", images) == settled


def test_without_options_a_run_trains_a_small_network_on_glyphs() -> None:
    settled = fill_defaults(RunConfig(), (32, 32, 1), "glyphs", 18_000)
    chosen = settled.dataset, settled.model, settled.latent_dim, settled.likelihood, settled.epochs
    assert chosen == ("glyphs", "mlp", 16, "bce", 24)


def test_a_new_conv_enlarges_without_a_checkerboard_unless_it_is_asked_to() -> None:
    new = fill_defaults(RunConfig(model="conv"), GREY, "photos", MANY)
    old = fill_defaults(RunConfig(model="conv", upsampling="transposed"), GREY, "photos", MANY)
    assert (new.upsampling, old.upsampling) == ("nearest", "transposed")
    other = fill_defaults(RunConfig(model="resnet"), GREY, "photos", MANY)
    assert other.upsampling is None


@pytest.mark.parametrize(
    ("options", "batch_size", "epochs"),
    [
        ({"model": "ladder"}, 32, 120),
        ({"model": "ladder", "batch_size": 128}, 128, 400),
        ({"model": "conv"}, 128, 334),
    ],
)
def test_a_ladder_makes_more_and_smaller_steps(
    options: dict[str, Any], batch_size: int, epochs: int
) -> None:
    settled = fill_defaults(RunConfig(**options), (32, 32, 3), "photos", 300)
    assert (settled.batch_size, settled.epochs) == (batch_size, epochs)
    assert settled.images_per_step == batch_size


@pytest.mark.parametrize(
    ("options", "images", "size", "channels"),
    [
        ({}, 99_999, "small", (32, 64)),
        ({}, 100_000, "base", (64, 128)),
        ({"size": "large"}, 100, "large", (128, 256)),
        ({"size": "base", "channels": (8,)}, 100, "base", (8,)),
    ],
)
def test_the_size_of_a_ladder_suits_the_number_of_images(
    options: dict[str, Any], images: int, size: str, channels: tuple[int, ...]
) -> None:
    asked = RunConfig(dataset="mnist", model="ladder", **options)
    settled = fill_defaults(asked, GREY, "mnist", images)
    assert (settled.size, settled.channels) == (size, channels)
    assert fill_defaults(settled, GREY, "mnist", images) == settled


def test_a_size_is_refused_by_models_of_one_size() -> None:
    with pytest.raises(UsageError, match="--size is for --model ladder, not for conv"):
        fill_defaults(RunConfig(model="conv", size="base"), GREY, "mnist", MANY)


@pytest.mark.parametrize(
    ("image", "images", "dataset", "options", "model"),
    [
        ((32, 32, 3), 324, "photos", {}, "ladder"),
        ((64, 64, 3), 2_000, "photos", {}, "ladder"),
        ((32, 32, 3), 2_001, "photos", {}, "conv"),
        ((96, 64, 3), 324, "photos", {}, "conv"),
        ((32, 32, 1), 324, "scans", {}, "conv"),
        ((64, 64, 3), 324, "shapes", {}, "conv"),
        ((32, 32, 3), 324, "photos", {"latent_dim": 64}, "conv"),
        ((32, 32, 3), 324, "photos", {"norm": "group"}, "conv"),
        ((12, 32, 3), 324, "photos", {}, "mlp"),
    ],
)  # fmt: skip
def test_few_small_photographs_get_the_network_that_reconstructs_them(
    image: tuple[int, int, int], images: int, dataset: str, options: dict[str, Any], model: str
) -> None:
    settled = fill_defaults(RunConfig(**options), image, dataset, images)
    assert settled.model == model
    assert fill_defaults(settled, image, dataset, images) == settled
