"""Goes through a door in a process of its own, and says what happened and what it took.

A line of JSON in: the door and the path. A line of JSON out. A file that takes too long ends the
process with a traceback of where it was; so a hang is a failure, and so is a crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import json
import os
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.fuzz.doors import DOORS, refusal

HANGS_AFTER = 30.0
"""Seconds on the clock, on a machine that others use too; time of the processor is judged apart."""


def main() -> None:
    """Serve until the other side closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("error")  # a warning on a user's terminal is a fault too
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(_gone_through(asked["door"], Path(asked["path"]))) + "\n")


def _gone_through(door: str, path: Path) -> dict[str, Any]:
    before = _forget()
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    began = time.process_time()
    told: dict[str, Any] = {"refused": None, "trace": None}
    try:
        DOORS[door](path)
    except Exception as error:  # noqa: BLE001  this is what is being looked for
        told["refused"] = refusal(error)
        if told["refused"] is None:
            told["trace"] = "".join(traceback.format_exception(error))[-4000:]
    told["seconds"] = time.process_time() - began
    faulthandler.cancel_dump_traceback_later()
    told["grown"] = None if before is None else max(0, (_memory("VmHWM") or 0) - before)
    shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"]), ignore_errors=True)
    return told


def _forget() -> int | None:
    """Give back what is free, and begin the high-water mark anew; None where that cannot be done.

    What is resident counts, not what is reserved: a page that is never touched costs nothing.
    """
    gc.collect(0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _memory("VmRSS")


def _memory(name: str) -> int | None:
    with Path("/proc/self/status").open() as file:
        found = [line.split()[1] for line in file if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


if __name__ == "__main__":
    main()
