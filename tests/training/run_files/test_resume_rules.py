"""A stopped run resumes to the same bytes, or an error says why it cannot."""

from __future__ import annotations

import dataclasses
import json
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
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import (
    DataError,
    InputError,
    Interrupted,
    ModelFileError,
    Terminated,
    UsageError,
    VaekitError,
)
from vaekit.model_file.header import sha256
from vaekit.reporting import SILENT
from vaekit.training import run as runs
from vaekit.training.run_files import resume_rules
from vaekit.training.run_files.checkpoint import read_checkpoint
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
    return package.train(**{**OPTIONS, **changes}, output=str(output), watcher=watcher).path


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


def test_a_run_of_conv_from_before_the_option_keeps_its_decoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop("run", 2, model="conv", channels=[4], hidden=None, upsampling="transposed")
    newest = resume_rules.checkpoints.newest_checkpoint

    def older(*given: Any) -> Any:
        found = newest(*given)
        config = {name: value for name, value in found.config.items() if name != "upsampling"}
        return dataclasses.replace(found, config=config)

    monkeypatch.setattr(resume_rules.checkpoints, "newest_checkpoint", older)
    assert resume_rules.find_run(Path("run"), SILENT).config.upsampling == "transposed"


def test_a_run_of_a_hierarchy_ends_with_the_same_bytes() -> None:
    ladder = {"model": "ladder", "channels": [8], "latent_groups": [1, 1, 0, 1]}
    options = {**ladder, "latent_channels": 2, "hidden": None, "latent_dim": None}
    straight = train("straight", **options)
    stop("run", 6, **options)
    assert sha256(resume("run")) == sha256(straight)


def test_a_run_may_be_stopped_several_times(straight: Path) -> None:
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


# Row 41: kill -9 at any moment.


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_run_resumes_from_its_last_checkpoint(straight: Path) -> None:
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


# Rows 48 to 50: runs that do not resume as asked.


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
    """The other process held the folder at first; the checkpoint that was newest then is gone."""
    stop("run", 3)
    prepare = runs.prepare

    def slowly(*given: Any) -> Any:
        monkeypatch.setattr(runs, "prepare", prepare)
        resume("run", checkpoint_every=4)
        return prepare(*given)

    monkeypatch.setattr(runs, "prepare", slowly)
    assert sha256(resume("run", watcher)) == sha256(straight / "model.safetensors")
    assert any("is finished" in note for note in watcher.notes)


def test_options_that_leave_the_result_the_same_may_change_on_resume(straight: Path) -> None:
    stop("run", 3)
    path = resume("run", pictures_every=1, checkpoint_every="1h", lr=1e-3)
    assert sha256(path) == sha256(straight / "model.safetensors")
    assert Path("run/samples/epoch-003.png").exists()


def test_a_constant_rate_gets_more_epochs_as_if_planned_from_the_start() -> None:
    """Other schedules begin a new cycle: tests/training/test_initial_weights.py."""
    train("run", schedule="constant", epochs=2)
    longer = resume("run", epochs=4)
    assert sha256(longer) != sha256(train("other", schedule="constant", epochs=2))
    records = runs.folders.folder_at(Path("run")).records()
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    straight = train("direct", schedule="constant", epochs=4)
    ours, theirs = load_file(longer), load_file(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_images_under_the_same_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)
    np.save("images.npy", images)
    stop("run", 3, dataset="images.npy")
    time.sleep(0.01)
    np.save("images.npy", 255 - images)
    with pytest.raises(DataError, match="these are not the images"):
        resume("run")


