"""A run from its config to its model file: read `train` from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
from vaekit.training.description import describe
from vaekit.training.folder import RunFolder
from vaekit.training.health import CollapseWatch
from vaekit.training.loop import Trainer
from vaekit.training.pictures import RunPictures
from vaekit.training.plan import Footprint, footprint, network_of, settle
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
    device = devices.choose(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    folders.refuse_unfit(config.output, force=force)
    config, data = prepare(config, watcher)
    folder = folders.choose(config.output, f"{folders.plain_name(config.dataset)}-{config.model}")
    with folders.claimed(folder), deterministic(device):
        heading = f"vaekit {__version__}: vaekit train --config {folder.config.name}"
        files.write_text(folder.config, as_yaml(config.reproducible(), heading))
        return _run(config, data, folder, device, watcher)


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
    config: RunConfig, data: TrainingData, folder: RunFolder, device: torch.device, watcher: Watcher
) -> Trained:
    network = network_of(config, data.train.image_shape, mean_image(data.train)).to(device)
    val = None if data.val is None else Batches(data.val, device)
    trainer = Trainer(config, network, Batches(data.train, device), val)
    pictures = RunPictures(config, folder, data.train, data.val)
    watcher.started(_facts(trainer, folder, device))
    try:
        record = _epochs(trainer, pictures, folder, watcher)
    finally:
        watcher.ended()
    trainer.shown.load_state_dict(trainer.kept_state())
    header = describe(trainer, data.train, record)
    weights.save(folder.model, header, trainer.shown.state_dict())
    pictures.finish(trainer.shown)
    return Trained(folder.model, folder.path, config, record, trainer.progress.best_epoch)


def _epochs(
    trainer: Trainer, pictures: RunPictures, folder: RunFolder, watcher: Watcher
) -> dict[str, float]:
    """Epoch after epoch until the run is finished; gives the last epoch's record."""
    record: dict[str, float] = {}
    health = CollapseWatch(trainer.config, trainer.steps_per_epoch)
    with EventLog(folder.path, wanted=trainer.config.tensorboard) as log:
        while not trainer.finished:
            for indices in trainer.epoch_batches():
                watcher.stepped(trainer.step(indices))
            record = trainer.end_epoch()
            folder.add_metrics(record)
            log.add(record)
            watcher.epoch_ended(record)
            health.look(record, watcher, last=trainer.finished)
            if pictures.due(trainer.progress.epoch, last=trainer.finished):
                pictures.draw(trainer.shown, trainer.progress.epoch)
                pictures.curves()
    return record


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
