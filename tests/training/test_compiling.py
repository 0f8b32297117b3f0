"""--compile: the same training, compiled for the size of batch that comes all the time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.test_loop import epoch, trainer, weights


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{}, {"model": "conv", "hidden": None, "channels": (4, 8)}], ids=["mlp", "conv"]
)
def test_compiled_training_is_the_same_but_for_rounding(options: dict[str, Any]) -> None:
    run, plain = trainer(compile="on", **options), trainer(**options)
    for _ in range(2):
        compiled, eager = epoch(run), epoch(plain)
        assert compiled["train_neg_elbo"] == pytest.approx(eager["train_neg_elbo"], rel=1e-4)
