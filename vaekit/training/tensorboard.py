"""Writes each epoch's metrics for TensorBoard (`--tensorboard`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vaekit.errors import UsageError


class EventLog:
    """Scalars under `<folder>/tensorboard`; does nothing unless wanted.

    A run that resumes at `step` hides events logged after it.
    """

    def __init__(self, folder: Path, *, wanted: bool, step: int = 0) -> None:
        purge = step + 1 if step else None
        place = folder / "tensorboard"
        self._writer: Any = require()(place, purge_step=purge) if wanted else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, record: Mapping[str, float]) -> None:
        """Log one epoch: `train_kl` becomes `train/kl`, so that both splits share a chart."""
        if self._writer is None:
            return
        for name, value in record.items():
            if name not in ("epoch", "step"):
                tag = name.replace("_", "/", 1) if name.startswith(("train_", "val_")) else name
                self._writer.add_scalar(tag, value, int(record["step"]))


def require() -> Any:
    """TensorBoard's writer class, or an error that says what to install."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs a package that is not installed: pip install 'vaekit[tensorboard]'"
        ) from None
    return SummaryWriter
