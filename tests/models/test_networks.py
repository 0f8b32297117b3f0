"""What is particular to one network: if these fail, a recipe no longer is what its source says."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vaekit.likelihoods import build_likelihood
from vaekit.models.layers import BatchNorm, NearestConv, groups
from vaekit.models.resnet import ResidualBlock
from vaekit.models.settings import GridSize
from vaekit.models.vae import VAE, build, parameter_count


def make(name: str, image: tuple[int, int, int], latent_dim: int, **settings: object) -> VAE:
    made = build_likelihood("bce")
    return build(name, image=image, latent_dim=latent_dim, likelihood=made, settings=settings)


def plain_conv(latent_dim: int, norm: bool) -> tuple[nn.ModuleList, int]:
    """The usual convolutional VAE on CIFAR-10, written out layer by layer."""

    def step(layer: nn.Module, width: int) -> list[nn.Module]:
        return [layer, *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]

    encoder = nn.Sequential(
        *step(nn.Conv2d(3, 32, 4, 2, 1), 32),
        *step(nn.Conv2d(32, 64, 4, 2, 1), 64),
        *step(nn.Conv2d(64, 128, 4, 2, 1), 128),
        *step(nn.Conv2d(128, 256, 4, 2, 1), 256),
        nn.Flatten(),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 1024),
        nn.Unflatten(1, (256, 2, 2)),
        *step(nn.ConvTranspose2d(256, 128, 4, 2, 1), 128),
        *step(nn.ConvTranspose2d(128, 64, 4, 2, 1), 64),
        *step(nn.ConvTranspose2d(64, 32, 4, 2, 1), 32),
        nn.ConvTranspose2d(32, 3, 4, 2, 1),
        nn.Sigmoid(),
    )
    heads = [nn.Linear(1024, latent_dim), nn.Linear(1024, latent_dim)]
    parts = nn.ModuleList([encoder, *heads, decoder])
    return parts, sum(parameter.numel() for parameter in parts.parameters())


@pytest.mark.parametrize(("latent_dim", "norm"), [(128, "batch"), (20, "none")])
def test_conv_is_the_usual_network_to_the_last_weight(latent_dim: int, norm: str) -> None:
    torch.manual_seed(0)
    plain, count = plain_conv(latent_dim, norm == "batch")
    channels = [32, 64, 128, 256]
    model = make("conv", (32, 32, 3), latent_dim, channels=channels, activation="relu", norm=norm)
    assert parameter_count(model) == count
    ours, theirs = model.state_dict(), plain.state_dict()
    model.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    x, z = torch.rand(4, 3, 32, 32), torch.randn(4, latent_dim)
    encoder, mean, logvar, decoder = plain
    for mode in (True, False):
        model.train(mode), plain.train(mode)
        torch.testing.assert_close(model.encode(x).mean, mean(encoder(x)))
        bounded = 20 * torch.tanh(logvar(encoder(x)) / 20)
        torch.testing.assert_close(model.encode(x).logvar, bounded)
        torch.testing.assert_close(model.mean(z), decoder(z))


def test_conv_has_the_usual_network_as_its_default() -> None:
    assert parameter_count(make("conv", (32, 32, 3), 128)) == plain_conv(128, True)[1] == 1_775_939


@pytest.mark.parametrize("size", [(8, 6), (2, 1), (1, 4), (32, 32)])
def test_enlarging_is_repeating_pixels_and_a_convolution(size: tuple[int, int]) -> None:
    layer = NearestConv(5, 3, size)
    x = torch.randn(2, 5, *(max(1, side // 2) for side in size), requires_grad=True)
    repeated = functional.interpolate(x, size=size, mode="nearest")
    expected = functional.conv2d(repeated, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    weights = [x, layer.weight, layer.bias]
    ours, theirs = (torch.autograd.grad(y.square().sum(), weights) for y in (layer(x), expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_new_decoder_of_conv_draws_no_checkerboard() -> None:
    """Within flat areas of its input all pixels are equal; a transposed one has four kinds."""
    flat = torch.ones(1, 16, 8, 8)

    def kinds(upsampling: str) -> int:
        model = make("conv", (16, 16, 1), 2, channels=[16, 16], upsampling=upsampling)
        return len(model.output(flat)[0, 0, 2:-2, 2:-2].detach().mul(1e5).round().unique())

    assert (kinds("nearest"), kinds("transposed")) == (1, 4)


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("size", [(1, 1), (3, 13), (9, 6)])
def test_conv_gives_every_size_back_with_either_decoder(size: GridSize, upsampling: str) -> None:
    model = make("conv", (*size, 1), 2, channels=[2, 3, 2], norm="none", upsampling=upsampling)
    assert model(torch.zeros(1, 1, *size)).shape == (1, 1, *size)


def test_mlp_is_the_usual_network_on_mnist() -> None:
    layers = [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    plain = nn.ModuleList(nn.Linear(a, b) for a, b in layers)
    model = make("mlp", (28, 28, 1), 20, hidden=[400], activation="relu")
    assert parameter_count(model) == sum(parameter.numel() for parameter in plain.parameters())
    ours, theirs = model.state_dict(), plain.state_dict()
    model.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    x, z = torch.rand(2, 1, 28, 28), torch.randn(2, 20)
    into, mean, _, back, out = plain
    torch.testing.assert_close(model.encode(x).mean, mean(torch.relu(into(x.flatten(1)))))
    expected = torch.sigmoid(out(torch.relu(back(z)))).reshape(2, 1, 28, 28)
    torch.testing.assert_close(model.mean(z), expected)


def assert_affine(function: nn.Module, a: Tensor, b: Tensor) -> None:
    blend = function(0.3 * a + 0.7 * b)
    torch.testing.assert_close(blend, 0.3 * function(a) + 0.7 * function(b), atol=1e-5, rtol=1e-4)


def test_mlp_without_hidden_layers_is_a_linear_vae() -> None:
    model = make("mlp", (4, 3, 2), 5, hidden=[])
    a, b = torch.rand(2, 6, 2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert_affine(lambda x: model.encode(x).mean, a, b)
    assert_affine(lambda x: model.posterior.logvar(x.flatten(1)), a, b)
    assert_affine(model.decode, a.reshape(-1, 24)[:, :5], b.reshape(-1, 24)[:, :5])
    assert parameter_count(model) == 2 * (24 * 5 + 5) + (5 * 24 + 24)


@pytest.mark.parametrize("name", ["conv", "resnet"])
@pytest.mark.parametrize("channels", [[2], [2, 3], [2, 3, 2, 5]])
def test_any_height_and_width_comes_back_exactly(name: str, channels: list[int]) -> None:
    for height, width in product((1, 2, 3, 5, 6, 9, 13), repeat=2):
        model = make(name, (height, width, 1), 2, channels=channels, norm="none")
        q = model.encode(torch.zeros(1, 1, height, width))
        assert model.decode(q.mean).shape == (1, 1, height, width)
        assert model.decoder[0].out_features == model.posterior.mean.in_features


@pytest.mark.parametrize("name", ["conv", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"])
def test_every_norm_and_activation_is_the_one_named(name: str, norm: str, activation: str) -> None:
    model = make(name, (6, 5, 2), 2, channels=[4, 8], norm=norm, activation=activation)
    kinds = {type(module).__name__ for module in model.modules()}
    named = {"batch": {"BatchNorm"}, "group": {"GroupNorm"}, "none": set()}
    assert {k for k in kinds if k.endswith("Norm")} == named[norm]
    assert activation.replace("-", "") in {kind.lower() for kind in kinds}
    assert model(torch.rand(2, 2, 6, 5)).isfinite().all()


def test_resnet_blocks_begin_as_the_identity() -> None:
    h = torch.randn(2, 8, 5, 5)
    assert torch.equal(ResidualBlock(8, "silu", "group")(h), h)


def test_resnet_has_depth_blocks_at_every_stage_of_both_halves() -> None:
    model = make("resnet", (16, 16, 1), 2, channels=[8, 16], depth=3)
    assert sum(isinstance(module, ResidualBlock) for module in model.modules()) == 2 * 2 * 3


def test_in_training_a_resnet_image_does_not_depend_on_its_batch() -> None:
    model = make("resnet", (8, 8, 1), 2).train()
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model(x)[1], model(x[1:2])[0], rtol=1e-4, atol=1e-5)


def test_batch_norm_is_that_of_torch_but_for_a_single_value() -> None:
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(ours(x), theirs(x))
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    single = x[:1, :, :1, :1]
    torch.testing.assert_close(ours(single), theirs.eval()(single))
    assert all(torch.equal(before[key], value) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("channels", range(1, 300))
def test_groups_divide_and_hold_several_channels(channels: int) -> None:
    assert channels % groups(channels) == 0
    assert channels // groups(channels) >= min(channels, 4)
