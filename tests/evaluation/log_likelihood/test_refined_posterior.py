"""Refined posteriors: the bound holds where the encoder is far off, against exact answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

import vaekit
from tests.conftest import Runner
from tests.evaluation.conftest import (
    SIGMA,
    curved,
    exact_elbo,
    exact_log_likelihood,
    integral,
    sharp,
)
from vaekit.cli.metric_rows import shown_number
from vaekit.errors import UsageError
from vaekit.evaluation.evaluation_record import evaluate
from vaekit.evaluation.log_likelihood.nll import importance_estimate, unreliable_share
from vaekit.evaluation.log_likelihood.refined_posterior import RefinedPosterior, fit_noise
from vaekit.evaluation.metrics import MetricRequest
from vaekit.evaluation.preconditions import refuse_draws
from vaekit.gaussian import Normal
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build


def test_the_bound_is_exact_where_importance_weighting_is_hundreds_of_nats_off() -> None:
    """A linear model, D = 16, sigma 0.05, K = 5,000."""
    network, x = sharp()
    exact = exact_log_likelihood(network, x)
    plain = importance_estimate(network, x, 5000).bound
    found = importance_estimate(network, x, 5000, refined=True)
    assert float((exact - plain).mean()) > 100
    assert float(found.bound.mean()) == pytest.approx(float(exact.mean()), abs=0.05)
    assert float((found.bound - exact).abs().max()) < 0.1
    assert float(found.effective.min()) > 1000
    assert unreliable_share(found.pareto_k) == 0


def test_the_fit_of_a_linear_model_is_its_exact_posterior() -> None:
    """z ~ N(m, S) with S⁻¹ = I + WᵀW / σ², m = S Wᵀ (x − b) / σ²; the encoder is the prior."""
    network, x = sharp(4)
    w, b = network.output.weight.detach(), network.output.bias.detach()
    covariance = torch.linalg.inv(torch.eye(4) + w.T @ w / 0.05**2)
    mean = (x.flatten(1) - b) @ w @ covariance / 0.05**2
    fitted = fit_noise(network, x)
    shift, scale = fitted.shift, fitted.scale
    assert torch.allclose(shift, mean, atol=1e-3)
    widened = scale @ scale.mT / 1.2**2  # 1 + 0.4 / √4
    assert torch.allclose(widened, covariance.expand(20, 4, 4), rtol=0.02, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("bernoulli", {}), ("logistic", {}), ("gaussian", {"sigma": 0.1}), ("gaussian", {"sigma": 1})],
)
def test_the_bound_is_the_integral_over_the_latents(name: str, settings: Any) -> None:
    network, x = curved(name, **settings)
    found = importance_estimate(network, x, 1500, refined=True)
    assert float((found.bound - integral(network, x)).abs().max()) < 0.05


def test_a_hierarchy_whose_latents_depend_on_each_other_is_fitted_too() -> None:
    torch.manual_seed(2)
    network = build(
        "ladder", image=(4, 4, 1), latent_dim=10, likelihood=build_likelihood("bernoulli"),
        settings={"channels": [4], "latent_groups": [1, 1, 0], "latent_channels": 2},
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    x = (torch.rand(5, 1, 4, 4) > 0.5).float()
    plain = importance_estimate(network, x, 5000)
    found = importance_estimate(network, x, 1000, refined=True)
    error = float((plain.variance + found.variance).sqrt().max())
    assert error < 0.05
    assert float((found.bound - plain.bound).abs().max()) < 5 * error


def test_the_density_of_the_draws_is_that_of_torch() -> None:
    base = Normal(torch.randn(3, 2), torch.randn(3, 2))
    scale = torch.randn(3, 2, 2).tril(-1) + torch.eye(2) * torch.tensor([0.5, 2.0])
    shift, noise = torch.randn(3, 2), torch.randn(3, 7, 2)
    drawn = RefinedPosterior(base, shift, scale).draw(noise)
    spread = torch.diag_embed(base.std) @ scale
    mean = base.mean + base.std * shift
    reference = torch.distributions.MultivariateNormal(mean, scale_tril=spread)
    density = reference.log_prob(drawn.z.transpose(0, 1)).T
    assert torch.allclose(drawn.q.log_prob_of_noise(noise), density, atol=1e-4)
    assert drawn.z.mean(1).shape == (3, 2)


def test_the_batch_of_an_image_does_not_change_its_fit() -> None:
    network, x = curved("bernoulli")
    together, alone = fit_noise(network, x), fit_noise(network, x[3:4], start=3)
    for name in ("shift", "scale", "diagonal_elbo"):
        one, all_of_them = getattr(alone, name), getattr(together, name)
        assert torch.allclose(one, all_of_them[3:4], rtol=1e-4, atol=1e-4)
        assert not one.requires_grad


def test_the_inference_gap_is_split_as_a_linear_model_knows_it(
    linear: VAE, pictures: Tensor
) -> None:
    """The best diagonal normal has the posterior's mean and precisions: its KL is known."""
    w = linear.output.weight.detach().double()
    precision = w.T @ w / SIGMA**2 + torch.eye(3)
    approximation = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    exact = exact_log_likelihood(linear, pictures)
    found = importance_estimate(linear, pictures, 200, refined=True)
    assert found.diagonal_elbo is not None
    gap = float((exact - found.diagonal_elbo).mean())
    assert float(approximation) > 0.02
    assert gap == pytest.approx(float(approximation), abs=0.02)
    assert float((found.diagonal_elbo - exact_elbo(linear, pictures)).mean()) > 0.1


