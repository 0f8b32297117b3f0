"""Several processes train as one would: the same numbers, one owner of the files, one end.

Rows 61 to 64 of the faults. The ranks are real processes that talk by gloo.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vaekit as package
from tests.conftest import Runner
from tests.training.forked_ranks import RankOutcome, Starter
from vaekit.model_file.header import sha256
from vaekit.training.run_files.checkpoint import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ranks are forked")

MLP = {"dataset": "digits", "limit": 131, "hidden": "16", "latent_dim": 3, "likelihood": "bce",
       "epochs": 2, "batch_size": 32, "pictures_every": "off", "threads": 1,
       "schedule": "constant"}  # fmt: skip
"""A run of 131 training and 131 validation images, which two ranks do not divide evenly."""

CONV = {**MLP, "hidden": None, "model": "conv", "channels": "8,16", "norm": "group",
        "limit": 61, "batch_size": 16, "epochs": 1}  # fmt: skip
LADDER = {**MLP, "hidden": None, "latent_dim": None, "model": "ladder", "size": "small",
          "likelihood": "logistic", "limit": 17, "batch_size": 8, "epochs": 1}  # fmt: skip


@pytest.fixture(scope="module")
def starter() -> Iterator[Starter]:
    found = Starter()
    yield found
    found.close()


def flags(options: dict[str, Any]) -> list[str]:
    return [f"--{n.replace('_', '-')}={v}" for n, v in options.items() if v is not None]


def trained(options: dict[str, Any]) -> dict[str, Any]:
    """The options as Python takes them."""
    return {name: value for name, value in options.items() if value is not None}


def records(folder: str) -> list[dict[str, float]]:
    lines = Path(folder, "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder, "model.safetensors"))


def checkpoints(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder, "checkpoint").glob("step-*"))


def codes(outcomes: list[RankOutcome]) -> list[int]:
    return [outcome.code for outcome in outcomes]


def assert_follows(ranks: str, one: str, tolerance: float = 1e-5) -> None:
    """The run of ranks has the numbers and the weights of the run of one process."""
    for mine, theirs in zip(records(ranks), records(one), strict=True):
        for name in mine.keys() - {"seconds", "images_per_second"}:
            assert mine[name] == pytest.approx(theirs[name], rel=tolerance), name
    given = weights(one)
    for name, tensor in weights(ranks).items():
        assert torch.allclose(tensor, given[name], atol=tolerance), name


@pytest.mark.parametrize("options", [MLP, CONV, LADDER], ids=["mlp", "conv", "ladder"])
def test_two_ranks_follow_one_process(options: dict[str, Any], starter: Starter) -> None:
    outcomes = starter.run("train", *flags(options), "-o", "two")
    assert codes(outcomes) == [0, 0], outcomes
    package.train(**trained(options), output="one", quiet=True)
    assert_follows("two", "one")
    assert outcomes[0].stdout == f"{Path('two', 'model.safetensors')}\n"
    assert (outcomes[1].stdout, outcomes[1].stderr) == ("", "")
    batch = options["batch_size"]
    assert f"2 ranks x {batch // 2} images x 1 micro-batch = {batch} images" in outcomes[0].stderr


# Row 61: a number of images that the ranks do not divide.


def test_images_that_ranks_do_not_divide_are_counted_once_each(starter: Starter) -> None:
    options = {**MLP, "limit": 9, "batch_size": 6, "epochs": 1, "val_split": 0.2}
    outcomes = starter.run("train", *flags(options), "-o", "three", world=3)
    assert codes(outcomes) == [0, 0, 0], outcomes
    package.train(**options, output="one", quiet=True)
    assert_follows("three", "one")


def test_a_batch_that_ranks_do_not_divide_is_refused_with_what_would_fit(starter: Starter) -> None:
    outcomes = starter.run("train", "--dataset=digits", "--batch-size=33", "-o", "run")
    assert codes(outcomes) == [2, 2]
    said = "--batch-size 33: is the batch of all ranks, and 2 ranks do not divide it"
    assert outcomes[0].stderr == f"vaekit: {said}; 32 and 34 would fit\n"
    assert outcomes[1].stderr == ""
    assert not Path("run").exists()


def test_batch_norm_on_several_ranks_is_said_to_differ_from_one(starter: Starter) -> None:
    options = {**CONV, "norm": "batch", "limit": 60}
    first, second = starter.run("train", *flags(options), "-o", "run")
    assert (first.code, second.code) == (0, 0)
    said = "batch norm takes statistics of each rank's own images, so the result differs"
    assert first.stderr.count(said) == 1
    assert second.stderr == ""
    found = weights("run")
    assert all(torch.isfinite(tensor).all() for tensor in found.values())


# Row 62: one rank fails, or is killed.


@pytest.fixture(scope="module")
def undisturbed(starter: Starter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the model of a run of two ranks that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        assert codes(starter.run("train", *flags(MLP), "-o", "run")) == [0, 0]
    return sha256(folder / "model.safetensors")


def assert_continues(starter: Starter, undisturbed: str) -> None:
    """Started again by the same command, two ranks end as if nothing had happened."""
    outcomes = starter.run("train", *flags(MLP), "-o", "run", "--resume", "auto")
    assert codes(outcomes) == [0, 0], outcomes
    assert "not bit-exact" not in outcomes[0].stderr
    assert sha256(Path("run", "model.safetensors")) == undisturbed


def test_an_error_on_a_rank_is_reported_with_its_number_and_ends_all(
    starter: Starter,
) -> None:
    began = time.monotonic()
    fault = {"rank": 1, "how": "error", "step": 5}
    first, second = starter.run("train", *flags(MLP), "-o", "run", faults=[fault])
    assert time.monotonic() - began < 30
    assert (first.code, second.code) == (1, 1)
    assert second.stderr == "vaekit: rank 1: photo.png: Input/output error\n"
    assert first.stdout == ""
    assert "vaekit: another rank ended" in first.stderr
    assert "after step 5, and saved; resume with: vaekit train --resume run" in first.stderr


def test_a_killed_rank_ends_the_other_with_a_line_and_loses_no_step(
    starter: Starter, undisturbed: str
) -> None:
    fault = {"rank": 1, "how": "SIGKILL", "step": 8}
    first, second = starter.run("train", *flags(MLP), "-o", "run", faults=[fault])
    assert (first.code, second.code) == (1, -signal.SIGKILL)
    assert first.stderr.count("vaekit: another rank ended") == 1
    assert checkpoints("run")[-1] == "step-00000008.safetensors"
    assert_continues(starter, undisturbed)


REPORT = "vaekit: rank 1: another rank ended, or cannot be reached"


def test_when_rank_0_is_killed_the_other_reports_it_and_the_last_checkpoint_stays(
    starter: Starter,
) -> None:
    fault = {"rank": 0, "how": "SIGKILL", "step": 8}
    saving = [*flags(MLP), "--checkpoint-every=3"]
    first, second = starter.run("train", *saving, "-o", "run", faults=[fault])
    assert (first.code, second.code) == (-signal.SIGKILL, 1)
    (said,) = re.findall(r"^vaekit: .*", second.stderr, flags=re.MULTILINE)
    assert said.startswith(REPORT)
    assert checkpoints("run") == ["step-00000003.safetensors", "step-00000006.safetensors"]


# Row 63: SIGTERM.


def test_ranks_that_are_terminated_stop_after_the_same_step_and_save(
    starter: Starter, undisturbed: str
) -> None:
    faults = [{"rank": rank, "how": "SIGTERM", "step": step} for rank, step in ((0, 6), (1, 4))]
    first, second = starter.run("train", *flags(MLP), "-o", "run", faults=faults)
    assert second.stderr == ""
    assert (first.code, second.code) == (143, 143)
    assert "after step 6, and saved; resume with: vaekit train --resume run" in first.stderr
    every = [read_checkpoint(Path("run", "checkpoint", name)) for name in checkpoints("run")]
    found = every[-1]
    assert (found.progress.step, found.environment.ranks) == (6, 2)
    assert_continues(starter, undisturbed)


def test_torchrun_restarts_a_killed_worker_and_passes_sigterm_on() -> None:
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    options = [*flags(MLP), "--epochs=5000", "--checkpoint-every=1"]
    train = ["vaekit", "train", *options, "-o", "run", "--resume", "auto"]
    command = [sys.executable, "-m", *launch, "-m", *train]
    with Path("log").open("wb") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until(lambda: steps_saved() > 3)
        os.kill(worker(agent.pid, rank=1), signal.SIGKILL)
        until(lambda: "another rank ended" in Path("log").read_text())
        before = steps_saved()
        until(lambda: steps_saved() > before + 3)  # those that torchrun started again
        agent.terminate()
        agent.wait(60)
    finally:
        agent.kill()
    assert "stopped in epoch" in Path("log").read_text()
    newest = checkpoints("run")[-1]
    assert read_checkpoint(Path("run", "checkpoint", newest)).progress.step == steps_saved()


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < end, Path("log").read_text()
        time.sleep(0.05)


def steps_saved() -> int:
    with suppress(FileNotFoundError, IndexError):
        return int(checkpoints("run")[-1].removeprefix("step-").removesuffix(".safetensors"))
    return 0


def worker(agent: int, rank: int) -> int:
    """The process of a rank that torchrun started."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            variables = entry.joinpath("environ").read_bytes().split(b"\0")
            if parent == agent and b"RANK=%d" % rank in variables:
                return int(entry.name)
    raise AssertionError("no such worker")


