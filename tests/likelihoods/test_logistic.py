"""If these fail, bits per dimension on grey and colour images mean nothing."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch import Tensor

from vaekit.likelihoods import DiscretizedLogistic

LEVELS = torch.arange(256, dtype=torch.float64).reshape(-1, 1, 1, 1) / 255
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
