"""Annealed importance sampling: bounds on both sides of answers that are known."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import vaekit
from tests.conftest import Runner
from tests.evaluation.conftest import SIGMA, curved, exact_log_likelihood, integral, sharp
from vaekit.cli.metric_rows import table
from vaekit.errors import UsageError
from vaekit.evaluation.evaluation_record import evaluate
from vaekit.evaluation.log_likelihood import annealed_importance, refined_posterior
from vaekit.evaluation.log_likelihood.annealed_importance import (
    LikelihoodBounds,
    annealed_estimate,
    gradients_of_chains,
    inverse_temperatures,
    noise_of,
    simulated_interval,
)
from vaekit.evaluation.log_likelihood.estimates import (
    estimate_log_likelihood,
    work_per_image,
)
from vaekit.evaluation.log_likelihood.hamiltonian import (
    EXTRA_NOISE,
    ChainPosition,
    ChainTarget,
    annealed,
    move,
)
from vaekit.evaluation.log_likelihood.nll import importance_estimate
from vaekit.evaluation.log_likelihood.refined_posterior import NoiseTarget
from vaekit.evaluation.metrics import MetricRequest, NllSettings
from vaekit.evaluation.preconditions import refuse_draws
from vaekit.gaussian import Normal
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build
from vaekit.seeds import key


@pytest.fixture(autouse=True)
def _quick_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds hold wherever chains start, so the fit need not be the best."""
    for name, value in {"NEWTON_STEPS": 3, "GRADIENT_STEPS": 4, "ELBO_DRAWS": 1}.items():
        monkeypatch.setattr(refined_posterior, name, value)


@pytest.fixture
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains start from the encoder's posterior, as for models of very many latents."""
    monkeypatch.setattr(annealed_importance, "MOST_LATENTS", 0)


def test_a_sharp_linear_model_is_within_0_05_nats_of_exact() -> None:
    """D = 16, sigma 0.05, where 5,000 draws of the encoder are hundreds of nats off."""
    network, x = sharp()
    x = x[:16]
    error = annealed_estimate(network, x, 16, 30).bound - exact_log_likelihood(network, x)
    assert abs(float(error.mean())) < 0.05
    assert float(error.abs().max()) < 0.3


@pytest.mark.usefixtures("unfitted")
def test_chains_from_the_prior_reach_the_posterior_of_a_sharp_model() -> None:
    """The encoder is the prior here: nothing but the chains finds the posterior."""
    network, x = sharp(2)
    exact = exact_log_likelihood(network, x[:4])
    found = annealed_estimate(network, x[:4], 16, 60)
    assert float((exact - found.bound).mean()) < 1
    plain = annealed_estimate(network, x[:4], 16, 1)
    assert float((exact - plain.bound).mean()) > 10


