"""A run that was stopped goes on to the very same bytes, or says why it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vaekit as package
from vaekit.config import resolve_config
from vaekit.errors import DataError, InputError, Interrupted, Terminated, UsageError, VaekitError
from vaekit.header import sha256
from vaekit.training import run as runs
from vaekit.training.watcher import SilentWatcher, StepFacts

OPTIONS = {"dataset": "digits", "limit": 60, "batch_size": 16, "epochs": 4, "hidden": [8],
           "latent_dim": 2, "threads": 1, "ema": 0.9, "pictures_every": 4, "lr": 1e-3,
           "schedule": "cosine"}  # fmt: skip
STEPS = 16


class Stopper(SilentWatcher):
    """Sends this process a signal after one of the steps."""

    def __init__(self, at: int, number: int = signal.SIGTERM) -> None:
        self.at, self.number = at, number

    def stepped(self, facts: StepFacts) -> None:
        if facts.step == self.at:
            os.kill(os.getpid(), self.number)


def train(output: str | Path, watcher: Any = None, **changes: Any) -> Path:
    return package.train(**{**OPTIONS, **changes}, output=str(output), watcher=watcher)


def stop(output: str, at: int, number: int = signal.SIGTERM, **changes: Any) -> str:
    with pytest.raises((Terminated, Interrupted)) as caught:
        train(output, Stopper(at, number), **changes)
    return str(caught.value)


def resume(folder: str, watcher: Any = None, **options: Any) -> Path:
    return runs.resume_training(Path(folder), options, watcher).model


def last_checkpoint(folder: Path) -> Path:
    return sorted((folder / "checkpoint").glob("step-*.safetensors"))[-1]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run that nobody stopped."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    train(folder)
    return folder


# Rows 46 and 47: N steps against k + resume + N - k.


@pytest.mark.parametrize("at", [1, 4, 11])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(straight: Path, at: int) -> None:
    """In the middle of an epoch, at its end (step 4), and in the first and the last."""
    message = stop("run", at)
    assert f"after step {at}" in message
    assert "vaekit train --resume run" in message
    assert not Path("run/model.safetensors").exists()
    assert sha256(resume("run")) == sha256(straight / "model.safetensors")
    ours, theirs = (load_file(last_checkpoint(folder)) for folder in (Path("run"), straight))
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("optimizer.exp_avg_sq.") for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    keys = ("epoch", "step", "train_neg_elbo", "val_neg_elbo", "lr", "active_units")
    records = [runs.folders.folder_at(folder).records() for folder in (Path("run"), straight)]
    assert [[r[k] for k in keys] for r in records[0]] == [[r[k] for k in keys] for r in records[1]]


def test_a_run_with_batch_norm_ends_with_the_same_bytes() -> None:
    """Its statistics are state too, and pictures at other times must not touch them."""
    conv = {"model": "conv", "channels": [4], "norm": "batch", "hidden": None, "ema": None}
    straight = train("straight", **conv)
    stop("run", 6, **conv, pictures_every=1)
    assert sha256(resume("run")) == sha256(straight)


def test_a_run_may_be_stopped_again_and_again(straight: Path) -> None:
    stop("run", 2)
    for at in (6, 7, 13):
        with pytest.raises(Terminated):
            resume("run", Stopper(at))
    assert sha256(resume("run")) == sha256(straight / "model.safetensors")


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [(signal.SIGINT, Interrupted, 130), (signal.SIGTERM, Terminated, 143)],
)
def test_each_signal_has_its_exit_code(number: int, kind: type[VaekitError], code: int) -> None:
    """Rows 44 and 45."""
    before = signal.getsignal(number)
    with pytest.raises(kind) as caught:
        train("run", Stopper(2, number))
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before, "the caller's own handler is back"


# Row 41: kill -9, whenever.


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(straight: Path) -> None:
    code = (
        "import os, signal, vaekit\nfrom vaekit.training.watcher import SilentWatcher\n"
        "class Killer(SilentWatcher):\n"
        "    def stepped(self, facts):\n"
        "        if facts.step == 11:\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        f"vaekit.train(**{OPTIONS!r}, checkpoint_every=3, output='run', watcher=Killer())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert last_checkpoint(Path("run")).name == "step-00000009.safetensors"
    assert sha256(resume("run")) == sha256(straight / "model.safetensors")


def test_only_the_last_two_checkpoints_are_kept() -> None:
    train("run", checkpoint_every=1)
    names = sorted(path.name for path in Path("run/checkpoint").iterdir())
    assert names == [f"step-000000{STEPS - 1}.safetensors", f"step-000000{STEPS}.safetensors"]


# Rows 48 to 50: what is said instead.


def test_a_run_that_is_finished_says_so_and_changes_nothing(straight: Path, watcher: Any) -> None:
    model = straight / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert resume(str(straight), watcher) == model
    assert any("is finished: 4 epochs are done" in note for note in watcher.notes)
    assert model.stat().st_mtime_ns == before
    assert watcher.steps == []


@pytest.mark.parametrize(
    "options",
    [{"lr": 0.5}, {"beta": 2.0}, {"hidden": "9"}, {"seed": 1}, {"batch_size": 8},
     {"dataset": "shapes"}, {"output": "elsewhere"}],
    ids=repr,
)  # fmt: skip
def test_an_option_that_would_change_the_run_is_named(options: dict[str, Any]) -> None:
    stop("run", 3)
    (name,) = options
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        resume("run", **options)


def test_a_run_that_another_process_finished_meanwhile_is_found_finished(
    straight: Path, monkeypatch: pytest.MonkeyPatch, watcher: Any
) -> None:
    """It held the folder when this one began; the checkpoint that was the newest then is gone."""
    stop("run", 3)
    prepare = runs.prepare

    def slowly(*given: Any) -> Any:
        monkeypatch.setattr(runs, "prepare", prepare)
        resume("run", checkpoint_every=4)
        return prepare(*given)

    monkeypatch.setattr(runs, "prepare", slowly)
    assert sha256(resume("run", watcher)) == sha256(straight / "model.safetensors")
    assert any("is finished" in note for note in watcher.notes)


def test_what_does_not_change_the_result_may_differ(straight: Path) -> None:
    stop("run", 3)
    path = resume("run", pictures_every=1, checkpoint_every="1h", lr=1e-3)
    assert sha256(path) == sha256(straight / "model.safetensors")
    assert Path("run/samples/epoch-003.png").exists()


def test_a_constant_rate_can_go_on_and_another_cannot() -> None:
    train("run", schedule="constant", epochs=2)
    longer = resume("run", epochs=4)
    assert sha256(longer) != sha256(train("other", schedule="constant", epochs=2))
    records = runs.folders.folder_at(Path("run")).records()
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    straight = train("direct", schedule="constant", epochs=4)
    ours, theirs = load_file(longer), load_file(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    train("cosine", epochs=2)
    with pytest.raises(UsageError, match="--epochs 4: the cosine schedule"):
        resume("cosine", epochs=4)


def test_other_images_under_the_same_name_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)
    np.save("images.npy", images)
    stop("run", 3, dataset="images.npy")
    time.sleep(0.01)
    np.save("images.npy", 255 - images)
    with pytest.raises(DataError, match="these are not the images"):
        resume("run")


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-10], lambda content: b"", lambda content: b"\x80\x04" + content,
     lambda content: content.replace(b'network.', b'netvork.')],
    ids=["cut", "empty", "pickle", "renamed"],
)  # fmt: skip
def test_a_damaged_checkpoint_is_named(damage: Any) -> None:
    stop("run", 3)
    path = last_checkpoint(Path("run"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as caught:
        resume("run")
    assert "checkpoint" in str(caught.value)


def test_a_damaged_checkpoint_can_be_removed_for_the_one_before_it(straight: Path) -> None:
    stop("run", 5, checkpoint_every=2)
    path = last_checkpoint(Path("run"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"remove it, .* resumes from step-00000004\.safetensors"):
        resume("run")
    path.unlink()
    assert sha256(resume("run")) == sha256(straight / "model.safetensors")


def test_a_folder_without_a_run_is_refused() -> None:
    with pytest.raises(UsageError, match="no such folder"):
        resume("nowhere")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="holds no run"):
        resume("empty")
    assert list(Path("empty").iterdir()) == []


def test_a_model_beside_its_folder_stays_there(straight: Path) -> None:
    stop("named.safetensors", 3)
    assert resume("named") == Path("named.safetensors")
    assert sha256("named.safetensors") == sha256(straight / "model.safetensors")
    assert not Path("named/model.safetensors").exists()


def test_the_config_of_a_resumed_run_is_that_of_the_run(straight: Path) -> None:
    stop("run", 3)
    resume("run")
    ours = resolve_config({}, environ={}, config="run/config.yaml")
    assert ours == resolve_config({}, environ={}, config=straight / "config.yaml")
