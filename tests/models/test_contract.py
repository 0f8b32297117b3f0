"""One contract for the whole zoo: if it fails for a model, a command fails for its users.

A model that is added to the registry is tested here without a new test.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from vaekit.gaussian import Normal
from vaekit.likelihoods import build_likelihood
from vaekit.models.settings import Image, resolve_settings
from vaekit.models.vae import VAE, build, parameter_count
from vaekit.objectives.elbo import elbo
from vaekit.registry import LIKELIHOODS, MODELS, resolve

IMAGES: list[Image] = [(28, 28, 1), (32, 32, 3), (35, 20, 1), (1, 1, 1), (7, 5, 3)]
LATENT = 4
"""Asked for where the model leaves a choice."""
BATCH = 3

zoo = pytest.mark.parametrize("name", MODELS)
shapes = pytest.mark.parametrize("image", IMAGES, ids=lambda i: "x".join(map(str, i)))


def make(
    name: str,
    image: Image = (7, 5, 3),
    likelihood: str = "bce",
    latent_dim: int | None = None,
    **options: Any,
) -> VAE:
    made = build_likelihood(likelihood, sigma="learned" if likelihood == "gaussian" else None)
    count = latents(name, image, options.get("settings"), latent_dim)
    return build(name, image=image, latent_dim=count, likelihood=made, **options)


def latents(name: str, image: Image, settings: Any = None, asked: int | None = None) -> int:
    full = resolve_settings(name, image, settings or {})
    kind: type[VAE] = resolve("model", name)
    return kind.latent_dim_for(image, full, asked, usual=LATENT)


def defaults_of(name: str, image: Image) -> dict[str, Any]:
    kind: type[VAE] = resolve("model", name)
    return kind.defaults(image)


def pictures(image: Image, count: int = BATCH, seed: int = 0) -> Tensor:
    height, width, channels = image
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), generator=g) / 255


def noise(model: VAE, count: int = BATCH) -> Tensor:
    return torch.randn(count, model.latent_dim, generator=torch.Generator().manual_seed(1))


def stirred(model: VAE) -> VAE:
    """The model with every parameter moved, so that nothing rests at a special value."""
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=g))
    return model


@zoo
@shapes
def test_shapes_are_those_promised(name: str, image: Image) -> None:
    model, x = make(name, image), pictures(image)
    q = model.encode(x)
    assert isinstance(q.at_mean(), Normal)
    size = (BATCH, latents(name, image))
    assert (
        q.at_mean().mean.shape == q.at_mean().logvar.shape == q.draw(noise(model)).z.shape == size
    )
    assert sum(model.group_sizes) == model.latent_dim
    assert (
        model.decode(noise(model)).shape
        == model.mean(noise(model)).shape
        == model(x).shape
        == x.shape
    )
    assert (model.image, model.latent_dim, model.name) == (image, latents(name, image), name)


@zoo
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_gets_its_parameters_and_sane_nats(name: str, likelihood: str) -> None:
    image = (9, 8, 3)
    model, x = make(name, image, likelihood, mean_image=torch.full((3, 9, 8), 0.5)), pictures(image)
    params = model.decode(noise(model))
    assert params.shape == (BATCH, model.likelihood.parameters_per_pixel(3), 9, 8)
    terms = elbo(model, x, noise(model))
    per_value = terms["neg_elbo"] / x[0].numel()
    assert terms["neg_elbo"].isfinite().all()
    assert per_value.max() < 20  # an untrained model is wrong, not absurd


@zoo
@shapes
@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
def test_every_parameter_is_trained(name: str, image: Image, likelihood: str) -> None:
    model = stirred(make(name, image, likelihood)).eval()  # batch statistics cancel a bias exactly
    elbo(model, pictures(image, 8), noise(model, 8))["loss"].mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@zoo
def test_a_few_steps_bring_the_loss_down(name: str) -> None:
    image = (8, 8, 1)
    model, x = make(name, image), pictures(image, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = elbo(model, x, noise(model, 16))["loss"].mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


@zoo
@shapes
def test_weights_depend_on_the_seed_and_on_nothing_else(name: str, image: Image) -> None:
    torch.manual_seed(1)
    first = make(name, image, seed=5).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again, other = make(name, image, seed=5).state_dict(), make(name, image, seed=6).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@zoo
@shapes
def test_weights_survive_a_file(name: str, image: Image) -> None:
    model = stirred(make(name, image, "logistic")).eval()
    again = make(name, image, "logistic", seed=9).eval()
    again.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(again(pictures(image)), model(pictures(image)))


@zoo
@shapes
def test_settings_survive_json(name: str, image: Image) -> None:
    model = make(name, image)
    settings = json.loads(json.dumps(model.settings))
    again = make(name, image, settings=settings)
    assert settings == model.settings == again.settings
    assert settings.keys() == type(model).defaults(image).keys()
    first, second = model.state_dict(), again.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@zoo
@shapes
def test_in_evaluation_an_image_does_not_depend_on_its_batch(name: str, image: Image) -> None:
    model, x = stirred(make(name, image)).eval(), pictures(image, 6)
    neighbours = torch.cat([x[:1], pictures(image, 5, seed=7)])
    for function in (
        model,
        lambda x: model.encode(x).at_mean().mean,
        lambda x: model.encode(x).at_mean().logvar,
    ):
        whole = function(x)
        assert torch.equal(function(x), whole)
        torch.testing.assert_close(function(neighbours)[0], whole[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(function(x[3:4])[0], whole[3], rtol=1e-4, atol=1e-5)


@zoo
@shapes
def test_on_the_meta_device_there_are_shapes_without_memory(name: str, image: Image) -> None:
    real = make(name, image)
    with torch.device("meta"):
        planned = make(name, image, mean_image=torch.zeros(image[2], *image[:2]))
    assert all(parameter.is_meta for parameter in planned.parameters())
    assert parameter_count(planned) == parameter_count(real)
    expected = {key: value.shape for key, value in real.state_dict().items()}
    assert {key: value.shape for key, value in planned.state_dict().items()} == expected
    assert planned(torch.zeros(2, image[2], *image[:2], device="meta")).shape[2:] == image[:2]


@zoo
def test_a_latent_larger_than_any_memory_can_be_built_without_weights(name: str) -> None:
    image: Image = (8, 8, 1)
    settings = {"latent_channels": 10**8} if "latent_channels" in defaults_of(name, image) else {}
    with torch.device("meta"):
        model = make(name, image, settings=settings, latent_dim=None if settings else 10**9)
    assert parameter_count(model) > 10**10


@zoo
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_an_untrained_model_draws_the_mean_image(name: str, likelihood: str) -> None:
    mean_image = torch.linspace(0.2, 0.8, 3 * 63).reshape(3, 9, 7)
    model = make(name, (9, 7, 3), likelihood, mean_image=mean_image).eval()
    drawn = model.mean(noise(model, 64)).mean(0)
    torch.testing.assert_close(drawn.mean((1, 2)), mean_image.mean((1, 2)), atol=0.12, rtol=0)
    model.output.weight.data.zero_()  # the bias alone
    per_pixel = isinstance(model.output, torch.nn.Linear)
    expected = mean_image if per_pixel else mean_image.mean((1, 2), keepdim=True).expand(3, 9, 7)
    torch.testing.assert_close(model.mean(noise(model, 1))[0], expected)


@zoo
@shapes
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_extreme_images_give_finite_posteriors(name: str, image: Image, scale: float) -> None:
    model = make(name, image).eval()
    q = model.encode(torch.full_like(pictures(image), scale)).at_mean()
    assert q.mean.isfinite().all()
    assert q.logvar.abs().max() <= 20
    assert q.std.isfinite().all()
    assert model.decode(noise(model) * 1e4).isfinite().all()


@zoo
def test_both_ends_keep_full_precision_under_autocast(name: str) -> None:
    model, x = make(name, (8, 8, 3)).eval(), pictures((8, 8, 3))
    expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = model.encode(x).at_mean()
        params = model.decode(q.mean)
    assert {q.mean.dtype, q.logvar.dtype, params.dtype} == {torch.float32}
    torch.testing.assert_close(model.likelihood.mean(params), expected, atol=0.02, rtol=0)


@zoo
def test_the_memory_format_changes_nothing_but_speed(name: str) -> None:
    model, x = stirred(make(name, (8, 6, 3))).eval(), pictures((8, 6, 3))
    expected = model(x)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)


@zoo
def test_a_last_batch_of_one_image_can_be_trained_on(name: str) -> None:
    model = make(name, (1, 1, 1)).train()
    terms = elbo(model, pictures((1, 1, 1), 1), noise(model, 1))
    terms["loss"].mean().backward()
    assert terms["loss"].isfinite().all()