def test_the_gaps_add_up_to_what_the_elbo_lacks(tmp_path: Any) -> None:
    path = vaekit.train(
        dataset="digits", limit=60, epochs=1, hidden=[8], latent_dim=2, likelihood="bernoulli",
        output=tmp_path / "run", threads=1,
    ).path  # fmt: skip
    request = MetricRequest(nll_samples=50, nll="refined")
    record = evaluate(vaekit.load(path, "cpu"), vaekit.load_dataset("digits", limit=9), request)
    gaps = record["amortisation_gap"] + record["approximation_gap"]
    assert gaps == pytest.approx(record["neg_elbo"] - record["nll"], rel=1e-4, abs=1e-4)
    assert record["amortisation_gap_stderr"] > 0


def test_what_cannot_be_fitted_is_refused() -> None:
    likelihood = build_likelihood("bernoulli")
    wide = build("mlp", image=(4, 4, 1), latent_dim=300, likelihood=likelihood)
    with pytest.raises(UsageError, match="300 latents, and a posterior is fitted to 256 at most"):
        refuse_draws(wide, 10, "refined")
    with pytest.raises(UsageError, match="--nll refined: give the number of draws too"):
        refuse_draws(wide, None, "refined")
    with pytest.raises(UsageError, match=r"--nll refind.*refined"):
        refuse_draws(wide, 10, "refind")


def test_the_command_says_which_draws_it_used(cli: Runner, tmp_path: Any) -> None:
    path = vaekit.train(
        dataset="digits", limit=60, epochs=1, hidden=[8], latent_dim=2, likelihood="bernoulli",
        output=tmp_path / "run", threads=1,
    )  # fmt: skip
    flags = ("--limit", "5", "--nll-samples", "30", "--nll", "refined")
    record = json.loads(cli("evaluate", path, *flags, "--json").stdout)
    rows = [json.loads(line) for line in cli("score", path, *flags).stdout.splitlines()]
    assert (record["nll_method"], record["nll_samples"]) == ("refined", 30)
    assert record["nll"] == pytest.approx(sum(row["nll"] for row in rows) / len(rows), rel=1e-5)
    assert "(30 draws an image, refined)" in shown_number("nll", record)
    refused = cli("evaluate", path, "--nll", "refined")
    assert (refused.code, refused.stdout) == (2, "")
