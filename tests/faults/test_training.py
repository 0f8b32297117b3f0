"""Rows 39 to 52, 71, 77 and 79 on the command line; tests/training tests them to the bit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.conftest import refused
from vaekit import files
from vaekit.model_file.header import read_model_file, sha256
from vaekit.objectives import elbo as objectives

# Row 39: a number that is not finite.


def test_loss_that_becomes_nan_ends_with_4_and_keeps_the_best_epoch(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the third epoch of two steps each; the second epoch was better than the first."""
    plain, calls = objectives.elbo, iter(range(100))

    def poisoned(model: Any, *given: Any, **options: Any) -> Any:
        terms = dict(plain(model, *given, **options))
        if model.training and next(calls) == 5:
            terms["loss"] = terms["loss"] * float("nan")
        return terms

    monkeypatch.setattr(objectives, "elbo", poisoned)
    done = cli("train", "--dataset", "digits",
               "--limit", "64", "--batch-size", "32", "--epochs", "9", "--hidden", "16",
               "--latent-dim", "2", "--threads", "1", "-o", "run")  # fmt: skip
    assert (done.code, done.stdout) == (4, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vaekit: step 6 (epoch 3): the loss is nan at learning rate ")
    assert "try a lower --lr" in last
    assert "the weights of epoch 2, the best so far, are in run/model.safetensors" in last
    assert read_model_file("run/model.safetensors").header.training["best"]["epoch"] == 2
    assert cli("sample", "run/model.safetensors", "-n", "2", "-o", "x.npy").code == 0
    assert np.isfinite(np.load("x.npy")).all()


# Row 43: where nothing can be written.


@pytest.mark.parametrize("output", ["file/run", "file/name.safetensors"])
def test_output_folder_that_cannot_be_made_is_said_before_images_are_read(
    cli: Any, output: str
) -> None:
    """The data set is not even there: had it been looked for, that would be the error."""
    Path("file").touch()
    refused(cli("train", "--dataset", "gone/", "-o", output), 1, "--output", "cannot write there")


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="users as POSIX has them")
def test_output_folder_that_may_not_be_written_is_said_before_images_are_read(
    tmp_path: Path,
) -> None:
    """Root may write anywhere: so the check is made as nobody, who may not."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    code = (
        "import os\nfrom vaekit.errors import VaekitError\n"
        "from vaekit.training.run_files import run_folder\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "for name in ('.', './run', './name.safetensors'):\n"
        "    try:\n        run_folder.check_output(name, force=False)\n"
        "    except VaekitError as error:\n        print(error.exit_code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=locked)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert all(line.startswith("1 --output ") for line in lines)
    assert all(line.endswith("cannot write there: permission denied") for line in lines)
    assert [*locked.iterdir()] == []


def test_output_folder_that_is_missing_is_made_with_those_above_it(cli: Any) -> None:
    done = cli("train", *SMALL, "-o", "deep/er/run")
    assert (done.code, done.stdout) == (0, "deep/er/run/model.safetensors\n")


# Rows 44 and 45: signals to the real command.

SMALL = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4", "--latent-dim",
         "2", "--threads", "1"]  # fmt: skip
LONG = ["train", "--dataset", "digits", "--limit", "40", "--epochs", "1000000", "--hidden", "4",
        "--latent-dim", "2", "--threads", "1", "--pictures-every", "1000000",
        "--schedule", "constant", "-o", "run"]  # fmt: skip


@pytest.fixture
def running() -> Iterator[Any]:
    """A training that would take days, in its third epoch or later."""
    with subprocess.Popen(
        [sys.executable, "-m", "vaekit", *LONG], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            until = time.monotonic() + 120
            while not _epochs() > 2:
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def _epochs() -> int:
    metrics = Path("run/metrics.jsonl")
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_one_signal_saves_and_says_how_to_resume(
    cli: Any, running: Any, number: int, code: int
) -> None:
    running.send_signal(number)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (code, b"")
    last = err.decode().splitlines()[-1]
    told = re.fullmatch(
        r"vaekit: stopped in epoch \d+ after step ([\d,]+), and saved; "
        r"resume with: vaekit train --resume run",
        last,
    )
    assert told
    step = int(told[1].replace(",", ""))
    assert Path(f"run/checkpoint/step-{step:08d}.safetensors").exists()
    assert b"Traceback" not in err
    epochs = _epochs()
    done = cli("train", "--resume", "run", "--epochs", str(epochs + 1))
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    assert _epochs() == epochs + 1


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_second_ctrl_c_leaves_at_once_without_saving() -> None:
    """Within one step: the first is noted, and nothing is waited for after the second."""
    code = (
        "import os, signal, sys\nfrom vaekit.cli import run\n"
        "from vaekit.training.loop import Trainer\n"
        "def step(self, indices):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('second', flush=True)\n"
        "Trainer.step = step\n"
        f"sys.exit(run({LONG!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (130, "first\n")
    assert "Traceback" not in done.stderr
    assert not [*Path("run").rglob("step-*")]


# Rows 48 to 50: resuming.


def test_resuming_a_finished_run_says_so_and_ends_with_0(cli: Any, tiny_run: Path) -> None:
    shutil.copytree(tiny_run, "run")
    before = Path("run/model.safetensors").stat().st_mtime_ns
    done = cli("train", "--resume", "run")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    assert "run is finished: 3 epochs are done" in done.stderr
    assert Path("run/model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("flag", ["--lr", "--batch_size", "--latent-dim"])
def test_resuming_with_a_conflicting_flag_names_it(cli: Any, tiny_run: Path, flag: str) -> None:
    shutil.copytree(tiny_run, "run")
    Path("run/model.safetensors").unlink()
    named = f"{flag.replace('_', '-')} 7"
    done = cli("train", "--resume", "run", flag, "7")
    refused(done, 2, named, "the run in run has ", "keeps its options")


def test_resuming_with_other_images_is_refused(cli: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.save("images.npy", images)
    plain = [word for word in SMALL if word not in ("--dataset", "digits", "--limit", "40")]
    assert cli("train", *plain, "--dataset", "images.npy", "-o", "run").code == 0
    images[7, 3, 3] ^= 1
    np.save("images.npy", images)
    os.utime("images.npy", ns=(1, 1))
    Path("run/model.safetensors").unlink()
    refused(
        cli("train", "--resume", "run"), 3, "images.npy: these are not the images", "fingerprint"
    )


# Row 52: two runs in one folder.


@pytest.mark.parametrize("how", [[], ["--force"]], ids=["", "force"])
def test_second_run_in_a_folder_where_one_is_running_is_refused(cli: Any, how: list[str]) -> None:
    with files.locked(Path("run/.lock")) as got:
        assert got
        done = cli("train", *SMALL, "-o", "run", *how)
        refused(done, 1, "--output run: another run is writing there")
    assert cli("train", *SMALL, "-o", "run", *how).code == 0


# Rows 71, 77 and 79: damage on the disk, and networks too large for the memory.


def test_flipped_bit_in_a_checkpoint_resumes_from_the_one_before(cli: Any, tiny_run: Path) -> None:
    shutil.copytree(tiny_run, "run")
    Path("run/model.safetensors").unlink()
    older, newer = sorted(Path("run/checkpoint").iterdir())
    content = bytearray(newer.read_bytes())
    content[-5] ^= 4
    newer.write_bytes(content)
    done = cli("train", "--resume", "run")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n"), done.stderr
    assert f"{newer}: is damaged: its content does not match its checksum" in done.stderr
    assert f"resuming from {older.name}" in done.stderr
    assert sha256("run/model.safetensors") == sha256(tiny_run / "model.safetensors")


def test_flipped_bit_in_the_only_checkpoint_is_named(cli: Any, tiny_run: Path) -> None:
    shutil.copytree(tiny_run, "run")
    Path("run/model.safetensors").unlink()
    older, newer = sorted(Path("run/checkpoint").iterdir())
    older.unlink()
    content = bytearray(newer.read_bytes())
    content[len(content) // 2] ^= 1
    newer.write_bytes(content)
    refused(cli("train", "--resume", "run"), 3, f"{newer}: is damaged")


def test_garbage_in_the_metrics_is_one_line_on_resume(cli: Any, tiny_run: Path) -> None:
    shutil.copytree(tiny_run, "run")
    Path("run/model.safetensors").unlink()
    with Path("run/metrics.jsonl").open("ab") as file:
        file.write(b"\x00\xff garbage\n")
    refused(cli("train", "--resume", "run"), 3, "run/metrics.jsonl: line 4 is not the metrics")


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--hidden", "1000000,1000000"], "2,000,"), (["--latent-dim", "1000000000"], "--latent-dim"),
     (["--hidden", "10000000000,10000000000"], "2^63"),
     (["--model", "resnet", "--depth", "1000000"], "--depth 1000000"),
     (["--hidden", ",".join(["8"] * 100_000)], "up to 1000")],
    ids=["wide", "latents", "overflow", "deep", "many"],
)  # fmt: skip
def test_network_that_no_memory_holds_is_refused_from_arithmetic(
    cli: Any, options: list[str], word: str
) -> None:
    began = time.monotonic()
    refused(cli("train", "--dataset", "digits", "--limit", "40", "-o", "run", *options), 2, word)
    assert time.monotonic() - began < 20
    assert not Path("run/config.yaml").exists()
