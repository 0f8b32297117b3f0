"""What the text of `--dataset` stands for: a path, a pattern of paths, a Hugging Face set."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

HUB = "hf:"
"""What the name of a Hugging Face data set begins with."""

IN_MEMORY = "memory:"
"""What the name of a data set begins with whose images a Python program gave."""

WILDCARD = re.compile(r"[*?\[]")
_PATTERN = re.compile(r"[*?\[]|\{[^{}]*(?:,|\.\.)[^{}]*\}")


def is_hub(text: str) -> bool:
    """Whether a text names a Hugging Face data set, on the hub or in a folder."""
    return text.startswith(HUB)


def is_pattern(text: str) -> bool:
    """Whether a text stands for several paths, by wildcards or braces; no file has that very name.

    >>> is_pattern("shards/*.tar"), is_pattern("s-{000..012}.tar"), is_pattern("photos")
    (True, True, False)
    """
    plain = text.startswith((HUB, IN_MEMORY)) or os.path.lexists(text)
    return not plain and _PATTERN.search(text) is not None


def hub_folder(text: str) -> Path | None:
    """The folder that `hf:./folder` means; None for a name on the hub, as `hf:owner/name` is.

    >>> hub_folder("hf:owner/pets") is None, hub_folder("hf:./pets").name
    (True, 'pets')
    """
    place = text.removeprefix(HUB)
    is_path = place.startswith((".", "/", "~")) or Path(place).is_absolute()
    return Path(place).expanduser() if is_path else None


def fixed_folder(pattern: str) -> Path:
    """The folder that all matches of a pattern are in, whatever else they are in.

    >>> fixed_folder("shards/*/0.tar").name, fixed_folder("shards/train-*.tar").name
    ('shards', 'shards')
    """
    return Path(os.path.dirname(_PATTERN.split(pattern)[0])).absolute()  # noqa: PTH120


def from_any_folder(text: str) -> str:
    """The same data set, whatever the current folder: paths become absolute."""
    if is_hub(text):
        folder = hub_folder(text)
        return text if folder is None else f"{HUB}{folder.resolve()}"
    if is_pattern(text):
        here = glob.escape(str(Path.cwd()))
        return text if Path(text).is_absolute() else f"{here}{os.sep}{text}"
    return str(Path(text).resolve()) if Path(text).exists() else text


def short_name(text: str) -> str:
    """A data set's name without the folders that it is in: the last part of a path.

    A pattern whose last part is nothing but wildcards keeps the folder before it.

    >>> short_name("data/photos.zip"), short_name("data/train-*.tar"), short_name("faces/*.tar")
    ('photos.zip', 'train-*.tar', 'faces/*.tar')
    >>> short_name("hf:owner/pets"), short_name("hf:/data/pets")
    ('hf:owner/pets', 'hf:pets')
    """
    if is_hub(text):
        folder = hub_folder(text)
        return text if folder is None else f"{HUB}{folder.absolute().name}"
    path = Path(text).absolute()
    if is_pattern(text) and not _before_wildcards(path.name):
        return f"{path.parent.name}/{path.name}"
    return path.name


def telling_part(text: str) -> str:
    """The name of a data set as one word: of a pattern, what stands before its wildcards.

    >>> telling_part("data/photos.zip"), telling_part("data/train-*.tar"), telling_part("a/*.tar")
    ('photos.zip', 'train', 'a')
    >>> telling_part("hf:owner/pets:small")
    'pets'
    """
    if is_hub(text):
        return Path(short_name(text).removeprefix(HUB).split(":")[0]).name
    path = Path(text).resolve()
    if not is_pattern(text):
        return path.name
    parts = (_before_wildcards(part) for part in (path.name, *(p.name for p in path.parents)))
    return next(filter(None, parts), "")


def _before_wildcards(name: str) -> str:
    """The beginning of a name, up to its first wildcard or brace."""
    return _PATTERN.split(name)[0].rstrip("-_.")
