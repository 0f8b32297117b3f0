"""What torch does not promise is still there; where it is not, training gives the same numbers."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import linear

from vaekit import torch_internals

PRIVATE = ("_foreach_norm", "_foreach_mul_", "_foreach_lerp_")


@pytest.mark.parametrize("name", PRIVATE)
def test_torch_still_has_the_fast_function(name: str) -> None:
    assert hasattr(torch, name), f"torch {torch.__version__} dropped {name}: training is slower now"


@pytest.mark.parametrize("update", [torch_internals.adam, torch_internals.adamw])
def test_adam_still_takes_the_arguments_that_training_gives(update: Callable[..., None]) -> None:
    names = list(inspect.signature(update).parameters)
    assert names[:6] == ["params", "grads", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs",
                         "state_steps"]  # fmt: skip
    assert {"fused", "found_inf", "amsgrad", "beta1", "beta2", "lr", "weight_decay", "eps",
            "maximize"} <= set(names)  # fmt: skip


@pytest.mark.parametrize("dropped", [False, True], ids=["fast", "public functions"])
def test_the_numbers_are_those_of_the_formulas(
    monkeypatch: pytest.MonkeyPatch, dropped: bool
) -> None:
    if dropped:
        for name in PRIVATE:
            monkeypatch.delattr(torch, name)
    tensors = [torch.tensor([3.0, 4.0]), torch.tensor([[5.0], [12.0]])]
    assert torch_internals.norms(tensors).tolist() == [5.0, 13.0]
    torch_internals.multiply_each(tensors, torch.tensor(2.0))
    assert [t.flatten().tolist() for t in tensors] == [[6.0, 8.0], [10.0, 24.0]]
    torch_internals.lerp_each(tensors, [torch.zeros(2), torch.ones(2, 1)], 0.5)
    assert [t.flatten().tolist() for t in tensors] == [[3.0, 4.0], [5.5, 12.5]]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's product is for x86-64")
def test_onednn_still_multiplies_as_torch_does() -> None:
    assert torch_internals.has_onednn_linear()
    torch.manual_seed(0)
    x, weight, bias = torch.randn(5, 7), torch.randn(3, 7), torch.randn(3)
    for given in (bias, None):
        found = torch_internals.onednn_linear(x, weight, given)
        torch.testing.assert_close(found, linear(x, weight, given))


def test_without_onednn_the_product_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_internals, "has_onednn_linear", lambda: False)
    x, weight = torch.randn(5, 7), torch.randn(3, 7)
    assert torch.equal(torch_internals.onednn_linear(x, weight, None), linear(x, weight))


def test_seeding_the_cpu_gives_the_draws_of_manual_seed() -> None:
    with torch.random.fork_rng(devices=[]):
        torch_internals.seed_cpu(7)
        found = torch.rand(3)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(7)))
