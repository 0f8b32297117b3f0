"""Runs a command on several ranks, as torchrun would, without its seconds of imports each time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RankOutcome:
    """How a rank ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


class Starter:
    """A process that has imported torch, and forks ranks from itself."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("rank_starter.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        *arguments: str | Path,
        world: int = 2,
        faults: Sequence[dict[str, Any]] = (),
        **environ: str,
    ) -> list[RankOutcome]:
        """Run a command on each rank, here, and wait for all."""
        place = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        cache = {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
        request = {
            "world": world,
            "arguments": [os.fspath(argument) for argument in arguments],
            "folder": str(Path.cwd()),
            "environ": {**cache, **place, **environ},
            "faults": list(faults),
        }
        codes = self._ask({"wait": self._ask(request)})
        return [RankOutcome(code, *_printed(rank)) for rank, code in enumerate(codes)]

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=60)


def _printed(rank: int) -> list[str]:
    return [Path(f"rank-{rank}.{name}").read_text(encoding="utf-8") for name in ("out", "err")]


def free_port() -> str:
    """A port of this machine that nothing listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])
