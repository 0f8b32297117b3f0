"""The aggregate posterior against closed forms, and the diagnosis against models that ail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vaekit
from vaekit.evaluation.aggregate_posterior.latent_health import (
    AggregatePosterior,
    Health,
    aggregate,
    diagnosis,
)
from vaekit.evaluation.evaluation_record import evaluate
from vaekit.gaussian import Normal


def correlated(rho: float, count: int = 200_000) -> AggregatePosterior:
    """q(z) normal with variances 1 and correlation rho: half of the spread in the means."""
    random = np.random.default_rng(0)
    means = random.multivariate_normal([0, 0], [[0.5, rho], [rho, 0.5]], count)
    return aggregate(Normal(torch.from_numpy(means), torch.full((count, 2), 0.5).log()))


@pytest.mark.parametrize("rho", [0.0, 0.3, -0.45])
def test_total_correlation_of_a_normal_is_the_closed_form(rho: float) -> None:
    assert correlated(rho).total_correlation == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.002)


def test_total_correlation_does_not_see_how_wide_a_dimension_is() -> None:
    a = correlated(0.3)
    scale = np.diag([7.0, 0.01])
    b = AggregatePosterior(a.n, a.mean, scale @ a.covariance @ scale, a.mean_variance)
    assert b.total_correlation == pytest.approx(a.total_correlation)


def test_the_kl_of_the_normal_with_the_same_moments_is_that_of_torch() -> None:
    a = correlated(0.3)
    shifted = AggregatePosterior(a.n, np.array([1.0, -2.0]), 3 * a.covariance, a.mean_variance)
    mine = torch.distributions.MultivariateNormal(
        torch.from_numpy(shifted.mean), torch.from_numpy(shifted.covariance)
    )
    standard = torch.distributions.MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    )
    kl = float(torch.distributions.kl_divergence(mine, standard))
    assert shifted.normal_kl == pytest.approx(kl - 2 * 5 / (4 * a.n))


def test_what_chance_makes_of_few_images_is_no_distance_from_the_prior() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [
        aggregate(Normal(torch.randn(100, 8, generator=generator), torch.full((100, 8), -20.0)))
        for _ in range(200)
    ]
    assert np.mean([each.normal_kl for each in found]) == pytest.approx(0, abs=0.03)


def test_moments_are_those_of_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    q = Normal(torch.randn(50, 3, generator=generator) + 2, torch.randn(50, 3, generator=generator))
    whole = aggregate(q)
    draws = q.mean + q.std * torch.randn(20_000, 50, 3, generator=generator)
    cov = np.cov(draws.reshape(-1, 3).double().numpy(), rowvar=False)
    assert whole.covariance == pytest.approx(cov, abs=0.05)


def test_active_units_are_counted_by_posterior_means_only() -> None:
    means = torch.tensor([[0.0, 0.0], [0.21, 0.19]])
    assert aggregate(Normal(means, torch.zeros(2, 2))).active_units == 1


@pytest.mark.parametrize(
    ("health", "verdict"),
    [
        (Health(0.09, 4, 8, 0.9, 0.0, 0.0, 40), "collapsed"),
        (Health(5.0, 0, 8, 0.9, 0.0, 0.0, 40), "collapsed"),
        (Health(5.0, 4, 8, 0.49, 99.0, 99.0, 40), "over-regularised"),
        (Health(5.0, 4, 8, 0.9, 0.41, 0.5, 40), "mismatched"),
        (Health(5.0, 4, 8, 0.9, 0.39, 8.2, 40), "healthy"),
        (Health(5.0, 4, 8, 0.9, 0.39, 8.2, 39), "undecided"),
        (Health(5.0, 4, 8, 0.9, 0.39, 0.4, 39), "healthy"),
        (Health(5.0, 4, 8, 0.9, 0.41, 8.2, 39), "mismatched"),
    ],
)
def test_the_thresholds_are_the_documented_ones(health: Health, verdict: str) -> None:
    word, sentence = diagnosis(health)
    assert word == verdict
    assert sentence.startswith(verdict)
    assert ("; try" in sentence) == (verdict != "healthy")


@pytest.mark.parametrize(("explained", "share"), [(0.49, "49%"), (0.0, "0%")])
def test_a_poor_fit_says_what_it_keeps(explained: float, share: str) -> None:
    sentence = diagnosis(Health(5.0, 4, 8, explained, 0.0, 0.0, 40))[1]
    assert f"reconstructions keep {share} of the images' variance, and 4 of 8" in sentence


@pytest.mark.parametrize("explained", [-0.17, -0.001, -3e9])
def test_reconstructions_worse_than_the_mean_image_do_not_keep_a_negative_share(
    explained: float,
) -> None:
    word, sentence = diagnosis(Health(5.0, 4, 8, explained, 0.0, 0.0, 40))
    assert word == "over-regularised"
    assert "further from the images, by mean squared error, than the images' mean is" in sentence
    assert "keep" not in sentence
    assert "%" not in sentence


def test_a_floor_is_not_told_as_the_distance_from_the_prior() -> None:
    sentence = diagnosis(Health(15.0, 4, 8, 0.9, 0.3, 8.2, 40))[1]
    assert "between 0.3 and 8.2 nats from the prior" in sentence


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"beta": 500.0, "epochs": 8}, "collapsed"),
        ({"beta": 6.0}, "over-regularised"),
        ({"beta": 0.1}, "mismatched"),
        ({}, "healthy"),
    ],
)
def test_badly_trained_models_get_the_right_diagnosis(
    tmp_path: Path, options: dict[str, object], verdict: str
) -> None:
    """Digits trained so that each goes wrong in its own way."""
    usual = {"dataset": "digits", "likelihood": "gaussian", "epochs": 24, "batch_size": 64,
             "hidden": [128], "latent_dim": 8, "threads": 1, "val_split": 0.0,
             "pictures_every": 24}  # fmt: skip
    path = vaekit.train(**{**usual, **options}, output=tmp_path / "run")
    record = evaluate(vaekit.load(path, "cpu"), vaekit.load_dataset("digits"))
    assert record["verdict"] == verdict, record["diagnosis"]
