"""The command `vaekit`: a table of commands, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vaekit import __version__
from vaekit.errors import UsageError
from vaekit.registry import near_miss

COMMANDS = {
    "train": "Train a model on images; prints the path of the model file.",
    "sample": "Draw images from a model: a grid, a folder of images, or an array.",
    "reconstruct": (
        "Reconstruct images: originals above reconstructions, or the reconstructions alone."
    ),
    "interpolate": "Interpolate from one image to the next: a strip, an animation or an array.",
    "traverse": "Traverse the latent dimensions, the most informative first, a labelled row each.",
    "embed": "Embed images: the posterior mean of each, with its path and label.",
    "decode": "Decode latents to images; takes all that `embed` gives.",
    "evaluate": (
        "Evaluate a model: likelihood, reconstructions, latents; samples and disentanglement if "
        "asked."
    ),
    "score": "Score images one by one: a JSON line each, in the order they came, as they come.",
    "compare": (
        "Compare models on the same images, with the same seed: the best of each row in bold."
    ),
    "info": "Say what a model file is, what it was trained on and how well it did.",
    "datasets": "List the named data sets; `--dataset` takes a path to your own images as well.",
    "models": "List the networks, with the options that shape each.",
    "recipes": "List the recipes, or print one as YAML.",
    "doctor": (
        "Check the installation: versions, devices, a training step on each, disk, permissions."
    ),
}
"""In the order of the help. Each is a module of this package with a function `command`, whose
docstring begins with the same words: they are here so that the list of commands imports none."""


class Commands(TyperGroup):
    """Finds a command by importing its module, so that no command pays for another."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            raise UsageError(
                f"unknown command {cmd_name!r}: {near_miss(cmd_name, tuple(COMMANDS))}"
            )
        return Named(cmd_name, help=COMMANDS[cmd_name])


class Named(TyperCommand):
    """A command as a list shows it. Its module is imported when its arguments are to be read."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which then takes this one's place."""
        return load_command(str(self.name)).make_context(info_name, args, parent=parent, **extra)


def load_command(name: str) -> Any:
    """The command itself, with all its flags."""
    module = importlib.import_module(f"vaekit.cli.commands.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name)(module.command)
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
