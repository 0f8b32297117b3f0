"""If these fail, log p(x|z) is not a log-probability, and no two results can be compared."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as ReferenceBernoulli
from torch.distributions import Normal as ReferenceNormal

from vaekit.errors import UsageError
from vaekit.likelihoods import DiscretizedLogistic, Gaussian, Likelihood, build_likelihood
from vaekit.registry import LIKELIHOODS

SHAPE = (4, 3, 5, 2)
VARIANTS: list[tuple[str, float | str | None]] = [
    *((name, None) for name in LIKELIHOODS),
    ("gaussian", 0.1),
    ("gaussian", "optimal"),
]
LEVELS = torch.arange(256, dtype=torch.float64).reshape(-1, 1, 1, 1) / 255


@pytest.fixture(params=VARIANTS, ids=str)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    name, sigma = request.param
    return build_likelihood(name, sigma=sigma).eval()


def make_params(likelihood: Likelihood, scale: float = 1.0) -> Tensor:
    n, c, h, w = SHAPE
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, likelihood.parameters_per_value * c, h, w, generator=g) * scale


def images(likelihood: Likelihood) -> Tensor:
    levels = torch.randint(0, 256, SHAPE, generator=torch.Generator().manual_seed(1))
    return (levels > 127).float() if likelihood.binary else levels / 255


# What every likelihood promises


def test_nats_are_per_image_and_know_no_neighbour(likelihood: Likelihood) -> None:
    params, x = make_params(likelihood), images(likelihood)
    together = likelihood.log_prob(params, x)
    alone = torch.cat([likelihood.log_prob(params[i : i + 1], x[i : i + 1]) for i in range(4)])
    assert together.shape == (4,)
    torch.testing.assert_close(together, alone)


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
    stratified = ((torch.arange(n) + 0.5) / n).reshape(-1, 1, 1, 1).expand(n, 3, 1, 1)
    drawn = likelihood.sample(params, stratified).mean(0)
    torch.testing.assert_close(drawn, likelihood.mean(params)[0], atol=2e-3, rtol=0)


def test_every_uniform_draw_gives_a_finite_image(likelihood: Likelihood) -> None:
    for end in (0.0, 1 - 2**-24):
        drawn = likelihood.sample(make_params(likelihood), torch.full(SHAPE, end))
        assert drawn.isfinite().all()


def test_unmean_is_the_way_back_from_an_image_to_parameters(likelihood: Likelihood) -> None:
    mean = torch.linspace(0.005, 0.995, math.prod(SHAPE)).reshape(SHAPE)
    params = likelihood.unmean(mean)
    assert params.shape == make_params(likelihood).shape
    torch.testing.assert_close(likelihood.mean(params), mean, atol=1e-5, rtol=0)
    assert likelihood.unmean((mean > 0.5).float()).isfinite().all()


def test_half_precision_parameters_are_worked_on_in_single(likelihood: Likelihood) -> None:
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


@pytest.mark.parametrize("name", [n for n in LIKELIHOODS if n != "gaussian"])
def test_a_sigma_where_there_is_none_is_refused(name: str) -> None:
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
def test_a_sigma_that_cannot_be_is_refused(sigma: float | str) -> None:
    with pytest.raises(UsageError, match=r"from 0\.001 to 1000, learned or optimal"):
        build_likelihood("gaussian", sigma=sigma)


# Grey levels

LOCATIONS = [-1e4, -1.3, -1.0, -0.5, 1 / 255, 0.123, 0.7, 1.0, 1e4]
RAW_SCALES = [-100.0, -7.0, -3.0, 0.0, 2.0, 100.0]


def exact_log_masses(location: float, raw: float) -> list[float]:
    """The definition, at 80 digits: differences of the distribution function, no algebra."""
    with localcontext(prec=80, Emin=-(10**12), Emax=10**12):
        scale = (Decimal(7) * Decimal(math.tanh(raw / 7))).exp()

        def tail(edge: Decimal) -> Decimal:  # mass below a negative edge, above a positive one
            return 1 / (1 + (abs(edge)).exp())

        edges = [(Decimal(2 * k - 254) / 255 - Decimal(location)) / scale for k in range(255)]
        masses = []
        for low, high in zip([None, *edges], [*edges, None], strict=True):
            if low is None:
                assert high is not None
                mass = tail(high) if high < 0 else 1 - tail(high)
            elif high is None:
                mass = tail(low) if low > 0 else 1 - tail(low)
            elif low > 0:
                mass = tail(low) - tail(high)
            else:
                mass = tail(high) - tail(low) if high < 0 else 1 - tail(high) - tail(low)
            masses.append(float(mass.ln()))
        return masses


def logistic_params(location: float, raw: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor([location, raw], dtype=dtype).reshape(1, 2, 1, 1).expand(256, 2, 1, 1)


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("raw", RAW_SCALES)
def test_logistic_masses_are_those_of_the_definition(location: float, raw: float) -> None:
    single = torch.tensor(location).item()
    expected = torch.tensor(exact_log_masses(single, raw), dtype=torch.float64)
    for dtype, rtol, atol in ((torch.float64, 1e-12, 1e-9), (torch.float32, 1e-5, 2e-5)):
        params = logistic_params(single, raw, dtype)
        got = DiscretizedLogistic().log_prob(params, LEVELS.to(dtype)).double()
        torch.testing.assert_close(got, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("raw", RAW_SCALES)
def test_logistic_masses_sum_to_one(location: float, raw: float) -> None:
    params = logistic_params(location, raw, torch.float32)
    log_masses = DiscretizedLogistic().log_prob(params, LEVELS.float())
    assert log_masses.double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("raw", [-1e4, *RAW_SCALES, 1e4])
def test_logistic_gradients_are_finite_and_point_at_the_image(location: float, raw: float) -> None:
    params = logistic_params(location, raw, torch.float32).clone().requires_grad_()
    DiscretizedLogistic().log_prob(params, LEVELS.float()).sum().backward()
    assert params.grad is not None
    assert params.grad.isfinite().all()
    assert params.grad[0, 0] <= 0  # a black value never asks for a brighter location
    assert params.grad[255, 0] >= 0


def test_logistic_gradients_are_those_of_finite_differences() -> None:
    g = torch.Generator().manual_seed(0)
    params = torch.randn(3, 2, 2, 2, generator=g, dtype=torch.float64).requires_grad_()
    x = torch.tensor([0.0, 1.0, 77 / 255, 128 / 255], dtype=torch.float64).reshape(1, 1, 2, 2)
    likelihood = DiscretizedLogistic()
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, x.expand(3, 1, 2, 2)), params)


def test_logistic_channels_are_locations_then_scales() -> None:
    location, raw = torch.tensor([-0.4, 0.1, 0.6]), torch.tensor([-4.0, -2.0, 0.0])
    x = torch.tensor([0.2, 0.6, 0.8]).reshape(1, 3, 1, 1)
    joint = DiscretizedLogistic().log_prob(torch.cat([location, raw]).reshape(1, 6, 1, 1), x)
    one_by_one = [
        exact_log_masses(location[c].item(), raw[c].item())[round(255 * x[0, c].item())]
        for c in range(3)
    ]
    assert joint.item() == pytest.approx(sum(one_by_one), rel=1e-5)


@pytest.mark.parametrize(("log_scale", "bound"), [(-7, 0.17), (-6, 0.05), (-3, 0.01), (7, 0.02)])
def test_the_closed_form_of_the_logistic_mean_is_near_the_sum(
    log_scale: float, bound: float
) -> None:
    ends = torch.linspace(0.98, 1.02, 400)  # where the two differ most
    location = torch.cat([-ends, torch.linspace(-1.1, 1.1, 701), ends]).reshape(-1, 1, 1, 1)
    raw = 7 * math.atanh(log_scale / 7 * (1 - 1e-9))
    params = torch.cat([location, torch.full_like(location, raw)], dim=1)
    wide = params.double().unsqueeze(0).expand(256, -1, -1, -1, -1).reshape(-1, 2, 1, 1)
    x = LEVELS.unsqueeze(1).expand(-1, 1501, 1, 1, 1).reshape(-1, 1, 1, 1)
    masses = DiscretizedLogistic().log_prob(wide, x).exp().reshape(256, 1501)
    exact = (masses * LEVELS.reshape(-1, 1)).sum(0)
    error = (DiscretizedLogistic().mean(params).flatten() - exact).abs().max() * 255
    assert error < bound


@pytest.mark.parametrize(("location", "mean"), [(-1e4, 0.0), (1e4, 1.0), (-3.0, 0.0), (3.0, 1.0)])
def test_the_logistic_mean_stays_on_the_grey_scale(location: float, mean: float) -> None:
    params = logistic_params(location, -100.0, torch.float32)
    assert DiscretizedLogistic().mean(params)[0].item() == pytest.approx(mean, abs=1e-6)


def test_logistic_samples_follow_the_masses() -> None:
    n = 100_000
    params = torch.tensor([0.9, -1.5]).reshape(1, 2, 1, 1)
    stratified = ((torch.arange(n) + 0.5) / n).reshape(-1, 1, 1, 1)
    drawn = DiscretizedLogistic().sample(params.expand(n, -1, -1, -1), stratified)
    counts = torch.bincount((drawn.flatten() * 255).round().long(), minlength=256)
    expected = DiscretizedLogistic().log_prob(params.expand(256, -1, -1, -1), LEVELS.float()).exp()
    torch.testing.assert_close(counts / n, expected, atol=3 / n, rtol=0)