# Row 64: another number of ranks.


def test_a_run_goes_on_with_another_number_of_ranks_and_a_note(starter: Starter) -> None:
    outcomes = starter.run("train", *flags({**MLP, "epochs": 1}), "-o", "run")
    assert codes(outcomes) == [0, 0]
    notes = Notes()
    package.train(resume="run", epochs=2, watcher=notes)
    assert notes.lines == ["not bit-exact: ranks 2 is now 1"]
    first, second = starter.run("train", "--resume", "run", "--epochs=3")
    assert (first.code, second.code) == (0, 0)
    assert "not bit-exact: ranks 1 is now 2" in first.stderr
    package.train(**{**MLP, "epochs": 3}, output="one", quiet=True)
    assert_follows("run", "one")


class Notes(package.Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


# The images of a host.


def test_a_source_is_decoded_by_one_rank_of_a_host(starter: Starter) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Path("photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(Path("photos", f"{number}.png"))
    options = {**MLP, "dataset": "photos", "limit": None, "epochs": 1, "batch_size": 4}
    fault = {"rank": 1, "how": "decodes"}
    outcomes = starter.run("train", *flags(options), "-o", "run", faults=[fault])
    assert codes(outcomes) == [0, 0], outcomes


# Other commands.


@pytest.fixture(scope="module")
def likely_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a likelihood, which importance weights need."""
    folder = tmp_path_factory.mktemp("likely") / "run"
    options = {**MLP, "likelihood": "logistic", "epochs": 1}
    return package.train(**options, output=folder, quiet=True).path


def test_evaluate_on_two_ranks_gives_the_numbers_of_one(
    starter: Starter, likely_model: Path, cli: Runner
) -> None:
    command = ["evaluate", likely_model, "--dataset", "digits", "--limit", "150", "--nll-samples",
               "5", "--json", "--threads", "1"]  # fmt: skip
    first, second = starter.run(*command)
    assert (first.code, second.code, second.stdout, second.stderr) == (0, 0, "", ""), first
    one, two = json.loads(cli(*command).stdout), json.loads(first.stdout)
    assert two.keys() == one.keys()
    for name, value in one.items():
        same = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        assert two[name] == same, name


@pytest.mark.parametrize(
    "command", [["embed", "--stats"], ["embed", "--sample"], ["score", "--nll-samples", "3"]]
)
def test_rows_of_two_ranks_are_those_of_one_in_input_order(
    command: list[str], starter: Starter, likely_model: Path, cli: Runner
) -> None:
    name, *options = command
    full = [name, likely_model, "--dataset", "digits", "--limit", "150", *options, "--threads", "1"]
    first, second = starter.run(*full, "-o", "two.csv")
    assert (first.code, first.stdout) == (0, "two.csv\n"), first
    assert (second.code, second.stdout, second.stderr) == (0, "", "")
    assert cli(*full, "-o", "one.csv").code == 0
    assert Path("two.csv").read_bytes() == Path("one.csv").read_bytes()


def test_images_from_stdin_are_refused_on_several_ranks(
    starter: Starter, likely_model: Path
) -> None:
    outcomes = starter.run("embed", likely_model, "-")
    assert outcomes[0].code == 2
    said = "images from stdin reach one process: run this without torchrun"
    assert outcomes[0].stderr == f"vaekit: {said}\n"


# What several processes must not do.


def test_a_command_for_one_process_refuses_to_run_several_times(starter: Starter) -> None:
    outcomes = starter.run("sample", "model.safetensors")
    assert codes(outcomes) == [2, 2]
    said = "vaekit sample runs in one process, and 2 were started: call it without torchrun"
    assert [outcome.stderr for outcome in outcomes] == [f"vaekit: {said}\n", ""]


def test_a_probe_times_the_steps_of_both_ranks_and_rank_0_prints_them(starter: Starter) -> None:
    done = starter.run("train", *flags(MLP), "--dry-run", "--probe", "--json")
    assert codes(done) == [0, 0]
    assert done[1].stdout == ""
    plan = json.loads(done[0].stdout)
    assert (plan["processes"], plan["timed_by"], plan["steps_per_epoch"]) == (2, "probe", 5)
    assert plan["train_seconds"] > 0
    assert not Path("runs").exists()
