"""The live page takes newer weights once, tells of errors, and sends only what a page lacks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from vaekit.errors import DataError, ModelFileError
from vaekit.page import live_page
from vaekit.page.followed_run import RunStatus
from vaekit.page.live_page import LivePage, Look
from vaekit.training.kept_weights import WeightsFile


class Run:
    """A run that the test moves on by hand."""

    name = "runs/x"

    def __init__(self) -> None:
        self.newest: WeightsFile | None = None
        self.state = RunStatus("first", [], "Training: epoch 1 of 9.")

    def weights(self) -> WeightsFile | None:
        return self.newest

    def status(self) -> RunStatus:
        return self.state


class Answering:
    """Stands for a model that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def decode(self, z: Any) -> Any:
        return {"of": self.name}

    def page_facts(self) -> Any:
        return {"start": self.name}


def weights(number: int) -> WeightsFile:
    return WeightsFile(Path(f"step-{number}"), number, number, 1)


def look(file: WeightsFile, last: Look | None) -> Look:
    model: Any = Answering(file.path.name)
    return Look(model, {"sheets": {}}, f"epoch {file.inode}")


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "REST", 0)


def test_without_weights_the_page_waits_and_says_so(run: Run) -> None:
    page = LivePage(run, look)
    page.look_now()
    assert page.status(None)["words"] == (
        "Training: epoch 1 of 9. No weights are saved yet: the page waits for the first."
    )
    assert "sheets" not in page.contents(None)
    assert b"the page waits for the first" in page.html()
    with pytest.raises(DataError, match="no weights yet"):
        page.decode([0.0])


def test_a_page_that_asks_gets_newer_weights(run: Run) -> None:
    page = LivePage(run, look)
    run.newest = weights(1)
    until(lambda: page.status(None)["version"] == 1)
    assert page.decode([0.0]) == {"of": "step-1"}
    run.newest = weights(2)
    until(lambda: page.status(None)["version"] == 2)
    assert page.decode([0.0]) == {"of": "step-2"}
    assert page.status(None)["words"].endswith("The page shows the weights of epoch 2.")
    assert page.contents(None)["live"]["version"] == 2


def test_weights_that_are_shown_already_are_no_news(run: Run) -> None:
    seen = []

    def same(file: WeightsFile, last: Look | None) -> Look:
        seen.append(file)
        return last or look(file, last)

    page = LivePage(run, same)
    for number in (1, 2):
        run.newest = weights(number)
        page.look_now()
        page.look_now()
    assert seen == [weights(1), weights(2)]
    assert page.status(None)["version"] == 1


def reads_all_but_the_second(file: WeightsFile, last: Look | None) -> Look:
    if file == weights(2):
        raise ModelFileError("step-2: is damaged")
    return look(file, last)


def test_weights_that_cannot_be_read_are_a_problem_on_the_page_until_there_are_others(
    run: Run,
) -> None:
    page = LivePage(run, reads_all_but_the_second)
    run.newest = weights(1)
    page.look_now()
    run.newest = weights(2)
    with pytest.raises(ModelFileError, match="damaged"):
        LivePage(run, reads_all_but_the_second).look_now()
    until(lambda: page.status(None)["problem"] == "step-2: is damaged")
    assert page.decode([0.0]) == {"of": "step-1"}
    run.newest = weights(3)
    until(lambda: page.status(None)["version"] == 2)
    assert page.status(None)["problem"] == ""


def test_a_problem_vanishes_with_the_weights_that_caused_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = LivePage(run, reads_all_but_the_second)
    run.newest = weights(1)
    page.look_now()
    run.newest = weights(2)
    until(lambda: page.status(None)["problem"] == "step-2: is damaged")
    monkeypatch.setattr(page, "_rests_until", float("inf"))  # nothing else is read meanwhile
    for newest in (weights(3), None, weights(1)):
        run.newest = newest
        assert page.status(None)["problem"] == "", newest


