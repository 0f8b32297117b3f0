"""The table of output formats, and the choice of one by `-o` and `--format`.

The help of every command is made from this table, so neither numpy nor torch is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vaekit.errors import UsageError


@dataclass(frozen=True)
class OutputFormat:
    """One format: `--format` takes its name; files get the first of its extensions."""

    name: str
    endings: tuple[str, ...]
    about: str
    text: bool = False
    """Only text may go to a terminal."""


FORMS = {
    form.name: form
    for form in (
        OutputFormat("png", (".png",), "a picture"),
        OutputFormat("jpeg", (".jpg", ".jpeg"), "a picture, slightly lossy"),
        OutputFormat("webp", (".webp",), "a picture, or an animation"),
        OutputFormat("gif", (".gif",), "an animation of 256 colours"),
        OutputFormat("apng", (".apng", ".png"), "an animation in every colour"),
        OutputFormat("folder", (), "one numbered file per image"),
        OutputFormat("npy", (".npy",), "an array"),
        OutputFormat("npz", (".npz",), "arrays by name"),
        OutputFormat("csv", (".csv",), "a table", text=True),
        OutputFormat("jsonl", (".jsonl", ".ndjson"), "one JSON object per line", text=True),
        OutputFormat("html", (".html", ".htm"), "a page for a browser", text=True),
        OutputFormat("parquet", (".parquet",), "a table; needs pip install 'vaekit[parquet]'"),
    )
}
PICTURES = ("png", "jpeg", "webp")
ANIMATIONS = ("gif", "webp", "apng")
ARRAYS = ("npy", "npz")
RECORDS = (*ARRAYS, "csv", "jsonl", "parquet")
FOLDER = "folder"


@dataclass(frozen=True)
class Target:
    """Where output goes, and in which format."""

    path: Path | None
    """None means stdout."""
    form: str
    single: str = "png"
    """The format of each image, where the target is a folder."""

    def __str__(self) -> str:
        return "stdout" if self.path is None else str(self.path)


def choose_format(
    output: str | None,
    format: str | None,  # noqa: A002  (the flag's name)
    takes: tuple[str, ...],
    default_stdout: str,
    default_path: str,
) -> Target:
    """The target of `-o OUTPUT --format FORMAT`, for a command that writes the formats `takes`.

    >>> choose_format("grid.jpg", None, PICTURES, "png", "samples.png").form
    'jpeg'
    >>> choose_format(None, "npy", ("png", "npy"), "png", "samples.png").path.name
    'samples.npy'
    >>> choose_format("images/", None, ("png", "folder"), "png", "samples.png").form
    'folder'
    """
    asked = _named(format, takes)
    if output == "-":
        return _stdout(asked or default_stdout)
    if output == "":
        raise UsageError("-o '': give a file name, or - for stdout")
    if output is None:
        return _default(default_path, asked, takes)
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        return _folder(output, asked, takes)
    return Target(Path(output), _by_ending(output, asked, takes))


def listed(takes: Iterable[str]) -> str:
    """The extensions of formats, for a message or a help text.

    >>> listed(("png", "jpeg", "folder"))
    '.png, .jpg, .jpeg, a folder/'
    """
    endings = [ending for name in takes for ending in FORMS[name].endings]
    return ", ".join([*dict.fromkeys(endings), *(["a folder/"] if FOLDER in takes else [])])


def _named(name: str | None, takes: tuple[str, ...]) -> str | None:
    """The format that `--format` asks for, by its name or one of its extensions."""
    if name is None:
        return None
    wanted = name.lower().removeprefix(".")
    for form in takes:
        if wanted == form:
            return form
    for form in takes:
        if f".{wanted}" in FORMS[form].endings:
            return form
    raise UsageError(f"--format {name}: this command writes {', '.join(takes)}")


def _stdout(form: str) -> Target:
    if form == FOLDER:
        raise UsageError("--format folder: stdout cannot be a folder; use -o FOLDER/")
    if not FORMS[form].text and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            f"-o -: {form} is binary and would garble the terminal; write to a file (-o FILE) or"
            " into a pipe"
        )
    return Target(None, form)


def _default(path: str, asked: str | None, takes: tuple[str, ...]) -> Target:
    """The command's default file name, with the extension of the requested format."""
    if asked is None:
        return choose_format(path, None, takes, "", path)
    own = Path(path)
    if asked == FOLDER:
        return Target(own.with_suffix(""), FOLDER)
    if own.suffix.lower() in FORMS[asked].endings:
        return Target(own, asked)
    return Target(own.with_suffix(FORMS[asked].endings[0]), asked)


def _folder(output: str, asked: str | None, takes: tuple[str, ...]) -> Target:
    """A folder; `--format` may then be the format of each image in it."""
    if FOLDER not in takes:
        raise UsageError(f"-o {output}: is a folder; this command writes {listed(takes)}")
    if asked not in (None, FOLDER, *PICTURES):
        raise UsageError(
            f"-o {output}: is a folder of images, and --format {asked} is not an image format"
        )
    return Target(Path(output), FOLDER, asked if asked in PICTURES else "png")


def _by_ending(output: str, asked: str | None, takes: tuple[str, ...]) -> str:
    ending = Path(output).suffix.lower()
    found = [form for form in takes if ending in FORMS[form].endings]
    if asked is not None:
        known = any(ending in form.endings for form in FORMS.values())
        if asked not in found and known:
            raise UsageError(f"-o {output} and --format {asked} disagree: drop one of them")
        return asked
    if found:
        return found[0]
    if not ending and FOLDER in takes:
        if Path(output).exists():  # not a folder: a file, or a pipe such as >(command)
            raise UsageError(f"-o {output}: is not a folder and has no extension: add --format")
        return FOLDER
    what = f"{ending} is not one of them" if ending else "it has no extension"
    raise UsageError(f"-o {output}: this command writes {listed(takes)}; {what}")