def test_other_validation_images_are_refused() -> None:
    """They decide which epoch is kept; with the parts cut by content they leave train as it was."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=np.uint8)
    np.save("images.npy", images)
    stop("run", 3, dataset="images.npy", val_split=0.2)
    before = package.load_dataset("images.npy", "train", val_split=0.2).images
    gone = package.load_dataset("images.npy", "val", val_split=0.2).images[0]
    time.sleep(0.01)
    np.save("images.npy", images[(images != gone).any((1, 2, 3))])
    after = package.load_dataset("images.npy", "train", val_split=0.2).images
    assert np.array_equal(before, after)
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


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(straight: Path, watcher: Any) -> None:
    stop("run", 5, checkpoint_every=2)
    path = last_checkpoint(Path("run"))
    path.write_bytes(path.read_bytes()[:-10])
    assert sha256(resume("run", watcher)) == sha256(straight / "model.safetensors")
    (warning,) = watcher.warnings
    assert warning.startswith("run/checkpoint/step-00000005.safetensors: ")
    assert "resuming from step-00000004.safetensors" in warning


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_found() -> None:
    stop("run", 5)
    path = last_checkpoint(Path("run"))
    content = path.read_bytes()
    read_checkpoint(path)
    header = 8 + int.from_bytes(content[:8], "little")
    bits = [*range(0, 8 * header, 101), *range(8 * header, 8 * len(content), 4999)]
    for bit in [*bits, 8 * len(content) - 1]:
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ModelFileError):
            read_checkpoint(path)
    path.write_bytes(content)
    read_checkpoint(path)


def test_a_flipped_bit_resumes_from_the_checkpoint_before_to_the_same_bytes(
    straight: Path, watcher: Any
) -> None:
    stop("run", 11, checkpoint_every=5)
    path = last_checkpoint(Path("run"))
    path.write_bytes(flipped(path.read_bytes(), 8 * path.stat().st_size - 30))
    assert sha256(resume("run", watcher)) == sha256(straight / "model.safetensors")
    assert "step-00000011.safetensors: is damaged" in watcher.warnings[0]


def test_a_checkpoint_of_another_version_is_not_passed_over_for_an_older_one() -> None:
    stop("run", 5, checkpoint_every=2)
    path = last_checkpoint(Path("run"))
    content = path.read_bytes().replace(b'format_version\\": 2', b'format_version\\": 3')
    header = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:header])
    del entries["__metadata__"]["vaekit-digest"]  # which another version may make otherwise
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[header:])
    with pytest.raises(InputError, match="written by another version of vaekit"):
        resume("run")


# What a run without a manifest may do.


def test_a_run_that_lost_its_manifest_resumes_and_gets_a_new_one(straight: Path) -> None:
    stop("run", 5)
    Path("run/.vaekit-run.json").unlink()
    Path("run/samples").mkdir(exist_ok=True)
    Path("run/samples/epoch-best.png").write_text("mine")
    assert sha256(resume("run")) == sha256(straight / "model.safetensors")
    owned = runs.folders.folder_at(Path("run")).manifest.read() or set()
    assert {Path("run/config.yaml"), Path("run/model.safetensors")} < owned
    assert Path("run/samples/epoch-best.png") not in owned


def test_a_config_of_the_user_is_not_taken_for_a_run() -> None:
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("epochs: 1\n")
    Path("mine/metrics.jsonl").write_text("mine\n")
    with pytest.raises(UsageError, match="holds no run"):
        resume("mine")
    assert Path("mine/metrics.jsonl").read_text() == "mine\n"


def test_a_run_killed_before_its_first_checkpoint_keeps_its_model_beside_the_folder() -> None:
    class LeftAtOnce(SilentWatcher):
        def started(self, facts: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("named.safetensors", LeftAtOnce())
    assert resume("named") == Path("named.safetensors")


@pytest.mark.parametrize(
    "garbage",
    [b"garbage\n", b"\xff\xfe\x00\n", b"[1]\n", b"{}\n", b'{"epoch": "2"}\n', b"[" * 9**5 + b"\n",
     b'{"epoch": 1, "train_kl": NaN}\n', b'{"epoch": 1, "train_kl": null}\n', b"\n"],
    ids=["text", "bytes", "list", "empty", "words", "deep", "nan", "null", "blank"],
)  # fmt: skip
def test_garbage_in_the_metrics_is_named_by_its_line(garbage: bytes) -> None:
    """Row 77."""
    stop("run", 11)
    metrics = Path("run/metrics.jsonl")
    lines = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(lines[0] + garbage + lines[1])
    with pytest.raises(DataError, match=r"^run/metrics\.jsonl: line 2 is not the metrics"):
        resume("run")


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
