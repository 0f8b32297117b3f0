"""If these fail, log p(x|z) is not a log-probability, and no two results can be compared."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import Bernoulli as ReferenceBernoulli
from torch.distributions import Normal as ReferenceNormal

from vaekit.errors import UsageError
from vaekit.likelihoods import Gaussian, Likelihood, build_likelihood
from vaekit.registry import LIKELIHOODS

SHAPE = (4, 3, 5, 2)
VARIANTS: list[tuple[str, float | str | None]] = [
    *((name, None) for name in LIKELIHOODS),
    ("gaussian", 0.1),
    ("gaussian", "learned"),
]


@pytest.fixture(params=VARIANTS, ids=str)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    name, sigma = request.param
    return build_likelihood(name, sigma=sigma).eval()


def make_params(likelihood: Likelihood, scale: float = 1.0) -> Tensor:
    n, c, h, w = SHAPE
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, likelihood.parameters_per_pixel(c), h, w, generator=g) * scale


def images(likelihood: Likelihood) -> Tensor:
    levels = torch.randint(0, 256, SHAPE, generator=torch.Generator().manual_seed(1))
    return (levels > 127).float() if likelihood.binary else levels / 255


# What every likelihood promises


def test_an_images_nats_do_not_depend_on_its_batch(likelihood: Likelihood) -> None:
    params, x = make_params(likelihood), images(likelihood)
    together = likelihood.log_prob(params, x)
    alone = torch.cat([likelihood.log_prob(params[i : i + 1], x[i : i + 1]) for i in range(4)])
    assert together.shape == (4,)
    torch.testing.assert_close(together, alone)


def test_in_training_only_a_likelihood_that_says_so_looks_at_the_batch(
    likelihood: Likelihood,
) -> None:
    params, x = make_params(likelihood), images(likelihood)
    likelihood.train()
    whole = likelihood.log_prob(params, x)
    alone = torch.cat([likelihood.log_prob(params[i : i + 1], x[i : i + 1]) for i in range(4)])
    assert torch.allclose(whole, alone) != likelihood.uses_batch


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_nats_of_many_draws_are_those_of_each(likelihood: Likelihood, scale: float) -> None:
    x, draws = images(likelihood), 3
    params = torch.stack([make_params(likelihood, scale) * (k - 1) for k in range(draws)], 1)
    one_by_one = [likelihood.log_prob(params[:, k], x) for k in range(draws)]
    torch.testing.assert_close(
        likelihood.log_prob_of_draws(params, x), torch.stack(one_by_one, 1), rtol=1e-5, atol=1e-3
    )


def test_the_size_of_the_image_divides_nothing(likelihood: Likelihood) -> None:
    params, x = make_params(likelihood), images(likelihood)
    once = likelihood.log_prob(params, x)
    twice = likelihood.log_prob(params.repeat(1, 1, 2, 1), x.repeat(1, 1, 2, 1))
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_parameters_give_finite_nats_and_gradients(
    likelihood: Likelihood, value: float
) -> None:
    params = torch.full_like(make_params(likelihood), value).requires_grad_()
    log_prob = likelihood.log_prob(params, images(likelihood))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert params.grad is not None
    assert params.grad.isfinite().all()


def test_the_mean_is_that_of_the_samples(likelihood: Likelihood) -> None:
    n = 20_000
    params = make_params(likelihood)[:1, :, :1, :1].repeat(n, 1, 1, 1)
    even = torch.quasirandom.SobolEngine(3, scramble=True, seed=0).draw(n).reshape(n, 3, 1, 1)
    drawn = likelihood.sample(params, even).mean(0)
    levels = 2.6 if likelihood.name == "dmol" else 0.5  # channels that depend on each other: near
    torch.testing.assert_close(drawn, likelihood.mean(params)[0], atol=levels / 255, rtol=0)


def test_every_uniform_draw_gives_a_finite_image(likelihood: Likelihood) -> None:
    for end in (0.0, 1 - 2**-24):
        drawn = likelihood.sample(make_params(likelihood), torch.full(SHAPE, end))
        assert drawn.isfinite().all()


def test_params_of_mean_have_this_mean(likelihood: Likelihood) -> None:
    mean = torch.linspace(0.005, 0.995, math.prod(SHAPE)).reshape(SHAPE)
    params = likelihood.params_of_mean(mean)
    assert params.shape == make_params(likelihood).shape
    torch.testing.assert_close(likelihood.mean(params), mean, atol=1e-5, rtol=0)
    assert likelihood.params_of_mean((mean > 0.5).float()).isfinite().all()


def test_transforms_of_draws_are_uniform(likelihood: Likelihood) -> None:
    """Else calibration blames a decoder that is right."""
    n, g = 20_000, torch.Generator().manual_seed(2)
    params = make_params(likelihood)[:1, :, :1, :1].repeat(n, 1, 1, 1)
    drawn = likelihood.sample(params, torch.rand(n, 3, 1, 1, generator=g))
    uniform = torch.rand(n, 3, 1, 1, generator=g)
    found = likelihood.integral_transform(params, drawn, uniform).detach()
    for channel in found[..., 0, 0].T:
        assert kstest(channel.numpy(), "uniform").pvalue > 1e-3


def test_a_transform_is_the_mass_below_a_value_and_a_share_of_the_mass_at_it(
    likelihood: Likelihood,
) -> None:
    params, x = make_params(likelihood), images(likelihood)
    uniform = torch.rand(SHAPE, generator=torch.Generator().manual_seed(2))
    found = likelihood.integral_transform(params, x, uniform)
    if not likelihood.discrete:
        if likelihood.normalised:
            exact = ReferenceNormal(params, likelihood.sigma).cdf(x)
            torch.testing.assert_close(found, exact, atol=1e-6, rtol=0)
        return
    expected = torch.zeros(SHAPE)
    for level in [0.0, 1.0] if likelihood.binary else torch.arange(256) / 255:
        for channel in range(SHAPE[1]):
            there = x.clone()
            there[:, channel] = level
            mass = likelihood.log_prob_per_value(params, there)[:, channel].exp()
            own = x[:, channel]
            share = torch.where(own > level, 1.0, torch.where(own == level, uniform[:, channel], 0))
            expected[:, channel] += share * mass
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_transforms_of_extreme_parameters_lie_between_zero_and_one(
    likelihood: Likelihood, value: float
) -> None:
    params, x = torch.full_like(make_params(likelihood), value), images(likelihood)
    found = likelihood.integral_transform(params, x, torch.full(SHAPE, 0.5)).detach()
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1 + 1e-6


def test_half_precision_parameters_are_computed_in_single_precision(likelihood: Likelihood) -> None:
    params, x = make_params(likelihood).bfloat16(), images(likelihood)
    log_prob = likelihood.log_prob(params, x)
    assert log_prob.dtype == torch.float32
    torch.testing.assert_close(log_prob, likelihood.log_prob(params.float(), x))


def test_settings_make_the_same_likelihood_again(likelihood: Likelihood) -> None:
    settings = json.loads(json.dumps(likelihood.settings))
    again = build_likelihood(likelihood.name, **settings)
    again.load_state_dict(likelihood.state_dict())
    params, x = make_params(likelihood), images(likelihood)
    assert torch.equal(again.eval().log_prob(params, x), likelihood.log_prob(params, x))


def test_sigma_is_optimal_by_default() -> None:
    assert build_likelihood("gaussian").settings == {"sigma": "optimal"}


@pytest.mark.parametrize("name", [n for n in LIKELIHOODS if n != "gaussian"])
def test_sigma_is_refused_by_likelihoods_without_one(name: str) -> None:
    with pytest.raises(UsageError, match=rf"--sigma goes with --likelihood gaussian, not .*{name}"):
        build_likelihood(name, sigma=0.1)


# Binary values


def test_bernoulli_is_that_of_torch() -> None:
    likelihood = build_likelihood("bernoulli")
    params, x = make_params(likelihood, 3), images(likelihood)
    expected = ReferenceBernoulli(logits=params).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.log_prob(params, x), expected)


def test_bernoulli_sums_to_one_over_both_values() -> None:
    logits = torch.linspace(-30, 30, 61).reshape(-1, 1, 1, 1)
    likelihood = build_likelihood("bernoulli")
    total = sum(likelihood.log_prob(logits, torch.full_like(logits, x)).exp() for x in (0.0, 1.0))
    torch.testing.assert_close(total, torch.ones(61))


def test_cross_entropy_is_the_textbook_sum_on_grey_levels() -> None:
    likelihood = build_likelihood("bce")
    params, x = make_params(likelihood), images(likelihood)
    p = torch.sigmoid(params.double())
    expected = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.log_prob(params, x).double(), expected, rtol=1e-5, atol=0)


def test_cross_entropy_does_not_integrate_to_one_and_says_so() -> None:
    # The constant of the continuous Bernoulli, Loaiza-Ganem & Cunningham 2019, at p = 0.9.
    p = 0.9
    constant = 2 * math.atanh(1 - 2 * p) / (1 - 2 * p)
    x = torch.linspace(0, 1, 2001, dtype=torch.float64)
    likelihood = build_likelihood("bce")
    logit = torch.full((2001, 1, 1, 1), math.log(p / (1 - p)), dtype=torch.float64)
    density = likelihood.log_prob(logit, x.reshape(-1, 1, 1, 1)).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1 / constant, abs=1e-6)
    assert not likelihood.normalised


# Normal values


def test_mse_is_a_unit_normal_with_its_constant() -> None:
    likelihood = build_likelihood("mse")
    params, x = make_params(likelihood), images(likelihood)
    expected = ReferenceNormal(params, 1.0).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.log_prob(params, x), expected)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 3.0])
def test_a_fixed_sigma_is_that_of_torch(sigma: float) -> None:
    likelihood = build_likelihood("gaussian", sigma=sigma)
    params, x = make_params(likelihood), images(likelihood)
    expected = ReferenceNormal(params, sigma).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.log_prob(params, x), expected)
    assert not list(likelihood.parameters())


@pytest.mark.parametrize(("name", "sigma"), [v for v in VARIANTS if v[0] in ("mse", "gaussian")])
def test_densities_integrate_to_one(name: str, sigma: float | str | None) -> None:
    likelihood = build_likelihood(name, sigma=sigma).eval()
    x = torch.linspace(-10, 11, 40_001, dtype=torch.float64)
    mean = torch.full((len(x), 1, 1, 1), 0.4, dtype=torch.float64)
    density = likelihood.log_prob(mean, x.reshape(-1, 1, 1, 1)).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-6)


def test_a_learned_sigma_finds_the_spread_of_the_data() -> None:
    likelihood = build_likelihood("gaussian", sigma="learned")
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    x = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.07
    for _ in range(150):
        optimizer.zero_grad()
        (-likelihood.log_prob(torch.zeros_like(x), x).mean()).backward()
        optimizer.step()
    assert isinstance(likelihood, Gaussian)
    assert likelihood.sigma.item() == pytest.approx(x.square().mean().sqrt().item(), rel=0.01)


@pytest.mark.parametrize(("raw", "log_sigma"), [(-1e6, -6.0), (1e6, 6.0)])
def test_a_learned_sigma_is_bounded(raw: float, log_sigma: float) -> None:
    likelihood = Gaussian("learned")
    likelihood.raw_log_sigma.data.fill_(raw)
    assert likelihood.sigma.log().item() == pytest.approx(log_sigma)


def test_in_training_an_optimal_sigma_is_the_error_of_the_batch() -> None:
    likelihood = build_likelihood("gaussian", sigma="optimal").train()
    params, x = make_params(likelihood), images(likelihood)
    rmse = (x - params).square().mean().sqrt()
    expected = ReferenceNormal(params, rmse).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.log_prob(params, x), expected)


def test_the_gradient_passes_through_an_optimal_sigma() -> None:
    # At its best sigma the nats of a batch are ½ n log(mse) and a constant.
    likelihood = build_likelihood("gaussian", sigma="optimal").train()
    params, x = make_params(likelihood).requires_grad_(), images(likelihood)
    (got,) = torch.autograd.grad(-likelihood.log_prob(params, x).sum(), params)
    nats = 0.5 * x.numel() * (x - params).square().mean().log()
    torch.testing.assert_close(got, torch.autograd.grad(nats, params)[0])


def test_in_evaluation_an_optimal_sigma_is_the_stored_one() -> None:
    likelihood = Gaussian("optimal")
    x = torch.zeros(2, 1, 3, 3)
    for error in (0.1, 0.3):
        likelihood.log_prob(x + error, x)
    stored = math.sqrt((0.1**2 + 0.3**2) / 2)
    assert likelihood.eval().sigma.item() == pytest.approx(stored)
    expected = ReferenceNormal(0.5, stored).log_prob(torch.tensor(0.0)) * 9
    torch.testing.assert_close(likelihood.log_prob(x + 0.5, x), expected.expand(2))
    assert likelihood.sigma.item() == pytest.approx(stored)


def test_an_optimal_sigma_follows_training_and_forgets_its_beginning() -> None:
    likelihood = Gaussian("optimal")
    x = torch.zeros(1, 1, 2, 2)
    for _ in range(100):
        likelihood.log_prob(x + 1.0, x)
    for _ in range(200):
        likelihood.log_prob(x + 0.1, x)
    remembered = 0.99**200
    expected = remembered * 1.0 + (1 - remembered) * 0.01
    assert likelihood.variance.item() == pytest.approx(expected, rel=1e-3)


def test_a_perfect_batch_does_not_break_an_optimal_sigma() -> None:
    likelihood = Gaussian("optimal")
    params = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    log_prob = likelihood.log_prob(params, torch.full((1, 1, 2, 2), 0.5))
    log_prob.sum().backward()
    assert likelihood.sigma.item() == pytest.approx(math.exp(-6))
    assert log_prob.item() == pytest.approx(4 * (6 - 0.5 * math.log(2 * math.pi)), rel=1e-5)
    assert params.grad is not None
    assert params.grad.isfinite().all()


@pytest.mark.parametrize("sigma", [0, -0.1, 1e-9, 1e9, math.nan, math.inf, True, "best", "0.1"])
def test_an_invalid_sigma_is_refused(sigma: float | str) -> None:
    with pytest.raises(UsageError, match=r"from 0\.001 to 1000, learned or optimal"):
        build_likelihood("gaussian", sigma=sigma)
