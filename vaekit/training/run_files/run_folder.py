"""A run's folder: its name, its files, its lock, and the metrics appended to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vaekit import files
from vaekit.configuration.dataset_names import telling_part
from vaekit.errors import DataError, UsageError, VaekitError
from vaekit.training.run_files.manifest import Manifest
from vaekit.wording import one_line

RUNS = Path("runs")
MODEL_ENDING = ".safetensors"
SUBFOLDERS = {
    "reconstructions": r"epoch-\d{3,}\.png",
    "samples": r"epoch-\d{3,}\.png",
    "checkpoint": r"step-\d{8,}\.safetensors",
}
"""Subfolders, and the names that a run gives its files there."""

LOCK = ".lock"
REFUSED_ENDINGS = (".pth", ".pt", ".ckpt", ".pkl", ".bin")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, and the path of its model."""

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
        """The picture that is drawn last."""
        return self.path / "interpolation.png"

    @property
    def latents(self) -> Path:
        """The picture of the latent space."""
        return self.path / "latents.png"

    @property
    def loss(self) -> Path:
        """The plot of the losses."""
        return self.path / "loss.png"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints, from which the run can be resumed."""
        return self.path / "checkpoint"

    @property
    def manifest(self) -> Manifest:
        """The list of the run's files."""
        return Manifest(self.path, self.path.parent / f"{self.path.name}{MODEL_ENDING}")

    @property
    def fixed(self) -> list[Path]:
        """The files that every run writes outside its subfolders."""
        return [self.config, self.metrics, self.model, self.loss, self.latents, self.interpolation]

    @property
    def model_beside(self) -> bool:
        """Whether the model is beside the folder, as `name.safetensors`, rather than in it."""
        return self.model.parent != self.path

    def checkpoint_files(self) -> list[Path]:
        """The run's checkpoints, oldest first."""
        owned = self.manifest.read()
        found = [path for path in _numbered(self.checkpoints) if owned is None or path in owned]
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def picture(self, kind: str, epoch: int) -> Path:
        """The path of a picture of one kind after one epoch."""
        return self.path / kind / f"epoch-{epoch:03d}.png"

    def add_metrics(self, record: Mapping[str, object]) -> None:
        """Append one epoch's line."""
        with (
            files.errors_naming_file(self.metrics),
            self.metrics.open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, float]]:
        """The metrics of each epoch; a last line that a power cut left unfinished is dropped."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_bytes().split(b"\n")[:-1]
        return [self._record(line, number) for number, line in enumerate(lines, 1)]

    def _record(self, line: bytes, number: int) -> dict[str, float]:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and type(record.get("epoch")) is int:
                values = record.values()
                if all(type(v) in (int, float) and abs(v) < math.inf for v in values):
                    return record
        raise DataError(
            f"{self.metrics}: line {number} is not the metrics of an epoch; "
            "put the file back as it was, or remove the line"
        )

    def last_record(self) -> dict[str, float]:
        """The metrics of the last epoch."""
        records = self.records()
        if not records:
            raise DataError(f"{self.metrics}: is missing or empty: put it back, or train again")
        return records[-1]

    def cut_metrics(self, epoch: int) -> None:
        """Drop the lines of epochs that will run again, and an unfinished last line."""
        if not self.metrics.exists():  # a new run need not wait for the disk
            self.metrics.touch()
            return
        kept = [record for record in self.records() if record["epoch"] <= epoch]
        text = "".join(json.dumps(record) + "\n" for record in kept)
        files.write_text(self.metrics, text)


def choose_folder(output: str | None, name: str) -> RunFolder:
    """The folder that `--output` asks for, or the next free `runs/<name>`."""
    if output is None:
        path = _next_free(RUNS / name)
        return folder_at(path)
    target = Path(output)
    beside = target.suffix == MODEL_ENDING
    return folder_at(target.with_suffix("") if beside else target, model_beside=beside)


def folder_at(path: Path, *, model_beside: bool = False) -> RunFolder:
    """The run's folder at `path`, its model in it or beside it."""
    inside = path / f"model{MODEL_ENDING}"
    return RunFolder(path, path.with_name(path.name + MODEL_ENDING) if model_beside else inside)


def check_output(output: str | None, *, force: bool) -> None:
    """Refuse an unusable `--output` before any image is decoded."""
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
    refuse_foreign_files(folder, force=force)
    _prove_writable(folder)


