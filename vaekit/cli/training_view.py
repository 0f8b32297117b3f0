"""What `train` shows: the run's facts, a live bar, and a table with a line per epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.progress import Progress, TextColumn

from vaekit import thread_waiting
from vaekit.cli.console import Terminal, bar
from vaekit.training.watcher import RunFacts, StepFacts

if TYPE_CHECKING:
    from vaekit.training.run import TrainingResult

LINES = 25
"""About how many lines the table of a whole run has."""

COLUMNS = (
    ("epoch", "epoch", 5),
    ("train −ELBO", "train_neg_elbo", 11), ("recon", "train_reconstruction", 9),
    ("KL", "train_kl", 7),
    ("val −ELBO", "val_neg_elbo", 9), ("recon", "val_reconstruction", 9), ("KL", "val_kl", 7),
    ("active", "active_units", 6), ("images/s", "images_per_second", 8),
)  # fmt: skip
"""Title, key in the epoch's record, and width of each column: 79 characters with all."""

REFRESH = 0.1
"""Seconds between two updates of the live bar."""


class TrainingView(Terminal):
    """The watcher of a run that prints to stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._facts: RunFacts | None = None
        self._progress: Progress | None = None
        self._shown = 0.0
        self._header_due = True

    def started(self, facts: RunFacts) -> None:
        """Print the data, the network and the folder."""
        self._facts = facts
        height, width, channels = facts.image
        config = facts.config
        kept = f" + {facts.n_val:,} validation" if facts.n_val else ""
        self.say(
            f"{_short(config.dataset)}: {facts.n_train:,}{kept} images, {height}x{width}x{channels}"
        )
        loss = f"{config.likelihood}{' (not a likelihood)' if config.likelihood == 'bce' else ''}"
        self.say(
            f"{config.model}: {facts.parameters:,} parameters, "
            f"latent {config.latent_dim}, {loss}, nats per image, on {facts.device}"
        )
        if facts.device == "cpu":
            self.say(f"threads: {facts.threads}, which {thread_waiting.decided}")
        self.say(f"run: {facts.folder}")
        if self.live:
            self._progress = bar(self.console, TextColumn("{task.fields[terms]}"), counts=False)
            self._progress.start()
            total = facts.n_train * (config.epochs or 1)
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
        if epoch != 1 and epoch != epochs and epoch % max(1, epochs // LINES):
            return
        if self._header_due:
            self.say(_header(record), style="bold")
            self._header_due = False
        self.say(_line(record))

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
        self.say(f"pictures and curves: {result.folder}")


def _header(record: Mapping[str, float]) -> str:
    """The table's header: the loss and its two terms, in training and in validation."""
    return " ".join(f"{title:>{width}}" for title, key, width in COLUMNS if key in record)


def _line(record: Mapping[str, float]) -> str:
    return " ".join(_cell(key, record[key], width) for _, key, width in COLUMNS if key in record)


def _cell(key: str, value: float, width: int) -> str:
    """A number in a column; one that is too long loses decimals.

    >>> _cell("train_kl", 12.345, 7), _cell("train_kl", 123456.78, 7), _cell("epoch", 3.0, 5)
    ('  12.35', ' 123457', '    3')
    """
    if not key.startswith(("train_", "val_")):
        return f"{value:>{width},.0f}"
    text = f"{value:.2f}"
    return f"{text if len(text) <= width else f'{value:.0f}':>{width}}"


def _short(dataset: str) -> str:
    """A data set's name, or the last part of a path."""
    return dataset.rstrip("/").rsplit("/", 1)[-1] or dataset
