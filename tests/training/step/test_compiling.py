"""--compile: the same training, compiled for whole batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.small_trainers import epoch, trainer, weights
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import VaekitError
from vaekit.objectives.elbo import elbo
from vaekit.training.step import compiling
from vaekit.training.step.compiling import PAYS_AFTER, Compiled, compiling_pays


def test_only_whole_batches_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 images are three batches of 16 and one of 2, which is not worth a minute of compiling."""
    sizes: list[int] = []

    def noting(function: Any, **options: Any) -> Any:
        def compiled(model: Any, x: Tensor, *args: Any, **rest: Any) -> Any:
            sizes.append(len(x))
            return function(model, x, *args, **rest)

        return compiled

    monkeypatch.setattr(torch, "compile", noting)
    run, plain = trainer(compile="on"), trainer()
    assert epoch(run)["train_neg_elbo"] == epoch(plain)["train_neg_elbo"]
    assert sizes == [16, 16, 16]
    assert all(map(torch.equal, weights(run), weights(plain)))


def test_while_beta_rises_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    betas: list[float] = []

    def noting(function: Any, **_: Any) -> Any:
        return lambda *args, beta, **rest: betas.append(beta) or function(*args, beta=beta, **rest)

    monkeypatch.setattr(torch, "compile", noting)
    run, plain = trainer(compile="on", kl_warmup=1), trainer(kl_warmup=1)
    for _ in range(2):
        assert epoch(run)["train_neg_elbo"] == epoch(plain)["train_neg_elbo"]
    assert betas == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("asked", "model", "device", "steps", "expected"),
    [
        ("on", "mlp", "cpu", 1, True),
        ("off", "conv", "cuda", 10**9, False),
        ("auto", "conv", "cpu", PAYS_AFTER, True),
        ("auto", "conv", "cpu", PAYS_AFTER - 1, False),
        ("auto", "mlp", "cpu", 10**9, False),  # slower than without
        ("auto", "mlp", "cuda", PAYS_AFTER, True),
        ("auto", "conv", "mps", 10**9, False),
    ],
)
def test_auto_compiles_only_long_runs(
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    model: str,
    device: str,
    steps: int,
    expected: bool,
) -> None:
    monkeypatch.setattr(compiling, "_has_compiler", lambda _: True)
    config = resolve_config({"compile": asked, "model": model}, environ={})
    assert compiling_pays(config, steps, torch.device(device)) is expected


def test_without_a_compiler_auto_does_not_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = resolve_config({"model": "conv"}, environ={})
    assert not compiling_pays(config, PAYS_AFTER, torch.device("cpu"))


def failing(function: Any, **_: Any) -> Any:
    def compiled(*args: Any, **options: Any) -> Any:
        raise RuntimeError("no headers\nin this place")

    return compiled


def test_auto_falls_back_to_eager_mode_with_a_note(
    monkeypatch: pytest.MonkeyPatch, watcher: Any
) -> None:
    monkeypatch.setattr(torch, "compile", failing)
    config = resolve_config({"batch_size": 4}, environ={})
    x, noise = torch.rand(4, 1, 8, 8), torch.randn(4, 3)
    model = trainer().network
    objective = Compiled(elbo, config, torch.device("cpu"), watcher)
    for _ in range(2):
        assert torch.equal(objective(model, x, noise)["loss"], elbo(model, x, noise)["loss"])
    assert watcher.notes == ["continues without compiling: torch cannot compile here (no headers)"]


def test_compile_on_is_an_error_where_torch_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(
        VaekitError, match=r"--compile on: torch cannot compile here \(no headers\)"
    ):
        epoch(trainer(compile="on"))


def test_an_error_of_the_objective_is_not_blamed_on_the_compiler(
    monkeypatch: pytest.MonkeyPatch, watcher: Any
) -> None:
    def wrong(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(torch, "compile", failing)
    objective = Compiled(
        wrong, resolve_config({"batch_size": 4}, environ={}), torch.device("cpu"), watcher
    )
    with pytest.raises(ZeroDivisionError):
        objective(trainer().network, torch.rand(4, 1, 8, 8))
    assert not watcher.notes


@pytest.mark.parametrize(
    ("device", "micro_batch", "mode", "marks"),
    [("cpu", None, "default", 0), ("cuda", None, "reduce-overhead", 1), ("cuda", 4, "default", 0)],
)
def test_on_cuda_whole_steps_become_graphs(
    monkeypatch: pytest.MonkeyPatch,
    watcher: Any,
    device: str,
    micro_batch: int | None,
    mode: str,
    marks: int,
) -> None:
    """The choice alone: there was no GPU to run it on."""
    modes: list[str] = []
    begun: list[None] = []

    def noting(function: Any, *, mode: str, **_: Any) -> Any:
        modes.append(mode)
        return function

    monkeypatch.setattr(torch, "compile", noting)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(None))
    config = resolve_config({"batch_size": 4, "micro_batch": micro_batch}, environ={})
    objective = Compiled(elbo, config, torch.device(device), watcher)
    objective(trainer().network, torch.rand(4, 1, 8, 8), torch.randn(4, 3))
    assert (modes, len(begun)) == ([mode], marks)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"model": "conv", "hidden": None, "channels": (4, 8)}], ids=["mlp", "conv"]
)
def test_compiled_training_is_the_same_but_for_rounding(options: dict[str, Any]) -> None:
    run, plain = trainer(compile="on", **options), trainer(**options)
    for _ in range(2):
        compiled, eager = epoch(run), epoch(plain)
        assert compiled["train_neg_elbo"] == pytest.approx(eager["train_neg_elbo"], rel=1e-4)
