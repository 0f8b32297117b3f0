"""Options that several commands share, each written once, in groups that a command takes whole.

    @flat
    def command(model: ModelFile, use: Use, where: Where) -> None: ...

gives the command a flag for every field of `Use` and `Where`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

IMAGES, RUNNING = "Images", "Running"
"""Panels of the help, for options that several commands share."""


def value_option(*names: str, metavar: str, **facts: Any) -> Any:
    """An option that takes a value; the variable behind it, if any, is in the docs, not in help."""
    return typer.Option(*names, metavar=metavar, show_envvar=False, **facts)


def switch_option(*names: str, **facts: Any) -> Any:
    """An option that is on or off; some versions of Typer print a type beside it unless told."""
    return value_option(*names, metavar="", **facts)


def _recipes() -> list[str]:
    """What completes --recipe."""
    from vaekit.config import recipe_names  # pydantic, which no other option stands on

    return list(recipe_names())


ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="a model file", show_default=False)
]
ImageArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGES]...",
        help="image files, folders, archives, .npy or .npz; - reads stdin",
        show_default=False,
    ),
]

# What `train` takes beside the run's own options.
ConfigFile = Annotated[
    Path | None,
    value_option("--config", metavar="FILE", help="a YAML file of options"),
]
Recipe = Annotated[
    str | None,
    value_option(
        "--recipe",
        metavar="NAME",
        help="a named set of options: see `vaekit recipes`",
        autocompletion=_recipes,
    ),
]

# Where images come from.
FilesFrom = Annotated[
    str | None,
    value_option(
        "--files-from",
        metavar="FILE",
        rich_help_panel=IMAGES,
        help="read paths from it, one a line; - is stdin",
    ),
]
NullSeparated = Annotated[
    bool,
    switch_option(
        "-0", "--null", rich_help_panel=IMAGES, help="NUL parts the paths in --files-from"
    ),
]
Dataset = Annotated[
    str | None,
    value_option("--dataset", metavar="NAME", rich_help_panel=IMAGES, help="a data set, or a path"),
]
Split = Annotated[
    str,
    value_option(
        "--split", metavar="SPLIT", rich_help_panel=IMAGES, help="train, val, test or all of it"
    ),
]
Limit = Annotated[
    int | None,
    value_option(
        "--limit", metavar="N", min=1, rich_help_panel=IMAGES, help="at most so many of it"
    ),
]
DataDir = Annotated[
    str | None,
    value_option(
        "--data-dir",
        metavar="DIR",
        envvar="VAEKIT_DATA_DIR",
        rich_help_panel=IMAGES,
        help="where downloads are kept",
    ),
]
Strict = Annotated[
    bool,
    switch_option("--strict", rich_help_panel=IMAGES, help="a bad image is an error, not skipped"),
]

# What comes out.
Output = Annotated[
    str | None,
    value_option("--output", "-o", metavar="FILE", help="its ending is the form; - is stdout"),
]
Format = Annotated[
    str | None, value_option("--format", metavar="FORM", help="the form, where -o does not say it")
]
AsBytes = Annotated[bool, switch_option("--uint8", help="arrays of bytes in place of floats")]
Sampled = Annotated[bool, switch_option("--sample", help="draw from the posterior; else its mean")]
Json = Annotated[
    bool, switch_option("--json", rich_help_panel=RUNNING, help="one JSON object on stdout")
]

# How it is run.
Seed = Annotated[
    int,
    value_option(
        "--seed",
        metavar="N",
        min=0,
        envvar="VAEKIT_SEED",
        rich_help_panel=RUNNING,
        help="everything random comes from it",
    ),
]
Device = Annotated[
    str,
    value_option(
        "--device",
        metavar="NAME",
        envvar="VAEKIT_DEVICE",
        rich_help_panel=RUNNING,
        help="auto, cpu, cuda, cuda:N or mps",
    ),
]
ThreadsOption = Annotated[
    int | None,
    value_option(
        "--threads",
        metavar="N",
        min=1,
        envvar="VAEKIT_THREADS",
        rich_help_panel=RUNNING,
        help="CPU threads",
    ),
]
BatchSize = Annotated[
    int | None,
    value_option(
        "--batch-size",
        metavar="N",
        min=1,
        rich_help_panel=RUNNING,
        help="images held at a time; changes no result",
    ),
]
AllowNonfinite = Annotated[
    bool,
    switch_option(
        "--allow-nonfinite", rich_help_panel=RUNNING, help="take NaN and infinity as data"
    ),
]
Quiet = Annotated[
    bool,
    switch_option(
        "--quiet", "-q", envvar="VAEKIT_QUIET", rich_help_panel=RUNNING, help="say nothing"
    ),
]
# Read in vaekit.cli, where every error ends; a command only has to take it.
Debug = Annotated[
    bool,
    switch_option(
        "--debug", envvar="VAEKIT_DEBUG", rich_help_panel=RUNNING, help="show an error's traceback"
    ),
]


@dataclass(frozen=True)
class UseOptions:
    """How a model is run."""

    seed: Seed = 0
    batch_size: BatchSize = None
    device: Device = "auto"
    threads: ThreadsOption = None
    allow_nonfinite: AllowNonfinite = False
    quiet: Quiet = False
    as_json: Json = False
    debug: Debug = False


@dataclass(frozen=True)
class ImageOptions:
    """Where a command's images come from, as the user said it."""

    images: ImageArguments = None
    files_from: FilesFrom = None
    null: NullSeparated = False
    dataset: Dataset = None
    split: Split = "test"
    limit: Limit = None
    data_dir: DataDir = None
    strict: Strict = False

    @property
    def listed(self) -> bool:
        """Whether the user named images themselves, not a data set."""
        return bool(self.images or self.files_from)


@dataclass(frozen=True)
class OutputOptions:
    """Where a command's result goes."""

    output: Output = None
    form: Format = None


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Spread the groups among a command's parameters into flags, and gather them again."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        p.name: p.annotation for p in own if dataclasses.is_dataclass(p.annotation)
    }
    spread = [part for p in own for part in (_fields(groups[p.name]) if p.name in groups else [p])]

    @functools.wraps(command)
    def gathered(**options: Any) -> None:
        for name, group in groups.items():
            names = [field.name for field in dataclasses.fields(group)]
            options[name] = group(**{field: options.pop(field) for field in names})
        command(**options)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in spread]
    gathered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    gathered.__annotations__ = {p.name: p.annotation for p in parameters}
    return gathered


def _fields(group: Any) -> list[inspect.Parameter]:
    """A group's fields as parameters, with their annotations resolved."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]
