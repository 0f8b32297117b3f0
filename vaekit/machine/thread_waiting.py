"""Decides before torch is imported whether its threads spin or sleep while they wait.

Between two operations a thread of OpenMP spins or sleeps. Spinning answers sooner, and makes small
networks up to twice as fast where nothing else wants the cores. Two processes that spin on the same
cores ruin each other, while one that spins beside one that sleeps harms neither. So a training run
spins if all its cores are free when it starts and no other run spins; everything else sleeps.
Neither changes a bit of any result.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

SPIN_COUNT = "20000"
"""Turns that a waiting thread spins before it sleeps."""
TOKEN = "\0vaekit-spinning-threads"  # noqa: S105 (a lock's name, no secret)
"""An abstract socket of Linux: one process of the machine can hold it, and it ends with it."""

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where a control group says how much of the cores its processes may use."""

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""What a user may have set: it wins."""
_LOOKS, _PAUSE = 3, 0.01
_held: list[socket.socket] = []
"""Keeps the token's socket open until the process ends."""


class Waiting(NamedTuple):
    """What was decided, and why."""

    spins: bool
    reason: str
    is_users: bool = False
    """Whether the user's own variables decide, so that vaekit sets nothing."""

    def __str__(self) -> str:
        if self.is_users:
            return f"wait as {self.reason} says"
        if self.spins:
            return f"stay awake between two operations, which is faster, since {self.reason}"
        return (
            f"sleep between two operations, since {self.reason} "
            "(OMP_WAIT_POLICY=ACTIVE keeps them awake all the same)"
        )


decided = Waiting(False, "the environment of this process", is_users=True)
"""What this process decided."""


def decide(arguments: Sequence[str], environ: MutableMapping[str, str]) -> Waiting:
    """Set what OpenMP reads, before torch is imported."""
    global decided
    environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 cycles, not 2^26
    own = next((name for name in _VARIABLES if name in environ), None)
    if own is not None:
        decided = Waiting(False, own, is_users=True)
    elif environ.get("WORLD_SIZE", "1") not in ("", "1"):
        decided = Waiting(False, "other ranks use the cores")
    elif arguments and arguments[0] in ("train", "sweep"):
        decided = _for_training()
    else:
        decided = Waiting(False, "only training spins")
    if decided.spins:
        environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    elif not decided.is_users:
        environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return decided


def expected_in_training() -> Waiting:
    """What a training run that started now would decide."""
    if decided.is_users or decided.spins:
        return decided
    expected = _for_training()
    release_token()
    return expected


def _for_training() -> Waiting:
    if not cores_are_free():
        return Waiting(False, "other processes use the cores")
    if not _take_token():
        return Waiting(False, "another training run spins")
    return Waiting(True, "the cores are free")


def cores_are_free() -> bool:
    """Whether every core that this process may use is idle at the moment."""
    with suppress(OSError, ValueError, AttributeError):
        allowed = len(os.sched_getaffinity(0))
        if _quota() < allowed:
            return False
        spare = (os.cpu_count() or 1) - allowed
        return any(_running_elsewhere(look) <= spare for look in range(_LOOKS))
    return False


def _running_elsewhere(look: int) -> int:
    """How many other threads of the machine run or wait for a core."""
    time.sleep(_PAUSE * bool(look))
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("procs_running "):
            return int(line.split()[1]) - 1
    raise ValueError


def _quota() -> float:
    """The cores' worth of time that a control group allows."""
    with suppress(OSError):
        granted, period = QUOTA.read_text().split()
        return float("inf") if granted == "max" else int(granted) / int(period)
    return float("inf")


def _take_token() -> bool:
    import socket

    if not hasattr(socket, "AF_UNIX"):
        return False
    token = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        token.bind(TOKEN)
    except OSError:
        token.close()
        return False
    _held.append(token)
    return True


def release_token() -> None:
    """Let another process spin."""
    while _held:
        _held.pop().close()
