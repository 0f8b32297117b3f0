"""`--resume auto`: the same command starts a run, goes on with it, and leaves a finished one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import vaekit as package
from tests.conftest import Runner
from vaekit.errors import Terminated, UsageError
from vaekit.model_file.header import sha256
from vaekit.training.watcher import StepFacts

OPTIONS = {"dataset": "digits", "limit": 40, "batch_size": 16, "epochs": 2, "hidden": [4],
           "latent_dim": 2, "threads": 1, "pictures_every": "off", "val_split": 0.0}  # fmt: skip


class Stopper(package.Watcher):
    """Sends this process SIGTERM after a step."""

    def stepped(self, facts: StepFacts) -> None:
        if facts.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


def repeat(output: str = "run", watcher: Any = None, **changes: Any) -> str:
    run = package.train(
        **{**OPTIONS, **changes}, output=output, resume="auto", watcher=watcher, quiet=True
    )
    return sha256(run.path)


def test_the_same_command_starts_a_run_goes_on_with_it_and_leaves_it_when_finished() -> None:
    package.train(**OPTIONS, output="plain", quiet=True)
    with pytest.raises(Terminated):
        repeat(watcher=Stopper())
    assert not Path("run", "model.safetensors").exists()
    expected = sha256(Path("plain", "model.safetensors"))
    assert repeat() == expected
    written = Path("run", "model.safetensors").stat().st_mtime_ns
    assert repeat() == expected
    assert Path("run", "model.safetensors").stat().st_mtime_ns == written


def test_a_model_beside_its_folder_is_found_again() -> None:
    with pytest.raises(Terminated):
        repeat("named.safetensors", Stopper())
    repeat("named.safetensors")
    assert Path("named.safetensors").is_file()
    assert Path("named", "metrics.jsonl").read_text(encoding="utf-8").count("\n") == 2


def test_a_batch_larger_than_the_set_is_no_change_and_any_other_size_is_refused() -> None:
    repeat(batch_size=128)
    repeat(batch_size=128)
    repeat(batch_size=500)
    with pytest.raises(UsageError, match="batch_size 16: the run in run has 40"):
        repeat(batch_size=16)


def test_another_option_is_refused_as_with_the_folders_name() -> None:
    repeat()
    with pytest.raises(UsageError, match="latent_dim 3: the run in run has 2"):
        repeat(latent_dim=3)


def test_without_an_output_there_is_nothing_to_look_for(cli: Runner) -> None:
    outcome = cli("train", "--dataset", "digits", "--resume", "auto")
    assert outcome.code == 2
    assert outcome.stderr == "vaekit: --resume auto: name the run's folder with --output\n"


def test_a_recipe_may_be_named_again(cli: Runner) -> None:
    command = ["train", "--recipe", "mlp-config", "--dataset", "digits", "--limit", "20",
               "--epochs", "1", "--pictures-every", "off", "-o", "run", "--resume"]  # fmt: skip
    assert [cli(*command, "auto").code for _ in range(2)] == [0, 0]
    assert cli(*command, "run").code == 2
