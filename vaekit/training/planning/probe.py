"""Trains a few steps and writes nothing, to measure the time and memory of one."""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaekit import registry
from vaekit.configuration.config import RunConfig
from vaekit.evaluation.dataset_elbo import evaluate_elbo
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.machine.threads import using_threads
from vaekit.reporting import Reporter
from vaekit.training.follower import share_state
from vaekit.training.loop import Trainer, evaluation_batch, model_inputs
from vaekit.training.new_trainer import new_trainer
from vaekit.training.run import TrainingData, deterministic

WARM_STEPS = 3
"""Steps before timing begins: the first ones compile, and choose kernels."""

FEWEST_STEPS, MOST_STEPS, SECONDS = 3, 200, 4.0
"""As many steps are timed as fit into `SECONDS`, within these bounds."""

VALIDATION_BATCHES = 3

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Where Linux tells the memory of a process, and has its peak reset."""


@dataclass(frozen=True)
class Probe:
    """What was measured."""

    steps: int
    """Steps that were timed."""
    step_seconds: float
    start_seconds: float
    """Time that the first steps took beyond that: compiling, choosing kernels."""
    validation_seconds: float | None
    """One pass over the validation images, from a few batches of them."""
    memory: int | None
    """Bytes that the network and one step added to the process; None where nothing tells."""


def probe(
    config: RunConfig,
    data: TrainingData,
    device: torch.device,
    reporter: Reporter,
    ranks: Ranks = ALONE,
) -> Probe:
    """Build the run's trainer, and train some steps whose result is thrown away, on every rank."""
    with deterministic(device), using_threads(config.threads):
        memory = PeakMemory(device)
        trainer = new_trainer(config, data, device, reporter, ranks, fresh=True)
        share_state(trainer, ranks)
        memory.reset()
        batches = _batches(trainer)
        warm = _timed(trainer, batches, 1)
        taken = memory.taken(besides=trainer.train.bytes_on_device)
        warm += _timed(trainer, batches, WARM_STEPS - 2)
        usual = _timed(trainer, batches, 1)
        steps = _agreed(ranks, int(SECONDS / max(usual, 1e-6)))
        step = _timed(trainer, batches, steps) / steps
        start = max(0.0, warm + usual - WARM_STEPS * step)
        return Probe(steps, step, start, _validation_seconds(trainer, ranks), taken)


def _agreed(ranks: Ranks, wanted: int) -> int:
    """The number of steps to time, which rank 0 chooses for all."""
    steps = min(MOST_STEPS, max(FEWEST_STEPS, wanted))
    if not ranks.several:
        return steps
    if ranks.is_first:
        ranks.send("timed steps", steps)
    return int(ranks.receive("timed steps"))


def _batches(trainer: Trainer) -> Iterator[Tensor]:
    """Batches of one epoch after the other."""
    while True:
        yield from trainer.epoch_batches()
        trainer.progress.epoch += 1


def _timed(trainer: Trainer, batches: Iterator[Tensor], count: int) -> float:
    """The seconds that some steps take, until the device has done them."""
    device = trainer.train.device
    _wait_for(device)
    began = time.perf_counter()
    for indices in itertools.islice(batches, count):
        trainer.step(indices)
    trainer.read_step_metrics()  # raises if a loss is not finite
    _wait_for(device)
    return time.perf_counter() - began


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _validation_seconds(trainer: Trainer, ranks: Ranks) -> float | None:
    """The time of one pass, of which each rank takes its share."""
    if trainer.val is None:
        return None
    _evaluate(trainer, 1)  # the first batch is slower
    began = time.perf_counter()
    images = _evaluate(trainer, VALIDATION_BATCHES)
    _wait_for(trainer.train.device)
    return (time.perf_counter() - began) * len(trainer.val) / images / ranks.world


def _evaluate(trainer: Trainer, batches: int) -> int:
    """Validate on a few batches; returns the number of images."""
    assert trainer.val is not None
    config, size = trainer.config, evaluation_batch(trainer.val.image_shape)
    some = itertools.islice(model_inputs(config, trainer.val, size), batches)
    objective = registry.resolve("objective", config.objective)
    return evaluate_elbo(trainer.eval_network, objective, some, seed=config.seed).n


class PeakMemory:
    """The most memory that is taken, beyond what is taken now.

    On CUDA it is what torch allocates there; on the CPU what Linux counts as the process's own.
    """

    def __init__(self, device: torch.device) -> None:
        gc.collect()  # garbage that was freed later would hide what is taken
        self._device, self._before = device, _memory(device, "VmRSS")

    def reset(self) -> None:
        """Forget the peaks until now."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._before is not None:
            try:
                CLEAR.write_text("5")
            except OSError:  # a sandbox may not offer it
                self._before = None

    def taken(self, besides: int = 0) -> int | None:
        """The peak since the reset, `besides` left out; None where nothing tells."""
        peak = _memory(self._device, "VmHWM")
        if peak is None or self._before is None:
            return None
        return max(0, peak - self._before - besides)


def _memory(device: torch.device, line: str) -> int | None:
    """Bytes taken now (`VmRSS`) or at most (`VmHWM`)."""
    if device.type == "cuda":
        now, peak = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
        return (now if line == "VmRSS" else peak)(device)
    if device.type != "cpu" or sys.platform != "linux":
        return None
    facts = dict(text.split(":", 1) for text in STATUS.read_text().splitlines())
    return int(facts[line].split()[0]) << 10 if line in facts else None
