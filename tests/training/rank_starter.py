"""A program that starts ranks by forking: torch is imported once for many starts.

Each line on stdin is a request and each line on stdout its answer, both in JSON. Run by
`forked_ranks.Starter`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

LONGEST = 60.0
"""Seconds after which ranks that have not ended are killed."""


def main() -> None:
    import vaekit.cli.commands.train
    import vaekit.training.run

    vaekit.load_dataset("digits")  # imports scikit-learn

    running: dict[int, float] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: Any = [wait(pid, running.pop(pid)) for pid in request["wait"]]
        else:
            answer = [fork(rank, request) for rank in range(request["world"])]
            running |= dict.fromkeys(answer, time.monotonic() + LONGEST)
        print(json.dumps(answer), flush=True)


def wait(pid: int, until: float) -> int:
    """The exit code of a process, as subprocess gives it."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def fork(rank: int, request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = become(rank, request)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(code)
    return pid


def become(rank: int, request: dict[str, Any]) -> int:
    """Run the command as this rank; what it prints goes to files."""
    import vaekit.cli

    os.chdir(request["folder"])
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(f"rank-{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request["environ"], RANK=str(rank), LOCAL_RANK=str(rank))
    for fault in request["faults"]:
        if fault["rank"] == rank:
            inject(fault)
    sys.argv = ["vaekit", *request["arguments"]]
    try:
        vaekit.cli.main()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    return 0


def inject(fault: dict[str, Any]) -> None:
    """Let this rank do something at a step, or fail when it decodes an image."""
    if fault["how"] == "decodes":
        refuse_to_decode()
        return
    from vaekit.training.loop import Trainer

    plain = Trainer.step

    def step(trainer: Any, indices: Any) -> Any:
        if trainer.progress.step == fault["step"]:
            happen(fault["how"])
        return plain(trainer, indices)

    Trainer.step = step  # type: ignore[method-assign]


def happen(how: str) -> None:
    if how == "error":
        raise OSError(5, "Input/output error", "photo.png")
    os.kill(os.getpid(), getattr(signal, how))


def refuse_to_decode() -> None:
    from vaekit.data import store

    def decode(*_given: Any) -> Any:
        raise AssertionError("this rank decodes images")

    store.decode_all = decode


if __name__ == "__main__":
    main()
