"""Checkpoints: everything a run needs to resume and end with the same bytes.

Randomness is keyed by step, so no generator state is saved: only the position, the weights, their
average, the best so far, Adam's moments, and the sums of the current epoch. Each checkpoint is one
safetensors file, written atomically, with a digest of all that it holds; the last two are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit import __version__
from vaekit.configuration.config import RunConfig
from vaekit.errors import ModelFileError
from vaekit.model_file.tensor_file import TensorLayout, file_digest, read_json, read_layout
from vaekit.model_file.weights import read_tensors, write_tensors
from vaekit.reporting import Reporter
from vaekit.training.loop import Progress, Trainer
from vaekit.training.run_files import checkpoint_checks
from vaekit.training.run_files.run_folder import RunFolder

KEY = "vaekit-checkpoint"
CHECKPOINT_VERSION = 2
DIGEST_KEY = "vaekit-digest"
KEPT = 2
TRAINING_PER_SAVE = 100
"""A checkpoint waits at least this many times as long as the last one took to write."""

TIME_UNITS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class RunEnvironment:
    """What must be equal, beside config and data, for a resumed run to be bit-exact."""

    vaekit: str
    torch_version: str
    threads: int
    device_type: str
    ranks: int = 1

    @classmethod
    def now(cls, device: torch.device, ranks: int = 1) -> RunEnvironment:
        """The environment of this process."""
        version, threads = str(torch.__version__), torch.get_num_threads()
        return cls(__version__, version, threads, device.type, ranks)

    def record(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        values = dataclasses.asdict(self)
        return values if self.ranks > 1 else {k: v for k, v in values.items() if k != "ranks"}

    def differences(self, other: RunEnvironment) -> list[str]:
        """The changes from this one to the other, as text."""
        pairs = zip(dataclasses.asdict(self).items(), dataclasses.astuple(other), strict=True)
        return [
            f"{name.split('_')[0]} {before} is now {now}"
            for (name, before), now in pairs
            if before != now
        ]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint with a valid header; its tensors are not read yet."""

    layout: TensorLayout
    config: dict[str, Any]
    fingerprint: str
    model_beside: bool
    progress: Progress
    environment: RunEnvironment

    def restore(self, trainer: Trainer) -> None:
        """Set the trainer to the state of this checkpoint."""
        steps = trainer.length.steps_per_epoch
        checkpoint_checks.refuse_position(self.layout, self.progress, steps)
        restore(trainer, read_tensors(self.layout.path), self.progress)


class Checkpoints:
    """Writes a run's checkpoints when they are due; `step` is where the run starts or resumes."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        fingerprint: str,
        device: torch.device,
        step: int = 0,
        ranks: int = 1,
    ) -> None:
        self._folder, self._config = folder, config
        self._facts = {"fingerprint": fingerprint, "model_beside": folder.model_beside}
        self._environment = RunEnvironment.now(device, ranks)
        self._last_time, self._last_step, self._cost = time.monotonic(), step, 0.0

    def due(self, step: int, *, epoch_ended: bool = False) -> bool:
        """Whether enough steps, or enough time, have passed since the last checkpoint.

        An interval in steps is exact. With an interval in time, the end of an epoch is due too,
        but a checkpoint waits at least 100 times as long as the last one took to write: on any
        disk, all but the last together take less than a hundredth of the run.
        """
        every = self._config.checkpoint_every
        if isinstance(every, int):
            return step - self._last_step >= every
        waited = time.monotonic() - self._last_time
        affordable = waited >= TRAINING_PER_SAVE * self._cost
        return affordable and (epoch_ended or waited >= interval_seconds(every))

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint, and remove all but the last two."""
        trainer.ensure_finite()  # a diverged run writes no checkpoint
        began = time.monotonic()
        path = self._folder.checkpoints / f"step-{trainer.progress.step:08d}.safetensors"
        self._folder.manifest.claim(path)
        record = self._record(trainer.progress)

        def metadata(tensor_digest: str) -> dict[str, Any]:
            plain = {"format": "pt", KEY: json.dumps(record, sort_keys=True)}
            return {KEY: record, DIGEST_KEY: checkpoint_digest(plain, tensor_digest)}

        write_tensors(path, metadata, tensors_of(trainer))
        self._remove_old(path)
        self._last_time, self._last_step = time.monotonic(), trainer.progress.step
        self._cost = self._last_time - began

    def _record(self, now: Progress) -> dict[str, Any]:
        progress = dataclasses.asdict(now)
        progress["best"] = None if math.isinf(now.best) else now.best
        return {
            "format_version": CHECKPOINT_VERSION,
            "config": self._config.model_dump(mode="json"),
            "progress": progress,
            "environment": self._environment.record(),
            **self._facts,
        }

    def _remove_old(self, newest: Path) -> None:
        """Keep the last two; damaged ones of later steps do not count, and are written again."""
        found = self._folder.checkpoint_files()
        older = list(itertools.takewhile(lambda path: path != newest, found))
        for old in older[: 1 - KEPT]:
            old.unlink(missing_ok=True)


