"""The command `vaekit`: a table of commands, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vaekit import __version__
from vaekit.errors import UsageError
from vaekit.registry import near_miss

COMMANDS = (
    "train",
    "sample",
    "reconstruct",
    "interpolate",
    "traverse",
    "embed",
    "decode",
    "evaluate",
    "score",
    "compare",
    "info",
    "datasets",
    "models",
    "recipes",
    "doctor",
)
"""In the order of the help; each is a module of this package with a function of its name."""


class Commands(TyperGroup):
    """Finds a command by importing its module, so that no command pays for another."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            raise UsageError(f"unknown command {cmd_name!r}: {near_miss(cmd_name, COMMANDS)}")
        module = importlib.import_module(f"vaekit.cli.{cmd_name}")
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        single.command(cmd_name)(module.command)
        return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vaekit {__version__}")
        raise typer.Exit


@app.callback()
def vaekit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Train variational autoencoders on any images, and use them."""