@pytest.mark.parametrize("start", ["fitted", "encoder"])
def test_the_bound_is_the_integral_over_the_latents_of_a_bernoulli_model(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if start == "encoder":
        monkeypatch.setattr(annealed_importance, "MOST_LATENTS", 0)
    network, x = curved("bernoulli")
    found = annealed_estimate(network, x, 64, 40)
    error = found.bound - integral(network, x)
    assert float(error.abs().max()) < 5 * float(found.variance.max().sqrt()) + 0.005
    assert float(error.abs().max()) < 0.3


def enclosed(found: LikelihoodBounds, exact: Tensor) -> bool:
    """Whether the exact answer lies between the bounds, on average and up to chance."""
    return all(
        float(miss.mean()) < 4 * float(miss.std()) / math.sqrt(len(miss))
        for miss in (found.lower - exact, exact - found.upper)
    )


def simulated(network: VAE, images: int, seed: int) -> Tensor:
    """The exact answers of the images on which the interval is computed."""
    with torch.no_grad():
        _, x = annealed_importance._drawn(network, images, key(seed, "ais simulated"))
    return exact_log_likelihood(network, x)


def test_bounds_on_simulated_images_enclose_the_exact_answer() -> None:
    network, _ = sharp(4)
    found = simulated_interval(network, 48, 4, 4, seed=3)
    assert enclosed(found, simulated(network, 48, 3))
    assert abs(float((found.upper - found.lower).mean())) < 0.3


@pytest.mark.usefixtures("unfitted")
def test_too_few_temperatures_show_as_a_wide_interval() -> None:
    network, _ = sharp(2)
    exact = simulated(network, 32, 0)
    rough, fine = (simulated_interval(network, 32, 4, steps) for steps in (3, 60))
    assert enclosed(rough, exact)
    assert enclosed(fine, exact)
    assert float((rough.upper - rough.lower).mean()) > 20
    assert float((fine.upper - fine.lower).mean()) < 5


def test_a_mode_that_no_chain_finds_shows_as_a_wide_interval() -> None:
    """x tells |z| alone: each posterior has two modes, and a fitted normal covers one."""
    torch.manual_seed(0)
    network = build(
        "mlp", image=(4, 4, 1), latent_dim=1, settings={"hidden": [2]},
        likelihood=build_likelihood("gaussian", sigma=0.02),
    ).eval()  # fmt: skip
    first = next(m for m in network.decoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        first.bias.zero_()
        network.output.weight.fill_(0.2)  # relu(z) + relu(−z) = |z|
        network.output.bias.zero_()
    found = simulated_interval(network, 32, 4, 10)
    assert float((found.upper - found.lower).mean()) > 10


def test_the_mean_weight_is_unbiased() -> None:
    """Over many seeds, E[w] = p(x): neither the pilot nor acceptance biases it."""
    network, x = curved("bernoulli")
    exact = integral(network, x[:4])
    found = [annealed_estimate(network, x[:4], 64, 2, seed=seed).bound for seed in range(6)]
    each = (torch.stack(found) - exact).exp().flatten()
    assert float(each.mean()) == pytest.approx(1, abs=4 * float(each.std()) / math.sqrt(24))


def test_moves_leave_the_density_invariant(linear: VAE, pictures: Tensor) -> None:
    """Draws from a normal stay draws from it: half way, the density of a linear model is normal."""
    chains, x = 4000, pictures[:1]
    base = Normal(torch.zeros(chains, 3), torch.zeros(chains, 3))
    many = NoiseTarget(linear, x.repeat_interleave(chains, 0), base)
    target = ChainTarget(many, torch.zeros(1, 3), None)
    w, b = linear.output.weight.detach(), linear.output.bias.detach()
    covariance = torch.linalg.inv(torch.eye(3) + 0.5 * w.T @ w / SIGMA**2)
    mean = 0.5 * (x.flatten(1) - b) @ w @ covariance / SIGMA**2
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(chains, 3, generator=generator) @ torch.linalg.cholesky(covariance).T
    place = target.at((mean + draws)[None])
    for _ in range(3):
        noise = torch.randn(1, chains, 3 + EXTRA_NOISE, generator=generator)
        place, accepted = move(target, place, 0.5, torch.tensor([0.55]), noise)
    assert 0.2 < float(accepted.mean()) < 0.95
    assert float((place.u[0] - mean - draws).norm(dim=1).mean()) > 0.3, "they moved"
    assert torch.allclose(place.u[0].mean(0), mean[0], atol=0.05)
    assert torch.allclose(torch.cov(place.u[0].T), covariance, atol=0.06)


def test_at_the_start_the_density_is_the_standard_normal() -> None:
    place = ChainPosition(torch.randn(2, 3, 4), torch.randn(2, 3), torch.randn(2, 3, 4))
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(place.u).sum(-1)
    assert torch.allclose(annealed(place, 0.0), standard)
    assert torch.equal(annealed(place, 1.0), place.value)


def test_a_step_into_nowhere_is_refused() -> None:
    network, x = sharp(2)
    base = Normal(torch.zeros(2, 2), torch.zeros(2, 2))
    many = x[:1].repeat_interleave(2, 0)
    target = ChainTarget(NoiseTarget(network, many, base), torch.zeros(1, 2), None)
    place = target.at(torch.zeros(1, 2, 2))
    noise = torch.zeros(1, 2, 2 + EXTRA_NOISE)
    found, accepted = move(target, place, 1.0, torch.tensor([1e30]), noise)
    assert torch.equal(found.u, place.u)
    assert accepted.tolist() == [[0.0, 0.0]]


def ladder() -> tuple[VAE, Tensor]:
    torch.manual_seed(2)
    network = build(
        "ladder", image=(4, 4, 1), latent_dim=10, likelihood=build_likelihood("bernoulli"),
        settings={"channels": [4], "latent_groups": [1, 1, 0], "latent_channels": 2},
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # so that groups matter to each other
    return network, (torch.rand(5, 1, 4, 4) > 0.5).float()


def test_the_noise_of_latents_is_that_they_were_drawn_from() -> None:
    network, x = ladder()
    noise = torch.randn(5, 10)
    with torch.no_grad():
        posterior = network.encode(x)
        z = posterior.draw(noise).z
        assert torch.allclose(noise_of(posterior, z, 2), noise, atol=1e-5)
        assert not torch.allclose(noise_of(posterior, z, 1), noise, atol=1e-3)


def test_a_hierarchy_has_bounds_too() -> None:
    network, x = ladder()
    plain = importance_estimate(network, x, 1000)
    found = annealed_estimate(network, x, 16, 4)
    error = float((plain.variance + found.variance).sqrt().max())
    assert error < 0.3
    assert float((found.bound - plain.bound).abs().max()) < 5 * error
    interval = simulated_interval(network, 8, 4, 3)
    assert -0.1 < float((interval.upper - interval.lower).mean()) < 0.3


def test_other_images_do_not_change_the_bound_of_an_image() -> None:
    network, x = curved("bernoulli")
    together = annealed_estimate(network, x, 4, 5).bound
    alone = annealed_estimate(network, x[3:4], 4, 5, start=3).bound
    assert float((together[3:4] - alone).abs()) < 1e-3
    again = annealed_estimate(network, x, 4, 5).bound
    assert torch.equal(together, again)
    assert not torch.equal(together, annealed_estimate(network, x, 4, 5, seed=1).bound)


def test_more_chains_than_fit_in_memory_give_the_same_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, x = curved("bernoulli")
    whole = annealed_estimate(network, x[:2], 100, 3).bound
    monkeypatch.setattr(annealed_importance, "rows_at_once", lambda network: 64)
    assert torch.allclose(annealed_estimate(network, x[:2], 100, 3).bound, whole, atol=1e-3)


def test_each_method_is_the_one_that_is_named() -> None:
    network, x = curved("bernoulli")
    how = NllSettings(3, "ais", 2)
    annealed_bound = annealed_estimate(network, x[:2], 3, 2, seed=5).bound
    assert torch.equal(estimate_log_likelihood(network, x[:2], how, seed=5).bound, annealed_bound)
    for method, refined in (("importance", False), ("refined", True)):
        expected = importance_estimate(network, x[:2], 3, refined=refined).bound
        found = estimate_log_likelihood(network, x[:2], NllSettings(3, method)).bound
        assert torch.equal(found, expected)


def test_temperatures_run_from_zero_to_one_and_are_densest_at_the_ends() -> None:
    path = inverse_temperatures(10)
    assert (path[0], path[-1], len(path)) == (0.0, 1.0, 11)
    steps = [b - a for a, b in pairwise(path)]
    assert min(steps) > 0
    assert steps == pytest.approx(steps[::-1])
    assert max(steps) == pytest.approx(steps[4])
    assert inverse_temperatures(1) == [0.0, 1.0]


def test_what_cannot_be_annealed_is_refused() -> None:
    network, x = curved("bernoulli")
    with pytest.raises(UsageError, match="--nll-temperatures 0: at least 1"):
        refuse_draws(network, 10, "ais", 0)
    with pytest.raises(UsageError, match="--nll-temperatures 0: at least 1"):
        annealed_estimate(network, x, 4, 0)
    with pytest.raises(UsageError, match="--nll-samples 0: at least 1"):
        annealed_estimate(network, x, 0, 4)
    with pytest.raises(
        UsageError, match="--nll-temperatures is for --nll ais, not for --nll refin"
    ):
        refuse_draws(network, 10, "refined", 50)
    with pytest.raises(UsageError, match="give the number of draws too: --nll-samples 16"):
        refuse_draws(network, None, "ais")
    assert len(annealed_estimate(network, x[:0], 4, 3).bound) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return vaekit.train(
        dataset="digits", limit=60, epochs=1, hidden=[8], latent_dim=2, likelihood="bernoulli",
        output=tmp_path_factory.mktemp("ais") / "run", threads=1,
    ).path  # fmt: skip


def test_evaluate_gives_the_bound_its_settings_and_the_gap(trained: Any) -> None:
    images = vaekit.load_dataset("digits", limit=5)
    request = MetricRequest(nll_samples=6, nll="ais", nll_temperatures=4)
    record = evaluate(vaekit.load(trained, "cpu"), images, request)
    fitted = evaluate(
        vaekit.load(trained, "cpu"), images, MetricRequest(nll_samples=2000, nll="refined")
    )
    assert record["nll"] == pytest.approx(fitted["nll"], abs=0.2)
    assert (record["nll_method"], record["nll_samples"]) == ("ais", 6)
    assert -0.3 < record["nll_gap"] < 0.5
    assert record["nll_settings"] == {
        "temperatures": 4, "leapfrog_steps": 6, "start": "refined", "simulated_images": 5,
    }  # fmt: skip
    shown = dict(table(record))
    assert "(6 chains an image, annealed in 4 steps)" in shown["nll"]
    assert "(on 5 images that the model drew)" in shown["nll_gap"]


def test_score_gives_the_numbers_whose_mean_evaluate_gives(cli: Runner, trained: Any) -> None:
    flags = ("--limit", "3", "--nll-samples", "4", "--nll", "ais", "--nll-temperatures", "3")
    record = json.loads(cli("evaluate", trained, *flags, "--json").stdout)
    rows = [json.loads(line) for line in cli("score", trained, *flags).stdout.splitlines()]
    assert record["nll"] == pytest.approx(sum(row["nll"] for row in rows) / 3, rel=1e-5)
    loaded = vaekit.load(trained, "cpu")
    images = vaekit.load_dataset("digits", limit=3)
    found = loaded.score(images, nll_samples=4, nll="ais", nll_temperatures=3)
    assert found["nll"].tolist() == pytest.approx([row["nll"] for row in rows], rel=1e-5)


# Progress.


class Steps:
    """A task that remembers each step of its progress."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def advance(self, amount: int = 1) -> None:
        self.steps.append(amount)


@pytest.mark.parametrize("method", ["importance", "refined", "ais"])
@pytest.mark.parametrize("count", [1, 5])
def test_progress_ends_at_its_total(method: str, count: int) -> None:
    (network, x), task, how = sharp(4), Steps(), NllSettings(3, method, 4)
    estimate_log_likelihood(network, x[:count], how, task=task)
    assert sum(task.steps) == count * work_per_image(network, how)[0]
    assert min(task.steps) > 0


def test_no_part_of_a_long_estimate_is_silent() -> None:
    """Neither the fit nor the chains, forward or backward, are one step of the progress."""
    (network, _), task, chains, temperatures = sharp(4), Steps(), 2, 12
    simulated_interval(network, 3, chains, temperatures, task=task)
    total = gradients_of_chains(network, chains, temperatures, both_ways=True)
    assert sum(task.steps) == 3 * total
    assert max(task.steps) <= sum(task.steps) / 15


@pytest.mark.usefixtures("unfitted")
def test_a_model_whose_posteriors_are_not_fitted_has_no_gradients_of_a_fit() -> None:
    """8 pilot chains and 2 chains, 3 temperatures between the ends, 6 leapfrog steps at each."""
    (network, x), task = sharp(4), Steps()
    annealed_estimate(network, x[:4], 2, 4, task=task)
    assert sum(task.steps) == 4 * (8 + 2) * 3 * 6
