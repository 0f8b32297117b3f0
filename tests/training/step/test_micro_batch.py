"""Row 51: out of memory gives smaller micro-batches of the same batch, then a clear error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.small_trainers import SHAPE, epoch, images, trainer, weights
from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches
from vaekit.errors import VaekitError
from vaekit.objectives.elbo import elbo
from vaekit.reporting import Silent
from vaekit.training.defaults import fill_defaults, network_from_config
from vaekit.training.loop import Trainer
from vaekit.training.step.micro_batch import is_out_of_memory


class Heard(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def small(most: int, run: Trainer) -> list[int]:
    """A device on which at most so many images fit at once; gives the sizes that were tried."""
    tried: list[int] = []

    def objective(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        tried.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return elbo(model, x, noise, **options)

    run.gradients.objective = objective
    return tried


def heard_trainer(**options: Any) -> tuple[Trainer, Heard]:
    heard = Heard()
    plain = {"hidden": (16,), "latent_dim": 3, "epochs": 4, "batch_size": 16, "lr": 1e-2,
             "schedule": "cosine", "likelihood": "bce"}  # fmt: skip
    config = fill_defaults(RunConfig(**{**plain, **options}), SHAPE, "digits")
    return Trainer(
        config, network_from_config(config, SHAPE), Batches(images(50)), None, heard
    ), heard


@pytest.mark.parametrize("options", [{}, {"binarize": "dynamic", "likelihood": "bernoulli"}])
def test_out_of_memory_halves_the_micro_batch_and_changes_no_result(
    options: dict[str, Any],
) -> None:
    run, heard = heard_trainer(**options)
    tried = small(5, run)
    plain = trainer(**options)
    for _ in range(2):
        first, second = epoch(run), epoch(plain)
        assert first["train_neg_elbo"] == pytest.approx(second["train_neg_elbo"], rel=1e-5)
    assert tried[:7] == [16, 8, 4, 4, 4, 4, 4], "halved twice, and never tried larger again"
    assert max(tried[2:]) == 4
    for mine, its in zip(weights(run), weights(plain), strict=True):
        assert torch.allclose(mine, its, rtol=1e-5, atol=1e-6)
    assert len(heard.warnings) == 2
    assert "out of memory with 16 images at a time" in heard.warnings[0]
    assert "going on with 8, in batches of 16 as before" in heard.warnings[0]
    assert "the same" in heard.warnings[0]


def test_a_failed_micro_batch_leaves_no_gradient() -> None:
    """The gradients of the parts that went through must not be counted twice."""
    run, _ = heard_trainer(micro_batch=8)
    calls = iter(range(1000))

    def objective(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        if next(calls) == 1:  # the second half of the first batch
            raise torch.OutOfMemoryError
        return elbo(model, x, noise, **options)

    run.gradients.objective = objective
    plain = trainer()
    run.step(torch.arange(16))
    plain.step(torch.arange(16))
    for mine, its in zip(weights(run), weights(plain), strict=True):
        assert torch.allclose(mine, its, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"free_bits": 0.1}, "--free-bits"),
     ({"likelihood": "gaussian", "sigma": "optimal"}, "--sigma optimal"),
     ({"model": "conv", "hidden": None, "channels": (4,), "norm": "batch"}, "batch norm")],
)  # fmt: skip
def test_a_warning_says_where_micro_batches_change_the_result(
    options: dict[str, Any], named: str
) -> None:
    run, heard = heard_trainer(**options)
    small(8, run)
    run.step(torch.arange(16))
    assert f"the result differs, since {named}" in heard.warnings[0]


def test_one_image_that_does_not_fit_is_a_clear_end() -> None:
    run, _ = heard_trainer()
    tried = small(0, run)
    with pytest.raises(VaekitError, match="out of memory with one image at a time") as caught:
        run.step(torch.arange(16))
    assert tried == [16, 8, 4, 2, 1]
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert "--image-size" in str(caught.value)


def test_validation_takes_fewer_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run, plain = trainer(val=50), trainer(val=50)
    tried: list[int] = []

    def objective(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        tried.append(len(x))
        if len(x) > 20:
            raise torch.OutOfMemoryError
        return elbo(model, x, noise, **options)

    expected = plain.validate()
    monkeypatch.setattr("vaekit.training.loop.registry.resolve", lambda *_: objective)
    found = run.validate()
    assert found is not None
    assert expected is not None
    assert found.neg_elbo == pytest.approx(expected.neg_elbo, rel=1e-5)
    assert max(tried[-3:]) <= 20 < max(tried)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=repr,
)
def test_out_of_memory_is_recognised_on_every_device(error: BaseException, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


def test_another_error_is_not_taken_for_out_of_memory() -> None:
    run, heard = heard_trainer()

    def broken(*_: Any, **__: Any) -> dict[str, Tensor]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    run.gradients.objective = broken
    with pytest.raises(RuntimeError, match="mat1"):
        run.step(torch.arange(16))
    assert not heard.warnings
