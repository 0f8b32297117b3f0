"""Using a model: how many images are asked for changes no bit of any, and shapes are checked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import vaekit as package
from vaekit.errors import DataError, ModelFileError, UsageError
from vaekit.image_arguments import as_floats
from vaekit.inference import Model
from vaekit.latents.walks import latent_path
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import build


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return package.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return package.load_dataset("digits", "test").images[:300]


# However many.


@pytest.mark.parametrize("count", [1, 16, 63, 64, 65, 255, 256, 257])
def test_the_first_samples_are_the_same_however_many_are_drawn(model: Model, count: int) -> None:
    assert torch.equal(model.sample(300)[:count], model.sample(count))
    assert model.sample(count).shape == (count, 1, 8, 8)


@pytest.mark.parametrize("count", [1, 7, 64, 65, 256, 257])
def test_an_image_has_the_same_latents_alone_and_among_others(
    model: Model, images: np.ndarray, count: int
) -> None:
    whole = model.embed(images)
    assert torch.equal(model.embed(images[:count]), whole[:count])
    drawn = model.embed(images, sample=True)
    assert torch.equal(model.embed(images[:count], sample=True), drawn[:count])
    assert torch.equal(model.decode(whole[:count]), model.decode(whole)[:count])


def test_a_conv_gives_the_same_bits_for_any_number_of_images(
    tiny_model: Path, images: np.ndarray
) -> None:
    network = build("conv", image=(8, 8, 1), latent_dim=4, likelihood=build_likelihood("bce"))
    conv = Model(network, package.load(tiny_model, "cpu").header)
    assert torch.equal(conv.embed(images[:3]), conv.embed(images)[:3])
    assert torch.equal(conv.sample(70)[:9], conv.sample(9))


def test_reconstruct_is_embed_and_decode(model: Model, images: np.ndarray) -> None:
    assert torch.equal(model.reconstruct(images), model.decode(model.embed(images)))
    drawn = model.embed(images, sample=True, seed=3)
    assert torch.equal(model.reconstruct(images, sample=True, seed=3), model.decode(drawn))
    assert not torch.equal(drawn, model.embed(images, sample=True, seed=4))


def test_a_draw_is_from_the_posterior(model: Model, images: np.ndarray) -> None:
    q = model.posterior(images)
    draws = torch.stack([model.embed(images, sample=True, seed=seed) for seed in range(200)])
    assert torch.allclose(draws.mean(0), q.mean, atol=0.35)
    ratio = draws.std(0) / (q.logvar / 2).exp()
    assert abs(ratio.mean() - 1) < 0.02


def test_temperature_scales_the_spread_and_nothing_else(model: Model) -> None:
    assert torch.allclose(model.draw_latents(8, temperature=0.5), 0.5 * model.draw_latents(8))
    cold = model.sample(3, temperature=0.0)
    assert torch.equal(cold, model.decode(torch.zeros(3, 4)))


def test_no_images_give_no_latents(model: Model, images: np.ndarray) -> None:
    assert model.embed(images[:0]).shape == (0, 4)
    assert model.decode(torch.empty(0, 4)).shape == (0, 1, 8, 8)
    assert model.reconstruct(images[:0], sample=True).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_sample_is_refused(model: Model, count: int) -> None:
    with pytest.raises(UsageError, match=f"n = {count}"):
        model.sample(count)


def test_using_a_model_keeps_no_gradients_and_no_training_mode(
    model: Model, images: np.ndarray
) -> None:
    assert not model.network.training
    for result in (model.sample(2), model.embed(images), model.reconstruct(images)):
        assert not result.requires_grad
        assert result.dtype == torch.float32
        assert result.device.type == "cpu"


# Images in.


def test_bytes_and_floats_of_the_same_images_give_the_same(
    model: Model, images: np.ndarray
) -> None:
    expected = model.embed(images)
    floats = torch.from_numpy(images.copy()).permute(0, 3, 1, 2) / 255
    assert torch.equal(as_floats(images), floats)
    for form in (floats, floats.numpy(), floats.contiguous(), torch.from_numpy(images.copy())):
        assert torch.equal(model.embed(form), expected)
    assert torch.allclose(model.embed(floats.double()), expected)


def test_an_array_that_is_read_only_or_reversed_is_taken(model: Model, images: np.ndarray) -> None:
    """A large data set is mapped read-only; torch warns of one and refuses the other."""
    locked = images.copy()
    locked.setflags(write=False)
    assert torch.equal(model.embed(locked), model.embed(images))
    assert torch.equal(model.embed(images[::-1]), model.embed(images[::-1].copy()))
    z = model.embed(images).numpy()
    assert torch.equal(model.decode(z[::-1]), model.decode(torch.from_numpy(z[::-1].copy())))


@pytest.mark.parametrize(
    ("shape", "said"),
    [((2, 28, 28, 1), "28x28x1"), ((2, 8, 8, 3), "8x8x3"), ((2, 8, 4, 1), "8x4x1")],
)
def test_images_of_another_shape_are_refused_with_both_shapes(
    model: Model, shape: tuple[int, ...], said: str
) -> None:
    """Row 26."""
    with pytest.raises(DataError, match=f"images are {said}, this model takes 8x8x1") as caught:
        model.embed(np.zeros(shape, np.uint8))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((64,), np.uint8),
        np.zeros((2, 64), np.uint8),
        np.zeros((1, 2, 8, 8, 1), np.uint8),
        np.full((2, 1, 8, 8), 256, np.int64),
        np.full((2, 1, 8, 8), 1.5, np.float32),
        np.full((2, 1, 8, 8), -0.1),
        np.full((2, 1, 8, 8), np.nan),
        np.zeros((2, 1, 8, 8), object),
        np.zeros((2, 8, 8, 1), "S1"),
        np.zeros((2, 1, 8, 8), complex),
    ],
    ids=lambda x: f"{x.dtype}{x.shape}",
)
def test_arrays_that_are_no_images_are_refused(model: Model, images: np.ndarray) -> None:
    with pytest.raises(DataError):
        model.embed(images)


def test_latents_of_another_width_are_refused_with_both(model: Model) -> None:
    for z in (torch.zeros(2, 5), torch.zeros(4), torch.zeros(2, 4, 1)):
        with pytest.raises(DataError, match=r"latents have shape \[.*needs \(N, 4\)"):
            model.decode(z)


# Between two images.


def latent(draw: st.DrawFn) -> Tensor:
    return torch.tensor(draw(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3)))


LATENTS = st.composite(latent)()


@settings(max_examples=100, deadline=None)
@given(a=LATENTS, b=LATENTS, steps=st.integers(2, 12), method=st.sampled_from(["slerp", "linear"]))
def test_a_path_is_finite_and_ends_exactly_at_both_latents(
    a: Tensor, b: Tensor, steps: int, method: str
) -> None:
    path = latent_path(a, b, steps, method)
    assert path.shape == (steps, 3)
    assert torch.equal(path[0], a)
    assert torch.equal(path[-1], b)
    assert path.isfinite().all()


def test_linear_is_a_straight_line() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    expected = torch.tensor([[1, 2], [1.5, 1], [2, 0], [2.5, -1], [3, -2]])
    assert torch.allclose(latent_path(a, b, 5, "linear"), expected)


def test_slerp_is_the_formula_and_keeps_the_length() -> None:
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([1.0, math.sqrt(3.0), 0.0])  # 60 degrees
    path = latent_path(a, b, 5)
    for i, z in enumerate(path):
        t, omega = i / 4, math.pi / 3
        expected = math.sin((1 - t) * omega) * a + math.sin(t * omega) * b
        assert torch.allclose(z, expected / math.sin(omega), atol=1e-5)
        assert float(z.norm()) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("b", [[2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [1.0, 1e-7], [0.0, 0.0]])
def test_slerp_between_parallel_or_opposite_latents_does_not_blow_up(b: list[float]) -> None:
    path = latent_path(torch.tensor([1.0, 0.0]), torch.tensor(b), 7)
    assert path.isfinite().all()
    assert float(path.norm(dim=1).max()) <= 2.0 + 1e-5


def test_interpolating_begins_and_ends_at_the_reconstructions(
    model: Model, images: np.ndarray
) -> None:
    path = model.interpolate(images[0], images[1], steps=6)
    assert path.shape == (6, 1, 8, 8)
    both = model.reconstruct(images[:2])
    assert torch.allclose(path[[0, -1]], both, atol=1e-6)
    again = model.interpolate(images[:1], images[1:2], steps=6)
    assert torch.equal(path, again)


@pytest.mark.parametrize(
    ("options", "flag"), [({"steps": 1}, "^steps 1"), ({"method": "cubic"}, "^method cubic")]
)
def test_an_unknown_method_and_a_path_without_ends_are_refused(
    model: Model, images: np.ndarray, options: dict[str, object], flag: str
) -> None:
    with pytest.raises(UsageError, match=flag):
        model.interpolate(images[0], images[1], **options)


# Opening a model.


def test_a_model_says_what_it_is(model: Model) -> None:
    facts = "mlp, image=8x8x1, latent_dim=4, likelihood=bce"
    assert repr(model) == f"Model({facts}, trained on digits: 300 images, 3 epochs)"
    assert model.latent_dim == 4


def test_a_missing_device_is_refused_with_those_available(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=r"^device cuda:99: this machine has .*cpu"):
        package.load(tiny_model, "cuda:99")


def test_a_missing_model_file_is_named() -> None:
    with pytest.raises(ModelFileError, match=r"missing\.safetensors: no such file"):
        package.load("missing.safetensors")


def test_a_traversal_moves_one_dimension_and_keeps_the_others(tiny_model: Path) -> None:
    model = package.load(tiny_model, "cpu")
    kl = model.header.latents.kl
    rows = model.traverse(steps=3, reach=2.0)
    assert rows.shape == (model.latent_dim, 3, 1, 8, 8)
    first = max(range(len(kl)), key=lambda dim: kl[dim])
    z = torch.zeros(3, model.latent_dim)
    z[:, first] = torch.tensor([-2.0, 0.0, 2.0])
    assert torch.equal(rows[0], model.decode(z))
    image = np.full((8, 8, 1), 90, np.uint8)
    from_image = model.traverse(image, dims=[first], steps=2)
    z = model.embed(image[None]).repeat(2, 1)
    z[:, first] = torch.tensor([-3.0, 3.0])
    assert torch.equal(from_image[0], model.decode(z))
