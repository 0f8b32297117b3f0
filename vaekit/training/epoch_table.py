"""The text of a run as it goes on: its facts, and a table with a line per epoch."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.configuration.dataset_names import short_name
from vaekit.training.watcher import RunFacts
from vaekit.wording import image_in_words

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


def opening_lines(facts: RunFacts) -> list[str]:
    """The data, the network, the device and the folder of a run."""
    config = facts.config
    kept = f" + {facts.n_val:,} validation" if facts.n_val else ""
    loss = f"{config.likelihood}{' (not a likelihood)' if config.likelihood == 'bce' else ''}"
    threads = f" ({_threads(facts.threads)})" if facts.device == "cpu" else ""
    return [
        f"{short_name(config.dataset)}: {facts.n_train:,}{kept} images, "
        f"{image_in_words(*facts.image)}",
        f"{config.model}: {facts.parameters:,} parameters, "
        f"latent {config.latent_dim}, {loss}, nats per image, on {facts.device}{threads}",
        f"run: {facts.folder}",
    ]


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def has_line(epoch: int, epochs: int) -> bool:
    """Whether an epoch gets a line: the first, the last, and about `LINES` in all.

    >>> [epoch for epoch in range(1, 101) if has_line(epoch, 100)][:4]
    [1, 4, 8, 12]
    """
    return epoch in (1, epochs) or epoch % max(1, epochs // LINES) == 0


def epoch_header(record: Mapping[str, float]) -> str:
    """The table's header: the loss and its two terms, in training and in validation."""
    return " ".join(f"{title:>{width}}" for title, key, width in COLUMNS if key in record)


def epoch_line(record: Mapping[str, float]) -> str:
    """The table's line of one epoch."""
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
