"""Warns of a run that lost what it had learned, although every number in it is finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from vaekit.configuration.config import RunConfig
from vaekit.reporting import Reporter

HARDLY_MOVED = 0.01
"""A share of the first loss: smaller differences say nothing."""


class DivergenceWatch:
    """Warns when the training loss is higher than in the first epoch, and again at the end.

    The loss is that of training, reconstruction + beta · KL: a validation loss also rises when a
    network learns its images by heart. Epochs in which beta still rises are left out, and so are
    runs whose loss has never moved by a hundredth: theirs is noise.
    """

    def __init__(self, config: RunConfig, earlier: Iterable[Mapping[str, float]] = ()) -> None:
        self._config = config
        self._first: float | None = None
        self._lowest = math.inf
        self._warned = False
        for record in earlier:
            self._settled_loss(record)

    def check(self, record: Mapping[str, float], reporter: Reporter, *, last: bool) -> None:
        """Check an epoch's record."""
        loss, first = self._settled_loss(record), self._first
        if loss is None or first is None or loss <= first:
            return
        if loss - self._lowest < HARDLY_MOVED * abs(first):
            return
        if not self._warned or last:
            reporter.warn(self._message(record, loss))
        self._warned = True

    def _settled_loss(self, record: Mapping[str, float]) -> float | None:
        """The training loss, unless beta still rises; the first one is kept."""
        if record.get("beta") != self._config.beta:
            return None
        loss = record["train_reconstruction"] + record["beta"] * record["train_kl"]
        self._first = loss if self._first is None else self._first
        self._lowest = min(self._lowest, loss)
        return loss

    def _message(self, record: Mapping[str, float], loss: float) -> str:
        assert self._config.lr is not None
        return (
            f"epoch {record['epoch']:.0f}: the training loss, {loss:,.2f}, is higher than in the "
            f"first epoch, {self._first:,.2f}: the run has lost what it had learned; "
            f"try --lr {self._config.lr / 3:.1g}"
        )
