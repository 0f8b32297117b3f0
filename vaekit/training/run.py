"""A run from its config to its model file: read `train` from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import __version__, devices, files, weights
from vaekit.config import RunConfig, as_yaml
from vaekit.data import ImageSet, load_dataset
from vaekit.data.batches import Batches, statically_binarized
from vaekit.errors import DataError
from vaekit.models.base import parameter_count
from vaekit.reporting import SILENT, Reporter
from vaekit.training import folder as folders
from vaekit.training import resuming, tensorboard
from vaekit.training.checkpoint import Checkpoint, Checkpoints
from vaekit.training.description import describe
from vaekit.training.folder import RunFolder
from vaekit.training.health import CollapseWatch
from vaekit.training.loop import Trainer
from vaekit.training.pictures import RunPictures
from vaekit.training.plan import Footprint, footprint, network_of, settle
from vaekit.training.signals import StopRequest
from vaekit.training.tensorboard import EventLog
from vaekit.training.watching import RunFacts, Unwatched, Watcher


@dataclass(frozen=True)
class TrainingData:
    """The images of a run."""

    train: ImageSet
    val: ImageSet | None


@dataclass(frozen=True)
class Trained:
    """What a run leaves behind."""

    model: Path
    folder: Path
    config: RunConfig
    record: dict[str, float]
    best_epoch: int


def train(config: RunConfig, watcher: Watcher | None = None, *, force: bool = False) -> Trained:
    """Train a model and leave the run's folder; gives where the model file is."""
    watcher = watcher or Unwatched()
    device = _device(config)
    folders.refuse_unfit(config.output, force=force)
    config, data = prepare(config, watcher)
    folder = folders.choose(config.output, f"{folders.plain_name(config.dataset)}-{config.model}")
    with folders.claimed(folder), deterministic(device):
        write_config(folder, config)
        return _run(config, data, folder, device, watcher, None)


def resume(path: Path, options: Mapping[str, Any], watcher: Watcher | None = None) -> Trained:
    """Take up the run in a folder where it stopped, to the very same bytes; says so if it cannot.

    `options` may change what does not change the result, and the number of epochs.
    """
    watcher = watcher or Unwatched()
    found = resuming.find(path)
    config = resuming.merged(found, options)
    device = _device(config)
    config, data = prepare(config, watcher)
    with folders.claimed(found.folder, fresh=False), deterministic(device):
        resuming.check(found, data.train, device, watcher)
        write_config(found.folder, config)
        return _run(config, data, found.folder, device, watcher, found.checkpoint)


def _device(config: RunConfig) -> torch.device:
    """The device; and what can be refused at once is."""
    if config.tensorboard:
        tensorboard.require()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    return devices.choose(config.device)


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Write what gives the same run again."""
    heading = f"vaekit {__version__}: vaekit train --config {folder.config.name}"
    files.write_text(folder.config, as_yaml(config.reproducible(), heading))


def preview(config: RunConfig, reporter: Reporter = SILENT) -> tuple[RunConfig, Footprint]:
    """What `train` would do: the settled config, and what it expects of the machine."""
    config, data = prepare(config, reporter)
    return config, footprint(config, data.train.image_shape)


def prepare(config: RunConfig, reporter: Reporter) -> tuple[RunConfig, TrainingData]:
    """Load the images, and settle what depends on them."""
    train_set = load(config, "train", reporter)
    if len(train_set) < 2:
        raise DataError(
            f"{config.dataset}: one image is left to train on, at least two are needed; "
            "--val-split 0 keeps none for validation"
        )
    val = load(config, "val", reporter, like=train_set) if config.val_split > 0 else None
    config = settle(config, train_set.image_shape, config.dataset)
    footprint(config, train_set.image_shape)  # what no network can be made of is refused here
    if config.batch_size > len(train_set):
        reporter.note(
            f"--batch-size {config.batch_size}: there are {len(train_set)} images, "
            "so a batch holds them all"
        )
        config = config.changed(batch_size=len(train_set))
    observed_val = None if val is None else binarized(val, config)
    return config, TrainingData(binarized(train_set, config), observed_val)


def load(
    config: RunConfig, split: str, reporter: Reporter, *, like: ImageSet | None = None
) -> ImageSet:
    """One split of the run's data set, its images shaped like those of another."""
    return load_dataset(
        config.dataset,
        split,
        image_size=like.image_shape[:2] if like is not None else config.image_size,
        grayscale=config.grayscale,
        channels=like.image_shape[2] if like is not None else None,
        limit=config.limit,
        seed=config.seed,
        val_split=config.val_split,
        data_dir=config.data_dir,
        strict=config.strict,
        reporter=reporter,
    )


