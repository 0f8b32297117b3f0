"""Row 42: a full disk ends a run with one line, and every file from before stays intact."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

import vaekit as package
from vaekit import files
from vaekit.errors import Diverged, VaekitError
from vaekit.model_file.header import read_model_file, sha256
from vaekit.reporting import SILENT
from vaekit.training import run as runs
from vaekit.training.run_files import checkpoint as checkpoints
from vaekit.training.watcher import SilentWatcher, StepFacts

OPTIONS = {"dataset": "digits", "limit": 60, "batch_size": 16, "epochs": 3, "hidden": [64],
           "latent_dim": 2, "threads": 1, "ema": 0.9, "schedule": "constant",
           "checkpoint_every": 2, "pictures_every": 1}  # fmt: skip
STEPS = 12
FULL = "No space left on device: make room on that disk"

Cli = Callable[..., Any]


def flags(options: dict[str, Any]) -> list[str]:
    texts = {name: value if name != "hidden" else "64" for name, value in options.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in texts.items()]


def files_in(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256(p) for p in folder.rglob("*") if p.is_file()}


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def checkpoints_in(folder: Path) -> dict[str, str]:
    return files_in(folder / "checkpoint")


def loadable(folder: Path) -> bool:
    found = checkpoints.newest_checkpoint(runs.folders.folder_at(folder), SILENT)
    return found is not None and found.progress.step > 0


def one_line(stderr: str) -> str:
    """The one line of the error, which is the last of all."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if line.startswith("vaekit: ")]
    assert lines == stderr.splitlines()[-1:]
    return lines[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the model that an undisturbed run leaves."""
    output = tmp_path_factory.mktemp("straight") / "run"
    return sha256(package.train(**OPTIONS, output=output))


# A disk of some bytes, played at the write itself: everywhere, for one file by name.


class Brim:
    """A file on a disk that has room for so many bytes more: what fits is written."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> Brim:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> int:
        fits = bytes(content)[: self.room]
        self.room -= self.file.write(fits)
        if len(fits) < memoryview(content).nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(fits)


class Disk:
    """Plays a disk that is full for the files whose names hold one word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.word, self.room = "", 0
        self.new_file = files._new_file
        monkeypatch.setattr("vaekit.files._new_file", self._new_file)

    def _new_file(self, path: Path) -> Any:
        file = self.new_file(path)
        full = self.word and self.word in path.name
        return Brim(file, self.room) if full else file


class Filler(SilentWatcher):
    """Fills the disk when a step is done."""

    def __init__(self, at: int, fill: Callable[[], None]) -> None:
        self.at, self.fill = at, fill

    def stepped(self, facts: StepFacts) -> None:
        if facts.step == self.at:
            self.fill()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize(
    ("word", "named", "room"),
    [("step-00000008", "run/checkpoint/step-00000008.safetensors", 0),
     ("step-00000008", "run/checkpoint/step-00000008.safetensors", 5000),
     ("model.safetensors", "run/model.safetensors", 5000),
     ("epoch-002.png", "run/samples/epoch-002.png", 1),
     ("loss.png", "run/loss.png", 1000),
     ("interpolation", "run/interpolation.png", 0)],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_named_and_the_run_resumes_with_room(
    disk: Disk, straight: str, word: str, named: str, room: int
) -> None:
    def fill() -> None:
        disk.word, disk.room = word, room

    with pytest.raises(VaekitError) as caught:
        package.train(**OPTIONS, output="run", watcher=Filler(6, fill))
    assert caught.value.exit_code == 1
    assert str(caught.value) == (f"{named}: {FULL}, then resume with: vaekit train --resume run")
    assert not leftovers(Path("run"))
    assert not Path(named).exists() or word == "loss.png"
    assert loadable(Path("run"))
    disk.word = ""
    assert sha256(runs.resume_training(Path("run"), {}).model) == straight


def test_a_save_that_does_not_fit_leaves_the_old_checkpoint_and_the_old_model(disk: Disk) -> None:
    """Those of a finished run, of which more epochs are asked."""
    package.train(**OPTIONS, output="run")
    before = checkpoints_in(Path("run")), sha256("run/model.safetensors")
    disk.word, disk.room = "step-", 1000
    with pytest.raises(VaekitError, match="step-00000014"):
        runs.resume_training(Path("run"), {"epochs": 5})
    assert (checkpoints_in(Path("run")), sha256("run/model.safetensors")) == before
    read_model_file("run/model.safetensors")
    disk.word = "model.safetensors"
    with pytest.raises(VaekitError, match=r"run/model\.safetensors: No space"):
        runs.resume_training(Path("run"), {"epochs": 5})
    assert sha256("run/model.safetensors") == before[1]
    disk.word = ""
    longer = runs.resume_training(Path("run"), {"epochs": 5}).model
    assert sha256(longer) == sha256(package.train(**{**OPTIONS, "epochs": 5}, output="straight"))


def test_a_run_that_diverged_says_so_on_a_full_disk_too(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge() -> None:
        disk.word = "model.safetensors"
        monkeypatch.setattr("vaekit.training.loop.Trainer.step", raise_diverged)

    def raise_diverged(*_: object) -> None:
        raise Diverged("the loss is nan")

    with pytest.raises(Diverged) as caught:
        package.train(**OPTIONS, output="run", watcher=Filler(6, diverge))
    assert str(caught.value) == (
        "the loss is nan; the best weights could not be saved: "
        "run/model.safetensors: No space left on device"
    )
    assert not leftovers(Path("run"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_metrics_that_cannot_be_written_are_named(straight: str) -> None:
    metrics = Path("run/metrics.jsonl")

    def fill() -> None:
        metrics.unlink()
        metrics.symlink_to("/dev/full")

    with pytest.raises(VaekitError, match=f"^run/metrics.jsonl: {FULL}") as caught:
        package.train(**OPTIONS, output="run", watcher=Filler(2, fill))
    assert caught.value.exit_code == 1
    metrics.unlink()
    assert sha256(runs.resume_training(Path("run"), {}).model) == straight


# A limit that the system itself sets on the size of a file: the real command, without a root.

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from vaekit.cli import main
main()
"""


def limited(size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(size), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_the_command_survives_a_limit_on_the_size_of_files(vaekit: Cli, straight: str) -> None:
    short = {**OPTIONS, "epochs": 1}
    assert vaekit("train", *flags(short), "-o", "run").code == 0
    before = checkpoints_in(Path("run")), sha256("run/model.safetensors")
    done = limited(80_000, "train", "--resume", "run", "--epochs", "3", "--pictures-every", "9")
    assert (done.returncode, done.stdout) == (1, "")
    named = "vaekit: run/checkpoint/step-00000006.safetensors: File too large: files of that size"
    assert one_line(done.stderr).startswith(named)
    assert one_line(done.stderr).endswith("then resume with: vaekit train --resume run")
    assert (checkpoints_in(Path("run")), sha256("run/model.safetensors")) == before
    assert not leftovers(Path("run"))
    assert vaekit("train", "--resume", "run", "--epochs", "3").code == 0
    assert sha256("run/model.safetensors") == straight


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
@pytest.mark.parametrize("name", ["out.npz", "out.npy", "out.png", "out/0000.png"])
def test_an_output_that_does_not_fit_leaves_the_old_one(tiny_model: Path, name: str) -> None:
    old = Path(name)
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"old")
    output = name if old.parent == Path() else f"{old.parent}/"
    done = limited(100, "sample", str(tiny_model), "-n", "64", "-o", output)
    assert (done.returncode, done.stdout) == (1, "")
    where = name if old.parent != Path() else str(old.resolve())
    assert one_line(done.stderr).startswith(f"vaekit: {where}: File too large: files of that size")
    assert old.read_bytes() == b"old"
    assert not leftovers(Path())


# A small file system of its own, filled to the brim, where this machine lets the test make one.


class Small:
    """A file system of some bytes."""

    def __init__(self, path: Path) -> None:
        self.path, self.filler = path, path / "filler"

    def fill(self, room: int = 0) -> None:
        """Leave so many bytes."""
        with self.filler.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.path).free - room)))

    def make_room(self) -> None:
        self.filler.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: not root")
    try:
        yield Small(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_run_resumes_after_a_full_disk(vaekit: Cli, small: Small, straight: str) -> None:
    """The real command on a real full disk, with less and less room; then with enough."""
    run = small.path / "run"
    short = {**OPTIONS, "epochs": 1, "pictures_every": 9}
    assert vaekit("train", *flags(short), "-o", run).code == 0
    before = checkpoints_in(run), sha256(run / "model.safetensors")
    for room, named in ((64_000, "checkpoint/step-00000006.safetensors"), (0, "config.yaml")):
        small.fill(room)
        done = vaekit("train", "--resume", run, "--epochs", "3")
        assert (done.code, done.stdout) == (1, "")
        assert one_line(done.stderr).startswith(f"vaekit: {run / named}: {FULL}, ")
        assert (checkpoints_in(run), sha256(run / "model.safetensors")) == before
        assert loadable(run)
        assert read_model_file(run / "model.safetensors").header.training["epochs"] == 1
        assert not leftovers(run)
        small.make_room()
    assert vaekit("train", "--resume", run, "--epochs", "3").code == 0
    assert sha256(run / "model.safetensors") == straight


def test_a_metrics_line_cut_by_a_full_disk_is_dropped_on_resume(small: Small) -> None:
    """A line may be cut in its middle; resuming drops it."""
    options = {**OPTIONS, "epochs": 15, "pictures_every": 99, "checkpoint_every": 10**6}
    straight = sha256(package.train(**options, output="straight"))
    run = small.path / "run"
    with pytest.raises(VaekitError, match=f"^{run}/metrics.jsonl: {FULL}"):
        package.train(**options, output=run, watcher=Filler(6, small.fill))
    torn = (run / "metrics.jsonl").read_text()
    assert len(torn) % 4096 == 0, "up to the end of the last page that there was"
    small.make_room()
    assert sha256(runs.resume_training(run, {}).model) == straight
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 15


def test_samples_on_a_full_disk_leave_the_old_ones(
    vaekit: Cli, small: Small, tiny_model: Path
) -> None:
    output = small.path / "out.npz"
    assert vaekit("sample", tiny_model, "-n", "8", "-o", output).code == 0
    before = sha256(output)
    small.fill()
    done = vaekit("sample", tiny_model, "-n", "4000", "-o", output)
    assert (done.code, done.stdout) == (1, "")
    assert one_line(done.stderr) == f"vaekit: {output}: {FULL}, and try again"
    assert sha256(output) == before
    assert not leftovers(small.path)
