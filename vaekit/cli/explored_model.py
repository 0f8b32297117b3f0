"""What `explore` shows: each look at the weights of a model or a run, with its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.cli.model_commands import open_model
from vaekit.cli.reported_model import GatheredPage, PageOptions, gather_page, page_of_images
from vaekit.cli.terminal.console import Terminal
from vaekit.errors import UsageError
from vaekit.page.followed_run import FollowedModel, FollowedRun, run_in
from vaekit.reporting import SILENT

if TYPE_CHECKING:
    from vaekit.configuration.config import RunConfig
    from vaekit.data import ImageSet
    from vaekit.inference import Model
    from vaekit.page.live_page import LivePage, Look
    from vaekit.training.kept_weights import CheckpointRead, WeightsFile
    from vaekit.training.run import TrainingData
    from vaekit.training.run_files.checkpoint import Checkpoint
    from vaekit.training.run_files.run_folder import RunFolder


def live_page(path: Path, options: PageOptions, terminal: Terminal, *, tied: bool) -> LivePage:
    """The page of a model file, or of the run in a folder, which may not have a model yet."""
    from vaekit.page.live_page import LivePage

    folder = run_in(path)
    if folder is None:
        return LivePage(FollowedModel(path), ModelLooks(options, terminal).look)
    return LivePage(FollowedRun(folder), RunLooks(folder, options, terminal).look, tied=tied)


class ModelLooks:
    """Looks at a model file, each time it is replaced."""

    def __init__(self, options: PageOptions, terminal: Terminal) -> None:
        self._options, self._terminal = options, terminal

    def look(self, weights: WeightsFile, last: Look | None) -> Look:
        """The model in the file, with the images that `evaluate` would use."""
        from vaekit.training.kept_weights import weights_in_words

        model = open_model(weights.path, self._options.use, self._terminal)
        gathered = gather_page(model, self._options, self._terminal)
        return _look(model, gathered, weights_in_words(model.header))


class RunLooks(ModelLooks):
    """Looks at a run: at its checkpoints while it trains, and at its model file in the end."""

    def __init__(self, folder: RunFolder, options: PageOptions, terminal: Terminal) -> None:
        super().__init__(options, terminal)
        self._folder = folder
        self._images: tuple[RunConfig, TrainingData, ImageSet] | None = None
        self._seen: tuple[WeightsFile | None, str] | None = None
        """The run's config file and the words for the weights of the last checkpoint shown."""

    def look(self, weights: WeightsFile, last: Look | None) -> Look:
        """The weights that the run would keep now; those that are shown already stay."""
        from vaekit.training.kept_weights import kept_in_words, read_kept, weights_file

        if weights.path == self._folder.model:
            self._seen = None
            return super().look(weights, last)
        read = read_kept(weights)
        words = kept_in_words(read.checkpoint.progress)
        seen = (weights_file(self._folder.config), words)
        if last is not None and seen == self._seen and read.are_of(last.model.model.network):
            return last
        look = self._look_at(read, words)
        self._seen = seen
        return look

    def _look_at(self, read: CheckpointRead, words: str) -> Look:
        from vaekit.machine.devices import choose_device
        from vaekit.training.kept_weights import model_of_checkpoint

        config = self._config(read.checkpoint)
        data, images = self._read_images(config)
        device = choose_device(self._options.use.device)
        model = model_of_checkpoint(read, config, data, device)
        subject, contents = page_of_images(model, images, self._options, [], SILENT)
        contents["record"]["diagnosis"] = ""  # its advice is for a run that has ended
        return _look(model, (subject, contents), words)

    def _config(self, checkpoint: Checkpoint) -> RunConfig:
        """The run's config; its paths as the config file has them, valid from any folder."""
        from vaekit.configuration.config_sources import resolve_config
        from vaekit.configuration.dataset_names import IN_MEMORY
        from vaekit.training.run_files.resume_rules import config_of

        written = resolve_config({}, environ={}, config=self._folder.config)
        if written.dataset.startswith(IN_MEMORY):
            raise UsageError(
                "this run trains on images that a Python program gave: explore can show it once "
                "it has ended, with --dataset"
            )
        return config_of(checkpoint).changed(dataset=written.dataset, data_dir=written.data_dir)

    def _read_images(self, config: RunConfig) -> tuple[TrainingData, ImageSet]:
        """The run's images, and those on the page; read once for each config."""
        from vaekit.training.run import binarized, load_training_data

        if self._images is None or self._images[0] != config:
            found = load_training_data(config, SILENT)
            data = replace(found, train=binarized(found.train, config))
            self._images = (config, data, self._shown_images(config, found))
        return self._images[1:]

    def _shown_images(self, config: RunConfig, data: TrainingData) -> ImageSet:
        """What `evaluate` would use: of the run's own data set, or of the one given."""
        from vaekit.data.load import load_for_model
        from vaekit.data.source import Request

        by, is_own = self._options.by, self._options.by.dataset is None
        read = {"train": data.train, "val": data.val}.get(by.split) if is_own else None
        if read is not None:  # the run has decoded them, so that nothing needs to be cached
            return _some_of(read, by.limit, self._options.use.seed)
        request = Request(
            limit=by.limit,
            seed=self._options.use.seed,
            val_split=config.val_split,
            data_dir=by.data_dir or (config.data_dir if is_own else None),
            strict=by.strict,
            max_bad=by.max_bad,
        )
        dataset = config.dataset if by.dataset is None else by.dataset
        shape = data.train.image_shape
        return load_for_model(dataset, by.split, shape, request, is_own=is_own)


def _some_of(images: ImageSet, most: int | None, seed: int) -> ImageSet:
    """Up to `most` of some images, a seeded choice."""
    from vaekit.page.latent_map import choose_images

    if most is None or most >= len(images):
        return images
    chosen = choose_images(len(images), most, seed, "images")
    return replace(
        images,
        images=images.images[chosen],
        labels=None if images.labels is None else images.labels[chosen],
        factors=None if images.factors is None else images.factors[chosen],
        names=[images.names[index] for index in chosen] if len(images.names) else (),
        known_fingerprint=None,
    )


def _look(model: Model, gathered: GatheredPage, words: str) -> Look:
    from vaekit.page.live_model import LiveModel
    from vaekit.page.live_page import Look
    from vaekit.page.report_contents import images_on_map

    subject, contents = gathered
    return Look(LiveModel(model, subject.images, images_on_map(subject)), contents, words)
