"""The curves: those of the run that wrote the model, or none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vaekit.model_file.header import read_model_file
from vaekit.page.run_history import training_history


def history(model: Path) -> list[int]:
    return [int(r["epoch"]) for r in training_history(model, read_model_file(model).header)]


def test_the_metrics_around_or_beside_a_model_are_found(tiny_run: Path) -> None:
    assert history(tiny_run / "model.safetensors") == [1, 2, 3]
    shutil.copytree(tiny_run, "beside")
    shutil.copy(tiny_run / "model.safetensors", "beside.safetensors")
    assert history(Path("beside.safetensors")) == [1, 2, 3]


def test_a_model_elsewhere_has_no_curves(tiny_model: Path) -> None:
    shutil.copy(tiny_model, "model.safetensors")
    assert history(Path("model.safetensors")) == []


def test_the_curves_of_another_run_are_not_shown(tiny_run: Path) -> None:
    shutil.copytree(tiny_run, "other")
    metrics = Path("other/metrics.jsonl")
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    for record in records:
        record["train_neg_elbo"] += 1e-9
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert history(Path("other/model.safetensors")) == []
