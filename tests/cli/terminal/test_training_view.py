"""What `train` shows fits a terminal of 80 columns, whatever the numbers are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from vaekit.cli.terminal.training_view import TrainingView
from vaekit.configuration.config import RunConfig
from vaekit.training.watcher import RunFacts

LOSSES = ("neg_elbo", "reconstruction", "kl")


def record(epoch: int, loss: float, speed: float) -> dict[str, float]:
    losses = {f"{part}_{name}": loss for part in ("train", "val") for name in LOSSES}
    return {"epoch": epoch, **losses, "active_units": 128, "images_per_second": speed}


@pytest.mark.parametrize(("loss", "speed"), [(12.5, 900.0), (9999.99, 123_456.0),
                                             (543_210.9, 999_999.0)])  # fmt: skip
def test_each_epoch_is_one_line_under_its_header(
    capsys: pytest.CaptureFixture[str], loss: float, speed: float
) -> None:
    view = TrainingView()
    view._facts = RunFacts(
        config=RunConfig(epochs=2), image=(8, 8, 1), n_train=9, n_val=3, parameters=1,
        device="cpu", threads=1, steps_per_epoch=1, folder="run",
    )  # fmt: skip
    view.epoch_ended(record(1, loss, speed))
    view.epoch_ended(record(2, -loss, speed))
    header, *lines = capsys.readouterr().err.splitlines()
    assert header.split() == [
        "epoch", "train", "−ELBO", "recon", "KL", "val", "−ELBO", "recon", "KL", "active",
        "images/s",
    ]  # fmt: skip
    assert [len(line) for line in (header, *lines)] == [79, 79, 79]
    ends = [match.end() for match in re.finditer(r"train −ELBO|val −ELBO|\S+", header)]
    for line in lines:
        assert [match.end() for match in re.finditer(r"\S+", line)] == ends


def test_a_live_run_never_wraps_at_80_columns(
    terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar that wraps leaves a trail of itself on the screen."""
    monkeypatch.setenv("COLUMNS", "80")
    code, shown = terminal(
        "train", "--dataset", "shapes", "--limit", "400", "--image-size", "16", "--epochs", "3",
        "--model", "mlp", "--hidden", "16", "--likelihood", "logistic", "--batch-size", "8",
    )  # fmt: skip
    assert code == 0, shown
    assert "epoch 1/3" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    table = [line for line in re.split(r"[\r\n]+", plain) if re.match(r" *(epoch|\d+ ) ", line)]
    bars = [line for line in re.split(r"[\r\n]+", plain) if re.search(r"epoch \d+/3", line)]
    assert len(table) >= 4
    assert max(len(line.rstrip()) for line in (*table, *bars)) <= 80
