"""SIGINT, SIGTERM and SIGHUP end a command so that it removes its temporary files."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from vaekit.errors import STOP_ERRORS, Interrupted, Terminated, VaekitError

RESEND_SECONDS = 0.01
POSTPONED_SECONDS = 0.05
"""How often a signal is sent again that arrives while torch is imported."""


class StopSignal(KeyboardInterrupt):
    """A signal was received.

    It is a class of its own since Python ends with SIGINT, whatever the exit code, where a plain
    KeyboardInterrupt has passed through an import that a C extension began.
    """


class SignalHandlers:
    """The first signal raises StopSignal in the main thread; a second Ctrl-C exits at once.

    Once the command has ended, any signal exits at once with the command's own exit code: nothing
    is left to clean up, and Python's shutdown would print a traceback.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._postponed = self._sent_again = False
        self._exit_code: int | None = None

    def install(self) -> None:
        """Catch the signals, except those that `nohup` or a shell made the process ignore."""
        for number in STOP_ERRORS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)
        sys.unraisablehook = self._resend

    def command_ended(self, exit_code: int) -> None:
        """From now on a signal exits with this code."""
        self._exit_code = exit_code

    @property
    def error(self) -> VaekitError | None:
        """The error that stands for the signal received, if any."""
        return None if self.received is None else stop_error(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._sent_again = self._sent_again, False
        if self._exit_code is not None:
            os._exit(self._exit_code)
        if self.received is None and is_importing_torch(frame):
            if self._postponed and not again and number == signal.SIGINT:
                os._exit(STOP_ERRORS[number].exit_code)
            self._postponed = True
            self._send_again(number, POSTPONED_SECONDS)
        elif self.received is None:
            self.received = number
            raise StopSignal
        elif number == signal.SIGINT and not again:
            os._exit(STOP_ERRORS[self.received].exit_code)

    def _resend(self, event: Any) -> None:
        """Python drops an exception raised in a finaliser or a callback: send the signal again."""
        if self.received is None or not isinstance(event.exc_value, StopSignal):
            sys.__unraisablehook__(event)
            return
        number, self.received = self.received, None
        self._send_again(number, RESEND_SECONDS)

    def _send_again(self, number: int, seconds: float) -> None:
        def send() -> None:
            self._sent_again = True
            os.kill(os.getpid(), number)

        timer = threading.Timer(seconds, send)
        timer.daemon = True
        timer.start()


def is_importing_torch(frame: FrameType | None) -> bool:
    """Whether a module of torch is being imported.

    An exception there may pass through C++, which then aborts the process with a dump.
    """
    while frame is not None:
        name = frame.f_code.co_filename
        if frame.f_code.co_name == "<module>" and f"{os.sep}torch{os.sep}" in name:
            return True
        frame = frame.f_back
    return False


def stop_error(number: int) -> VaekitError:
    """The error that a signal ends a command with."""
    words = {Interrupted: "interrupted", Terminated: "terminated"}
    error = STOP_ERRORS[number]
    return error(words.get(error, "the terminal was closed"))


SIGNALS = SignalHandlers()
