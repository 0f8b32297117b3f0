"""If these fail, every number in nats that vaekit prints is wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, kl_divergence
from torch.distributions import Normal as Reference

from vaekit.gaussian import Normal, StandardNormal, soft_bound


@pytest.fixture
def q() -> Normal:
    g = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 6, 3, dtype=torch.float64, generator=g) * 2
    return Normal(mean, logvar)


def test_log_prob_is_that_of_torch(q: Normal) -> None:
    z = torch.linspace(-3, 3, 18, dtype=torch.float64).reshape(6, 3)
    expected = Independent(Reference(q.mean, q.std), 1).log_prob(z)
    torch.testing.assert_close(q.log_prob(z), expected)


def test_kl_is_that_of_torch(q: Normal) -> None:
    expected = kl_divergence(Reference(q.mean, q.std), Reference(0.0, 1.0))
    torch.testing.assert_close(q.kl_to_standard(), expected)
    torch.testing.assert_close(StandardNormal().kl(q), expected)


def test_kl_is_the_mean_log_ratio_of_samples() -> None:
    q = Normal(torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.5, 0.3]]))
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(1))
    z = q.sample(noise)
    ratio = q.log_prob(z) - StandardNormal().log_prob(z)
    error = ratio.std() / math.sqrt(len(ratio))
    assert abs(ratio.mean() - q.kl_to_standard().sum()) < 4 * error


def test_samples_have_the_mean_and_the_spread_they_should() -> None:
    q = Normal(torch.tensor([[1.5]]), torch.tensor([[math.log(0.09)]]))
    drawn = q.sample(torch.randn(100_000, 1, generator=torch.Generator().manual_seed(2)))
    assert drawn.mean().item() == pytest.approx(1.5, abs=0.005)
    assert drawn.std().item() == pytest.approx(0.3, abs=0.005)


def test_the_divergence_of_an_unused_dimension_is_not_lost_in_rounding() -> None:
    logvar = 1e-3
    exact = 0.5 * (math.expm1(logvar) - logvar)  # 2.5e-7, of terms near one
    kl = Normal(torch.zeros(1, 1), torch.full((1, 1), logvar)).kl_to_standard()
    assert kl.item() == pytest.approx(exact, rel=1e-3)


def test_gradients_pass_through_a_sample() -> None:
    mean, logvar = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    Normal(mean, logvar).sample(torch.full((1, 1), 3.0)).backward()
    assert mean.grad is not None
    assert logvar.grad is not None
    assert (mean.grad.item(), logvar.grad.item()) == (1.0, 1.5)


def test_rows_and_precision_can_be_chosen(q: Normal) -> None:
    part = q[2:4].to(torch.float32)
    assert len(part) == 2
    assert part.mean.dtype == torch.float32
    torch.testing.assert_close(part.logvar, q.logvar[2:4].float())


def test_the_prior_is_a_standard_normal() -> None:
    z = torch.linspace(-4, 4, 10).reshape(5, 2)
    expected = Reference(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(StandardNormal().log_prob(z), expected)
    assert torch.equal(StandardNormal().sample(z), z)


def test_a_soft_bound_holds_and_its_gradient_fades_slowly() -> None:
    raw = torch.tensor([-1e30, -60.0, 0.0, 60.0, 1e30], requires_grad=True)
    bounded = soft_bound(raw, 20.0)
    bounded.sum().backward()
    assert raw.grad is not None
    assert bounded.abs().max() <= 20
    assert raw.grad[2] == 1
    assert raw.grad[1] == raw.grad[3] > 0.005
    assert raw.grad.isfinite().all()


def test_the_density_of_a_draw_is_known_from_its_noise() -> None:
    q = Normal(torch.randn(4, 3), torch.randn(4, 3))
    noise = torch.randn(4, 3)
    exact = torch.distributions.Normal(q.mean, q.std).log_prob(q.sample(noise)).sum(1)
    torch.testing.assert_close(q.log_prob_of_noise(noise), exact, rtol=1e-4, atol=1e-4)