def interval_seconds(interval: str) -> float:
    """A time such as `5min` in seconds.

    >>> interval_seconds("5min"), interval_seconds("90s"), interval_seconds("2h")
    (300.0, 90.0, 7200.0)
    """
    unit = interval.lstrip("0123456789")
    return float(interval.removesuffix(unit)) * TIME_UNITS[unit]


def newest_checkpoint(folder: RunFolder, reporter: Reporter) -> Checkpoint | None:
    """The newest intact checkpoint; a warning names damaged ones. None where there are none."""
    damaged: list[ModelFileError] = []
    for path in reversed(folder.checkpoint_files()):
        try:
            checkpoint = read_checkpoint(path)
        except OtherVersion:
            raise
        except ModelFileError as error:
            damaged.append(error)
            continue
        if damaged:
            reporter.warn(f"{damaged[0]}; resuming from {path.name}, the one before")
        return checkpoint
    if damaged:
        raise damaged[0]
    return None


class OtherVersion(ModelFileError):
    """A checkpoint of another version of vaekit: intact, and of no use to this one."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint's header, and compare its content with its digest."""
    layout = read_layout(path)
    metadata = dict(layout.metadata)
    text, digest = metadata.get(KEY), metadata.pop(DIGEST_KEY, None)
    if not isinstance(text, str):
        raise ModelFileError(f"{path} is not a checkpoint of vaekit")
    values = read_json(path, text, "checkpoint header")
    if digest is not None and digest != json.dumps(
        checkpoint_digest(metadata, file_digest(path, layout.tensors, layout.size))
    ):
        raise ModelFileError(f"{path}: is damaged: its content does not match its checksum")
    if values.get("format_version") != CHECKPOINT_VERSION:
        raise OtherVersion(f"{path}: written by another version of vaekit; it cannot be resumed")
    if digest is None:
        raise ModelFileError(f"{path}: is damaged: it has no checksum")
    record = checkpoint_checks.checked_checkpoint(values, path)
    best = math.inf if record.progress.best is None else record.progress.best
    return Checkpoint(
        layout,
        config=record.config,
        fingerprint=record.fingerprint,
        model_beside=record.model_beside,
        progress=Progress(**{**record.progress.model_dump(), "best": best}),
        environment=RunEnvironment(**record.environment.model_dump()),
    )


def checkpoint_digest(metadata: Mapping[str, Any], tensor_digest: str) -> str:
    """A hash of all that a checkpoint holds: its metadata, and the digest of its tensors."""
    text = json.dumps([dict(metadata), tensor_digest], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def tensors_of(trainer: Trainer) -> dict[str, Tensor]:
    """Every tensor of a run, by name: `network.*`, `average.*`, `best.*`, `optimizer.*`."""
    sums = torch.tensor(trainer.sums, dtype=torch.float64)
    tensors = {"sums": sums, "latents": trainer.latents}
    tensors |= _prefixed("network", trainer.network.state_dict())
    if trainer.average is not None:
        tensors |= _prefixed("average", trainer.average.network.state_dict())
    if trainer.best_state is not None:
        tensors |= _prefixed("best", trainer.best_state)
    for name, parameter in trainer.network.named_parameters():
        for kind, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer.{kind}.{name}"] = value
    return tensors


def restore(trainer: Trainer, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    """Load what `tensors_of` gave; a missing or mismatched tensor is an error that names it."""
    try:
        trainer.network.load_state_dict(_under("network", tensors))
        if trainer.average is not None:
            trainer.average.network.load_state_dict(_under("average", tensors))
        trainer.sums = tensors["sums"].tolist()
        trainer.latents.copy_(tensors["latents"])
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"the checkpoint does not fit its config: {reason}") from None
    device = trainer.train.device
    best = {name: tensor.to(device) for name, tensor in _under("best", tensors).items()}
    trainer.best_state = best or None
    _restore_optimizer(trainer, _under("optimizer", tensors))
    trainer.progress = dataclasses.replace(progress)


def _restore_optimizer(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
    parameters = dict(trainer.network.named_parameters())
    for full_name, tensor in tensors.items():
        kind, _, name = full_name.partition(".")
        trainer.optimizer.state[parameters[name]][kind].copy_(tensor)


def _prefixed(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
