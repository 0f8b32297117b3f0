"""Merges flags, environment, YAML file, recipe and defaults into one config.

>>> resolve_config({"beta": 4.0}, environ={"VAEKIT_BETA": "2", "VAEKIT_HIDDEN": "64,64"}).hidden
(64, 64)
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vaekit import registry
from vaekit.configuration.config import RunConfig, flag, recipe_path
from vaekit.configuration.yaml_files import read_yaml
from vaekit.errors import UsageError

ENVIRONMENT = "VAEKIT_"
OTHER_VARIABLES = ("config", "recipe", "quiet", "debug", "cache_limit")
"""Variables that are not a field of the run."""

RANGES = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be {le:g} or less",
}
"""What pydantic calls a number out of range, and what an error says of it."""

LONGEST_SHOWN = 100
"""The most characters of a value that an error repeats."""


def resolve_config(
    options: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    config: str | os.PathLike[str] | None = None,
    recipe: str | None = None,
) -> RunConfig:
    """Merge the sources: options, then environment, YAML file, recipe and defaults."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    config = environ.get(f"{ENVIRONMENT}CONFIG") if config is None else config
    recipe = environ.get(f"{ENVIRONMENT}RECIPE") if recipe is None else recipe
    for origin, layer in _layers(options, environ, config, recipe):
        for name, value in layer.items():
            values[name] = value
            origins[name] = origin.format(name=name, flag=flag(name), NAME=name.upper())
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(_complaint(error, origins)) from None


def _layers(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    config: str | os.PathLike[str] | None,
    recipe: str | None,
) -> list[tuple[str, Mapping[str, Any]]]:
    """The sources from weakest to strongest, each with a template that names one of its values."""
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if recipe is not None:
        layers.append((f"{{name}} in recipe {recipe}", read_yaml(recipe_path(recipe))))
    if config is not None:
        layers.append((f"{{name}} in {_braceless(config)}", read_yaml(Path(config))))
    layers.append((ENVIRONMENT + "{NAME}", _from_environment(environ)))
    layers.append(("{flag}", {name: v for name, v in options.items() if v is not None}))
    return layers


def _braceless(path: str | os.PathLike[str]) -> str:
    return os.fspath(path).replace("{", "{{").replace("}", "}}")


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A message for each `VAEKIT_*` variable that has no effect, with the nearest that has one.

    >>> unknown_variables({"VAEKIT_LATENT_DIMS": "8", "VAEKIT_LR": "0.1", "HOME": "/"})
    ["VAEKIT_LATENT_DIMS has no effect: did you mean 'VAEKIT_LATENT_DIM'?"]
    """
    known = [name.upper() for name in (*RunConfig.model_fields, *OTHER_VARIABLES)]
    given = [name.removeprefix(ENVIRONMENT) for name in environ if name.startswith(ENVIRONMENT)]
    messages = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean '{ENVIRONMENT}{near[0]}'?" if near else ""
            messages.append(f"{ENVIRONMENT}{name} has no effect{hint}")
    return messages


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The fields set by `VAEKIT_*` variables, parsed like the text of a flag."""
    found = {}
    for name, field in RunConfig.model_fields.items():
        text = environ.get(ENVIRONMENT + name.upper())
        if text is not None:
            found[name] = _read(text, field.annotation)
    return found


def _read(text: str, annotation: Any) -> Any:
    """The value that the text spells, or the text itself, which validation then refuses."""
    try:
        return TypeAdapter(annotation).validate_python(text, strict=False)
    except ValidationError:
        return text


def _complaint(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first error in one line, which names the option as the user wrote it."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    origin = origins.get(name, flag(name))
    if first["type"] == "extra_forbidden":
        hint = registry.near_miss(name, tuple(RunConfig.model_fields))
        return f"unknown option {origin}: {hint}"
    known = RANGES.get(first["type"])
    reason = known.format(**first["ctx"]) if known else _reason(str(first["msg"]))
    return f"{origin} = {_short(first['input'])}: {reason}"


def _reason(message: str) -> str:
    """Pydantic's message as a part of a sentence.

    >>> _reason("Input should be a valid number")
    'must be a valid number'
    """
    reason = message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return reason[0].lower() + reason[1:]


def _short(value: object) -> str:
    """A value as it was given, cut to one line."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
