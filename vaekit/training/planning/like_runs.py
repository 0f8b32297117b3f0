"""Finds an earlier run that is like a planned one, and the speed that it reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from vaekit.configuration.config import RunConfig
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import VaekitError
from vaekit.model_file.header import read_model_file
from vaekit.model_file.tensor_file import read_layout
from vaekit.training.run_files.checkpoint import KEY
from vaekit.training.run_files.run_folder import RUNS, RunFolder, folder_at

OF_NO_WEIGHT = {
    *("dataset", "data_dir", "image_size", "grayscale", "limit", "val_split", "strict", "max_bad"),
    *("refresh", "init", "beta", "kl_warmup", "free_bits", "epochs", "lr", "schedule", "adam_eps"),
    *("weight_decay", "early_stop", "seed", "device", "threads", "checkpoint_every"),
    *("pictures_every", "project", "tensorboard", "output"),
}
"""Options that leave the time of a step as it is, or that are compared in another way."""

MOST_RUNS = 200
"""Runs that are looked at, the newest first."""


@dataclass(frozen=True)
class LikeRun:
    """A run with the same work in a step."""

    folder: Path
    images_per_second: float
    """The median over its epochs, the first left out where there are more."""


def find_like_run(
    config: RunConfig, image: tuple[int, int, int], device: torch.device, ranks: int = 1
) -> LikeRun | None:
    """The newest run with the same network, options of a step, image, device, threads and ranks.

    It is looked for in `runs/` and beside `--output`.
    """
    wanted = (device.type, config.threads or torch.get_num_threads(), ranks)
    for folder in _newest_first(config):
        with suppress(VaekitError, OSError, ValueError, KeyError, TypeError):
            if _is_alike(folder, config, image) and _environment(folder) == wanted:
                return LikeRun(folder.path, _speed(folder))
    return None


def _newest_first(config: RunConfig) -> list[RunFolder]:
    places = {RUNS} if config.output is None else {RUNS, Path(config.output).parent}
    found = [(file.stat().st_mtime, file.parent) for place in places for file in _metrics(place)]
    newest = sorted(found, reverse=True)[:MOST_RUNS]
    return [_run_at(path) for _, path in newest]


def _metrics(place: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from place.glob("*/metrics.jsonl")


def _run_at(path: Path) -> RunFolder:
    inside = folder_at(path)
    return inside if inside.model.exists() else folder_at(path, model_beside=True)


def _is_alike(folder: RunFolder, config: RunConfig, image: tuple[int, int, int]) -> bool:
    found = resolve_config({}, environ={}, config=folder.config)
    names = RunConfig.model_fields.keys() - OF_NO_WEIGHT
    if any(getattr(found, name) != getattr(config, name) for name in names):
        return False
    return read_model_file(folder.model).header.image == image


def _environment(folder: RunFolder) -> tuple[str, int, int]:
    """The device, the threads and the ranks of a run, from the header of its last checkpoint."""
    header = json.loads(read_layout(folder.checkpoint_files()[-1]).metadata[KEY])
    environment = header["environment"]
    return environment["device_type"], environment["threads"], environment.get("ranks", 1)


def _speed(folder: RunFolder) -> float:
    records = folder.records()
    return statistics.median(r["images_per_second"] for r in records[1:] or records)
