"""The flags of `train` and `sweep`, made from the fields of `RunConfig`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from vaekit import registry
from vaekit.configuration.config import RunConfig, facts, flag

ALIASES = {"output": ("--output", "-o", "--save-path")}
"""Fields whose flag has more than one spelling."""

_REGISTERED = {"model", "likelihood", "objective", "dataset"}


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a flag for every field of `RunConfig`; it gets them in `**options`.

    A field that the command has itself keeps the command's own flag.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    named = [p for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {p.name for p in named}
    every = RunConfig.model_fields.items()
    fields = [_parameter(name, field) for name, field in every if name not in taken]
    parameters = [*fields, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in named)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameter(name: str, field: Any) -> inspect.Parameter:
    """One field as a keyword with a flag; None if the flag was not given."""
    kind = _flag_type(field.annotation)
    names = ALIASES.get(name, (flag(name),))
    if kind is bool:
        names = (f"{names[0]}/--no-{names[0][2:]}",)
    option = typer.Option(
        *names,
        help=f"{described(field)} [dim]\\[{shown_default(field)}][/dim]",
        rich_help_panel=facts(field)["group"],
        metavar="" if kind is bool else _metavar(field.annotation, kind),
        show_default=False,
        autocompletion=_completion(name, field.annotation),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def described(field: Any) -> str:
    """What an option does, with the words it accepts."""
    text, words = str(field.description), choices(field.annotation)
    return text if all(word in text for word in words) else f"{text}: {', '.join(words)}"


def shown_default(field: Any) -> str:
    """A field's default, as help and docs show it."""
    if facts(field)["shown"]:
        return str(facts(field)["shown"])
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a Literal allows, inside a union too."""
    if get_origin(annotation) is Literal:
        return tuple(str(word) for word in get_args(annotation))
    return tuple(word for part in get_args(annotation) for word in choices(part))


def _flag_type(annotation: Any) -> type:
    """The type of a field's flag: a number or a switch if the field is just that, else text.

    The config itself parses the text.
    """
    plain = [part for part in _parts(annotation) if part is not type(None)]
    return plain[0] if len(plain) == 1 and plain[0] in (bool, int, float) else str


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, with Annotated taken off."""
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (tuple, Literal, None):
        return [annotation]
    return [part for member in get_args(annotation) for part in _parts(member)]


def _metavar(annotation: Any, kind: type) -> str:
    return "WORD" if choices(annotation) else {int: "N", float: "X"}.get(kind, "TEXT")


def _completion(name: str, annotation: Any) -> Callable[[], list[str]] | None:
    words = registry.names(name) if name in _REGISTERED else choices(annotation)
    return (lambda: list(words)) if words else None
