"""Schedules against formulas and torch: a wrong one would train without an error, only worse."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaekit.configuration.config import RunConfig
from vaekit.training.step.schedules import depends_on_end, kl_weight, learning_rate

NAMES = ["constant", "cosine", "one-cycle", "steps"]
TOTAL = 40


def rates(name: str, total: int = TOTAL) -> list[float]:
    return [learning_rate(name, 0.5, step, total) for step in range(total)]


def test_every_schedule_that_can_be_asked_for_exists() -> None:
    words = RunConfig.model_fields["schedule"].annotation.__args__
    assert list(words) == NAMES
    assert all(rates(word) for word in words)


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL)
    expected = []
    for _ in range(TOTAL):
        expected.append(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()
    assert rates("cosine") == pytest.approx(expected, rel=1e-9)


def test_constant_is_constant() -> None:
    assert rates("constant") == [0.5] * TOTAL


def test_one_cycle_rises_for_three_tenths_and_falls_to_nothing() -> None:
    values = rates("one-cycle")
    assert values[0] == pytest.approx(0.5 / 25)
    assert values[6] == pytest.approx(0.5 * (1 / 25 + (24 / 25) * 0.5))  # half the way up
    assert values[12] == pytest.approx(0.5)
    assert values[26] == pytest.approx(0.25)  # half the way down
    assert learning_rate("one-cycle", 0.5, TOTAL, TOTAL) == pytest.approx(0.0, abs=1e-12)
    assert all(a < b for a, b in pairwise(values[:13]))
    assert all(a > b for a, b in pairwise(values[12:]))


def test_steps_are_those_of_the_iwae_paper() -> None:
    """3^i epochs at 0.001 * 10^(-i/7), i = 0..7: 3280 epochs in all."""
    expected = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert len(expected) == 3280
    values = [learning_rate("steps", 1e-3, epoch, 3280) for epoch in range(3280)]
    assert values == pytest.approx(expected, rel=1e-12)


@given(name=st.sampled_from(NAMES), total=st.integers(0, 10**6), step=st.integers(0, 10**6))
def test_a_rate_is_never_negative_nor_over_the_highest(name: str, total: int, step: int) -> None:
    rate = learning_rate(name, 0.5, min(step, total), total)
    assert 0 <= rate <= 0.5
    assert math.isfinite(rate)


@pytest.mark.parametrize("name", NAMES)
def test_only_a_constant_rate_can_go_on_beyond_its_end(name: str) -> None:
    same = rates(name, 10) == rates(name, 20)[:10]
    assert depends_on_end(name) is not same


def test_beta_rises_in_a_line_and_stays() -> None:
    assert [kl_weight(2.0, warmup_steps=4, step=step) for step in range(7)] == [
        0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0,
    ]  # fmt: skip
    assert kl_weight(2.0, warmup_steps=0, step=0) == 2.0
    assert kl_weight(2.0, warmup_steps=2.5, step=1) == pytest.approx(0.8)
