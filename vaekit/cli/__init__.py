"""The command line: the only place that uses Typer and Rich, and where every error ends."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence

from vaekit.cli.terminal.lasting_stderr import install_lasting_stderr, null_device
from vaekit.cli.terminal.signal_handlers import SIGNALS
from vaekit.errors import Interrupted, VaekitError


def main() -> None:
    """The entry point: run a command and exit with its code."""
    from vaekit.machine import thread_waiting

    thread_waiting.decide(sys.argv[1:], os.environ)
    if os.environ.get("WORLD_SIZE"):  # torch prints a C++ trace where another rank is gone
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    SIGNALS.install()
    install_lasting_stderr()
    # Without a home, matplotlib warns of the temporary folder that it makes and removes.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # for file names that are not UTF-8
    try:
        code = run(sys.argv[1:])
        SIGNALS.command_ended(code)
    except KeyboardInterrupt:  # after `run` caught one
        code = (SIGNALS.error or Interrupted()).exit_code
    leave_process(code)


def leave_process(code: int) -> None:
    """Exit, without unloading torch: that takes a third of a second, and aborts where it computes.

    What is registered to run at exit runs. Other threads that Python would wait for, and a profiler
    that writes at the end, get Python's own shutdown.
    """
    others = {*threading.enumerate()} - {threading.current_thread()}
    awaited = any(not thread.daemon for thread in others) or sys.getprofile() is not None
    if "torch" not in sys.modules or awaited:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command; any error becomes one line on stderr and an exit code."""
    try:
        if sys.stdout is None:
            raise VaekitError("stdout is closed: there is nowhere to print to")
        code = _dispatch(arguments)
        if SIGNALS.error is not None:  # Typer turned the interrupt into an exit code of its own
            return _fail(SIGNALS.error, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        return 0
    except SystemExit as leaving:  # Click after completion, or Rich when a pipe closed
        if isinstance(leaving.__context__, BrokenPipeError):
            _silence(sys.stdout)
            return 0
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return _fail(SIGNALS.error or Interrupted("interrupted"), arguments)
    except Exception as error:  # noqa: BLE001 (the one place where everything ends)
        # A signal during an import may arrive as an ImportError.
        return _fail(SIGNALS.error or error, arguments)
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    import typer.main

    from vaekit.cli.app import app

    command = typer.main.get_command(app)
    code = command.main(args=list(arguments), prog_name="vaekit", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    """Print the error in one line and return the exit code."""
    from vaekit.machine.ranks import as_told_by, place
    from vaekit.wording import one_line

    debug = "--debug" in arguments or os.environ.get("VAEKIT_DEBUG", "") not in ("", "0", "false")
    if debug:
        traceback.print_exception(error)
    code, message = _code_and_message(error, arguments)
    message = as_told_by(place(), error, message)
    if message:
        print(f"vaekit: {one_line(message)}", file=sys.stderr)
    if isinstance(error, OSError) and error.filename is None:
        _silence(sys.stdout)  # stdout itself failed: its buffer cannot be written at exit
    return code


def _code_and_message(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code and the message."""
    if isinstance(error, VaekitError):
        return error.exit_code, str(error)
    if hasattr(error, "format_message"):  # Click's own: an unknown flag or command
        return 2, f"{_usage_message(error)}{_unquoted(arguments, error)} (see --help)"
    if type(error).__name__ == "Abort":  # Click's own, at the end of input to a prompt
        return Interrupted.exit_code, "interrupted"
    if isinstance(error, OSError):
        return 1, _system_message(error)
    if isinstance(error, MemoryError):
        return 1, "out of memory"
    return 1, f"internal error: {type(error).__name__}: {error} (--debug shows where)"


def _system_message(error: OSError) -> str:
    """The system's reason with the file, and the remedy where one is known."""
    from vaekit.files import NO_ROOM

    if not error.filename:
        return error.strerror or str(error)
    remedy = f": {NO_ROOM[error.errno]}, and try again" if error.errno in NO_ROOM else ""
    return f"{error.filename}: {error.strerror}{remedy}"


def _usage_message(error: BaseException) -> str:
    message = str(error.format_message())  # type: ignore[attr-defined]
    return message.rstrip(".") if message else "nothing to do"


def _unquoted(arguments: Sequence[str], error: BaseException) -> str:
    """What to do where a shell expanded a pattern after --dataset: its second match is a stray."""
    stray = "unexpected extra argument" in _usage_message(error)
    if not stray or "--dataset" not in arguments[:-1]:
        return ""
    folder, name = os.path.split(arguments[list(arguments).index("--dataset") + 1])
    pattern = os.path.join(folder, f"*{os.path.splitext(name)[1]}")  # noqa: PTH118, PTH122
    return f"; write a pattern in quotes: --dataset '{pattern}'"


def _silence(stream: object) -> None:
    """Let the flush at exit write to /dev/null, since the stream is gone."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        null_device(stream.fileno())  # type: ignore[attr-defined]
