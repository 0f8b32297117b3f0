"""A run's folder: its name, who may write to it, and the metrics appended to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vaekit import files
from vaekit.errors import DataError, UsageError, VaekitError

ROOT = Path("runs")
MODEL_ENDING = ".safetensors"
PICTURE_FOLDERS = ("reconstructions", "samples")
ONCE = ("loss.png", "latents.png", "interpolation.png")
REFUSED_ENDINGS = (".pth", ".pt", ".ckpt", ".pkl", ".bin")


@dataclass(frozen=True)
class RunFolder:
    """Where everything of one run goes."""

    path: Path
    model: Path

    @property
    def config(self) -> Path:
        """The config that reproduces the run."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def interpolation(self) -> Path:
        """The picture that is drawn last of all."""
        return self.path / "interpolation.png"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints, from which the run can be resumed."""
        return self.path / "checkpoint"

    @property
    def model_beside(self) -> bool:
        """Whether the model stands beside the folder, under its name, and not in it."""
        return self.model.parent != self.path

    def picture(self, kind: str, epoch: int) -> Path:
        """Where the picture of one kind after one epoch goes."""
        return self.path / kind / f"epoch-{epoch:03d}.png"

    def add_metrics(self, record: Mapping[str, object]) -> None:
        """Append one epoch's line."""
        with (
            files.errors_naming_file(self.metrics),
            self.metrics.open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, float]]:
        """All lines of the metrics so far; one that a power cut left unfinished is not one."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def last_record(self) -> dict[str, float]:
        """The line of the last epoch, which the run's end tells of."""
        records = self.records()
        if not records:
            raise DataError(f"{self.metrics}: is missing or empty: put it back, or train anew")
        return records[-1]

    def cut_metrics(self, epoch: int) -> None:
        """Forget the lines of epochs that will be made again, and what a power cut left of one."""
        if not self.metrics.exists():  # a new run, which should not wait for the disk
            self.metrics.touch()
            return
        kept = [record for record in self.records() if record["epoch"] <= epoch]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        files.write_text(self.metrics, text)


def choose_folder(output: str | None, name: str) -> RunFolder:
    """The folder that `--output` asks for, or the next free `runs/<name>`."""
    if output is None:
        path = _next_free(ROOT / name)
        return folder_at(path)
    target = Path(output)
    beside = target.suffix == MODEL_ENDING
    return folder_at(target.with_suffix("") if beside else target, model_beside=beside)


def folder_at(path: Path, *, model_beside: bool = False) -> RunFolder:
    """The run's folder at `path`, its model in it or beside it."""
    inside = path / f"model{MODEL_ENDING}"
    return RunFolder(path, path.with_name(path.name + MODEL_ENDING) if model_beside else inside)


def check_output(output: str | None, *, force: bool) -> None:
    """Say early what is wrong with `--output`, before images are decoded or a step is made."""
    if output is None:
        return
    target = Path(output)
    if output in ("", "-"):
        raise UsageError(f"--output {output!r}: name a folder, or a file ending in {MODEL_ENDING}")
    if target.suffix.lower() in REFUSED_ENDINGS:
        raise UsageError(
            f"--output {output}: vaekit writes no pickles; "
            f"try {target.with_suffix(MODEL_ENDING).as_posix()}"
        )
    folder = choose_folder(output, "")
    if folder.path.exists() and not folder.path.is_dir():
        raise UsageError(f"--output {output}: {folder.path} is a file, not a folder")
    if folder.model.is_dir():
        raise UsageError(f"--output {output}: {folder.model} is a folder, not a model file")
    if folder.config.exists() and not force:
        raise UsageError(
            f"--output {output}: {folder.path} holds a run already; "
            "choose another name, or --force to replace it"
        )
    _prove_writable(folder)


def dataset_stem(dataset: str) -> str:
    """A data set's name as part of a folder's: a path's own name without its ending.

    >>> dataset_stem("cifar10"), dataset_stem("photos/cats/"), dataset_stem("x/cifar10-jpeg.tar.gz")
    ('cifar10', 'cats', 'cifar10-jpeg')
    """
    return Path(dataset).resolve().name.split(".")[0] or "images"


def _next_free(path: Path) -> Path:
    """`path`, or `path-2`, `path-3` and so on: the first that nobody has, taken by making it."""
    numbered = (path.with_name(f"{path.name}-{i}") for i in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if _made(p))


def _made(path: Path) -> bool:
    """Make a folder; False where there is one (two runs may want the same name at once)."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise VaekitError(f"{path}: cannot write there: {_reason(error)} (--output)") from None
    return True


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _prove_writable(folder: RunFolder) -> None:
    """Make the folder now, since hours later is too late to learn that it cannot be made."""
    try:
        for parent in (folder.path, folder.model.parent):
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=parent):
                pass
    except OSError as error:
        raise VaekitError(f"--output {folder.path}: cannot write there: {_reason(error)}") from None


@contextlib.contextmanager
def exclusive_use(folder: RunFolder, *, fresh: bool = True) -> Iterator[None]:
    """Make the folder, prove that it can be written, and keep every other run out of it."""
    _prove_writable(folder)
    with files.locked(folder.path / ".lock", wait=False) as got:
        if not got:
            raise VaekitError(f"--output {folder.path}: another run is writing there")
        _remove_leftovers(folder)
        if fresh:
            _clear(folder)
        yield


def _remove_leftovers(folder: RunFolder) -> None:
    """Half of a file that was being saved when a run was killed is of use to nobody."""
    for path in (
        folder.path,
        *(folder.path / kind for kind in PICTURE_FOLDERS),
        folder.checkpoints,
    ):
        files.remove_leftovers(path)
    files.remove_leftovers(folder.model.parent, {folder.model})


def _clear(folder: RunFolder) -> None:
    """Forget the run that was here before: `--force` allowed it, or it never began.

    All that it wrote goes, and nothing else: a new run that is killed early must not be found
    beside the model of another. The config goes last, since it says that there is a run.
    """
    pictures = [(folder.path / kind).glob("epoch-*.png") for kind in PICTURE_FOLDERS]
    checkpoints = folder.checkpoints.glob("step-*.safetensors")
    left = _finished(folder) if folder.config.exists() else []
    for old in (*left, folder.metrics, *itertools.chain(checkpoints, *pictures), folder.config):
        if not old.is_dir():
            old.unlink(missing_ok=True)


def _finished(folder: RunFolder) -> list[Path]:
    """What only a run leaves, and what a file of the same name might be without one."""
    drawn = [folder.path / name for name in ONCE]
    events = (folder.path / "tensorboard").glob("events.out.tfevents.*")
    return [folder.model, folder_at(folder.path).model, *drawn, *events]
