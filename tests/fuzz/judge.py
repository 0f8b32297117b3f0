"""What is asserted of every file, however it was changed.

It loads, or the project's own error says why not, in one line; within seconds, and within 64 MiB
of memory and four times what the file truly holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.fuzz.holds import holds
from tests.fuzz.kept_doors import ONE_STEP, VALID

SECONDS = 5.0
"""Of the processor's time."""

MEMORY = 64 << 20
TIMES = 4
ROOT = Path(__file__).parents[2]


class Judge:
    """Hands files to a worker, and looks at what comes back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.loaded = folder, 0, 0
        self.measures_memory = True
        self._worker: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def warm(self, data: bytes, name: str, door: str) -> None:
        """A valid file goes in: it must load, and what a door imports is there from then on."""
        valid = self.folder / VALID
        valid.mkdir(exist_ok=True)
        (valid / f"{len(list(valid.iterdir()))}-{name}").write_bytes(data)
        told = self.told(data, name, door)
        assert told["trace"] is None, told["trace"]
        expected = (None, ONE_STEP)
        assert told["refused"] in expected or "the model's are" in told["refused"], told["refused"]
        self.measures_memory = told["grown"] is not None

    def check(self, data: bytes, name: str, door: str) -> dict[str, Any]:
        """Assert all that holds of any file at all; returns what the worker says of it."""
        self.count += 1
        told = self.told(data, name, door)
        assert told["trace"] is None, f"{door}: another exception\n{told['trace']}"
        message = told["refused"]
        assert message is None or (message and "\n" not in message), f"{door}: {message!r}"
        assert told["seconds"] <= SECONDS, f"{door}: took {told['seconds']:.1f} s"
        if told["grown"] is not None and told["grown"] > MEMORY:
            allowed = MEMORY + TIMES * holds(data)
            assert told["grown"] <= allowed, f"{door}: {told['grown']:,} bytes, not {allowed:,}"
        self.loaded += message in (None, ONE_STEP)
        return told

    def told(self, data: bytes, name: str, door: str) -> dict[str, Any]:
        """What the worker says of one file: refused, trace, seconds, grown."""
        path = self.folder / name
        path.write_bytes(data)
        worker = self._running()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps({"door": door, "path": str(path)}) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if not answer:
            self._end()
            said = (self.folder / "stderr").read_text(errors="replace")[-3000:]
            raise AssertionError(f"{door}: the process ended: a hang or a crash\n{said}")
        told: dict[str, Any] = json.loads(answer)
        return told

    def _running(self) -> subprocess.Popen[str]:
        if self._worker is None:
            environ = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "XDG_CACHE_HOME": str(self.folder / "cache"),
                # Large blocks go back at once, so that the next file's count as its own.
                "MALLOC_MMAP_THRESHOLD_": "131072",
                "MALLOC_ARENA_MAX": "2",
            }
            with (self.folder / "stderr").open("w") as said:
                self._worker = subprocess.Popen(
                    [sys.executable, "-m", "tests.fuzz.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    env=environ,
                    cwd=self.folder,
                )
        return self._worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None
