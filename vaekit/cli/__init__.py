"""The command line: the only place that knows Typer, Rich, exit codes and streams."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

from vaekit.errors import Interrupted, VaekitError

INTERNAL = 1


def main() -> None:
    """The entry point: run a command, and leave with its exit code."""
    from vaekit import thread_waiting

    thread_waiting.decide(sys.argv[1:], os.environ)
    _mend_streams()
    sys.exit(run(sys.argv[1:]))


def _mend_streams() -> None:
    """Python gives None for a stream that was closed, and cannot print every file name."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (as long as the process)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


def run(arguments: Sequence[str]) -> int:
    """Run a command; whatever goes wrong becomes one line on stderr and an exit code."""
    try:
        if sys.stdout is None:
            raise VaekitError("stdout is closed: there is nowhere to print to")
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        return 0
    except SystemExit as leaving:  # how Click and Rich leave: completion is done, or a pipe closed
        if isinstance(leaving.__context__, BrokenPipeError):
            _silence(sys.stdout)
            return 0
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return _fail(Interrupted("interrupted"), arguments)
    except Exception as error:  # noqa: BLE001 (the one place where everything ends)
        return _fail(error, arguments)
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    import typer.main

    from vaekit.cli.app import app

    command = typer.main.get_command(app)
    code = command.main(args=list(arguments), prog_name="vaekit", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what went wrong in one line; gives the exit code."""
    from vaekit.wording import one_line

    debug = "--debug" in arguments or os.environ.get("VAEKIT_DEBUG", "") not in ("", "0", "false")
    if debug:
        traceback.print_exception(error)
    code, message = _verdict(error)
    if message:
        with contextlib.suppress(OSError):
            print(f"vaekit: {one_line(message)}", file=sys.stderr)
    if isinstance(error, OSError) and error.filename is None:
        _silence(sys.stdout)  # stdout itself failed: what it still holds cannot be written
    return code


def _verdict(error: BaseException) -> tuple[int, str]:
    """The exit code, and what to say."""
    if isinstance(error, VaekitError):
        return error.exit_code, str(error)
    if hasattr(error, "format_message"):  # the parser's own: a flag or a command it does not know
        return 2, f"{_usage(error)} (see --help)"
    if type(error).__name__ == "Abort":
        return Interrupted.exit_code, "interrupted"
    if isinstance(error, OSError):
        return 1, _system(error)
    if isinstance(error, MemoryError):
        return 1, "out of memory"
    return INTERNAL, f"internal error: {type(error).__name__}: {error} (--debug shows where)"


def _system(error: OSError) -> str:
    """What the system refused, on which file, and what to do where that is known."""
    from vaekit.files import NO_ROOM

    if not error.filename:
        return error.strerror or str(error)
    remedy = f": {NO_ROOM[error.errno]}, and try again" if error.errno in NO_ROOM else ""
    return f"{error.filename}: {error.strerror}{remedy}"


def _usage(error: BaseException) -> str:
    message = str(error.format_message())  # type: ignore[attr-defined]
    return message.rstrip(".") if message else "nothing to do"


def _silence(stream: object) -> None:
    """Let nothing more be written to a stream that is gone, at exit above all."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[attr-defined]