def test_weights_that_can_be_read_later_are_tried_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk, or the data set, is there again: the file itself has not changed."""
    monkeypatch.setattr(live_page, "RETRY_SECONDS", 0.0)
    there, tries = [], []

    def reads(file: WeightsFile, last: Look | None) -> Look:
        tries.append(file)
        if not there:
            raise OSError("no such device")
        return look(file, last)

    page = LivePage(run, reads)
    run.newest = weights(1)
    until(lambda: page.status(None)["problem"] == "no such device")
    there.append(True)
    until(lambda: page.status(None)["version"] == 1)
    assert page.status(None)["problem"] == ""
    run.newest, count = weights(2), len(tries)
    there.clear()
    monkeypatch.setattr(live_page, "RETRY_SECONDS", 1000.0)
    until(lambda: page.status(None)["problem"] == "no such device")
    for _ in range(5):  # and not at every question
        page.status(None)
    assert len(tries) == count + 1


def test_weights_of_the_run_before_are_not_given_to_the_one_that_replaced_it(run: Run) -> None:
    page = LivePage(run, look)
    run.newest = weights(1)
    page.look_now()
    shown = "The page shows the weights of epoch 1"
    assert page.status(None)["words"] == f"Training: epoch 1 of 9. {shown}."
    run.newest, run.state = None, RunStatus("second", [], "Training: epoch 1 of 5.")
    old = f"Training: epoch 1 of 5. {shown}, saved before the run was started again."
    assert page.status(None)["words"] == old
    assert page.contents(None)["live"]["words"] == old
    run.newest = weights(2)
    until(lambda: page.status(None)["version"] == 2)
    assert page.status(None)["words"].endswith("The page shows the weights of epoch 2.")
    run.state = RunStatus("", [], "The folder runs/x is gone.")
    run.newest = None
    assert page.status(None)["words"].endswith("is gone. The page shows the weights of epoch 2.")


def test_a_run_that_was_started_again_is_looked_at_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = LivePage(run, look)
    run.newest = weights(1)
    page.look_now()
    monkeypatch.setattr(page, "_rests_until", float("inf"))
    run.newest, run.state = weights(2), RunStatus("second", [], "")
    until(lambda: page.status(None)["version"] == 2)
    assert page.decode([0.0]) == {"of": "step-2"}


def test_a_checkpoint_that_the_run_removes_meanwhile_is_followed_by_the_next(run: Run) -> None:
    def too_late(file: WeightsFile, last: Look | None) -> Look:
        if file == weights(1):
            run.newest = weights(2)
            raise FileNotFoundError(file.path)
        return look(file, last)

    run.newest = weights(1)
    page = LivePage(run, too_late)
    page.look_now()
    assert page.decode([0.0]) == {"of": "step-2"}


def test_between_two_looks_the_page_leaves_the_cores_to_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "REST", 1000)

    def busy(file: WeightsFile, last: Look | None) -> Look:
        until_cpu = time.thread_time() + 0.01
        while time.thread_time() < until_cpu:
            pass
        return look(file, last)

    page = LivePage(run, busy)
    for number in (1, 2):  # the first look imports modules: what it took says nothing
        run.newest = weights(number)
        page.look_now()
    run.newest = weights(3)
    page.status(None)
    time.sleep(0.05)
    assert page.status(None)["version"] == 2


def test_only_the_epochs_that_a_page_lacks_are_sent(run: Run) -> None:
    records: list[dict[str, float]] = [{"epoch": n} for n in (1, 2, 3)]
    run.state = RunStatus("first", records, "")
    page = LivePage(run, look)
    for known, start in [
        ({"run": "first", "records": 2}, 2), ({"run": "first", "records": 3}, 3),
        ({"run": "first", "records": 4}, 0), ({"run": "other", "records": 2}, 0),
        ({"run": "first", "records": -1}, 0), ({"run": "first", "records": "2"}, 0),
        ({"run": "first", "records": True}, 0), (None, 0), ([], 0),
    ]:  # fmt: skip
        status = page.status(known)
        assert (status["start"], status["records"]) == (start, records[start:]), known
