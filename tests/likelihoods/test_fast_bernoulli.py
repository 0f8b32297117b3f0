"""Fast sums over coins say what torch.distributions says, coin by coin, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli

from vaekit.likelihoods.fast_bernoulli import BLOCK_VALUES, log_prob


@pytest.mark.parametrize("values", [1, 2, 3, 48, 784, 1225])
@pytest.mark.parametrize("scale", [0.1, 4.0, 60.0])
@pytest.mark.parametrize("images", [1, 3])
def test_sums_are_those_of_torch_distributions(images: int, values: int, scale: float) -> None:
    torch.manual_seed(values)
    logits, x = torch.randn(images, 7, values) * scale, (torch.rand(images, values) > 0.3).float()
    seen = x.double()[:, None].expand_as(logits)
    exact = Bernoulli(logits=logits.double()).log_prob(seen).sum(2)
    off = (log_prob(logits, x).double() - exact).abs()
    assert (off < 1e-6 * (1 + logits.abs().sum(2) - exact)).all()


def test_rows_beyond_one_block_are_summed_too() -> None:
    values = 1024
    rows = 2 * BLOCK_VALUES // values + 3
    logits = torch.arange(rows, dtype=torch.float32)[:, None].expand(rows, values) / 400
    found = log_prob(logits.contiguous()[None], torch.ones(1, values))[0]
    exact = [-values * math.log1p(math.exp(-row / 400)) for row in range(rows)]
    torch.testing.assert_close(found, torch.tensor(exact), rtol=1e-4, atol=1e-2)


def test_a_sure_coin_costs_nothing_and_a_wrong_one_its_logit() -> None:
    logits = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]])
    assert log_prob(logits, torch.tensor([[1.0, 0.0]])).tolist() == [[0.0, -400.0]]
