"""The page of `train --watch`: a child process that serves it, and ends with the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from vaekit.machine import thread_waiting

SHOWN_IMAGES = 500
"""Images on the page: enough for a map, and few enough to leave the cores to the training."""

OF_LAUNCHERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
NICENESS = 10


class WatchedRun:
    """Serves the page of a run while it trains.

    The child reads its stdin, which nobody writes to: it ends when this process closes it, and
    when this process ends in any way. A process group of its own spares it the terminal's Ctrl-C,
    so that the page lasts as long as the run.
    """

    def __init__(self, show: Callable[[str], None], warn: Callable[[str], None]) -> None:
        self._show, self._warn, self._ending = show, warn, False
        self._process: subprocess.Popen[str] | None = None
        self._teller = threading.Thread(target=self._tell, daemon=True)

    def start(self, folder: str, split: str) -> None:
        """Start to serve; the address is printed when it is known, and the run does not wait."""
        self._process = subprocess.Popen(  # noqa: S603 (our own module, our own interpreter)
            [sys.executable, "-m", "vaekit", "explore", "--tied", "--quiet", "--device", "cpu",
             "--threads", "1", "--split", split, "--limit", str(SHOWN_IMAGES), "--", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment_of_page(os.environ),
            start_new_session=True,
            text=True,
            errors="replace",
        )  # fmt: skip
        self._teller.start()

    def _tell(self) -> None:
        """Print the address, or why there is none; then drop what the child prints."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stderr is not None
        if address := process.stdout.readline().strip():
            self._show(address)
        reason = process.stderr.read().strip().removeprefix("vaekit: ")
        if not address and not self._ending:
            self._warn(f"--watch: the page cannot be served: {reason or 'it ended at once'}")

    def end(self) -> None:
        """End the page with the run."""
        if self._process is None:
            return
        self._ending = True
        with self._process as process:
            process.kill()  # it writes no file, so it has nothing to put in order
            self._teller.join()


def environment_of_page(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the child: it is no rank of the run, and its threads wait asleep."""
    left_out = {*OF_LAUNCHERS}
    if not thread_waiting.decided.is_users:
        left_out |= {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    kept = {name: value for name, value in environ.items() if name not in left_out}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def end_with_stdin() -> None:
    """In the child: leave the cores to the run, and end when stdin is closed."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    with suppress(OSError, ValueError):
        sys.stdin.buffer.read()
    os._exit(0)
