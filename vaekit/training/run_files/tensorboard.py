"""Writes each epoch's metrics for TensorBoard (`--tensorboard`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vaekit.errors import UsageError
from vaekit.training.run_files.run_folder import RunFolder


class EventLog:
    """Scalars under `<folder>/tensorboard`; does nothing unless wanted.

    A run that resumes at `step` hides events logged after it.
    """

    def __init__(self, folder: RunFolder, *, wanted: bool, step: int = 0) -> None:
        purge = step + 1 if step else None
        self._folder, self._place = folder, folder.path / "tensorboard"
        self._before = self._event_files()
        self._writer: Any = require()(self._place, purge_step=purge) if wanted else None

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
            self._record_files()

    def add(self, record: Mapping[str, float]) -> None:
        """Log one epoch: `train_kl` becomes `train/kl`, so that both splits share a chart."""
        if self._writer is None:
            return
        for name, value in record.items():
            if name not in ("epoch", "step"):
                tag = name.replace("_", "/", 1) if name.startswith(("train_", "val_")) else name
                self._writer.add_scalar(tag, value, int(record["step"]))
        self._record_files()

    def _record_files(self) -> None:
        """List the files that TensorBoard's writer has made, under names that it chose."""
        self._folder.manifest.record(self._event_files() - self._before)

    def _event_files(self) -> set[Path]:
        return set(self._place.glob("events.out.tfevents.*"))


def require() -> Any:
    """TensorBoard's writer class, or an error that says what to install."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs a package that is not installed: pip install 'vaekit[tensorboard]'"
        ) from None
    return SummaryWriter
