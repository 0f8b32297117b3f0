"""The importance weighted bound, held against models whose log-likelihood is known."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vaekit
from tests.evaluation.conftest import exact_elbo, exact_log_likelihood, sharp
from vaekit.errors import UsageError
from vaekit.evaluation.log_likelihood import nll
from vaekit.evaluation.log_likelihood.nll import (
    importance_estimate,
    log_weights,
    unreliable_share,
    why_unreliable,
)
from vaekit.evaluation.log_likelihood.pareto import pareto_k, tail_size
from vaekit.image_arguments import as_floats
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build


def log_likelihood(network: VAE, x: Tensor, samples: int, **more: Any) -> Tensor:
    return importance_estimate(network, x, samples, **more).bound


def test_many_draws_give_the_exact_log_likelihood(linear: VAE, pictures: Tensor) -> None:
    found = log_likelihood(linear, pictures, 5000)
    exact = exact_log_likelihood(linear, pictures)
    assert found.dtype == torch.float64
    assert float(found.mean()) == pytest.approx(float(exact.mean()), abs=0.02)
    assert float((found - exact).abs().max()) < 0.1


def test_a_trained_linear_model_has_its_exact_log_likelihood_too(tmp_path: Path) -> None:
    path = vaekit.train(
        dataset="digits", limit=300, epochs=30, hidden=[], model="mlp", latent_dim=4,
        likelihood="gaussian", sigma=0.3, output=tmp_path / "run", threads=1,
    )  # fmt: skip
    model = vaekit.load(path, "cpu")
    x = as_floats(vaekit.load_dataset("digits", limit=80).images)
    exact = float(exact_log_likelihood(model.network, x).mean())
    assert float(log_likelihood(model.network, x, 5000).mean()) == pytest.approx(exact, abs=0.02)


def test_one_draw_is_the_elbo_within_the_error_of_ten_seeds(linear: VAE, pictures: Tensor) -> None:
    found = torch.stack([log_likelihood(linear, pictures, 1, seed=seed) for seed in range(10)])
    error = (found - exact_elbo(linear, pictures)).flatten()
    assert float(error.mean().abs()) < 4 * float(error.std()) / math.sqrt(len(error))
    assert float(error.std()) > 0.1  # or the line above would prove nothing


def test_more_draws_tighten_the_bound(linear: VAE, pictures: Tensor) -> None:
    counts = (1, 10, 100, 1000)
    seeds = range(10)
    means = [
        sum(float(log_likelihood(linear, pictures, k, seed=seed).mean()) for seed in seeds) / 10
        for k in counts
    ]
    exact = float(exact_log_likelihood(linear, pictures).mean())
    assert all(a < b for a, b in pairwise(means))
    assert means[0] < exact - 0.1
    assert means[-1] == pytest.approx(exact, abs=0.01)


def test_chunks_of_draws_change_nothing(
    linear: VAE, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = log_likelihood(linear, pictures, 300)
    monkeypatch.setattr(nll, "CHUNKS", 1)
    parts = log_likelihood(linear, pictures, 300)
    assert torch.allclose(whole, parts, rtol=1e-6, atol=0)


def test_the_bound_is_the_logarithm_of_the_mean_weight(linear: VAE, pictures: Tensor) -> None:
    x = pictures[:3]
    with torch.no_grad():
        q = linear.encode(x)
        noise = torch.stack([nll.normal_rows(0, 200, 3, 0, "nll", i) for i in range(3)])
        weights = log_weights(linear, x, q, noise).double()
    direct = torch.log(weights.exp().mean(1))
    assert torch.allclose(log_likelihood(linear, x, 200), direct, rtol=1e-6, atol=0)


def test_the_batch_of_an_image_does_not_change_its_bound(linear: VAE, pictures: Tensor) -> None:
    whole = log_likelihood(linear, pictures, 50)
    parts = [log_likelihood(linear, pictures[i : i + 7], 50, start=i) for i in range(0, 60, 7)]
    assert torch.allclose(torch.cat(parts), whole, rtol=1e-6, atol=0)
    assert not torch.allclose(log_likelihood(linear, pictures, 50, start=1), whole, rtol=1e-6)
    assert not torch.allclose(log_likelihood(linear, pictures, 50, seed=1), whole, rtol=1e-6)


def test_nothing_overflows_where_images_are_large() -> None:
    """exp(-20000) is 0 in any float: only sums of logarithms survive."""
    network = build(
        "mlp", image=(32, 32, 3), latent_dim=2, likelihood=build_likelihood("logistic")
    ).eval()
    found = log_likelihood(network, torch.rand(2, 3, 32, 32), 65)
    assert bool(torch.isfinite(found).all())
    assert float(found.max()) < -10_000


def test_no_gradient_is_kept_and_no_weight_touched(linear: VAE, pictures: Tensor) -> None:
    found = log_likelihood(linear, pictures[:2], 5)
    assert not found.requires_grad
    assert all(p.grad is None for p in linear.parameters())


class Counter:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount


@pytest.mark.parametrize("samples", [1, 3, 100, 700])
def test_progress_counts_every_draw_of_every_image(
    linear: VAE, pictures: Tensor, samples: int
) -> None:
    counter = Counter()
    log_likelihood(linear, pictures[:9], samples, task=counter)
    assert counter.done == 9 * samples


def test_zero_draws_are_refused(linear: VAE, pictures: Tensor) -> None:
    with pytest.raises(UsageError, match="--nll-samples 0: at least 1"):
        log_likelihood(linear, pictures, 0)


# How far to trust it


def weights_of(network: VAE, x: Tensor, samples: int) -> Tensor:
    with torch.no_grad():
        q = network.encode(x)
        noise = [nll.normal_rows(0, samples, q.mean.shape[1], 0, "nll", i) for i in range(len(x))]
        return log_weights(network, x, q, torch.stack(noise)).double().exp()


def test_effective_samples_and_the_error_over_draws_are_their_formulas(
    linear: VAE, pictures: Tensor
) -> None:
    found = importance_estimate(linear, pictures[:4], 1500)
    weights = weights_of(linear, pictures[:4], 1500)
    effective = weights.sum(1) ** 2 / (weights**2).sum(1)
    relative = weights.var(1) / weights.mean(1) ** 2 / 1500
    assert torch.allclose(found.effective, effective, rtol=1e-5)
    assert torch.allclose(found.variance, relative, rtol=1e-4)


def test_the_error_over_draws_is_the_scatter_between_seeds(linear: VAE, pictures: Tensor) -> None:
    found = [importance_estimate(linear, pictures, 400, seed=seed) for seed in range(30)]
    scatter = torch.stack([one.bound for one in found]).var(0).mean().sqrt()
    claimed = torch.stack([one.variance for one in found]).mean().sqrt()
    assert float(claimed) == pytest.approx(float(scatter), rel=0.15)


def test_k_is_that_of_all_weights_however_few_are_in_memory(
    linear: VAE, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_of(linear, pictures[:3], 1500)
    largest = weights.log().topk(tail_size(1500) + 1).values
    monkeypatch.setattr(nll, "CHUNKS", 1)
    found = importance_estimate(linear, pictures[:3], 1500)
    assert found.pareto_k.tolist() == pytest.approx([pareto_k(row.numpy()) for row in largest])


def test_a_bound_that_is_far_off_says_so() -> None:
    """Dozens of nats too low, with nothing but k and the effective sample size to tell."""
    network, x = sharp()
    found = importance_estimate(network, x, 5000)
    assert float((exact_log_likelihood(network, x) - found.bound).mean()) > 10
    assert float(found.effective.median()) < 5
    assert unreliable_share(found.pareto_k) > 0.9
    warning = why_unreliable(unreliable_share(found.pareto_k), 1.5, 5000)
    assert warning is not None
    assert "nll is unreliable" in warning
    assert "1.5 of 5,000 draws" in warning
    assert "try --nll refined, more --nll-samples, or quote neg_elbo" in warning
    again = why_unreliable(1.0, 1.5, 5000, method="refined")
    assert again is not None
    assert "try --nll ais, more --nll-samples, or quote" in again


def test_a_bound_that_is_right_gives_no_warning(linear: VAE, pictures: Tensor) -> None:
    found = importance_estimate(linear, pictures, 5000)
    assert float(found.effective.median()) > 500
    assert unreliable_share(found.pareto_k) == 0
    assert why_unreliable(0.0, 900.0, 5000) is None


def test_too_few_draws_to_tell_are_no_verdict(linear: VAE, pictures: Tensor) -> None:
    found = importance_estimate(linear, pictures[:3], 20)
    assert bool(found.pareto_k.isnan().all())
    assert math.isnan(unreliable_share(found.pareto_k))
    assert why_unreliable(math.nan, 3.0, 20) is None
    assert bool(importance_estimate(linear, pictures[:3], 1).variance.isnan().all())
