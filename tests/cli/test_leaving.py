"""The end of the process: quick, with all that is registered for it, and with its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading
import torch
from vaekit.cli import leave_process
weights = torch.ones(400, 400)
def compute():
    while True:
        weights @ weights
if sys.argv[1] == "busy":
    threading.Thread(target=compute, daemon=True).start()
print("said", end="")
leave_process(130)
"""


def test_a_thread_in_torch_neither_aborts_the_exit_nor_changes_its_code() -> None:
    for state in ("busy", "idle"):
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, state], capture_output=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"said", b"")


REGISTERED = """
import atexit, sys, tempfile, threading, time
from pathlib import Path
import torch
from vaekit.cli import leave_process
class Unloaded:
    def __del__(self): print("unloaded", end=" ")
torch.held = Unloaded()
folder = tempfile.TemporaryDirectory(dir=sys.argv[1])
atexit.register(lambda: print("registered", end=" "))
if sys.argv[2] == "working":
    threading.Thread(target=lambda: (time.sleep(0.3), print("worked", end=" "))).start()
print("said", end=" ")
leave_process(0)
"""


def test_what_is_registered_runs_and_torch_is_not_unloaded(tmp_path: Path) -> None:
    """Unloading takes a third of a second, in every command that computes."""
    ended = [
        subprocess.run(
            [sys.executable, "-c", REGISTERED, str(tmp_path), state],
            capture_output=True, text=True, timeout=60, check=True,
        )
        for state in ("alone", "working")
    ]  # fmt: skip
    alone, working = (sorted(each.stdout.split()) for each in ended)
    assert alone == ["registered", "said"]
    assert working == ["registered", "said", "unloaded", "worked"]  # Python waits for a thread
    assert [each.stderr for each in ended] == ["", ""]
    assert list(tmp_path.iterdir()) == []
