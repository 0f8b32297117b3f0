"""The ranks of a run: which of several processes this is, and how they add up and talk.

`torchrun` starts N copies of a command and numbers them in RANK, WORLD_SIZE and LOCAL_RANK; other
launchers set the same variables. Without them, or with one process, `joined` gives `ALONE`, whose
operations do nothing. Tensors are added by torch's process group, gloo on CPUs and nccl on GPUs;
everything else goes through the launcher's key-value store, which is asked again and again rather
than waited for, so that a signal ends a waiting process at once.

    >>> place({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"})
    Place(rank=1, world=2, local=1)
    >>> place({})
    Place(rank=0, world=1, local=0)
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from vaekit.errors import STOP_ERRORS, Diverged, LostRank, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

POLL_SECONDS = 0.05
LONGEST_WAIT = timedelta(hours=2)
"""A rank waits this long for another in one operation, such as while rank 0 draws pictures."""

FAREWELL_SECONDS = 30.0
"""Rank 0, which may hold the store, waits this long for the others to read its last message."""

NEEDED = ("MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets beside RANK, WORLD_SIZE and LOCAL_RANK: where the ranks meet."""

_JOINS = itertools.count()
"""Counts the runs of this process, whose keys in the store must differ."""


@dataclass(frozen=True)
class Place:
    """Which of the processes of a run this one is."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Its number among the processes of its host."""


def place(environ: Mapping[str, str] = os.environ) -> Place:
    """The place that the launcher's variables give: alone where they are not set."""
    rank, world = environ.get("RANK", ""), environ.get("WORLD_SIZE", "")
    if not (rank.isdecimal() and world.isdecimal()) or int(world) < 2:
        return Place()
    local = environ.get("LOCAL_RANK", "")
    return Place(int(rank), int(world), int(local) if local.isdecimal() else 0)


