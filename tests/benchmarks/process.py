"""A process for each timed run, with the same circumstances for all, and a terminal to draw on."""

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
"""Characters of a failed run's stderr that are worth repeating."""


class Ended(NamedTuple):
    """A process that went well."""

    seconds: float
    stdout: str


def run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command from the repository's root; its stderr is a terminal, as where people sit."""
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
    """What a module of this folder measures in a process of its own."""
    told = json.dumps({**settings, "began": time.time()})
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", told]
    ended = run(command, {**_threads(settings), **(environ or {})})
    measured: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return measured


def contend(measure: Callable[..., Mapping[str, float]]) -> None:
    """The other end of `contender`: settings from the command line, the measurement to stdout."""
    print("\n" + json.dumps(measure(**json.loads(sys.argv[1]))))


def limit_threads(threads: int | None) -> None:
    """Give torch so many threads, where a number was asked for."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _threads(settings: Mapping[str, Any]) -> dict[str, str]:
    """What vaekit's own command sets for itself goes for all."""
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    threads = settings.get("threads")
    return waiting if threads is None else {**waiting, "OMP_NUM_THREADS": str(threads)}


def _drain(screen: int, shown: list[bytes]) -> None:
    """Read what is drawn until nobody can draw any more."""
    with suppress(OSError):  # how Linux says that the other side was closed
        while data := os.read(screen, 1 << 16):
            shown.append(data)
    os.close(screen)
