"""The exceptions that vaekit raises on purpose, with the exit code of each.

    VaekitError             1    it failed
    ├── DownloadError       1    a data set could not be fetched
    ├── UsageError          2    a flag, a key or a name is wrong
    ├── InputError          3    a data set, an image or a model file is bad
    │   ├── DataError       3    a data set as a whole
    │   ├── ImageError      3    one image: skipped among good ones, fatal alone
    │   └── ModelFileError  3    a model file
    ├── Diverged            4    training met a number that is not finite
    ├── LostRank            1    another process of the run ended
    ├── Disconnected        129  SIGHUP
    ├── Interrupted         130  Ctrl-C
    └── Terminated          143  SIGTERM

`vaekit.cli` alone catches them and prints the message as one line. A message says what is wrong,
in which file or flag, and what to do.
"""

import functools
import re
import signal
from collections.abc import Callable
from types import FunctionType
from typing import ParamSpec, TypeVar

from vaekit.wording import one_line

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class VaekitError(Exception):
    r"""The base of everything vaekit raises on purpose; its message is one printable line.

    Names of files and texts from headers may hold newlines and codes that steer a terminal.

    >>> print(VaekitError("a\nb.png is \x1b[31mbad"))
    a\nb.png is \x1b[31mbad
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class DownloadError(VaekitError):
    """A file could not be fetched; the message says where to put it by hand."""


class UsageError(VaekitError):
    """The request itself is wrong: an option's value, a key in a YAML file, a name."""

    exit_code = 2


class InputError(VaekitError):
    """A data set, an image or a model file is bad."""

    exit_code = 3


class DataError(InputError):
    """A data set cannot be used."""


class ImageError(InputError):
    """One image cannot be used."""


class ModelFileError(InputError):
    """A model file cannot be used."""


class Diverged(VaekitError):
    """Training met a loss or a gradient that is not finite."""

    exit_code = 4


class LostRank(VaekitError):
    """Another process of a run on several processes ended, or cannot be reached.

    `is_news` says whether this process is the one that reports it.
    """

    def __init__(self, message: str = "", *, is_news: bool = True) -> None:
        super().__init__(message)
        self.is_news = is_news


class Disconnected(VaekitError):
    """The terminal was closed (SIGHUP)."""

    exit_code = 129


class Interrupted(VaekitError):
    """The user pressed Ctrl-C."""

    exit_code = 130


class Terminated(VaekitError):
    """The process received SIGTERM."""

    exit_code = 143


STOP_ERRORS: dict[int, type[VaekitError]] = {
    getattr(signal, name): error
    for name, error in (
        ("SIGINT", Interrupted),
        ("SIGTERM", Terminated),
        ("SIGHUP", Disconnected),
    )
    if hasattr(signal, name)
}
"""The error, and so the exit code, of each signal that asks a process to stop."""


def with_keyword_names(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """The same function for Python callers: its errors name keywords, not flags."""

    @functools.wraps(function)
    def call(*args: _Parameters.args, **keywords: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **keywords)
        except VaekitError as error:
            error.args = (flags_to_keywords(str(error)),)
            raise

    return call


def methods_with_keyword_names(kind: type[_Result]) -> type[_Result]:
    """A class whose public methods, inherited ones too, raise errors that name keywords."""
    for name in dir(kind):
        method = getattr(kind, name)
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(kind, name, with_keyword_names(method))
    return kind


def flags_to_keywords(message: str) -> str:
    """A message with keywords in place of flags, except in a command to type.

    >>> flags_to_keywords("--image-size 0: write a number; or run: vaekit train --help")
    'image_size 0: write a number; or run: vaekit train --help'
    """
    text, *command = re.split(r"(?=vaekit [a-z]+ -|pip install )", message, maxsplit=1)
    keywords = re.sub(r"--([a-z][a-z-]*)", lambda flag: flag[1].replace("-", "_"), text)
    return "".join([keywords, *command])
