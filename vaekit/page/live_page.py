"""The live page of a model or a run: what it shows now, and newer weights once there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vaekit.errors import DataError, VaekitError
from vaekit.page.followed_run import Followed, RunStatus
from vaekit.page.html_page import html_page
from vaekit.training.kept_weights import WeightsFile

if TYPE_CHECKING:
    from vaekit.page.live_model import Answer, LiveModel

REST = 20
"""Between two looks at new weights the page rests at least this many times the CPU time of one."""

RETRY_SECONDS = 10.0
"""Weights that could not be read are tried again after this time, and the rest, at the earliest."""

ATTEMPTS = 5
"""Times that a file of weights is read that is replaced while it is read."""


@dataclass(frozen=True)
class Look:
    """A model as the page shows it: what answers its questions, and all that it draws."""

    model: LiveModel
    contents: dict[str, Any]
    weights: str
    """Which weights these are, as in `epoch 6, the best on validation`."""


@dataclass(frozen=True)
class FailedLook:
    """Weights that could not be shown, why, and when to try them again."""

    weights: WeightsFile
    why: str
    again_at: float


Looker = Callable[[WeightsFile, Look | None], Look]
"""Takes a look at new weights; gets the last look, and may give it back if they are the same."""


class LivePage:
    """What the server answers with. While a page asks for the status, newer weights are made ready.

    `look` is called in one thread at a time. Nothing is computed while no page is open.
    """

    def __init__(self, followed: Followed, look: Looker, *, tied: bool = False) -> None:
        self._followed, self._look, self._tied = followed, look, tied
        self._shown: Look | None = None
        self._seen: WeightsFile | None = None
        """The newest file whose weights are those that the page shows."""
        self._run = ""
        """Which run, as in `RunStatus.run`, was in the folder when the page took its weights."""
        self._version = 0
        self._failed: FailedLook | None = None
        self._rests_until = 0.0
        self._looking = threading.Lock()

    def html(self) -> bytes:
        """The page as it is now; without weights it waits for them."""
        return html_page(self.contents(None), live=True)

    def contents(self, _: Any) -> Answer:
        """All that the page shows now."""
        version, shown, status = self._version, self._shown, self._followed.status()
        live = {"version": version, "run": status.run, "name": self._followed.name}
        live |= {"tied": self._tied, "words": self._words(status)}
        if shown is None:
            return {"live": live, "history": status.records, "best_epoch": None}
        facts = shown.model.page_facts()
        return {**shown.contents, "live": {**facts, **live}, "history": status.records}

    def status(self, known: Any) -> Answer:
        """How far the run is, with the records that a page lacks.

        A page sends which run it knows, and how many of its records it has.
        """
        status = self._followed.status()
        self._look_soon(status.run)
        start = _records_known(known, status.run, len(status.records))
        return {
            **asdict(status),
            "records": status.records[start:],
            "start": start,
            "version": self._version,
            "words": self._words(status),
            "problem": status.problem or self._problem(),
        }

    def _words(self, status: RunStatus) -> str:
        if self._shown is None:
            words = "No weights are saved yet: the page waits for the first."
        else:
            words = f"The page shows the weights of {self._shown.weights}{self._age(status.run)}."
        return f"{status.words} {words}".lstrip()

    def _age(self, run: str) -> str:
        """What to add where the weights shown are not those of the run that is there now."""
        if run in ("", self._run) or self._followed.weights() == self._seen:
            return ""
        return ", saved before the run was started again"

    def _problem(self) -> str:
        """Why the newest weights are not shown; empty as soon as they are others, or gone."""
        failed = self._failed
        return failed.why if failed and failed.weights == self._followed.weights() else ""

    def decode(self, z: Any) -> Answer:
        """See `LiveModel.decode`."""
        return self._model.decode(z)

    def walk(self, ends: Any) -> Answer:
        """See `LiveModel.walk`."""
        return self._model.walk(ends)

    def place(self, encoded: bytes) -> Answer:
        """See `LiveModel.place`."""
        return self._model.place(encoded)

    @property
    def _model(self) -> LiveModel:
        if self._shown is None:
            raise DataError("the run has saved no weights yet")
        return self._shown.model

    def look_now(self) -> None:
        """Show the newest weights, if there are any; an error is raised."""
        for attempt in range(ATTEMPTS):
            run = self._followed.status().run  # before its weights: those of the last run are gone
            newest = self._followed.weights()
            if newest is None or newest == self._seen:
                return
            try:
                self._look_at(newest, run)
            except (VaekitError, OSError):
                # A run removes old checkpoints, perhaps just now: only of the newest it is news.
                if attempt + 1 == ATTEMPTS or self._followed.weights() == newest:
                    raise
            else:
                return

    def _look_at(self, newest: WeightsFile, run: str) -> None:
        began = time.thread_time()
        try:
            look = self._look(newest, self._shown)
        except Exception as error:
            rest = max(RETRY_SECONDS, REST * (time.thread_time() - began))
            self._failed = FailedLook(newest, str(error), time.monotonic() + rest)
            raise
        if self._shown is not None:  # the first look also imports modules and reads the images
            self._rests_until = time.monotonic() + REST * (time.thread_time() - began)
        self._seen, self._run, self._failed = newest, run, None
        if look is not self._shown:
            self._shown, self._version = look, self._version + 1

    def _look_soon(self, run: str) -> None:
        """Look in a thread, unless one is looking, or the last look was too short a time ago."""
        newest = self._followed.weights()
        if newest is None or newest == self._seen or time.monotonic() < self._due(newest, run):
            return
        if self._looking.acquire(blocking=False):
            threading.Thread(target=self._look_in_thread, daemon=True).start()

    def _due(self, newest: WeightsFile, run: str) -> float:
        """When to look at new weights: those of a run that was started again at once."""
        failed = self._failed
        if failed is not None and failed.weights == newest:
            return failed.again_at
        return self._rests_until if run == self._run else 0.0

    def _look_in_thread(self) -> None:
        try:
            with suppress(VaekitError, OSError):  # `status` tells why
                self.look_now()
        finally:
            self._looking.release()


def _records_known(known: Any, run: str, count: int) -> int:
    """How many of a run's records a page has; 0 if what it has is of another run.

    >>> _records_known({"run": "a", "records": 3}, "a", 5), _records_known(None, "a", 5)
    (3, 0)
    """
    if not isinstance(known, dict) or known.get("run") != run:
        return 0
    have = known.get("records")
    return have if type(have) is int and 0 <= have <= count else 0
