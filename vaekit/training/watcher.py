"""What a training run tells whoever watches it; it knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vaekit.config import RunConfig
from vaekit.reporting import Reporter, Silent


@dataclass(frozen=True)
class RunFacts:
    """What is known when the first step is about to be made."""

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
    """Where the run is after a step, with the means of the epoch so far, in nats per image."""

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
        """A step was made. Called often; the means are current to within a few steps."""

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """An epoch was made; the record is its line in metrics.jsonl."""

    def ended(self) -> None:
        """No more steps will be made, however that came about."""


class SilentWatcher(Silent):
    """Nobody watches."""

    def started(self, facts: RunFacts) -> None:
        """Nobody hears."""

    def stepped(self, facts: StepFacts) -> None:
        """Nobody hears."""

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Nobody hears."""

    def ended(self) -> None:
        """Nobody hears."""
