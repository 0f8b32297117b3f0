"""Callbacks of a training run: started, stepped, epoch ended, ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vaekit.configuration.config import RunConfig
from vaekit.reporting import Reporter, Silent


@dataclass(frozen=True)
class RunFacts:
    """Facts about a run, known before its first step."""

    config: RunConfig
    image: tuple[int, int, int]
    n_train: int
    n_val: int
    parameters: int
    device: str
    threads: int
    """Of torch, on the CPU."""
    steps_per_epoch: int
    folder: str


@dataclass(frozen=True)
class StepFacts:
    """Position after a step, and the means over the epoch so far in nats per image."""

    epoch: int
    step: int
    images: int
    neg_elbo: float
    reconstruction: float
    kl: float


class Watcher(Reporter, Protocol):
    """A reporter that also follows a run."""

    def started(self, facts: RunFacts) -> None:
        """The run begins."""

    def stepped(self, facts: StepFacts) -> None:
        """A step is done. Called often; the means lag by up to a few steps."""

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """An epoch is done; the record is its line in metrics.jsonl."""

    def ended(self) -> None:
        """The last step is done, or the run failed."""


class SilentWatcher(Silent):
    """A watcher that does nothing."""

    def started(self, facts: RunFacts) -> None:
        """Do nothing."""

    def stepped(self, facts: StepFacts) -> None:
        """Do nothing."""

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Do nothing."""

    def ended(self) -> None:
        """Do nothing."""
