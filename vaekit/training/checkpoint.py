"""Checkpoints: all that a run needs to go on to the very same bytes.

Since randomness is counted and not carried, that is little: where the run stands, the weights,
their average, the best so far, Adam's moments, and the sums of the epoch under way. Each is one
safetensors file, written whole or not at all; the last two are kept.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit import __version__
from vaekit.config import RunConfig
from vaekit.errors import ModelFileError
from vaekit.header import TensorLayout, read_json, read_layout
from vaekit.training import checkpoint_checks
from vaekit.training.loop import Progress, Trainer
from vaekit.training.run_folder import RunFolder
from vaekit.weights import read_tensors, write_tensors

KEY = "vaekit-checkpoint"
CHECKPOINT_VERSION = 1
KEPT = 2
WORTH = 100
"""Seconds of training that a second of saving must have behind it."""

TIME_UNITS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Circumstances:
    """What must be equal for a resumed run to be equal to the bit, beside config and data."""

    vaekit: str
    torch_version: str
    threads: int
    device_type: str

    @classmethod
    def now(cls, device: torch.device) -> Circumstances:
        """As they are in this process."""
        return cls(__version__, str(torch.__version__), torch.get_num_threads(), device.type)

    def differences(self, other: Circumstances) -> list[str]:
        """What changed, in words."""
        pairs = zip(dataclasses.asdict(self).items(), dataclasses.astuple(other), strict=True)
        return [
            f"{name.split('_')[0]} {mine} is now {its}"
            for (name, mine), its in pairs
            if mine != its
        ]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found sound, its tensors not yet read."""

    layout: TensorLayout
    config: dict[str, Any]
    fingerprint: str
    model_beside: bool
    progress: Progress
    circumstances: Circumstances

    def restore(self, trainer: Trainer) -> None:
        """Put the trainer where the run stood."""
        checkpoint_checks.refuse_position(self.layout, self.progress, trainer.steps_per_epoch)
        restore(trainer, read_tensors(self.layout.path), self.progress)


class Checkpoints:
    """Writes a run's checkpoints when they are due; `step` is where the run is taken up."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        fingerprint: str,
        device: torch.device,
        step: int = 0,
    ) -> None:
        self._folder, self._config = folder.checkpoints, config
        self._facts = {"fingerprint": fingerprint, "model_beside": folder.model_beside}
        self._circumstances = Circumstances.now(device)
        self._last_time, self._last_step, self._cost = time.monotonic(), step, 0.0

    def due(self, step: int, *, epoch_ended: bool = False) -> bool:
        """Whether enough steps, or enough time, went by since the last one.

        A number of steps is taken at its word. Where the interval is a time, an epoch's end is a
        good moment too, and no moment is one before the last checkpoint is paid for: all of them
        but the last together take less than a hundredth of a run, on however slow a disk.
        """
        every = self._config.checkpoint_every
        if isinstance(every, int):
            return step - self._last_step >= every
        waited = time.monotonic() - self._last_time
        paid = waited >= WORTH * self._cost
        return paid and (epoch_ended or waited >= seconds(every))

    def save(self, trainer: Trainer) -> None:
        """Write one, and forget all but the last two."""
        trainer.ensure_sound()  # a run that has gone wrong leaves no checkpoint of it
        began = time.monotonic()
        path = self._folder / f"step-{trainer.progress.step:08d}.safetensors"
        progress = dataclasses.asdict(trainer.progress)
        progress["best"] = None if math.isinf(progress["best"]) else progress["best"]
        facts = {
            "format_version": CHECKPOINT_VERSION,
            "config": self._config.model_dump(mode="json"),
            "progress": progress,
            "circumstances": dataclasses.asdict(self._circumstances),
            **self._facts,
        }
        write_tensors(path, {KEY: facts}, tensors_of(trainer))
        for old in all_in(self._folder)[:-KEPT]:
            old.unlink(missing_ok=True)
        self._last_time, self._last_step = time.monotonic(), trainer.progress.step
        self._cost = self._last_time - began


def seconds(interval: str) -> float:
    """A time such as `5min` in seconds.

    >>> seconds("5min"), seconds("90s"), seconds("2h")
    (300.0, 90.0, 7200.0)
    """
    unit = interval.lstrip("0123456789")
    return float(interval.removesuffix(unit)) * TIME_UNITS[unit]


def all_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint, or None where there is none; a bad one is an error that names it."""
    found = all_in(folder)
    if not found:
        return None
    try:
        return read_checkpoint(found[-1])
    except ModelFileError as error:
        if len(found) == 1:
            raise
        remedy = f"remove it, and the run goes on from {found[-2].name}"
        raise ModelFileError(f"{error}: {remedy}") from None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint's header."""
    layout = read_layout(path)
    text = layout.metadata.get(KEY)
    if not isinstance(text, str):
        raise ModelFileError(f"{path} is not a checkpoint of vaekit")
    values = read_json(path, text, "checkpoint header")
    if values.get("format_version") != CHECKPOINT_VERSION:
        raise ModelFileError(f"{path}: written by another version of vaekit; it cannot be resumed")
    said = checkpoint_checks.checked_checkpoint(values, path)
    best = math.inf if said.progress.best is None else said.progress.best
    return Checkpoint(
        layout,
        config=said.config,
        fingerprint=said.fingerprint,
        model_beside=said.model_beside,
        progress=Progress(**{**said.progress.model_dump(), "best": best}),
        circumstances=Circumstances(**said.circumstances.model_dump()),
    )


def tensors_of(trainer: Trainer) -> dict[str, Tensor]:
    """Every tensor of a run, under a name that says whose it is."""
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
    """The way back from `tensors_of`; a tensor that is missing or does not fit is named."""
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
