"""The live page of a model or a run: what it shows now, and newer weights once there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vaekit.errors import DataError, VaekitError
from vaekit.page.followed_run import Followed
from vaekit.page.html_page import html_page
from vaekit.training.kept_weights import WeightsFile

if TYPE_CHECKING:
    from vaekit.page.live_model import Answer, LiveModel

REST = 20
"""Between two looks at new weights the page rests at least this many times the CPU time of one."""

ATTEMPTS = 5
"""Times that a file of weights is read that is replaced while it is read."""


@dataclass(frozen=True)
class Look:
    """A model as the page shows it: what answers its questions, and all that it draws."""

    model: LiveModel
    contents: dict[str, Any]
    weights: str
    """Which weights these are, as in `epoch 6, the best on validation`."""


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
        self._version = 0
        self._problem = ""
        self._rests_until = 0.0
        self._looking = threading.Lock()

    def html(self) -> bytes:
        """The page as it is now; without weights it waits for them."""
        return html_page(self.contents(None), live=True)

    def contents(self, _: Any) -> Answer:
        """All that the page shows now."""
        version, shown, status = self._version, self._shown, self._followed.status()
        live = {"version": version, "run": status.run, "name": self._followed.name}
        live |= {"tied": self._tied, "words": self._words(status.words)}
        if shown is None:
            return {"live": live, "history": status.records, "best_epoch": None}
        facts = shown.model.page_facts()
        return {**shown.contents, "live": {**facts, **live}, "history": status.records}

    def status(self, known: Any) -> Answer:
        """How far the run is, with the records that a page lacks.

        A page sends which run it knows, and how many of its records it has.
        """
        self._look_soon()
        status = self._followed.status()
        start = _records_known(known, status.run, len(status.records))
        return {
            **asdict(status),
            "records": status.records[start:],
            "start": start,
            "version": self._version,
            "words": self._words(status.words),
            "problem": status.problem or self._problem,
        }

    def _words(self, of_run: str) -> str:
        if self._shown is None:
            return f"{of_run} No weights are saved yet: the page waits for the first.".lstrip()
        return f"{of_run} The page shows the weights of {self._shown.weights}.".lstrip()

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
            newest = self._followed.weights()
            if newest is None or newest == self._seen:
                return
            try:
                self._look_at(newest)
            except (VaekitError, OSError):
                # A run removes old checkpoints, perhaps just now: only of the newest it is news.
                if attempt + 1 == ATTEMPTS or self._followed.weights() == newest:
                    raise
            else:
                return

    def _look_at(self, newest: WeightsFile) -> None:
        began = time.thread_time()
        self._seen = newest
        look = self._look(newest, self._shown)
        if self._shown is not None:  # the first look also imports modules and reads the images
            self._rests_until = time.monotonic() + REST * (time.thread_time() - began)
        if look is not self._shown:
            self._shown, self._version = look, self._version + 1

    def _look_soon(self) -> None:
        """Look in a thread, unless one is looking, or the last look was too short a time ago."""
        newest = self._followed.weights()
        if newest is None or newest == self._seen or time.monotonic() < self._rests_until:
            return
        if self._looking.acquire(blocking=False):
            threading.Thread(target=self._look_in_thread, daemon=True).start()

    def _look_in_thread(self) -> None:
        try:
            self.look_now()
            self._problem = ""
        except (VaekitError, OSError) as error:
            self._problem = str(error)
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
