"""Trains from a config, or resumes a run, and returns where the model file is."""

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

from vaekit import __version__, files
from vaekit.configuration.config import RunConfig, as_yaml
from vaekit.configuration.config_sources import resolve_config
from vaekit.configuration.dataset_names import IN_MEMORY
from vaekit.data import ImageSet
from vaekit.data.batches import statically_binarized
from vaekit.data.decoding import thread_pool
from vaekit.data.imageset import Pixels
from vaekit.data.load import OpenDataset, open_dataset
from vaekit.data.source import Request, Source
from vaekit.errors import DataError, UsageError
from vaekit.machine import devices
from vaekit.machine.ranks import Ranks, joined, place
from vaekit.machine.threads import using_threads
from vaekit.reporting import SILENT, Reporter
from vaekit.training import follower, rank_division
from vaekit.training.defaults import fill_defaults, refuse_unfitting_options
from vaekit.training.initial_weights import inherited
from vaekit.training.memory_needs import refuse_too_large
from vaekit.training.new_trainer import new_trainer
from vaekit.training.run_files import resume_rules, tensorboard
from vaekit.training.run_files import run_folder as folders
from vaekit.training.run_files.checkpoint import Checkpoint, Checkpoints
from vaekit.training.run_files.run_folder import RunFolder
from vaekit.training.run_files.run_pictures import RunPictures
from vaekit.training.session import Session
from vaekit.training.watcher import SilentWatcher, Watcher
from vaekit.wording import one_line


@dataclass(frozen=True)
class TrainingData:
    """The images of a run."""

    train: ImageSet
    val: ImageSet | None
    originals: Pixels
    """The images of `train` before any binarization."""

    @property
    def skipped(self) -> int:
        """Bad images that were left out of both."""
        return sum(len(part.skipped) for part in (self.train, self.val) if part is not None)

    @property
    def fingerprint(self) -> str:
        """Of all images: those of validation decide which weights are kept."""
        parts = (self.train,) if self.val is None else (self.train, self.val)
        return " ".join(part.fingerprint for part in parts)


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run: files, config, and the metrics of the last epoch."""

    model: Path
    folder: Path
    config: RunConfig
    record: dict[str, float]
    best_epoch: int


def run_training(
    config: RunConfig,
    watcher: Watcher | None = None,
    *,
    force: bool = False,
    source: Source | None = None,
) -> TrainingResult:
    """Train a model and write the run's folder; a `source` replaces the config's data set."""
    if source is not None:
        config = config.changed(dataset=f"{IN_MEMORY}{source.name}")
    watcher = watcher or SilentWatcher()
    rank_division.refuse_uneven(config, place().world)
    with joined() as ranks:
        if not ranks.is_first:
            return _follow(ranks, source)
        config = inherited(config)
        device = device_of_run(config, ranks)
        folders.check_output(config.output, force=force)
        config, data = _prepared_first(config, watcher, source, ranks)
        refuse_too_large(config, data.train.image_shape, device)
        stem = folders.dataset_stem(config.dataset.removeprefix(IN_MEMORY))
        folder = folders.choose_folder(config.output, f"{stem}-{config.model}")
        arithmetic = using_threads(config.threads)
        with folders.exclusive_use(folder, force=force), deterministic(device), arithmetic:
            write_config(folder, config)
            return _run(config, data, folder, device, watcher, None, ranks)


def resume_training(
    path: Path,
    options: Mapping[str, Any],
    watcher: Watcher | None = None,
    *,
    source: Source | None = None,
    repeated: bool = False,
) -> TrainingResult:
    """Resume the run in a folder; the model gets the same bytes as without the interruption.

    `options` may change only what leaves the result the same, and the number of epochs. They may
    be those of a `repeated` command that started the run.
    """
    watcher = watcher or SilentWatcher()
    with joined() as ranks:
        if not ranks.is_first:
            return _follow(ranks, source)
        found = resume_rules.find_run(path, watcher)
        folders.refuse_blocked_names(found.folder, "--resume")
        config = resume_rules.merge_options(found, options, repeated=repeated)
        device = device_of_run(config, ranks)
        resume_rules.refuse_changed_options(found, config)
        config, data = _prepared_first(config, watcher, source, ranks)
        rank_division.refuse_uneven(config, ranks.world, len(data.train))
        folder, arithmetic, world = found.folder, using_threads(config.threads), ranks.world
        with folders.exclusive_use(folder, fresh=False), deterministic(device), arithmetic:
            found = resume_rules.find_again(found, watcher)
            resume_rules.refuse_changed_options(found, config, data.train.image_shape)
            resume_rules.refuse_changed_data(found, data.fingerprint, device, watcher, world)
            resume_rules.refuse_other_batch(found, config)
            write_config(folder, config)
            return _run(config, data, folder, device, watcher, found.checkpoint, ranks)


def resume_or_start(
    config: RunConfig,
    options: Mapping[str, Any],
    watcher: Watcher | None = None,
    *,
    force: bool = False,
    source: Source | None = None,
) -> TrainingResult:
    """Resume the run in the output folder if there is one, else start it: `--resume auto`.

    `options` are those of `config` that the command itself gave.
    """
    if config.output is None:
        raise UsageError("--resume auto: name the run's folder with --output")
    folder = folders.choose_folder(config.output, "").path
    if place().rank == 0 and resume_rules.holds_run(folder):
        return resume_training(folder, options, watcher, source=source, repeated=True)
    return run_training(config, watcher, force=force, source=source)


def _prepared_first(
    config: RunConfig, watcher: Watcher, source: Source | None, ranks: Ranks
) -> tuple[RunConfig, TrainingData]:
    """On rank 0: tell the others the config, and prepare the images before they do."""
    ranks.send("config", config.changed(refresh=False).model_dump(mode="json"))
    with ranks.host_leads():
        return prepare(config, watcher, source)


def _follow(ranks: Ranks, source: Source | None) -> TrainingResult:
    """A rank other than 0: the config is rank 0's, and so are all files."""
    config = resolve_config(ranks.receive("config"), environ={})
    device = device_of_run(config, ranks)
    with ranks.host_leads():
        config, data = prepare(config, SILENT, source)
    with deterministic(device), using_threads(config.threads):
        trainer = new_trainer(config, data, device, SilentWatcher(), ranks, fresh=False)
        follower.share_state(trainer, ranks)
        follower.follow(trainer)
        model, folder, record, best_epoch = ranks.receive("result")
    return TrainingResult(Path(model), Path(folder), config, record, best_epoch)


