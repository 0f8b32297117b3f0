"""What `train` shows: the run's facts, a live bar, and a table with a line per epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from rich.progress import Progress, TextColumn

from vaekit.cli.terminal.console import Terminal, bar
from vaekit.cli.watched_run import WatchedRun
from vaekit.training.epoch_table import epoch_header, epoch_line, has_line, opening_lines
from vaekit.training.watcher import RunFacts, StepFacts

if TYPE_CHECKING:
    from vaekit.training.run import TrainingResult

REFRESH = 0.1
"""Seconds between two updates of the live bar."""


class TrainingView(Terminal):
    """The watcher of a run that prints to stderr; with `watch`, a page follows the run too."""

    def __init__(self, *, quiet: bool = False, watch: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._page = WatchedRun(self._print_address, self.warn) if watch else None
        self._facts: RunFacts | None = None
        self._progress: Progress | None = None
        self._shown = 0.0
        self._header_due = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._page is not None:
            self._page.end()

    def _print_address(self, address: str) -> None:
        """Quiet or not: who asked for the page needs its address."""
        self.console.print(f"watch it: {address}", markup=False)

    def started(self, facts: RunFacts) -> None:
        """Print the data, the network and the folder."""
        self._facts = facts
        for line in opening_lines(facts):
            self.say(line)
        if self._page is not None:
            self._page.start(facts.folder, "val" if facts.n_val else "train")
        if self.live:
            self._progress = bar(self.console, TextColumn("{task.fields[terms]}"), counts=False)
            self._progress.start()
            total = facts.n_train * (facts.config.epochs or 1)
            self._progress.add_task("training", total=total, unit="images", terms="")

    def stepped(self, facts: StepFacts) -> None:
        """Move the bar, a few times a second."""
        now = time.monotonic()
        if self._progress is None or self._facts is None or now - self._shown < REFRESH:
            return
        self._shown = now
        task = self._progress.task_ids[0]
        done = (facts.epoch - 1) * self._facts.n_train + facts.images
        terms = f"{facts.neg_elbo:.2f} = {facts.reconstruction:.2f} + {facts.kl:.2f}"
        label = f"epoch {facts.epoch}/{self._facts.config.epochs}"
        self._progress.update(task, completed=done, description=label, terms=terms)

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Add a line to the table; a long run skips epochs."""
        assert self._facts is not None
        epochs = self._facts.config.epochs or 1
        epoch = int(record["epoch"])
        if not has_line(epoch, epochs):
            return
        if self._header_due:
            self.say(epoch_header(record), style="bold")
            self._header_due = False
        self.say(epoch_line(record))

    def ended(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def finished(self, result: TrainingResult) -> None:
        """Print the time taken, which weights were kept, and the folder."""
        seconds = result.record["seconds"]
        best = f"those of epoch {result.best_epoch}, the best on validation"
        kept = best if result.best_epoch else "the last"
        self.say(f"trained {seconds:,.0f} s; the weights are {kept}")
        if "skipped_steps" in result.record:
            self.say(_skipped(result.record))
        self.say(f"pictures and curves: {result.folder}")


def _skipped(record: Mapping[str, float]) -> str:
    """How many updates `--grad-skip` left out.

    >>> _skipped({"skipped_steps": 3, "step": 1200, "largest_gradient": 250.0})
    'skipped 3 of 1,200 updates; the largest gradient norm of the last epoch was 250'
    """
    return (
        f"skipped {record['skipped_steps']:,.0f} of {record['step']:,.0f} updates; "
        f"the largest gradient norm of the last epoch was {record['largest_gradient']:.6g}"
    )
