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

from vaekit import __version__, devices, files
from vaekit.config import RunConfig, as_yaml
from vaekit.data import ImageSet
from vaekit.data.batches import Batches, statically_binarized
from vaekit.data.decoding import thread_pool
from vaekit.data.load import open_dataset, parse_size
from vaekit.data.source import Request
from vaekit.errors import DataError
from vaekit.reporting import SILENT, Reporter
from vaekit.threads import using_threads
from vaekit.training import resume_rules, tensorboard
from vaekit.training import run_folder as folders
from vaekit.training.checkpoint import Checkpoint, Checkpoints
from vaekit.training.defaults import Footprint, footprint, network_of, outline, settle
from vaekit.training.loop import Trainer
from vaekit.training.run_folder import RunFolder
from vaekit.training.run_pictures import RunPictures
from vaekit.training.session import Session
from vaekit.training.watcher import SilentWatcher, Watcher


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


def run_training(
    config: RunConfig, watcher: Watcher | None = None, *, force: bool = False
) -> Trained:
    """Train a model and leave the run's folder; gives where the model file is."""
    watcher = watcher or SilentWatcher()
    device = _device(config)
    folders.refuse_unfit_folder(config.output, force=force)
    config, data = prepare(config, watcher)
    folder = folders.choose_folder(
        config.output, f"{folders.plain_name(config.dataset)}-{config.model}"
    )
    with folders.claimed(folder), deterministic(device), using_threads(config.threads):
        write_config(folder, config)
        return _run(config, data, folder, device, watcher, None)


def resume_training(
    path: Path, options: Mapping[str, Any], watcher: Watcher | None = None
) -> Trained:
    """Take up the run in a folder where it stopped, to the very same bytes; says so if it cannot.

    `options` may change what does not change the result, and the number of epochs.
    """
    watcher = watcher or SilentWatcher()
    found = resume_rules.find(path)
    config = resume_rules.merged(found, options)
    device = _device(config)
    resume_rules.refuse_changed_options(found, config)
    config, data = prepare(config, watcher)
    resume_rules.refuse_changed_options(found, config, data.train.image_shape)
    folder, arithmetic = found.folder, using_threads(config.threads)
    with folders.claimed(folder, fresh=False), deterministic(device), arithmetic:
        found = resume_rules.find(path)  # whoever held the folder until now has gone on
        resume_rules.refuse_changed_data(found, data.train, device, watcher)
        write_config(folder, config)
        return _run(config, data, folder, device, watcher, found.checkpoint)


def _device(config: RunConfig) -> torch.device:
    """The device; and what can be refused at once is."""
    if config.tensorboard:
        tensorboard.require()
    return devices.choose_device(config.device)


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
    data = load_training_data(config, reporter)
    count, shape = len(data.train), data.train.image_shape
    config = settle(config, shape, config.dataset, count)
    outline(config, shape)  # refuses what no network can be built from
    if config.batch_size > count:
        reporter.note(
            f"--batch-size {config.batch_size}: there are {count} images, so a batch holds them all"
        )
        config = config.changed(batch_size=count)
    val = None if data.val is None else binarized(data.val, config)
    return config, TrainingData(binarized(data.train, config), val)


def load_training_data(config: RunConfig, reporter: Reporter) -> TrainingData:
    """Open the run's data set, and take train from it, and val in the same shape."""
    request = Request(
        size=parse_size(config.image_size),
        channels=1 if config.grayscale else None,
        limit=config.limit,
        seed=config.seed,
        val_split=config.val_split,
        data_dir=config.data_dir,
        strict=config.strict,
        reporter=reporter,
    )
    with thread_pool.at_most(config.threads):
        opened = open_dataset(config.dataset, request)
        train = opened.take("train")
        if len(train) < 2:
            raise DataError(f"{config.dataset}: {_too_few(config)}")
        val = opened.take("val", like=train) if config.val_split > 0 else None
    return TrainingData(train, val)


def _too_few(config: RunConfig) -> str:
    way_out = "raise --limit" if config.limit == 1 else "--val-split 0 keeps none for validation"
    return f"one image is left to train on, at least two are needed; {way_out}"


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
    network = network_of(config, data.train.image_shape, mean_image(data.train))
    network = network.to(device).to(memory_format=torch.channels_last)  # as convolutions like it
    val = None if data.val is None else Batches(data.val, device)
    trainer = Trainer(config, network, Batches(data.train, device), val, watcher)
    if checkpoint is not None:
        checkpoint.restore(trainer)
    folder.cut_metrics(trainer.progress.epoch)
    Session(
        trainer=trainer,
        images=data.train,
        folder=folder,
        pictures=RunPictures(config, folder, data.train, data.val),
        checkpoints=Checkpoints(
            folder, config, data.train.fingerprint, device, trainer.progress.step
        ),
        watcher=watcher,
    ).go()
    record = folder.last_record()
    return Trained(folder.model, folder.path, config, record, trainer.progress.best_epoch)