def device_of_run(config: RunConfig, ranks: Ranks) -> torch.device:
    """The device; unusable options are refused here, before images are loaded."""
    if config.tensorboard:
        tensorboard.require()
    if not ranks.several:
        return devices.choose_device(config.device)
    device = devices.device_of_rank(config.device, ranks.local)
    rank_division.refuse_sync_bn(config, ranks, device)
    return device


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Write the config that reproduces the run."""
    heading = f"vaekit {__version__}: vaekit train --config {folder.config.name}"
    files.write_text(folder.config, as_yaml(config.reproducible(), heading))


def prepare(
    config: RunConfig, reporter: Reporter, source: Source | None = None
) -> tuple[RunConfig, TrainingData]:
    """Load the images, and fill in the options that depend on them."""
    refuse_unfitting_options(config)
    data = load_training_data(config, reporter, source)
    count, shape = len(data.train), data.train.image_shape
    config = fill_defaults(config.changed(refresh=False), shape, config.dataset, count)
    if config.images_per_step > count:
        reporter.note(
            f"--batch-size {config.batch_size}: there are {count} images, so a batch holds them all"
        )
        config = config.changed(batch_size=count)
    train = binarized(data.train, config)
    _warn_if_all_equal(train, config, reporter)
    val = None if data.val is None else binarized(data.val, config)
    return config, TrainingData(train, val, data.originals)


def _warn_if_all_equal(train: ImageSet, config: RunConfig, reporter: Reporter) -> None:
    if not train.all_equal:
        return
    cause = " after --binarize threshold" if config.binarize == "threshold" else ""
    reporter.warn(f"{one_line(train.name)}: all {len(train):,} training images are the same{cause}")


def load_training_data(
    config: RunConfig, reporter: Reporter, source: Source | None = None
) -> TrainingData:
    """Open the run's data set or the given source: train from it, and val in the same shape."""
    request = Request(
        size=config.image_size,
        channels=1 if config.grayscale else None,
        limit=config.limit,
        seed=config.seed,
        val_split=config.val_split,
        data_dir=config.data_dir,
        strict=config.strict,
        max_bad=config.max_bad,
        refresh=config.refresh,
        reporter=reporter,
    )
    with thread_pool.at_most(config.threads):
        opened = _opened(config.dataset, source, request)
        train = opened.take("train")
        if len(train) < 2:
            raise DataError(f"{config.dataset}: {_too_few(config)}")
        val = opened.take("val", like=train) if config.val_split > 0 else None
    return TrainingData(train, val, train.images)


def _opened(dataset: str, source: Source | None, request: Request) -> OpenDataset:
    if source is not None:
        return OpenDataset(source.name, source, request)
    if dataset.startswith(IN_MEMORY):
        raise DataError(
            "this run was trained on images that a Python program gave: give them again, with "
            "vaekit.train(resume=..., images=...)"
        )
    return open_dataset(dataset, request)


def _too_few(config: RunConfig) -> str:
    way_out = "raise --limit" if config.limit == 1 else "--val-split 0 keeps none for validation"
    return f"one image is left to train on, at least two are needed; {way_out}"


def binarized(images: ImageSet, config: RunConfig) -> ImageSet:
    """Images with static or threshold binarization applied; `dynamic` draws in training."""
    if config.binarize == "static":
        return statically_binarized(images)
    if config.binarize == "threshold":
        black_and_white = (images.images > 127).astype(np.uint8) * np.uint8(255)
        return dataclasses.replace(images, images=black_and_white, known_fingerprint=None)
    return images


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask CUDA for deterministic kernels; those of a CPU are deterministic anyway."""
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
    ranks: Ranks,
) -> TrainingResult:
    trainer = new_trainer(config, data, device, watcher, ranks, fresh=checkpoint is None)
    if checkpoint is not None:
        checkpoint.restore(trainer)
        if resume_rules.begins_cycle(checkpoint, config):
            trainer.begin_cycle()
            more = trainer.length.epochs - trainer.progress.epoch
            watcher.note(
                f"a new {config.schedule} cycle of {more} epochs starts from the kept weights"
            )
    follower.share_state(trainer, ranks)
    folder.cut_metrics(trainer.progress.epoch)
    step, world = trainer.progress.step, ranks.world
    Session(
        trainer=trainer,
        images=data.train,
        originals=data.originals,
        folder=folder,
        pictures=RunPictures(config, folder, data.train, data.val),
        checkpoints=Checkpoints(folder, config, data.fingerprint, device, step, world),
        watcher=watcher,
        skipped=data.skipped,
    ).run()
    record, best_epoch = folder.last_record(), trainer.progress.best_epoch
    ranks.send("result", [str(folder.model), str(folder.path), record, best_epoch])
    return TrainingResult(folder.model, folder.path, config, record, best_epoch)
