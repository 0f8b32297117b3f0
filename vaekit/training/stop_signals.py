"""Ctrl-C, SIGTERM and SIGHUP set a flag, which the loop reads after each step."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from vaekit.errors import STOP_ERRORS, Interrupted, LostRank, VaekitError


class StopRequest:
    """Records the first signal; a second SIGINT exits at once.

    The handler only sets a flag, since it may run between any two instructions. Outside the main
    thread Python allows no handlers, so signals keep their usual effect. One that `nohup` made
    the process ignore stays ignored.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._record)
                for number in STOP_ERRORS
                if signal.getsignal(number) != signal.SIG_IGN
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, LostRank):  # the launcher stops the others now: let this one report
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            os._exit(Interrupted.exit_code)
        self._signal = number

    @property
    def requested(self) -> bool:
        """Whether to stop after this step."""
        return self._signal is not None

    def error(self, message: str) -> VaekitError:
        """The exception to raise, which carries the exit code; another rank may have the signal."""
        return STOP_ERRORS[self._signal or signal.SIGTERM](message)