def refuse_foreign_files(folder: RunFolder, *, force: bool) -> None:
    """Refuse a folder in which a new run would replace a file that is not a run's own."""
    refuse_blocked_names(folder, "--output")
    owned, output = folder.manifest.read(), f"--output {folder.path}"
    if owned is None and (name := _first_foreign(folder)) is not None:
        raise UsageError(
            f"{output}: the folder is not empty, and no list says that a run wrote "
            f"{one_line(name)}; choose another name"
        )
    if owned and folder.config in owned and folder.config.exists() and not force:
        raise UsageError(
            f"{output}: holds a run already; choose another name, or --force to replace it"
        )
    if folder.model_beside and folder.model not in (owned or ()):
        _refuse_model(folder.model, force=force)
    for path in _with_names_of_a_run(folder):
        if path not in (owned or ()) and not (folder.model_beside and path == folder.model):
            raise UsageError(
                f"{output}: the run in that folder did not write {path}, which a new run could "
                "replace; move it away, or choose another name"
            )


def _refuse_model(model: Path, *, force: bool) -> None:
    if os.path.lexists(model) and not force:
        raise UsageError(
            f"--output {model}: exists already; choose another name, or --force to replace it"
        )


def refuse_blocked_names(folder: RunFolder, flag: str) -> None:
    """Refuse files where the run needs folders, and folders where it writes files."""
    for path in (*(folder.path / name for name in SUBFOLDERS), folder.path / "tensorboard"):
        if os.path.lexists(path) and not path.is_dir():
            raise UsageError(
                f"{flag} {folder.path}: {path} is a file, where the run needs a folder; "
                "move it away"
            )
    for path in folder.fixed:
        if path.is_dir():
            raise UsageError(
                f"{flag} {folder.path}: {path} is a folder, where the run writes a file; "
                "move it away"
            )


def _first_foreign(folder: RunFolder) -> str | None:
    """A name in a folder without a manifest, other than what a run that never began leaves."""
    if not folder.path.exists():
        return None
    own = (folder.path / LOCK, folder.manifest.path)
    others = (p for p in sorted(folder.path.iterdir()) if (files.replaced_by(p) or p) not in own)
    return next((path.name for path in others), None)


def _with_names_of_a_run(folder: RunFolder) -> list[Path]:
    """The files in a folder with names that a run gives its files."""
    found = [path for path in folder.fixed if os.path.lexists(path)]
    return found + [path for name in SUBFOLDERS for path in _numbered(folder.path / name)]


def _numbered(subfolder: Path) -> list[Path]:
    """The files of a subfolder with names that a run gives them."""
    pattern = SUBFOLDERS[subfolder.name]
    return [path for path in subfolder.glob("*") if re.fullmatch(pattern, path.name)]


def dataset_stem(dataset: str) -> str:
    """A data set's name for use in a folder's name: the last part of a path, without its ending.

    >>> dataset_stem("cifar10"), dataset_stem("photos/cats/"), dataset_stem("x/cifar10-jpeg.tar.gz")
    ('cifar10', 'cats', 'cifar10-jpeg')
    """
    return telling_part(dataset).split(".")[0] or "images"


def _next_free(path: Path) -> Path:
    """`path`, or `path-2`, `path-3` and so on: the first that can be created."""
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
    """Make the folder and write to it now, rather than find out after hours that it fails."""
    try:
        for parent in (folder.path, folder.model.parent):
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=parent):
                pass
    except OSError as error:
        raise VaekitError(f"--output {folder.path}: cannot write there: {_reason(error)}") from None


@contextlib.contextmanager
def exclusive_use(folder: RunFolder, *, fresh: bool = True, force: bool = False) -> Iterator[None]:
    """Keep every other run out of the folder; remove what the last one left, or all if `fresh`."""
    _prove_writable(folder)
    with files.locked(folder.path / LOCK, wait=False) as got:
        if not got:
            raise VaekitError(f"--output {folder.path}: another run is writing there")
        folder.manifest.remove_leftovers()
        if fresh:
            refuse_foreign_files(folder, force=force)
            _clear(folder)
        elif folder.manifest.read() is None:  # lost, or of a version that had none
            folder.manifest.write({*folder.fixed, *_with_names_of_a_run(folder)})
        yield


def _clear(folder: RunFolder) -> None:
    """Remove the files of the run that was here before: `--force` allowed it, or it never began.

    A new run that is killed early must not be found beside the model of another. The config goes
    last, since it says that there is a run.
    """
    owned = folder.manifest.read() or set()
    for path in sorted(owned, key=lambda path: path == folder.config):
        if not path.is_dir():
            path.unlink(missing_ok=True)
    folder.manifest.write([folder.config, folder.metrics, folder.model])
