"""The calibration of decoders whose distribution is known, against closed forms and quadrature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import logistic, norm

from vaekit.data import ImageSet
from vaekit.errors import UsageError
from vaekit.evaluation.calibration import Calibration, calibration
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.evaluation_record import evaluate_each
from vaekit.evaluation.metrics import EXTRA, MetricRequest
from vaekit.inference import Model
from vaekit.likelihoods import build_likelihood
from vaekit.model_file.header import LatentStatistics, LikelihoodSpec, ModelHeader, ModelSpec
from vaekit.models.vae import build

IMAGE = (8, 8, 1)
PIXELS = 64
NAMES = ("calibration", "calibration_bias", "calibration_spread")


def model_of(
    likelihood: str,
    *params: float,
    image: tuple[int, int, int] = IMAGE,
    binarize: str | None = None,
    **settings: float | str,
) -> Model:
    """A model whose decoder ignores z and gives every pixel these parameters."""
    network = build(
        "mlp", image=image, latent_dim=1, likelihood=build_likelihood(likelihood, **settings),
        settings={"hidden": []},
    )  # fmt: skip
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.copy_(torch.tensor(params).repeat_interleave(math.prod(image)))
    header = ModelHeader(
        format_version=1,
        vaekit_version="1",
        model=ModelSpec(name="mlp", latent_dim=1, image=list(image)),
        likelihood=LikelihoodSpec(name=likelihood, binarize=binarize),
        objective={},
        classes=None,
        latents=LatentStatistics(mean=[0.0], std=[1.0], kl=[0.0]),
        training={},
    )
    return Model(network, header)


def images_of(values: np.ndarray[Any, Any], shape: tuple[int, int, int] = IMAGE) -> ImageSet:
    """Grey levels from values in [0, 1]."""
    levels = np.clip(np.round(255 * values), 0, 255).astype(np.uint8)
    return ImageSet("made", "test", levels.reshape(-1, *shape))


def normal_images(mean: float, sigma: float, count: int = 500) -> ImageSet:
    return images_of(np.random.default_rng(0).normal(mean, sigma, (count, PIXELS)))


def logistic_images(location: float, scale: float) -> ImageSet:
    """Levels of a logistic distribution on [−1, 1], whose tails are black and white."""
    drawn = logistic.rvs(location, scale, size=(500, PIXELS), random_state=0)
    return images_of((drawn + 1) / 2)


def log_scale(scale: float) -> float:
    """The parameter that gives this scale."""
    return 7 * math.atanh(math.log(scale) / 7)


def measured(model: Model, images: ImageSet, **more: Any) -> Calibration:
    return calibration(EvaluatedModel(model, images, **more))


def mean(values: torch.Tensor) -> float:
    return float(values.mean())


def test_a_decoder_that_knows_how_values_are_spread_is_calibrated() -> None:
    found = measured(model_of("gaussian", 0.5, sigma=0.1), normal_images(0.5, 0.1))
    assert found.distance < 0.005
    assert mean(found.bias) == pytest.approx(0, abs=0.005)
    assert mean(found.spread) == pytest.approx(1, abs=0.02)
    assert found.histogram == pytest.approx([0.05] * 20, abs=0.012)  # of grey levels: a lattice
    assert sum(found.histogram) == pytest.approx(1)


@pytest.mark.parametrize("ratio", [0.5, 2.0, 4.0])
def test_a_sigma_that_is_wrong_has_the_distance_of_the_closed_form(ratio: float) -> None:
    """u = Φ(Z / ratio): W₁ = |¼ − arctan(1/ratio)/π|, 12 Var(u) = 6 arcsin(1/(1 + ratio²))/π."""
    found = measured(model_of("gaussian", 0.5, sigma=0.1 * ratio), normal_images(0.5, 0.1))
    distance = abs(0.25 - math.atan(1 / ratio) / math.pi)
    assert found.distance == pytest.approx(distance, abs=0.003)
    spread = 6 * math.asin(1 / (1 + ratio**2)) / math.pi
    assert mean(found.spread) == pytest.approx(spread, abs=0.02)
    assert mean(found.bias) == pytest.approx(0, abs=0.005)
    assert (found.histogram[0] > 0.05) == (ratio < 1)


def test_values_higher_than_the_decoder_says_are_a_positive_bias() -> None:
    """E Φ(Z + ½) = Φ(½ / √2), and all of u lies higher, so the distance is the bias."""
    found = measured(model_of("gaussian", 0.5, sigma=0.1), normal_images(0.55, 0.1))
    shift = norm.cdf(0.5 / math.sqrt(2)) - 0.5
    assert mean(found.bias) == pytest.approx(shift, abs=0.005)
    assert found.distance == pytest.approx(shift, abs=0.005)


def test_sigma_1_of_mse_is_far_too_wide() -> None:
    found = measured(model_of("mse", 0.5), normal_images(0.5, 0.1))
    assert found.distance == pytest.approx(0.25 - math.atan(0.1) / math.pi, abs=0.003)


@pytest.mark.parametrize("claimed", [0.3, 0.5, 0.9])
def test_black_and_white_values_are_randomised_within_their_mass(claimed: float) -> None:
    """Below 1 − p' the density of u is (1 − p)/(1 − p'), above p/p': W₁ = |p − p'| / 2."""
    p = 77 / 255
    model = model_of("bernoulli", math.log(claimed / (1 - claimed)), binarize="dynamic")
    found = measured(model, images_of(np.full((500, PIXELS), p)))
    assert found.distance == pytest.approx(abs(p - claimed) / 2, abs=0.005)


@pytest.mark.parametrize("location", [0.1, -1.0, 0.9])
def test_levels_of_a_logistic_are_uniform_where_half_of_them_are_black_too(
    location: float,
) -> None:
    found = measured(model_of("logistic", location, log_scale(0.2)), logistic_images(location, 0.2))
    assert found.distance < 0.005
    assert mean(found.spread) == pytest.approx(1, abs=0.02)


def test_a_logistic_twice_as_wide_has_the_distance_of_an_integral() -> None:
    found = measured(model_of("logistic", 0.0, log_scale(0.1)), logistic_images(0.0, 0.05))

    def gap(z: float) -> float:
        return float(abs(logistic.cdf(z) - logistic.cdf(z / 2)) * logistic.pdf(z))

    assert found.distance == pytest.approx(quad(gap, -40, 40)[0], abs=0.003)


def four_pixels(posterior_variance: float) -> Model:
    """x = w z + noise with |w| = 2 sigma, and the exact mean of the posterior of z."""
    model = model_of("gaussian", 0.5, image=(2, 2, 1), sigma=0.1)
    with torch.no_grad():
        model.network.output.weight.fill_(0.1)
        model.network.posterior.mean.weight.fill_(0.2 * 0.1 / 0.1**2)
        model.network.posterior.mean.bias.fill_(-4 * 2.0 * 0.5)
        model.network.posterior.logvar.weight.zero_()
        model.network.posterior.logvar.bias.fill_(math.log(posterior_variance))
    return model


def drawn_from_four_pixels() -> ImageSet:
    random = np.random.default_rng(1)
    z, noise = random.normal(size=(20_000, 1)), random.normal(size=(20_000, 4))
    return images_of(0.5 + 0.1 * z + 0.1 * noise, (2, 2, 1))


def test_images_of_a_model_with_its_exact_posterior_are_calibrated() -> None:
    """The precision of z is 1 + 4 · 0.1² / 0.1² = 5."""
    found = measured(four_pixels(1 / 5), drawn_from_four_pixels())
    assert found.distance < 0.004
    assert mean(found.spread) == pytest.approx(1, abs=0.015)


def test_the_mean_of_the_posterior_in_place_of_a_draw_would_not_be_calibrated() -> None:
    """The residual has the variance (1 − 1/5) sigma²: the latent took its part of the noise."""
    found = measured(four_pixels(1e-9), drawn_from_four_pixels())
    a = 1 - 1 / 5
    assert mean(found.spread) == pytest.approx(6 * math.asin(a / (1 + a)) / math.pi, abs=0.015)


def test_the_standard_errors_are_the_scatter_over_other_images() -> None:
    model, errors, distances = model_of("gaussian", 0.5, sigma=0.13), [], []
    for seed in range(30):
        random = np.random.default_rng(seed)
        own = random.normal(0.5, 0.03, (60, 1))  # values of an image go together
        found = measured(model, images_of(own + random.normal(0, 0.1, (60, PIXELS))))
        distances.append(found.distance)
        errors.append(found.stderr)
    assert np.mean(errors) == pytest.approx(np.std(distances, ddof=1), rel=0.4)


def test_the_numbers_depend_on_the_seed_and_not_on_the_images_at_once() -> None:
    model = model_of("bernoulli", 0.3, binarize="dynamic")
    images = normal_images(0.5, 0.1, count=150)
    one, two = (measured(model, images, batch_size=size) for size in (1, 512))
    assert (one.distance, one.stderr, one.histogram) == (two.distance, two.stderr, two.histogram)
    assert torch.equal(one.bias, two.bias)
    assert measured(model, images, seed=1).histogram != one.histogram


def test_the_record_has_three_numbers_a_histogram_and_values_of_each_image() -> None:
    wanted = MetricRequest(metrics=frozenset({"calibration"}))
    model, images = model_of("gaussian", 0.5, sigma=0.1), normal_images(0.55, 0.1, count=80)
    record, each = evaluate_each(model, images, wanted)
    for name in NAMES:
        assert record[f"{name}_stderr"] > 0
    assert len(record["calibration_histogram"]) == 20
    assert mean(each["calibration_bias"]) == record["calibration_bias"] > 0.1
    plain = evaluate_each(model, images)[0]
    assert not plain.keys() & {*NAMES, "calibration_histogram"}


def test_one_image_has_no_standard_error() -> None:
    found = measured(model_of("gaussian", 0.5, sigma=0.1), normal_images(0.5, 0.1, count=1))
    assert math.isnan(found.stderr)
    assert found.distance < 0.2


def test_bce_has_no_calibration_and_the_record_says_why() -> None:
    model, images = model_of("bce", 0.3), normal_images(0.5, 0.1, count=20)
    with pytest.raises(UsageError, match="--metrics calibration: bce is not a likelihood"):
        evaluate_each(model, images, MetricRequest(metrics=frozenset({"calibration"})))
    wanted = MetricRequest(metrics=frozenset(EXTRA), everything=True, features="pixels")
    record = evaluate_each(model, images, wanted)[0]
    assert not record.keys() & {*NAMES, "calibration_histogram"}
    assert all("not a likelihood" in record["absent"][name] for name in NAMES)
