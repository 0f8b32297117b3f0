from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from vaekit.training.watcher import RunFacts, SilentWatcher, StepFacts


class Recorder(SilentWatcher):
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.facts: list[RunFacts] = []
        self.steps: list[StepFacts] = []
        self.records: list[Mapping[str, Any]] = []
        self.ends = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def started(self, facts: RunFacts) -> None:
        self.facts.append(facts)

    def stepped(self, facts: StepFacts) -> None:
        self.steps.append(facts)

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        self.records.append(record)

    def ended(self) -> None:
        self.ends += 1


@pytest.fixture
def watcher() -> Recorder:
    return Recorder()
