"""Whether threads spin or sleep: one run spins, and only where its cores are free."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vaekit.machine import thread_waiting
from vaekit.machine.thread_waiting import Waiting, decide, expected_in_training

linux = pytest.mark.skipif(sys.platform != "linux", reason="spinning is decided on Linux alone")

HOLDER = """
import sys
from vaekit.machine import thread_waiting
thread_waiting.TOKEN, thread_waiting.cores_are_free = sys.argv[1], lambda: True
print(thread_waiting.decide(["train"], {}).spins, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A token of this test's own: real runs on the machine must not disturb it."""
    name = f"\0vaekit-test-{uuid.uuid4()}"
    monkeypatch.setattr(thread_waiting, "TOKEN", name)
    monkeypatch.setattr(thread_waiting, "decided", thread_waiting.decided)
    monkeypatch.setattr(thread_waiting, "cores_are_free", lambda: True)
    yield name
    thread_waiting.release_token()


@linux
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_run_that_is_alone_spins(command: str) -> None:
    environ: dict[str, str] = {}
    assert decide([command, "--epochs", "3"], environ).spins
    assert environ["GOMP_SPINCOUNT"] == thread_waiting.SPIN_COUNT
    assert "OMP_WAIT_POLICY" not in environ


@pytest.mark.parametrize("arguments", [[], ["sample", "m"], ["evaluate", "m"], ["--help"]])
def test_short_commands_sleep(arguments: list[str]) -> None:
    environ: dict[str, str] = {}
    assert not decide(arguments, environ).spins
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_run_on_busy_cores_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_waiting, "cores_are_free", lambda: False)
    environ: dict[str, str] = {}
    assert decide(["train"], environ) == Waiting(False, "other processes use the cores")
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_variable_that_the_user_set_wins(name: str) -> None:
    environ = {name: "7"}
    assert decide(["train"], environ).is_users
    assert {key: value for key, value in environ.items() if key != "OPENBLAS_THREAD_TIMEOUT"} == {
        name: "7"
    }


@linux
def test_of_two_runs_one_spins_and_its_end_by_any_signal_frees_the_token(token: str) -> None:
    def started() -> subprocess.Popen[Any]:
        command = [sys.executable, "-c", HOLDER.replace("sys.argv[1]", repr(token))]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with started() as first, started() as second:
        found = {process.stdout.readline().strip() for process in (first, second)}  # type: ignore[union-attr]
        assert found == {"True", "False"}
        assert decide(["train"], {}) == Waiting(False, "another training run spins")
        first.kill()
        second.kill()
    assert decide(["train"], {}).spins


@linux
def test_looking_does_not_take_the_token() -> None:
    """Else `doctor` would keep the next run from spinning."""
    decide(["doctor"], {})
    assert expected_in_training().spins
    assert expected_in_training().spins


@linux
def test_cores_that_others_use_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    allowed = len(os.sched_getaffinity(0))
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range((os.cpu_count() or 1) + allowed)
    ]
    try:
        assert not thread_waiting.cores_are_free()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@linux
def test_a_quota_below_the_cores_counts_as_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(thread_waiting, "_running_elsewhere", lambda look: 0)
    assert thread_waiting.cores_are_free()
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(thread_waiting, "QUOTA", tmp_path / "cpu.max")
    assert not thread_waiting.cores_are_free()
