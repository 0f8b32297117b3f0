"""Light work keeps to one thread, large work within it calls the others, and all come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.small_trainers import trainer
from vaekit.likelihoods import build_likelihood
from vaekit.machine import threads
from vaekit.machine.threads import alone, together
from vaekit.models import mlp
from vaekit.models.vae import build
from vaekit.objectives.elbo import elbo


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    with threads.using_threads(3):
        yield
        assert torch.get_num_threads() == 3


def test_large_operations_within_light_work_use_all_threads() -> None:
    with alone(if_light=True):
        assert torch.get_num_threads() == 1
        assert together(torch.get_num_threads) == 3
        assert torch.get_num_threads() == 1
    assert together(torch.get_num_threads) == 3


def test_work_that_is_not_light_uses_all_threads_throughout() -> None:
    with alone(if_light=False):
        assert torch.get_num_threads() == together(torch.get_num_threads) == 3


def test_with_one_thread_nothing_changes() -> None:
    with threads.using_threads(1), alone(if_light=True):
        assert together(torch.get_num_threads) == 1


@pytest.mark.parametrize("large", [True, False])
def test_a_failure_gives_all_threads_back(large: bool) -> None:
    def failing() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), alone(if_light=True):
        together(failing) if large else failing()
    assert together(torch.get_num_threads) == 3


def test_nested_light_work_ends_with_the_outer() -> None:
    with alone(if_light=True):
        with alone(if_light=True):
            assert torch.get_num_threads() == 1
        assert (torch.get_num_threads(), together(torch.get_num_threads)) == (1, 3)


@pytest.mark.parametrize(
    ("rows", "side", "light"), [(128, 28, True), (256, 28, False), (16, 128, False)]
)
def test_small_layers_are_light_for_few_images(
    monkeypatch: pytest.MonkeyPatch, rows: int, side: int, light: bool
) -> None:
    monkeypatch.setattr(mlp, "suits", lambda _: True)
    model = build("mlp", image=(side, side, 1), latent_dim=2, likelihood=build_likelihood("bce"))
    assert model.is_light(rows) is light
    monkeypatch.setattr(mlp, "suits", lambda _: False)
    assert not model.is_light(rows), "its products would have to do with one thread too"


@pytest.mark.parametrize(
    ("options", "number"),
    [({}, 1), ({"precision": "bfloat16"}, 3), ({"model": "conv", "hidden": None}, 3)],
    ids=["mlp", "bfloat16", "conv"],
)
def test_steps_of_small_networks_are_light(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], number: int
) -> None:
    monkeypatch.setattr(mlp, "suits", lambda _: True)
    run, seen = trainer(**options), set[int]()

    def noting(model: Any, x: Tensor, noise: Tensor, **rest: Any) -> dict[str, Tensor]:
        seen.add(torch.get_num_threads())
        return elbo(model, x, noise, **rest)

    run.gradients.objective = noting
    run.step(next(run.epoch_batches()))
    assert seen == {number}
