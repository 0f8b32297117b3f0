"""Options that several commands share, each defined once, and groups of them.

    @with_option_groups
    def command(model: ModelArgument, use: UseOptions, where: OutputOptions) -> None: ...

gives the command a flag for every field of `UseOptions` and `OutputOptions`.
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
"""Panels of the help for options that several commands share."""


def value_option(*names: str, metavar: str, **facts: Any) -> Any:
    """An option that takes a value; its environment variable, if any, is in the docs alone."""
    return typer.Option(*names, metavar=metavar, show_envvar=False, **facts)


def switch_option(*names: str, **facts: Any) -> Any:
    """An option that is on or off; without an empty metavar some versions of Typer add a type."""
    return value_option(*names, metavar="", **facts)


def _recipes() -> list[str]:
    """Completion of --recipe."""
    # imports pydantic, which no other option needs
    from vaekit.configuration.config import recipe_names

    return list(recipe_names())


ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="a model file or a run's folder", show_default=False)
]
ImageArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGES",
        help="image files, folders, archives, .npy or .npz; - reads stdin",
        show_default=False,
    ),
]

# Options of `train` that are not part of the run's config.
ConfigFile = Annotated[
    Path | None,
    value_option("--config", metavar="FILE", help="a YAML file of options"),
]
Recipe = Annotated[
    str | None,
    value_option(
        "--recipe",
        metavar="NAME",
        help="a named set of options; `vaekit recipes` lists them",
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
        help="read paths from FILE, one per line; - is stdin",
    ),
]
NullSeparated = Annotated[
    bool,
    switch_option(
        "-0", "--null", rich_help_panel=IMAGES, help="paths in --files-from are NUL-separated"
    ),
]
Dataset = Annotated[
    str | None,
    value_option(
        "--dataset",
        metavar="NAME",
        rich_help_panel=IMAGES,
        help="a data set's name, a path to images, a quoted pattern, or hf:owner/name",
    ),
]
Split = Annotated[
    str,
    value_option(
        "--split", metavar="SPLIT", rich_help_panel=IMAGES, help="train, val, test or all"
    ),
]
Limit = Annotated[
    int | None,
    value_option(
        "--limit", metavar="N", min=1, rich_help_panel=IMAGES, help="use N images, chosen at random"
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
    switch_option("--strict", rich_help_panel=IMAGES, help="stop at a bad image; default: skip it"),
]
MaxBad = Annotated[
    float,
    value_option(
        "--max-bad",
        metavar="SHARE",
        min=0,
        max=1,
        rich_help_panel=IMAGES,
        help="skip bad images up to this share of all",
    ),
]
Refresh = Annotated[
    bool,
    switch_option(
        "--refresh",
        rich_help_panel=IMAGES,
        help="decode the data set again, whatever the cache holds",
    ),
]
AllowTrained = Annotated[
    bool,
    switch_option(
        "--allow-trained",
        rich_help_panel=IMAGES,
        help="do not report images that were trained on",
    ),
]

# The output.
Output = Annotated[
    str | None,
    value_option(
        "--output",
        "-o",
        metavar="FILE",
        help="output file; the extension sets the format; - is stdout",
    ),
]
Format = Annotated[
    str | None,
    value_option("--format", metavar="FORMAT", help="format, if the extension does not set it"),
]
Force = Annotated[bool, switch_option("--force", help="replace even a model file")]
AsBytes = Annotated[bool, switch_option("--uint8", help="write arrays as uint8, not float32")]
DrawSample = Annotated[
    bool, switch_option("--sample", help="draw from the posterior; default: its mean")
]
FirstGroups = Annotated[
    int | None,
    value_option("--groups", metavar="K", help="ladder: the first K groups of latents alone"),
]
RestTemperature = Annotated[
    str | None,
    value_option(
        "--temperature",
        metavar="T,...",
        help="draw the other groups at this temperature; default: their means",
    ),
]
Json = Annotated[
    bool, switch_option("--json", rich_help_panel=RUNNING, help="print one JSON object on stdout")
]

# How the model runs.
Seed = Annotated[
    int,
    value_option(
        "--seed",
        metavar="N",
        min=0,
        envvar="VAEKIT_SEED",
        rich_help_panel=RUNNING,
        help="random seed",
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
        help="images per batch; changes speed, not results",
    ),
]
AllowNonfinite = Annotated[
    bool,
    switch_option("--allow-nonfinite", rich_help_panel=RUNNING, help="accept NaN and infinity"),
]
Quiet = Annotated[
    bool,
    switch_option(
        "--quiet", "-q", envvar="VAEKIT_QUIET", rich_help_panel=RUNNING, help="print errors only"
    ),
]
# vaekit.cli itself looks for it among the arguments; a command only has to accept it.
Debug = Annotated[
    bool,
    switch_option(
        "--debug", envvar="VAEKIT_DEBUG", rich_help_panel=RUNNING, help="show tracebacks"
    ),
]


@dataclass(frozen=True)
class UseOptions:
    """How a command runs its model."""

    seed: Seed = 0
    batch_size: BatchSize = None
    device: Device = "auto"
    threads: ThreadsOption = None
    allow_nonfinite: AllowNonfinite = False
    quiet: Quiet = False
    as_json: Json = False
    debug: Debug = False


@dataclass(frozen=True)
class DatasetOptions:
    """Which images of which data set."""

    dataset: Dataset = None
    split: Split = "test"
    limit: Limit = None
    data_dir: DataDir = None
    strict: Strict = False
    max_bad: MaxBad = 0.01
    refresh: Refresh = False
    allow_trained: AllowTrained = False


@dataclass(frozen=True)
class ImageOptions(DatasetOptions):
    """Where a command's images come from: a data set, or what the user names."""

    images: ImageArguments = None
    files_from: FilesFrom = None
    null: NullSeparated = False

    @property
    def has_images(self) -> bool:
        """Whether the user named images, not a data set."""
        return bool(self.images or self.files_from)


@dataclass(frozen=True)
class OutputOptions:
    """Where a command's result goes."""

    output: Output = None
    form: Format = None
    force: Force = False


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Turn each parameter that is a group into one flag per field; the call rebuilds the group."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        p.name: p.annotation for p in own if dataclasses.is_dataclass(p.annotation)
    }
    flags = [part for p in own for part in (_fields(groups[p.name]) if p.name in groups else [p])]

    @functools.wraps(command)
    def with_groups(**options: Any) -> None:
        for name, group in groups.items():
            names = [field.name for field in dataclasses.fields(group)]
            options[name] = group(**{field: options.pop(field) for field in names})
        command(**options)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in flags]
    with_groups.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_groups.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_groups


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
