"""The end of the process, where a thread of a page is still computing."""

from __future__ import annotations

import subprocess
import sys

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
