"""The page of a run survives what a run's folder can look like, and says what happened."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaekit import files
from vaekit.page.followed_run import FollowedModel, FollowedRun, run_in
from vaekit.training.run_files.run_folder import LOCK


@pytest.fixture
def folder(tiny_run: Path) -> Path:
    """A copy of the small run of three epochs."""
    return Path(shutil.copytree(tiny_run, "run"))


def followed(folder: Path) -> FollowedRun:
    found = run_in(folder)
    assert found is not None
    return FollowedRun(found)


@contextlib.contextmanager
def training(folder: Path) -> Iterator[None]:
    """Hold the run's lock, as the process that trains does."""
    with files.locked(folder / LOCK, wait=False) as got:
        assert got
        yield


def without_model(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def test_a_run_that_has_begun_waits_for_its_first_epoch(folder: Path) -> None:
    without_model(folder)
    shutil.rmtree(folder / "checkpoint")
    (folder / "metrics.jsonl").write_text("")
    run = followed(folder)
    with training(folder):
        status = run.status()
    assert (status.words, status.records, status.problem) == ("Training: epoch 1 of 3.", [], "")
    assert run.weights() is None


def test_the_words_follow_the_run_to_its_end(folder: Path) -> None:
    run, metrics = followed(folder), folder / "metrics.jsonl"
    lines = metrics.read_bytes().splitlines(keepends=True)
    assert run.status().words == "The run has ended after 3 epochs."
    metrics.write_bytes(lines[0])
    without_model(folder)
    with training(folder):
        assert run.status().words == "Training: epoch 2 of 3."
        metrics.write_bytes(b"".join(lines))
        assert run.status().words.startswith("All 3 epochs are done; the run writes its model")
    metrics.write_bytes(lines[0])
    words = run.status().words
    assert words == (
        "The run was stopped after 1 epoch of 3; vaekit train --resume run continues it."
    )


def test_two_pages_can_follow_a_run_and_neither_keeps_it_from_starting(folder: Path) -> None:
    with (folder / LOCK).open("rb") as other:
        files.hold(other)  # another page looks at the very same moment
        assert followed(folder).status().words.startswith("The run has ended")
    followed(folder).status()
    with training(folder):
        assert followed(folder).status().words.startswith("All 3 epochs are done")


def test_a_half_written_line_is_not_read_yet(folder: Path) -> None:
    run, metrics = followed(folder), folder / "metrics.jsonl"
    line = metrics.read_text().splitlines()[-1]
    longer = json.dumps(json.loads(line) | {"epoch": 4}) + "\n"
    with metrics.open("a") as file:
        file.write(longer[:20])
    assert [r["epoch"] for r in run.status().records] == [1, 2, 3]
    with metrics.open("a") as file:
        file.write(longer[20:])
    assert [r["epoch"] for r in run.status().records] == [1, 2, 3, 4]


def test_a_damaged_line_is_named_and_the_epochs_stay(folder: Path) -> None:
    run, metrics = followed(folder), folder / "metrics.jsonl"
    before = run.status().records
    lines = metrics.read_text().splitlines()
    metrics.write_text("\n".join([lines[0], lines[1][:30], lines[2]]) + "\n")
    status = run.status()
    assert status.records == before
    assert "metrics.jsonl: line 2 is not the metrics of an epoch" in status.problem


def test_a_folder_that_vanishes_is_said_to_be_gone(folder: Path) -> None:
    run = followed(folder)
    before = run.status().records
    shutil.rmtree(folder)
    status = run.status()
    assert (status.words, status.records) == ("The folder run is gone.", before)
    assert run.weights() is None


def test_a_run_that_is_started_again_is_another(folder: Path) -> None:
    run = followed(folder)
    before = run.status()
    files.write_bytes(folder / "config.yaml", (folder / "config.yaml").read_bytes())
    (folder / "metrics.jsonl").write_text("")
    after = run.status()
    assert after.run != before.run
    assert after.records == []


def test_a_model_beside_its_folder_is_the_runs(folder: Path) -> None:
    manifest = folder / ".vaekit-run.json"
    entries = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(["../run.safetensors", *entries]))
    (folder / "model.safetensors").rename("run.safetensors")
    newest = followed(folder).weights()
    assert newest is not None
    assert newest.path == Path("run.safetensors")
    assert followed(folder).status().words == "The run has ended after 3 epochs."


def test_what_is_no_run_is_not_followed(tiny_model: Path) -> None:
    assert run_in(Path("nowhere")) is None
    assert run_in(tiny_model) is None
    Path("empty").mkdir()
    assert run_in(Path("empty")) is None


def test_a_model_file_has_the_epochs_of_its_run_until_it_is_gone(folder: Path) -> None:
    model = FollowedModel(folder / "model.safetensors")
    assert [r["epoch"] for r in model.status().records] == [1, 2, 3]
    (folder / "model.safetensors").write_bytes(b"no model")
    assert "model.safetensors" in model.status().problem
    without_model(folder)
    assert model.status().words == "The file run/model.safetensors is gone."
