"""`vaekit train`: flags to a config, one call, the model's path on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vaekit.cli.console import Terminal, warn_of_unknown_variables
from vaekit.cli.options import (
    ConfigFile,
    Debug,
    Json,
    Quiet,
    Recipe,
    switch_option,
)
from vaekit.cli.run_options import with_run_options
from vaekit.config import RunConfig, as_yaml
from vaekit.config_sources import resolve_config
from vaekit.errors import UsageError


@with_run_options
def command(
    *,
    recipe: Recipe = None,
    config: ConfigFile = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="continue the run in this folder"),
    ] = None,
    force: Annotated[
        bool, switch_option("--force", help="replace an earlier run in the output folder")
    ] = False,
    dry_run: Annotated[
        bool, switch_option("--dry-run", help="print the final options and memory; do not train")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Train a model on images and print the path of the model file.

    [dim]vaekit train[/dim] draws letters in several fonts: no download.
    [dim]vaekit train --dataset photos/ --image-size 64[/dim] uses your images.
    [dim]vaekit train --recipe cifar10-conv[/dim] follows a recipe.
    """
    if resume is not None and (recipe is not None or config is not None or dry_run):
        raise UsageError(
            "--resume excludes --recipe, --config and --dry-run: a run keeps its options"
        )
    warn_of_unknown_variables(Terminal(quiet=quiet))
    settled = None if resume is not None else resolve_config(options, config=config, recipe=recipe)
    if settled is not None and dry_run:
        _preview(settled, quiet=quiet, as_json=as_json)
        return
    from vaekit.cli.training_view import TrainingView
    from vaekit.training import run

    view = TrainingView(quiet=quiet)
    if settled is not None:
        result = run.run_training(settled, view, force=force)
    elif resume is not None:
        result = run.resume_training(resume, options, view)
    view.finished(result)
    print(json.dumps(_summary(result)) if as_json else result.model)


def _preview(config: RunConfig, *, quiet: bool, as_json: bool) -> None:
    from vaekit.training.run import preview

    settled, need = preview(config, Terminal(quiet=quiet))
    if as_json:
        values = settled.model_dump(mode="json")
        sizes = {"parameters": need.parameters, "expected_bytes": need.total}
        print(json.dumps({"config": values, **sizes}))
        return
    print(as_yaml(settled, "vaekit train --dry-run"), end="")
    print(f"\n# {need.parameters:,} parameters; about {need.total / 1e6:,.0f} MB beside the images")


def _summary(result: Any) -> dict[str, Any]:
    return {
        "model": str(result.model),
        "folder": str(result.folder),
        "best_epoch": result.best_epoch or None,
        "likelihood": result.config.likelihood,
        **result.record,
    }
