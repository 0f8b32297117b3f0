"""A signal ends a command with its own exit code, in one line, and leaves no temporary file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

SIGNALS = (
    {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129} if os.name == "posix" else {}
)
PATIENCE = 60.0
"""Seconds after which a test gives up on a process."""


def heed_signals() -> None:
    """A command heeds no signal that was ignored when it began, as under `nohup`: tests may be."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def started() -> Iterator[Callable[[Sequence[str]], subprocess.Popen[str]]]:
    """Starts commands, of which none outlives the test."""
    running: list[subprocess.Popen[str]] = []

    def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_signals,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def wait_for(pattern: str, process: subprocess.Popen[str]) -> None:
    """Wait until a file appears that shows that the command is at work."""
    end = time.monotonic() + PATIENCE
    while not [path for path in Path().rglob(pattern) if path.stat().st_size]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {pattern} appeared"
        time.sleep(0.01)


def temporary_files() -> list[Path]:
    return [*Path().rglob(".*.part"), *Path().rglob("*.part")]


@pytest.mark.parametrize(
    ("command", "number"),
    [*(("sample", number) for number in SIGNALS), ("embed", signal.SIGTERM),
     ("decode", signal.SIGTERM)],
    ids=str,
)  # fmt: skip
def test_a_signal_leaves_no_temporary_file(
    started: Callable[..., subprocess.Popen[str]], placed: Path, command: str, number: int
) -> None:
    """SIGTERM and SIGHUP left hundreds of megabytes behind."""
    np.save("many.npy", np.zeros((300_000, 8, 8, 1), np.uint8))
    np.save("z.npy", np.zeros((1_000_000, 4), np.float32))
    given = {
        "sample": ["-n", "5000000"],
        "embed": ["many.npy", "-o", "big.csv"],
        "decode": ["z.npy"],
    }
    process = started(
        ["-m", "vaekit", command, placed.name, "-o", "big.npy", "--threads", "1", *given[command]]
    )
    wait_for(".big.*.part", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (SIGNALS[signal.Signals(number)], "")
    assert len(err.splitlines()) <= 2, err
    assert "Traceback" not in err
    assert temporary_files() == []
    assert not [*Path().glob("big.*")]


def test_a_signal_while_the_cache_is_filled_leaves_nothing_in_it(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    Path("photos").mkdir()
    for place in range(400):
        Image.effect_noise((64, 64), 90).save(f"photos/{place}.png")
    # At this size the array is a file of the cache from the first image to the last.
    process = started(["-m", "vaekit", "train", "--dataset", "photos", "--image-size", "1024"])
    wait_for(".cache/vaekit/**/.*/1.npy", process)
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "Traceback" not in err
    left = [path for path in Path(".cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert [path.suffix for path in left] == [".keys"], "these were complete before decoding"


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.05])
def test_a_second_ctrl_c_prints_no_traceback(
    started: Callable[..., subprocess.Popen[str]], placed: Path, pause: float
) -> None:
    process = started(["-m", "vaekit", "sample", placed.name, "-n", "5000000", "-o", "big.npy"])
    wait_for(".big.*.part", process)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    # Python restores the default handler in the very last moment of its shutdown.
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err


def test_ctrl_c_after_the_work_is_done_changes_nothing(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """Python's own shutdown printed a traceback from atexit."""
    code = (
        "import atexit, os, signal, sys\nfrom vaekit.cli import main\n"
        "atexit.register(lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])\n"
        "sys.argv[1:] = ['recipes', '--json']\nmain()\n"
    )
    process = started(["-c", code])
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("{")


def test_a_signal_that_a_finaliser_swallows_is_sent_again(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """Python drops what is raised in `__del__`: the command would go on as if nothing was."""
    code = (
        "import os, signal, sys, time\nfrom vaekit.cli import main\n"
        "import vaekit.cli.commands.models as command\n"
        "class Dying:\n def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)\n"
        "def forever(*_):\n Dying()\n time.sleep(50)\n"
        "command.print_table = forever\n"
        "sys.argv[1:] = ['models']\nmain()\n"
    )
    process = started(["-c", code])
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "Traceback" not in err


def test_nohup_keeps_its_promise(
    started: Callable[..., subprocess.Popen[str]], placed: Path
) -> None:
    code = (
        "import signal, sys\nfrom vaekit.cli import main\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nmain()\n"
    )
    process = started(["-c", code, "sample", placed.name, "-n", "20000", "-o", "big.npy"])
    wait_for("*big.npy*", process)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "big.npy\n")


def test_a_signal_during_an_import_by_c_code_keeps_its_exit_code(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    """Python ended with SIGINT where a KeyboardInterrupt had passed through such an import."""
    code = (
        "import ctypes, sys\nfrom vaekit.cli import main\n"
        "import vaekit.cli.commands.models as command\n"
        "text = b'import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)'\n"
        "run = ctypes.pythonapi.PyRun_String\n"
        "run.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object]\n"
        "run.restype = ctypes.py_object\n"
        "names = {'__builtins__': __builtins__}\n"
        "command.print_table = lambda *_: run(text, 257, names, names)\n"
        "sys.argv[1:] = ['models']\nmain()\n"
    )
    Path("stopped.py").write_text(code)
    process = started(["-m", "stopped"])
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (143, "vaekit: terminated\n")


SLOW_IMPORT = """
import os, signal, sys, time
from pathlib import Path
from vaekit.cli.terminal.signal_handlers import SIGNALS, StopSignal
SIGNALS.install()
sys.path.insert(0, "torch")
try:
    import slow
    time.sleep(30)
except StopSignal:
    print("stopped after the import:", Path("imported").exists())
"""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_waits_for_the_end_of_the_import_of_torch_and_a_second_does_not(
    started: Callable[..., subprocess.Popen[str]], times: int
) -> None:
    """An exception that passed through its C++ aborted the process, with a dump of its stack."""
    Path("torch").mkdir()
    press = "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.2)\n"
    Path("torch/slow.py").write_text(
        f"import os, signal, time\n{press * times}open('imported', 'w').close()\n"
    )
    out, err = started(["-c", SLOW_IMPORT]).communicate(timeout=PATIENCE)
    assert out == ("stopped after the import: True\n" if times == 1 else "")
    assert err == ""
    assert Path("imported").exists() == (times == 1)