class Ranks:
    """The processes of one run, seen from one of them."""

    def __init__(self, here: Place, store: Any = None) -> None:
        self.rank, self.world, self.local = here.rank, here.world, here.local
        self._store = store
        self._backend: str | None = None

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.world > 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which owns files and output."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """The rows of this rank: neighbours, in the order of the ranks, in equal shares.

        Rank 0 always has a row. Shares differ by one row where the ranks do not divide them.

        >>> [Ranks(Place(rank, 3)).rows(7) for rank in range(3)]
        [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
        """
        first, last = (-(-count * rank // self.world) for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def begin(self, device: torch.device | None = None) -> None:
        """Start to exchange tensors, of this device or of CPUs, once every rank has come here."""
        if not self.several:
            return
        import torch.distributed as dist

        self._meet("ready")
        backend = "gloo"
        if device is not None and device.type == "cuda":
            import torch

            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        with self._noticing_loss():
            dist.init_process_group(
                backend,
                store=dist.distributed_c10d.PrefixStore("group", self._store),
                rank=self.rank,
                world_size=self.world,
                timeout=LONGEST_WAIT,
            )
        self._backend = backend

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all ranks, the same bits on each."""
        if self.several:
            import torch.distributed as dist

            with self._noticing_loss():
                dist.all_reduce(tensor)

    def of_first(self, tensor: Tensor) -> Tensor:
        """Rank 0's values of a tensor that every rank has in this shape and type."""
        if not self.several:
            return tensor
        import torch.distributed as dist

        values = tensor.detach().clone().contiguous()
        with self._noticing_loss():
            dist.broadcast(values, 0)
        return values

    def in_turns(
        self, items: Iterable[_Item], work: Callable[[_Item], _Result]
    ) -> Iterator[tuple[_Item, _Result]]:
        """On rank 0, each item with the result of its work, in order; the others get nothing.

        Every rank is given the same items, and works on each Nth of them.
        """
        for number, item in enumerate(items):
            worker = number % self.world
            if worker == self.rank and self.is_first:
                yield item, work(item)
            elif worker == self.rank:
                self._hand_over(work(item))
            elif self.is_first:
                yield item, self._taken_over(worker)

    def _hand_over(self, result: object) -> None:
        import torch.distributed as dist

        with self._noticing_loss():
            dist.send_object_list([result], 0)

    def _taken_over(self, worker: int) -> Any:
        import torch.distributed as dist

        box: list[Any] = [None]
        with self._noticing_loss():
            dist.recv_object_list(box, worker)
        return box[0]

    def send(self, name: str, value: object) -> None:
        """Tell every rank a value that JSON can hold; each name is used once in a run."""
        if self.several:
            with self._noticing_loss():
                self._store.set(name, json.dumps(value))

    def receive(self, name: str) -> Any:
        """The value of that name, as soon as a rank has sent it."""
        self._wait_until(lambda: bool(self._store.check([name])))
        with self._noticing_loss():
            return json.loads(self._store.get(name))

    @contextlib.contextmanager
    def host_leads(self) -> Iterator[None]:
        """Run the block on one rank of each host first: the others find what it left there."""
        name = f"host/{socket.gethostname()}"
        if self.several and self.local:
            self.receive(name)
        yield
        if not self.local:
            self.send(name, True)

    def _meet(self, name: str) -> None:
        """Wait until every rank has come here."""
        with self._noticing_loss():
            self._store.add(name, 1)
        self._wait_until(lambda: int(self._store.add(name, 0)) >= self.world)

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        while True:
            with self._noticing_loss():
                if is_so():
                    return
            time.sleep(POLL_SECONDS)

    @contextlib.contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        """Turn torch's error about a rank that is gone into one line."""
        try:
            yield
        except RuntimeError as error:
            text = f"another rank ended, or cannot be reached ({_first_sentence(error)})"
            raise LostRank(text, is_news=self.is_first or self.claim()) from error

    def claim(self) -> bool:
        """Whether this rank is the first to report the end: one line is enough for all."""
        try:
            return int(self._store.add("ended", 1)) == 1
        except RuntimeError:
            return True

    def end(self, *, well: bool) -> None:
        """Leave the other ranks; after an error on GPUs, where leaving may wait, only exit does."""
        if well and self.several:
            self._part()
        if self._backend is not None and (well or self._backend == "gloo"):
            import torch.distributed as dist

            dist.destroy_process_group()

    def _part(self) -> None:
        """Let rank 0, whose process may hold the store, end last."""
        with contextlib.suppress(RuntimeError):
            self._store.add("left", 1)
            until = time.monotonic() + FAREWELL_SECONDS
            while self.is_first and int(self._store.add("left", 0)) < self.world:
                if time.monotonic() > until:
                    return
                time.sleep(POLL_SECONDS)


ALONE = Ranks(Place())
"""One process."""


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks of this run within the block; `ALONE` where there is one process."""
    here = place()
    if here.world == 1:
        yield ALONE
        return
    ranks = Ranks(here, _connected(here))
    try:
        yield ranks
    except LostRank:
        ranks.end(well=False)
        raise
    except BaseException:
        ranks.claim()
        ranks.end(well=False)
        raise
    ranks.end(well=True)


def _connected(here: Place) -> Any:
    """The store through which the ranks of this start of the run find each other."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing or here.rank >= here.world:
        what = f"{' and '.join(missing)} missing" if missing else f"RANK is {here.rank}"
        raise UsageError(
            f"WORLD_SIZE is {here.world}, and {what}: start with torchrun, or unset WORLD_SIZE"
        )
    import torch.distributed as dist

    if dist.is_initialized():
        raise UsageError("this program has a process group already: let vaekit start its own")
    return dist.distributed_c10d.PrefixStore(f"vaekit/{next(_JOINS)}", _meeting_place(here))


@functools.cache
def _meeting_place(here: Place) -> Any:
    """The launcher's store, or one that rank 0 opens, for this start of the ranks alone."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(iter(rendezvous("env://", here.rank, here.world)))
        return PrefixStore(_name_of_start(here, store), store)
    except (RuntimeError, ValueError) as error:
        raise LostRank(f"the ranks cannot meet ({_first_sentence(error)})") from error


def _name_of_start(here: Place, store: Any) -> str:
    """A name that rank 0 gives this start: the store may hold keys of ranks that were restarted.

    Each rank asks with a random number of its own, so no answer is that to another start.
    """
    own = secrets.token_hex(8)
    if here.rank > 0:
        store.set(f"asks/{here.rank}", own)
        while not store.check([f"name/{own}"]):
            time.sleep(POLL_SECONDS)
        name = str(store.get(f"name/{own}").decode())
        store.add(f"{name}/heard", 1)
        return name
    while int(store.add(f"{own}/heard", 0)) < here.world - 1:
        for rank in range(1, here.world):
            if store.check([f"asks/{rank}"]):
                store.set(f"name/{store.get(f'asks/{rank}').decode()}", own)
        time.sleep(POLL_SECONDS)
    return own


def _first_sentence(error: BaseException) -> str:
    """The first sentence of torch's message, without the place in its source.

    >>> _first_sentence(RuntimeError("[tcp/pair.cc:545] Connection reset by peer. Typically ..."))
    'Connection reset by peer'
    """
    text = re.sub(r"^\[[^\]]*\] *", "", str(error)).split("\n")[0]
    return text.split(". ")[0][:200] or type(error).__name__


def as_told_by(here: Place, error: BaseException, message: str) -> str:
    """An error's message on this rank: with its number, or empty where rank 0 reports the same.

    >>> as_told_by(Place(1, 2), UsageError("--beta: write a number"), "--beta: write a number")
    ''
    >>> as_told_by(Place(1, 2), OSError("disk failed"), "disk failed")
    'rank 1: disk failed'
    """
    if here.rank == 0 or not message:
        return message
    if isinstance(error, (UsageError, Diverged, KeyboardInterrupt, *STOP_ERRORS.values())):
        return ""
    if isinstance(error, LostRank) and not error.is_news:
        return ""
    return f"rank {here.rank}: {message}"
