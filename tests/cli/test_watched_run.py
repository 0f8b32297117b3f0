"""`train --watch` serves a page, which ends with the run and changes nothing in it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from vaekit.cli.terminal.training_view import TrainingView
from vaekit.cli.watched_run import WatchedRun, environment_of_page
from vaekit.configuration.config import RunConfig
from vaekit.machine import thread_waiting
from vaekit.machine.thread_waiting import Waiting
from vaekit.model_file.header import sha256
from vaekit.training.watcher import RunFacts

LONG = ["--dataset", "digits", "--limit", "300", "--epochs", "100000", "--hidden", "16",
        "--latent-dim", "2", "--pictures-every", "off", "--threads", "1"]  # fmt: skip


def ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def wait_for(lines: list[str]) -> None:
    deadline = time.monotonic() + 60
    while not lines:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(url: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            ask(url)
        except (urllib.error.URLError, ConnectionError):
            return True
        time.sleep(0.02)
    return False


def test_the_page_is_there_while_the_run_trains_and_gone_even_if_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vaekit", "train", *LONG, "--watch", "-q", "-o", "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.fullmatch(r"watch it: (http://127\.0\.0\.1:\d+/\?token=\S+)\n", line)
        assert url is not None, line
        assert b'"name":"run"' in ask(url[1])
        process.kill()
    assert is_gone(url[1])


def test_an_error_ends_the_page_too(tiny_run: Path) -> None:
    shown = list[str]()
    view = TrainingView(quiet=True)
    view._page = WatchedRun(shown.append, shown.append)
    facts = RunFacts(
        config=RunConfig(), image=(8, 8, 1), n_train=9, n_val=3, parameters=1, device="cpu",
        threads=1, steps_per_epoch=1, folder=str(tiny_run),
    )  # fmt: skip

    def failing_run() -> None:
        with view:
            view.started(facts)
            wait_for(shown)
            assert b"report-data" in ask(shown[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_run()
    assert is_gone(shown[0])


def test_a_watched_run_has_the_bytes_of_one_that_is_not(cli: Any) -> None:
    few = [*LONG, "--epochs", "3"]
    assert cli("train", *few, "-o", "plain").code == 0
    watched = cli("train", *few, "--watch", "-o", "watched")
    assert (watched.code, watched.stdout) == (0, "watched/model.safetensors\n")
    for name in ("model.safetensors", "config.yaml"):
        assert sha256(f"watched/{name}") == sha256(f"plain/{name}"), name


def test_a_dry_run_has_nothing_to_watch(cli: Any) -> None:
    done = cli("train", "--watch", "--dry-run")
    assert (done.code, done.stdout) == (2, "")
    assert "--watch follows a run, and --dry-run trains nothing" in done.stderr


def test_a_page_that_cannot_be_served_is_a_warning(tmp_path: Path) -> None:
    shown, warned = list[str](), list[str]()
    page = WatchedRun(shown.append, warned.append)
    page.start("nowhere", "val")
    wait_for(warned)
    page.end()
    assert shown == []
    assert re.fullmatch(r"--watch: the page cannot be served: nowhere: no such file.*", warned[0])


def test_the_page_is_no_rank_and_its_threads_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "GOMP_SPINCOUNT": "20000",
               "HOME": "/h", "OMP_NUM_THREADS": "8"}  # fmt: skip
    monkeypatch.setattr(thread_waiting, "decided", Waiting(True, "the cores are free"))
    found = environment_of_page(environ)
    assert found == {"HOME": "/h", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    monkeypatch.setattr(thread_waiting, "decided", Waiting(False, "GOMP_SPINCOUNT", is_users=True))
    assert environment_of_page(environ)["GOMP_SPINCOUNT"] == "20000"
