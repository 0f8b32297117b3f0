"""Run each timing in a process of its own, with the same environment and a terminal as stderr."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
VAEKIT = (sys.executable, "-m", "vaekit")
TAIL = 4000
"""How many characters of a failed run's stderr are shown."""


class Ended(NamedTuple):
    """The result of a process that succeeded."""

    seconds: float
    stdout: str


def run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command from the repository's root with a terminal as stderr."""
    screen, behind = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(screen, shown), daemon=True)
    reader.start()
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=behind,
        text=True,
    )
    seconds = time.perf_counter() - began
    os.close(behind)
    reader.join()
    if done.returncode:
        error = b"".join(shown).decode("utf-8", "replace")[-TAIL:]
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{error}")
    return Ended(seconds, done.stdout)


def contender(
    module: str, environ: Mapping[str, str] | None = None, **settings: Any
) -> dict[str, float]:
    """The measurement of a module of this folder, run in a process of its own."""
    told = json.dumps({**settings, "began": time.time()})
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", told]
    ended = run(command, {**_threads(settings), **(environ or {})})
    measured: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return measured


def contend(measure: Callable[..., Mapping[str, float]]) -> None:
    """In the process that `contender` starts: read the settings, measure, print the result."""
    print("\n" + json.dumps(measure(**json.loads(sys.argv[1]))))


def limit_threads(threads: int | None) -> None:
    """Set torch's number of threads if one was asked for."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _threads(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each contender starts as its users start it: only the number of threads may be set."""
    threads = settings.get("threads")
    return {} if threads is None else {"OMP_NUM_THREADS": str(threads)}


def _drain(screen: int, shown: list[bytes]) -> None:
    """Read the terminal until its other side is closed."""
    with suppress(OSError):  # Linux raises when the other side is closed
        while data := os.read(screen, 1 << 16):
            shown.append(data)
    os.close(screen)
