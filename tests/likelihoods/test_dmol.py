"""If these fail, the bits per dimension of `dmol` mean nothing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from scipy.stats import logistic
from torch import Tensor

from vaekit.errors import UsageError
from vaekit.likelihoods import DiscretizedLogistic, MixtureOfLogistics, build_likelihood


class FewLevels(MixtureOfLogistics):
    """The same with few levels, so that all colours of a pixel can be listed."""

    levels = 6


def random_params(channels: int, mixtures: int, *, scale: float = 1.0, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    count = MixtureOfLogistics(mixtures).parameters_per_pixel(channels)
    return scale * torch.randn(1, count, 1, 1, generator=g, dtype=torch.float64)


def every_colour(levels: int, channels: int) -> Tensor:
    colours = list(itertools.product(range(levels), repeat=channels))
    return torch.tensor(colours, dtype=torch.float64).reshape(-1, channels, 1, 1) / (levels - 1)


def definition(params: np.ndarray[Any, Any], colour: list[int], mixtures: int, last: int) -> float:
    """The log-probability of one pixel's colour, from scipy's logistic distribution functions."""
    rows = list(params.reshape(-1, mixtures))
    c = len(colour)
    logits, m, raw, slopes = rows[0], rows[1 : 1 + c], rows[1 + c : 1 + 2 * c], rows[1 + 2 * c :]
    v = [2 * level / last - 1 for level in colour]
    pairs = [(i, j) for i in range(c) for j in range(i)]
    found = []
    for k in range(mixtures):
        total = log_softmax(logits)[k]
        for i in range(c):
            at = m[i][k] + sum(
                math.tanh(slopes[n][k]) * v[b] for n, (a, b) in enumerate(pairs) if a == i
            )
            here = logistic(at, math.exp(7 * math.tanh(raw[i][k] / 7)))
            low = -math.inf if colour[i] == 0 else v[i] - 1 / last
            high = math.inf if colour[i] == last else v[i] + 1 / last
            upper_tail = low > at  # where 1 − F is the small number
            mass = here.sf(low) - here.sf(high) if upper_tail else here.cdf(high) - here.cdf(low)
            total += np.log(mass)
        found.append(total)
    return float(logsumexp(found))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_log_probabilities_are_those_of_the_definition(channels: int) -> None:
    rng = np.random.default_rng(channels)
    for seed in range(4):
        params = random_params(channels, 3, seed=seed)
        for colour in [*rng.integers(0, 256, (3, channels)), [0] * channels, [255] * channels]:
            x = torch.tensor([int(c) for c in colour], dtype=torch.float64).reshape(1, -1, 1, 1)
            expected = definition(params.numpy(), [int(c) for c in colour], 3, 255)
            for dtype, rtol in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
                got = MixtureOfLogistics(3).log_prob(params.to(dtype), x.to(dtype) / 255)
                assert got.item() == pytest.approx(expected, rel=rtol, abs=rtol)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
def test_the_probabilities_of_all_colours_of_a_pixel_sum_to_one(
    channels: int, scale: float
) -> None:
    params, x = random_params(channels, 4, scale=scale), every_colour(6, channels)
    logs = FewLevels(4).log_prob(params.float().expand(len(x), -1, -1, -1), x.float())
    assert logs.double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_channel_is_a_distribution_given_those_before_it(channels: int) -> None:
    params, x = random_params(channels, 4), every_colour(6, channels)
    each = FewLevels(4).log_prob_per_value(params.expand(len(x), -1, -1, -1), x)
    whole = FewLevels(4).log_prob(params.expand(len(x), -1, -1, -1), x)
    torch.testing.assert_close(each.flatten(1).sum(1), whole)
    last = each[:, -1].exp().reshape(-1, 6).sum(1)  # over the last channel, the others given
    torch.testing.assert_close(last, torch.ones_like(last))


def test_one_component_with_independent_channels_is_the_discretized_logistic() -> None:
    plain = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(1, 1, 4, 4)
    params = torch.cat([zeros, plain, zeros, zeros, zeros], 1)
    x = torch.randint(0, 256, (1, 3, 4, 4), generator=torch.Generator().manual_seed(1)) / 255
    one, other = MixtureOfLogistics(1), DiscretizedLogistic()
    torch.testing.assert_close(one.log_prob(params, x), other.log_prob(plain, x))
    torch.testing.assert_close(one.mean(params), other.mean(plain))
    u = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert (one.sample(params, u) - other.sample(plain, u)).abs().max() < 1.01 / 255


def test_gradients_are_those_of_finite_differences() -> None:
    params = random_params(3, 2).requires_grad_()
    x = torch.tensor([0, 255, 77], dtype=torch.float64).reshape(1, 3, 1, 1) / 255
    assert torch.autograd.gradcheck(lambda p: MixtureOfLogistics(2).log_prob(p, x), params)


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("raw", [-1e4, -30.0, 30.0])
def test_black_and_white_are_stable_under_the_sharpest_and_flattest_scales(
    level: float, raw: float
) -> None:
    params = torch.zeros(1, 100, 1, 1)
    params[:, 40:70] = raw
    params.requires_grad_()
    log_prob = MixtureOfLogistics().log_prob(params, torch.full((1, 3, 1, 1), level))
    log_prob.sum().backward()
    assert params.grad is not None
    assert log_prob.isfinite().all()
    assert params.grad.isfinite().all()


def test_samples_follow_the_probabilities() -> None:
    n = 1 << 14
    likelihood, params, colours = FewLevels(3), random_params(2, 3), every_colour(6, 2)
    uniform = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(n).reshape(n, 2, 1, 1)
    drawn = likelihood.sample(params.expand(n, -1, -1, -1).float(), uniform)
    levels = (drawn * 5).round().long().reshape(n, 2)
    shares = torch.bincount(levels[:, 0] * 6 + levels[:, 1], minlength=36).double() / n
    expected = likelihood.log_prob(params.expand(36, -1, -1, -1), colours).exp()
    torch.testing.assert_close(shares, expected, atol=2e-3, rtol=0)


def sampled_mean(params: Tensor, n: int = 1 << 13) -> Tensor:
    uniform = torch.quasirandom.SobolEngine(3, scramble=True, seed=0).draw(n).reshape(n, 3, 1, 1)
    return MixtureOfLogistics().sample(params.expand(n, -1, -1, -1), uniform).mean(0)


@pytest.mark.parametrize(("log_scale", "bound"), [(0.0, 3.0), (-4.0, 1.2)])
def test_the_mean_is_within_a_few_levels_of_that_of_samples(log_scale: float, bound: float) -> None:
    """Random parameters: locations far outside the image's range, where most mass is clipped."""
    for seed in range(6):
        params = random_params(3, 10, seed=seed).float()
        params[:, 40:70] += log_scale
        error = 255 * (MixtureOfLogistics().mean(params)[0] - sampled_mean(params)).abs()
        assert error[0].item() < 0.05
        assert error.max().item() < bound


def test_the_mean_is_exact_where_nothing_is_clipped() -> None:
    params = random_params(3, 10).float()
    params[:, 10:40] *= 0.2  # locations within ±0.6
    params[:, 40:70] = -4.5
    params[:, 70:] *= 0.3
    error = 255 * (MixtureOfLogistics().mean(params)[0] - sampled_mean(params)).abs()
    assert error.max().item() < 0.1


@pytest.mark.parametrize("mixtures", [0, -1, 1001, True, 2.5])
def test_a_number_of_mixtures_that_makes_no_sense_is_refused(mixtures: Any) -> None:
    with pytest.raises(UsageError, match=r"--mixtures .*: a whole number from 1 to 1000"):
        build_likelihood("dmol", mixtures=mixtures)


def test_mixtures_are_for_dmol_alone() -> None:
    with pytest.raises(UsageError, match="--mixtures goes with --likelihood dmol, not with bce"):
        build_likelihood("bce", mixtures=3)
