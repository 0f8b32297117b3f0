"""Expands a pattern of `--dataset`: wildcards as in a shell, braces as in bash."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator

from vaekit.configuration.dataset_names import WILDCARD
from vaekit.data.sources.folder_layout import natural
from vaekit.errors import DataError

MOST_ALTERNATIVES = 100_000
"""Paths that the braces of one pattern may stand for."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


def expand(pattern: str) -> list[str]:
    """The paths that a pattern matches, each once, in natural order; what is missing is an error.

    A path within a folder that is matched too is left out: the folder holds it.
    """
    found = dict.fromkeys(
        path for text in _alternatives(pattern) for path in _matches(text, pattern)
    )
    folders = {path.rstrip(os.sep) for path in found if os.path.isdir(path)}  # noqa: PTH112
    alone = [path for path in found if not _is_within(path, folders)]
    return sorted(alone, key=natural)


def _alternatives(pattern: str) -> list[str]:
    found = list(itertools.islice(with_braces(pattern), MOST_ALTERNATIVES + 1))
    if len(found) > MOST_ALTERNATIVES:
        raise DataError(
            f"--dataset {pattern}: its braces stand for over {MOST_ALTERNATIVES:,} paths"
        )
    return found


def with_braces(text: str) -> Iterator[str]:
    """Each text that braces stand for: `{a,b}`, or numbers from one to another.

    >>> list(with_braces("s-{08..11}.tar"))
    ['s-08.tar', 's-09.tar', 's-10.tar', 's-11.tar']
    >>> list(with_braces("{a,b}/{1..2}")), list(with_braces("{a}"))
    (['a/1', 'a/2', 'b/1', 'b/2'], ['{a}'])
    """
    for group in _BRACES.finditer(text):
        choices = _choices(group[1])
        if choices is not None:
            for choice in choices:
                yield from with_braces(f"{text[: group.start()]}{choice}{text[group.end() :]}")
            return
    yield text


def _choices(inside: str) -> Iterable[str] | None:
    """What the text inside braces stands for; None where the braces are just characters."""
    numbers = _NUMBERS.fullmatch(inside)
    if numbers is None:
        return inside.split(",") if "," in inside else None
    first, last = int(numbers[1]), int(numbers[2])
    padded = any(text.startswith("0") and len(text) > 1 for text in numbers.groups())
    width = max(map(len, numbers.groups())) if padded else 0
    step = 1 if last >= first else -1
    return (f"{number:0{width}d}" for number in range(first, last + step, step))


def _matches(text: str, pattern: str) -> list[str]:
    """The paths of one alternative."""
    if WILDCARD.search(text) and not os.path.lexists(text):
        found = glob.glob(text, recursive=True)  # noqa: PTH207  (`Path.glob` takes no `/x/*`)
        if not found:
            of = "" if text == pattern else f" (of {pattern})"
            raise DataError(
                f"--dataset {text}{of}: the pattern matches nothing; write it in quotes, so that "
                "vaekit expands it and not the shell"
            )
        return found
    if not os.path.lexists(text):
        raise DataError(f"{text}: no such file or folder (of --dataset {pattern})")
    return [text]


def _is_within(path: str, folders: set[str]) -> bool:
    above = os.path.dirname(path)  # noqa: PTH120
    while above and above != os.path.dirname(above):  # noqa: PTH120
        if above in folders:
            return True
        above = os.path.dirname(above)  # noqa: PTH120
    return False
