"""Follows a run, or a model file: how far it is, and where its newest weights are."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vaekit import files
from vaekit.errors import VaekitError
from vaekit.model_file.header import read_model_file
from vaekit.page.run_history import Records, training_history
from vaekit.training.kept_weights import WeightsFile, newest_weights, weights_file
from vaekit.training.run_files.run_folder import LOCK, RunFolder, folder_at
from vaekit.wording import counted


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    run: str
    """Which run it is: another text once the run has been started again, or resumed."""
    records: Records
    words: str
    """The state of the run in a sentence; empty where only a model file is followed."""
    problem: str = ""
    """What cannot be read, if anything."""


class Followed(Protocol):
    """Something whose weights may change: a run, or a model file."""

    @property
    def name(self) -> str:
        """Its path, for people."""

    def weights(self) -> WeightsFile | None:
        """The newest weights, as a file that tells whether it was replaced."""

    def status(self) -> RunStatus:
        """How far it is."""


class FollowedModel:
    """A model file, which another run or a copy may replace."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._path)

    def weights(self) -> WeightsFile | None:
        """The file."""
        return weights_file(self._path)

    def status(self) -> RunStatus:
        """The epochs of the run around or beside it, where they are those of this model."""
        if not self._path.is_file():
            return RunStatus("", [], f"The file {self._path} is gone.")
        try:
            header = read_model_file(self._path).header
            return RunStatus("", training_history(self._path, header), "")
        except (VaekitError, OSError) as error:
            return RunStatus("", [], "", str(error))


def run_in(path: Path) -> RunFolder | None:
    """The run in a folder, whether it has a model yet or not; None where there is no run."""
    folder = folder_at(path)
    if not folder.config.is_file():
        return None
    beside = folder.manifest.beside in (folder.manifest.read() or ())
    return folder_at(path, model_beside=beside)


class FollowedRun:
    """A run that may be training now. Nothing is written to its folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._records: Records = []
        self._epochs: tuple[str, int | None] = ("", None)

    @property
    def name(self) -> str:
        """The path of its folder."""
        return str(self._folder.path)

    def weights(self) -> WeightsFile | None:
        """The newest of its model file and its checkpoints."""
        return newest_weights(self._folder)

    def status(self) -> RunStatus:
        """How far the run is. What cannot be read leaves the records as they were last."""
        problem = ""
        if self._folder.path.is_dir():
            try:
                self._records = self._folder.records()
            except (VaekitError, OSError) as error:
                problem = str(error)
        run = self._identity()
        return RunStatus(run, self._records, self._words(run), problem)

    def _identity(self) -> str:
        """The run's config file is written once when it starts, and once when it is resumed."""
        with contextlib.suppress(OSError):
            found = self._folder.config.stat()
            return f"{found.st_ino}-{found.st_mtime_ns}"
        return ""

    def _words(self, run: str) -> str:
        path = self._folder.path
        if not path.is_dir():
            return f"The folder {path} is gone."
        done = int(self._records[-1]["epoch"]) if self._records else 0
        epochs = self._planned(run)
        of = f" of {epochs}" if epochs else ""
        if files.is_locked(path / LOCK):
            if epochs and done >= epochs:
                all_done = f"All {counted(epochs, 'epoch')} are done"
                return f"{all_done}; the run writes its model and pictures."
            return f"Training: epoch {done + 1}{of}."
        newest = self.weights()
        if newest is not None and newest.path == self._folder.model:
            return f"The run has ended after {counted(done, 'epoch')}."
        again = f"vaekit train --resume {shlex.quote(str(path))} continues it"
        return f"The run was stopped after {counted(done, 'epoch')}{of}; {again}."

    def _planned(self, run: str) -> int | None:
        """The number of epochs that the run's config names, read once for each config."""
        from vaekit.configuration.config_sources import resolve_config

        if self._epochs[0] != run:
            with contextlib.suppress(VaekitError, OSError):
                config = resolve_config({}, environ={}, config=self._folder.config)
                self._epochs = (run, config.epochs)
        return self._epochs[1]
