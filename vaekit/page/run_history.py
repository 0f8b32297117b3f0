"""Finds the metrics of the run that a model came from."""

from __future__ import annotations

from pathlib import Path

from vaekit.model_file.header import ModelHeader
from vaekit.training.run_files.run_folder import RunFolder, folder_at

Records = list[dict[str, float]]


def training_history(model: Path, header: ModelHeader) -> Records:
    """The metrics of each epoch, from the run's folder around or beside a model file.

    Empty without such a folder, or where its metrics are those of another run.
    """
    for folder in (folder_at(model.parent), folder_at(model.with_suffix(""), model_beside=True)):
        if folder.model == model and (records := _own(folder, header)):
            return records
    return []


def _own(folder: RunFolder, header: ModelHeader) -> Records:
    """The records, if the one of the model's last epoch is the one that its header holds."""
    records, final = folder.records(), header.training.get("final")
    if not isinstance(final, dict):
        return []
    same = [r for r in records if r["epoch"] == final.get("epoch")]
    loss = "train_neg_elbo"
    return records if same and same[-1].get(loss) == final.get(loss) else []