def binarized(images: ImageSet, config: RunConfig) -> ImageSet:
    """Black and white once for all, where the config wants that; a dynamic draw comes later."""
    if config.binarize == "static":
        return statically_binarized(images)
    if config.binarize == "threshold":
        black_and_white = (images.images > 127).astype(np.uint8) * np.uint8(255)
        return dataclasses.replace(images, images=black_and_white, known_fingerprint=None)
    return images


def mean_image(images: ImageSet) -> Tensor:
    """The mean of the images, (C, H, W) in [0, 1]."""
    mean = images.images.mean(axis=0, dtype=np.float64) / 255
    return torch.from_numpy(mean.astype(np.float32)).permute(2, 0, 1)


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask an accelerator for the same bits each time; a CPU gives them anyway."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _run(
    config: RunConfig,
    data: TrainingData,
    folder: RunFolder,
    device: torch.device,
    watcher: Watcher,
    checkpoint: Checkpoint | None,
) -> Trained:
    network = network_of(config, data.train.image_shape, mean_image(data.train)).to(device)
    val = None if data.val is None else Batches(data.val, device)
    trainer = Trainer(config, network, Batches(data.train, device), val)
    if checkpoint is not None:
        checkpoint.restore(trainer)
    folder.cut_metrics(trainer.progress.epoch)
    pictures = RunPictures(config, folder, data.train, data.val)
    keeper = Checkpoints(folder, config, data.train.fingerprint, device)
    if trainer.finished and folder.model.exists():
        watcher.note(f"{folder.path} is finished: {trainer.progress.epoch} epochs were made")
    else:
        watcher.started(_facts(trainer, folder, device))
        try:
            _epochs(trainer, pictures, folder, keeper, watcher)
        finally:
            watcher.ended()
        _leave(trainer, data.train, pictures, folder)
    record = folder.records()[-1]
    return Trained(folder.model, folder.path, config, record, trainer.progress.best_epoch)


def _epochs(
    trainer: Trainer,
    pictures: RunPictures,
    folder: RunFolder,
    keeper: Checkpoints,
    watcher: Watcher,
) -> None:
    """Epoch after epoch until the run is finished, or asked to stop."""
    health = CollapseWatch(trainer.config, trainer.steps_per_epoch)
    wanted, step = trainer.config.tensorboard, trainer.progress.step
    with EventLog(folder.path, wanted=wanted, step=step) as log, StopRequest() as stop:
        while not trainer.finished:
            for indices in trainer.epoch_batches():
                watcher.stepped(trainer.step(indices))
                if stop.requested or keeper.due(trainer.progress.step):
                    keeper.save(trainer)
                if stop.requested:
                    raise stop.error(_stopped(trainer, folder))
            record = trainer.end_epoch()
            folder.add_metrics(record)
            log.add(record)
            watcher.epoch_ended(record)
            health.look(record, watcher, last=trainer.finished)
            if pictures.due(trainer.progress.epoch, last=trainer.finished):
                pictures.draw(trainer.shown, trainer.progress.epoch)
                pictures.curves()
            if trainer.finished or keeper.due(trainer.progress.step, epoch_ended=True):
                keeper.save(trainer)


def _stopped(trainer: Trainer, folder: RunFolder) -> str:
    now = trainer.progress
    return (
        f"stopped in epoch {now.epoch + 1} after step {now.step:,}, and saved; "
        f"go on with: vaekit train --resume {folder.path}"
    )


def _leave(trainer: Trainer, images: ImageSet, pictures: RunPictures, folder: RunFolder) -> None:
    """Write the model file, and the pictures that are drawn once."""
    trainer.shown.load_state_dict(trainer.kept_state())
    header = describe(trainer, images, folder.records()[-1])
    weights.save(folder.model, header, trainer.shown.state_dict())
    pictures.finish(trainer.shown)


def _facts(trainer: Trainer, folder: RunFolder, device: torch.device) -> RunFacts:
    return RunFacts(
        config=trainer.config,
        image=trainer.network.image,
        n_train=len(trainer.train),
        n_val=0 if trainer.val is None else len(trainer.val),
        parameters=parameter_count(trainer.network),
        device=devices.describe(device),
        steps_per_epoch=trainer.steps_per_epoch,
        folder=str(folder.path),
    )
