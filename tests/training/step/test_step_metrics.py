"""Metrics of many steps read at once, as on an accelerator, still keep NaN out of the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.small_trainers import epoch, poisoned, trainer, weights
from vaekit.errors import Diverged
from vaekit.training.loop import Trainer
from vaekit.training.run_files.checkpoint import Checkpoints
from vaekit.training.run_files.run_folder import RunFolder
from vaekit.training.step.step_metrics import StepMetrics


def reading_late(read_every: int = 50, **options: Any) -> Trainer:
    run = trainer(**options)
    run.step_metrics = StepMetrics(torch.device("cpu"), read_every)
    return run


@pytest.mark.parametrize("read_every", [2, 3, 50])
def test_reading_late_changes_no_bit_of_a_run(read_every: int) -> None:
    late, plain = reading_late(read_every, ema=0.9), trainer(ema=0.9)
    for _ in range(2):
        first, second = epoch(late), epoch(plain)
        for timing in ("seconds", "images_per_second"):
            first.pop(timing), second.pop(timing)
        assert first == second
    assert all(map(torch.equal, weights(late), weights(plain)))


@pytest.mark.parametrize("kind", ["loss", "reconstruction", "kl", "gradient"])
def test_updates_stop_at_the_first_bad_number(kind: str) -> None:
    run, good = reading_late(count=80), trainer(count=80)
    run.gradients.objective = poisoned(kind, at=2)
    batches = list(run.epoch_batches())
    for indices in batches[:2]:
        good.step(indices)
    for indices in batches:
        run.step(indices)
    assert all(map(torch.equal, weights(good), weights(run)))
    with pytest.raises(Diverged, match=rf"step 3 \(epoch 1\): the {kind} is (nan|inf)"):
        run.end_epoch()


def test_a_checkpoint_reads_pending_metrics_first(tmp_path: Any) -> None:
    run = reading_late()
    run.gradients.objective = poisoned("kl", at=0)
    run.step(next(run.epoch_batches()))
    folder = RunFolder(tmp_path, tmp_path / "model.safetensors")
    with pytest.raises(Diverged, match="step 1 "):
        Checkpoints(folder, run.config, "", torch.device("cpu")).save(run)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_means_shown_are_those_of_the_steps_that_were_read() -> None:
    run, plain = reading_late(read_every=2), trainer()
    shown = [run.step(indices).neg_elbo for indices in run.epoch_batches()]
    each = [plain.step(indices).neg_elbo for indices in plain.epoch_batches()]
    assert torch.tensor(shown[0]).isnan()
    assert shown[1:3] == [each[1], each[1]]
    assert shown[3] == each[3]
