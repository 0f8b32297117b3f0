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
from vaekit.config import RunConfig
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
        bool, switch_option("--dry-run", help="print the final options and a plan; do not train")
    ] = False,
    probe: Annotated[
        bool, switch_option("--probe", help="with --dry-run: time a few steps in memory")
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
    if probe and not dry_run:
        raise UsageError("--probe is for --dry-run: it times a few steps and trains nothing")
    warn_of_unknown_variables(Terminal(quiet=quiet))
    settled = None if resume is not None else resolve_config(options, config=config, recipe=recipe)
    if settled is not None and dry_run:
        _plan(settled, quiet=quiet, as_json=as_json, measure=probe)
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


def _plan(config: RunConfig, *, quiet: bool, as_json: bool, measure: bool) -> None:
    from vaekit.cli.plan_view import plan_json, plan_text
    from vaekit.training.plan import plan_run

    plan = plan_run(config, Terminal(quiet=quiet), measure=measure)
    print(plan_json(plan) if as_json else plan_text(plan))


def _summary(result: Any) -> dict[str, Any]:
    return {
        "model": str(result.model),
        "folder": str(result.folder),
        "best_epoch": result.best_epoch or None,
        "likelihood": result.config.likelihood,
        **result.record,
    }
