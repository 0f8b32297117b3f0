"""Runs the epochs, writes metrics, pictures and checkpoints, and ends the run."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vaekit import files
from vaekit.data import ImageSet
from vaekit.data.imageset import Pixels
from vaekit.errors import Diverged, LostRank, ModelFileError, VaekitError
from vaekit.machine import devices
from vaekit.model_file import header, weights
from vaekit.model_file.trained_images import pack_trained_images
from vaekit.models.vae import parameter_count
from vaekit.training.collapse import CollapseWatch
from vaekit.training.divergence import DivergenceWatch
from vaekit.training.loop import Trainer
from vaekit.training.model_description import describe_model
from vaekit.training.run_files.checkpoint import Checkpoints
from vaekit.training.run_files.run_folder import RunFolder
from vaekit.training.run_files.run_pictures import RunPictures
from vaekit.training.run_files.tensorboard import EventLog
from vaekit.training.stop_signals import StopRequest
from vaekit.training.watcher import RunFacts, Watcher


@dataclass(frozen=True)
class Session:
    """A run's trainer, images, folder, pictures, checkpoints and watcher."""

    trainer: Trainer
    images: ImageSet
    originals: Pixels
    """The training images before any binarization."""
    folder: RunFolder
    pictures: RunPictures
    checkpoints: Checkpoints
    watcher: Watcher
    skipped: int = 0
    """Bad images that were left out of training and validation; each epoch's record counts them."""

    def run(self) -> None:
        """Train until the run is finished; a finished run is left unchanged."""
        if self.trainer.finished and self._is_complete():
            epochs = self.trainer.progress.epoch
            self.watcher.note(f"{self.folder.path} is finished: {epochs} epochs are done")
            return
        with self._with_resume_hint():
            self.watcher.started(self._facts())
            try:
                self._epochs()
            except Diverged as error:
                raise Diverged(f"{error}{self._saved_best()}") from None
            finally:
                self.watcher.ended()
            self._write_model()
            self.pictures.finish(self.trainer.eval_network)

    @contextlib.contextmanager
    def _with_resume_hint(self) -> Iterator[None]:
        """Turn a full disk into an error that says how to resume."""
        try:
            yield
        except OSError as error:
            if error.errno not in files.NO_ROOM:
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise VaekitError(
                f"{where}{error.strerror}: {files.NO_ROOM[error.errno]}, "
                f"then resume with: {self._command()}"
            ) from None

    def _epochs(self) -> None:
        config, start = self.trainer.config, self.trainer.progress.step
        watches = (
            CollapseWatch(config, self.trainer.length.steps_per_epoch),
            DivergenceWatch(config, self.folder.records() if start else ()),
        )
        log = EventLog(self.folder, wanted=config.tensorboard, step=start)
        with log, StopRequest() as stop, self._saved_if_a_rank_is_lost():
            while not self.trainer.finished:
                self._steps(stop)
                record = self.trainer.end_epoch()
                if self.skipped:
                    record["skipped_images"] = self.skipped
                self.folder.add_metrics(record)
                log.add(record)
                self.watcher.epoch_ended(record)
                for watch in watches:
                    watch.check(record, self.watcher, last=self.trainer.finished)
                self._draw()
                self._save(epoch_ended=True)

    @contextlib.contextmanager
    def _saved_if_a_rank_is_lost(self) -> Iterator[None]:
        """Save the steps that are done before the end of another rank ends this one."""
        try:
            yield
        except LostRank as error:
            self.checkpoints.save(self.trainer)
            raise LostRank(f"{error}: {self._stopped()}") from error

    def _steps(self, stop: StopRequest) -> None:
        """The rest of an epoch, unless a signal stops the run."""
        for indices in self.trainer.epoch_batches():
            self.watcher.stepped(self.trainer.step(indices))
            if self.trainer.agrees_to_stop(stop.requested):
                self.checkpoints.save(self.trainer)
                raise stop.error(self._stopped())
            self._save()

    def _save(self, *, epoch_ended: bool = False) -> None:
        """Save a checkpoint if one is due; the end of the run always is."""
        last = epoch_ended and self.trainer.finished
        if last or self.checkpoints.due(self.trainer.progress.step, epoch_ended=epoch_ended):
            self.checkpoints.save(self.trainer)

    def _draw(self) -> None:
        epoch = self.trainer.progress.epoch
        last = self.trainer.finished
        if self.pictures.due(epoch, last=last):
            self.pictures.draw(self.trainer.eval_network, epoch)
            self.pictures.curves(last=last)

    def _write_model(self) -> None:
        self.trainer.eval_network.load_state_dict(self.trainer.state_to_keep())
        described = describe_model(self.trainer, self.images, self.folder.last_record())
        hashes = torch.from_numpy(pack_trained_images(self.originals))
        weights.save(self.folder.model, described, self.trainer.eval_network.state_dict(), hashes)

    def _saved_best(self) -> str:
        """Save the best weights of a run that diverged; returns where they are, as text."""
        if self.trainer.best_state is None:
            return ""
        try:
            self._write_model()
        except OSError as error:  # report the divergence all the same
            return f"; the best weights could not be saved: {error.filename}: {error.strerror}"
        best = self.trainer.progress.best_epoch
        return f"; the weights of epoch {best}, the best so far, are in {self.folder.model}"

    def _is_complete(self) -> bool:
        """Whether the model and the last picture belong to the current end of the run.

        A run that was extended and then killed after its last checkpoint has those of its first
        end.
        """
        model, picture = self.folder.model, self.folder.interpolation
        with contextlib.suppress(ModelFileError, FileNotFoundError):
            steps = header.read_model_file(model).header.training.get("steps")
            drawn = self.pictures.off or picture.stat().st_mtime_ns >= model.stat().st_mtime_ns
            return drawn and steps == self.trainer.progress.step
        return False

    def _stopped(self) -> str:
        now = self.trainer.progress
        return (
            f"stopped in epoch {now.epoch + 1} after step {now.step:,}, and saved; "
            f"resume with: {self._command()}"
        )

    def _command(self) -> str:
        as_before = ", started as before" if self.trainer.ranks.several else ""
        return f"vaekit train --resume {shlex.quote(str(self.folder.path))}{as_before}"

    def _facts(self) -> RunFacts:
        trainer = self.trainer
        return RunFacts(
            config=trainer.config,
            image=trainer.network.image,
            n_train=len(trainer.train),
            n_val=0 if trainer.val is None else len(trainer.val),
            parameters=parameter_count(trainer.network),
            device=devices.describe_device(trainer.train.device),
            threads=torch.get_num_threads(),
            steps_per_epoch=trainer.length.steps_per_epoch,
            folder=str(self.folder.path),
        )
