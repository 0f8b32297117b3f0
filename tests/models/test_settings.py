"""If these fail, a mistyped option trains another model than the one that was asked for."""

from __future__ import annotations

import pytest

from vaekit.errors import UsageError
from vaekit.likelihoods import build_likelihood
from vaekit.models.settings import ACTIVATIONS, NORMS, resolve_settings
from vaekit.models.vae import build, parameter_count, parameter_count_of
from vaekit.registry import MODELS

IMAGE = (8, 8, 1)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("conv", "hidden", "--hidden is for --model mlp, not for conv"),
        ("mlp", "channels", "--channels is for --model conv, resnet or ladder, not for mlp"),
        ("mlp", "norm", "--norm is for --model conv or resnet, not for mlp"),
        ("conv", "depth", "--depth is for --model resnet or ladder, not for conv"),
        ("mlp", "hiden", "unknown setting 'hiden' for --model mlp: did you mean 'hidden'?"),
    ],
)
def test_a_setting_the_model_does_not_take_is_refused(
    name: str, setting: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_settings(name, IMAGE, {setting: [4]})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "setting", "value", "allowed"),
    [
        ("mlp", "hidden", [400, 0], "positive whole numbers, or an empty one"),
        ("mlp", "hidden", [4.0], "positive whole numbers"),
        ("mlp", "hidden", [True], "positive whole numbers"),
        ("mlp", "hidden", "400", "positive whole numbers"),
        ("mlp", "hidden", 400, "positive whole numbers"),
        ("conv", "channels", [], "a list of up to 1000 positive whole numbers"),
        ("conv", "channels", [-1], "a list of up to 1000 positive whole numbers"),
        ("resnet", "depth", 0, "a positive whole number"),
        ("resnet", "depth", True, "a positive whole number"),
        ("resnet", "depth", 1.5, "a positive whole number"),
        ("resnet", "depth", 1_000_000, "a positive whole number, up to 1000"),
        ("mlp", "hidden", [1] * 1001, "up to 1000 positive whole numbers"),
        ("conv", "norm", "layer", "batch, group, none"),
        ("conv", "upsampling", "bilinear", "nearest, transposed"),
        ("conv", "norm", None, "batch, group, none"),
        ("conv", "activation", "swish", "relu, leaky-relu, elu, gelu, silu, tanh"),
        ("mlp", "activation", ["relu"], "relu, leaky-relu"),
    ],
)
def test_an_invalid_value_is_refused_with_the_valid_ones(
    name: str, setting: str, value: object, allowed: str
) -> None:
    with pytest.raises(UsageError) as raised:
        resolve_settings(name, IMAGE, {setting: value})
    assert f"--{setting} {value!r}" in str(raised.value)
    assert allowed in str(raised.value)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mlp", {"hidden": [40, 30]}),
        ("conv", {"channels": [8, 16]}),
        ("resnet", {"channels": [8, 16], "depth": 1}),
        ("resnet", {"channels": [8, 16], "depth": 7}),
    ],
)
def test_parameters_are_counted_without_making_them(name: str, settings: dict[str, object]) -> None:
    given = {"image": (9, 8, 3), "latent_dim": 5, "likelihood": build_likelihood("logistic")}
    built = build(name, settings=settings, **given)
    assert parameter_count_of(name, settings=settings, **given) == parameter_count(built)


def test_a_network_larger_than_any_memory_is_counted_or_refused_at_once() -> None:
    given = {"image": (28, 28, 1), "latent_dim": 20, "likelihood": build_likelihood("bce")}
    assert parameter_count_of("mlp", settings={"hidden": [10**6] * 2}, **given) > 2 * 10**12
    assert parameter_count_of("resnet", settings={"depth": 1000}, **given) > 10**9
    with pytest.raises(UsageError, match=r"over 2\^63 weights"):
        parameter_count_of("conv", settings={"channels": [10**9] * 2}, **given)


@pytest.mark.parametrize("latent_dim", [0, -1, 2.0, True, "16"])
def test_an_invalid_latent_dim_is_refused(latent_dim: int) -> None:
    with pytest.raises(UsageError, match="--latent-dim"):
        build("mlp", image=IMAGE, latent_dim=latent_dim, likelihood=build_likelihood("bce"))


@pytest.mark.parametrize("image", [(0, 8, 1), (8, 8), (8, 8, 1, 1), (8.0, 8, 1)])
def test_an_invalid_image_shape_is_refused(image: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="height, width and channels"):
        build("conv", image=image, latent_dim=2, likelihood=build_likelihood("bce"))


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'conv'"):
        build("convs", image=IMAGE, latent_dim=2, likelihood=build_likelihood("bce"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("side", [1, 2, 3, 8, 28, 32, 64, 500])
def test_the_defaults_are_sound_for_every_size(name: str, side: int) -> None:
    defaults = resolve_settings(name, (side, side, 3), {})
    assert resolve_settings(name, (side, side, 3), defaults) == defaults


@pytest.mark.parametrize(
    ("name", "side", "channels"),
    [
        ("conv", 1, [32]),
        ("conv", 28, [32, 64, 128]),
        ("conv", 32, [32, 64, 128, 256]),
        ("conv", 128, [32, 64, 128, 256, 256, 256]),
        ("resnet", 28, [32, 64, 128, 256]),
        ("resnet", 32, [32, 64, 128, 256]),
    ],
)
def test_the_number_of_stages_follows_the_size(name: str, side: int, channels: list[int]) -> None:
    assert resolve_settings(name, (side, side, 1), {})["channels"] == channels


def test_given_settings_go_over_the_defaults_as_json_holds_them() -> None:
    settings = resolve_settings("conv", IMAGE, {"channels": (8, 16), "norm": "none"})
    assert settings == {
        "channels": [8, 16],
        "activation": "relu",
        "norm": "none",
        "upsampling": "transposed",
    }


def test_every_listed_choice_is_accepted() -> None:
    for activation in ACTIVATIONS:
        assert (
            resolve_settings("mlp", IMAGE, {"activation": activation})["activation"] == activation
        )
    for norm in NORMS:
        assert resolve_settings("resnet", IMAGE, {"norm": norm})["norm"] == norm
