"""`vaekit recipes`: the named sets of training options."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vaekit.cli.options import Debug, Json
from vaekit.cli.terminal.tables import print_table
from vaekit.configuration.config import recipe_names, recipe_path
from vaekit.configuration.yaml_files import read_yaml


def command(
    name: Annotated[
        str | None, typer.Option("--show", metavar="NAME", help="print a recipe, to copy and edit")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the recipes, or print one as YAML.

    [dim]vaekit recipes --show mlp-config > my.yaml[/dim]
    [dim]vaekit train --config my.yaml[/dim]
    """
    if name is not None:
        path = recipe_path(name)
        text = path.read_text(encoding="utf-8")
        print(json.dumps(read_yaml(path)) if as_json else text, end="" if not as_json else "\n")
    elif as_json:
        print(json.dumps({name: read_yaml(recipe_path(name)) for name in recipe_names()}))
    else:
        print_table(("recipe", "content"), [(name, _summary(name)) for name in recipe_names()])


def _summary(name: str) -> str:
    """The first line of its comment."""
    return recipe_path(name).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
