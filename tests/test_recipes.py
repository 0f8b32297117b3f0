"""A recipe is a promise of exact numbers: whoever reruns one compares with what is published."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vaekit.configuration.config import RunConfig, recipe_names
from vaekit.configuration.config_sources import resolve_config
from vaekit.models.vae import parameter_count
from vaekit.training.defaults import fill_defaults, network_from_config

IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "svhn": (32, 32, 3)}

ADAM = {"optimizer": "adam", "lr": 1e-3, "schedule": "constant", "beta": 1.0}
CIFAR = {**ADAM, "dataset": "cifar10", "model": "conv", "channels": (32, 64, 128, 256),
         "activation": "relu", "likelihood": "bce", "batch_size": 128,
         "upsampling": "transposed"}  # fmt: skip
MNIST = {**ADAM, "dataset": "mnist", "activation": "relu", "likelihood": "bce",
         "batch_size": 128, "latent_dim": 20, "val_split": 0.0, "epochs": 20}  # fmt: skip

IWAE = {**ADAM, "dataset": "mnist", "model": "mlp", "hidden": (200, 200), "activation": "tanh",
        "latent_dim": 50, "likelihood": "bernoulli", "binarize": "dynamic", "adam_eps": 1e-4,
        "schedule": "steps", "val_split": 0.0}  # fmt: skip

PROMISED: dict[str, dict[str, Any]] = {
    "cifar10-conv": {**CIFAR, "norm": "batch", "latent_dim": 128, "epochs": 50},
    "cifar10-conv-small": {**CIFAR, "norm": "none", "latent_dim": 20, "epochs": 15},
    "svhn-conv": {**ADAM, "dataset": "svhn", "model": "conv", "latent_dim": 32, "lr": 1e-4,
                  "batch_size": 64, "epochs": 30, "likelihood": "mse", "upsampling": "transposed"},
    "mnist-linear": {**MNIST, "model": "mlp", "hidden": (400,)},
    "mnist-conv": {**MNIST, "model": "conv", "upsampling": "transposed"},
    "mlp-config": {**ADAM, "dataset": "mnist", "model": "mlp", "hidden": (400, 400),
                   "activation": "relu", "latent_dim": 20, "likelihood": "bce", "seed": 0,
                   "schedule": "cosine", "batch_size": 128, "epochs": 50, "val_split": 0.1},
    "mnist-vae-iwae-paper": {**IWAE, "batch_size": 20, "epochs": 3280},
    "mnist-vae-iwae-paper-short": {**IWAE, "batch_size": 100, "epochs": 164},
}  # fmt: skip

every_recipe = pytest.mark.parametrize("name", recipe_names())


def settled(name: str) -> RunConfig:
    config = resolve_config({}, environ={}, recipe=name)
    return fill_defaults(config, IMAGES[config.dataset], config.dataset)


@every_recipe
def test_a_recipe_has_the_numbers_it_promises(name: str) -> None:
    config = settled(name).model_dump()
    assert {key: config[key] for key in PROMISED[name]} == PROMISED[name]


@every_recipe
def test_what_a_recipe_does_not_mention_has_its_default(name: str) -> None:
    """A stray warm-up, average or clip would be a different method under the same name."""
    config, plain = settled(name).model_dump(), RunConfig().model_dump()
    for key in ("kl_warmup", "free_bits", "ema", "grad_clip", "weight_decay", "adam_eps",
                "early_stop", "micro_batch", "limit", "image_size", "grayscale", "precision",
                "sigma", "binarize", "objective", "output", "device", "seed"):  # fmt: skip
        assert config[key] == PROMISED[name].get(key, plain[key]), key


@every_recipe
def test_a_recipe_settles_with_nothing_left_open(name: str) -> None:
    config = settled(name)
    assert None not in (config.model, config.likelihood, config.latent_dim, config.epochs)
    assert fill_defaults(config, IMAGES[config.dataset], config.dataset) == config


@every_recipe
def test_a_recipe_makes_a_network_for_its_images(name: str) -> None:
    config = settled(name)
    height, width, channels = IMAGES[config.dataset]
    with torch.device("meta"):
        network = network_from_config(config, IMAGES[config.dataset])
        x = torch.empty(2, channels, height, width)
        assert network.eval().mean(network.encode(x).mean).shape == x.shape
    assert network.latent_dim == config.latent_dim


def parameters(name: str) -> int:
    config = settled(name)
    with torch.device("meta"):
        return parameter_count(network_from_config(config, IMAGES[config.dataset]))


def test_mnist_linear_is_the_textbook_network() -> None:
    widths = 784 * 400 + 400, 2 * (400 * 20 + 20), 20 * 400 + 400, 400 * 784 + 784
    assert parameters("mnist-linear") == sum(widths)


def test_the_two_of_mnist_differ_in_the_network_alone_and_not_in_its_size() -> None:
    linear, conv = settled("mnist-linear").model_dump(), settled("mnist-conv").model_dump()
    network = {"model", "hidden", "channels", "depth", "norm", "upsampling"}
    assert {k: v for k, v in linear.items() if k not in network} == {
        k: v for k, v in conv.items() if k not in network
    }
    assert parameters("mnist-conv") == pytest.approx(parameters("mnist-linear"), rel=0.05)


def test_the_config_to_copy_explains_what_people_change() -> None:
    from vaekit.configuration.config import recipe_path

    lines = recipe_path("mlp-config").read_text(encoding="utf-8").splitlines()
    keys = {line.split(":")[0] for line in lines if line and not line.startswith("#")}
    assert {"latent_dim", "lr", "batch_size", "epochs", "beta", "hidden", "activation"} <= keys
    assert sum("#" in line for line in lines) > len(keys)


def test_every_recipe_is_held_to_its_numbers() -> None:
    assert set(recipe_names()) == set(PROMISED)
