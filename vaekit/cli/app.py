"""The command `vaekit`: the table of commands, each imported only when called."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vaekit import __version__
from vaekit.errors import UsageError
from vaekit.registry import near_miss

COMMANDS = {
    "train": "Train a model on images and print the path of the model file.",
    "sweep": "Train a model for each of several betas, and plot rate and distortion.",
    "sample": "Draw new images: a grid, a folder of images, or an array.",
    "reconstruct": "Encode and decode images: originals above reconstructions.",
    "interpolate": "Morph one image into the next: a strip, animation or array.",
    "traverse": "Vary one latent dimension per row, the most informative first.",
    "manifold": "Decode a grid of the latent plane: what the model draws where.",
    "nearest": "Find the images whose latents are nearest to an image's.",
    "edit": "Change an image along an attribute, such as from one class to another.",
    "embed": "Encode images to latents, with the path and label of each.",
    "decode": "Decode latents to images; reads every format that embed writes.",
    "evaluate": "Evaluate a model: likelihood, reconstructions, samples.",
    "score": "Score images one by one: a JSON line each, in input order.",
    "compare": "Evaluate several models on the same images, side by side.",
    "report": "Write a page about a model: curves, pictures, a map, numbers.",
    "explore": "Explore a model in the browser: sliders, your images, a map.",
    "info": "Show what a model file is, its training data and its results.",
    "datasets": "List the data sets that --dataset knows by name.",
    "models": "List the networks and the options of each.",
    "recipes": "List the recipes, or print one as YAML.",
    "cache": "List or clear the cache of decoded images; downloads stay.",
    "doctor": "Check the installation: versions, devices, disk, permissions.",
}
"""In the order of the help. Each is a module of `vaekit.cli.commands` with a function `command`,
whose docstring begins with the same words: this copy spares the list of commands the imports."""

RANKED = ("train", "embed", "evaluate", "score")
"""Commands that several processes can share."""


class CommandGroup(TyperGroup):
    """The commands, whose modules are imported one by one as they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            raise UsageError(
                f"unknown command {cmd_name!r}: {near_miss(cmd_name, tuple(COMMANDS))}"
            )
        return LazyCommand(cmd_name, help=COMMANDS[cmd_name])


class LazyCommand(TyperCommand):
    """A command in the list; its module is imported when its arguments are parsed."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which replaces this one."""
        _refuse_several_ranks(str(self.name))
        return load_command(str(self.name)).make_context(info_name, args, parent=parent, **extra)


def _refuse_several_ranks(name: str) -> None:
    """Refuse N processes that would each do all of the work, and write the same files."""
    from vaekit.machine.ranks import place

    world = place().world
    if world > 1 and name not in RANKED:
        raise UsageError(
            f"vaekit {name} runs in one process, and {world} were started: call it without torchrun"
        )


def load_command(name: str) -> Any:
    """The command itself, with all its flags."""
    module = importlib.import_module(f"vaekit.cli.commands.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name)(module.command)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vaekit {__version__}")
        raise typer.Exit


@app.callback()
def vaekit(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Train variational autoencoders on any images, and use them.

    [dim]vaekit train[/dim] needs no download: it draws letters in several fonts and trains on them.
    """
