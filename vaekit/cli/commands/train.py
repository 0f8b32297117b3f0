"""`vaekit train`: flags to a config, one call, the model's path on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vaekit.cli.options import (
    ConfigFile,
    Debug,
    Json,
    Quiet,
    Recipe,
    switch_option,
)
from vaekit.cli.run_options import with_run_options
from vaekit.cli.terminal.console import Terminal, warn_of_unknown_variables
from vaekit.configuration.config import RunConfig
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import UsageError
from vaekit.machine.ranks import place

AUTO = Path("auto")
"""`--resume auto`: the run in the output folder; a folder of that name needs its full path."""


@with_run_options
def command(
    *,
    recipe: Recipe = None,
    config: ConfigFile = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR|auto",
            help="continue the run in this folder; auto: the one in --output, if there is one",
        ),
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
    watch: Annotated[
        bool, switch_option("--watch", help="serve a page that follows the run while it trains")
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
    again, first = resume == AUTO, place().rank == 0
    given = recipe is not None or config is not None
    if resume is not None and (dry_run or (given and not again)):
        raise UsageError(
            "--resume excludes --recipe, --config and --dry-run: a run keeps its options"
        )
    _refuse_unfitting(dry_run=dry_run, probe=probe, watch=watch)
    if first:
        warn_of_unknown_variables(Terminal(quiet=quiet))
    starts = resume is None or again
    settled = resolve_config(options, config=config, recipe=recipe) if starts else None
    if settled is not None and dry_run:
        if first or probe:  # every rank takes part in a probe
            _plan(settled, quiet=quiet or not first, as_json=as_json, measure=probe)
        return
    from vaekit.cli.terminal.training_view import TrainingView

    with TrainingView(quiet=quiet, watch=watch) as view:
        result = _train(settled, resume, options, view, force=force)
    if not first:  # rank 0 prints what there is to print
        return
    view.finished(result)
    print(json.dumps(_summary(result)) if as_json else result.model)


def _refuse_unfitting(*, dry_run: bool, probe: bool, watch: bool) -> None:
    if probe and not dry_run:
        raise UsageError("--probe is for --dry-run: it times a few steps and trains nothing")
    if watch and dry_run:
        raise UsageError("--watch follows a run, and --dry-run trains nothing")


def _train(
    settled: RunConfig | None, resume: Path | None, options: Any, view: Any, *, force: bool
) -> Any:
    from vaekit.training import run

    if settled is not None and resume is not None:
        return run.resume_or_start(settled, options, view, force=force)
    if settled is not None:
        return run.run_training(settled, view, force=force)
    assert resume is not None
    return run.resume_training(resume, options, view)


def _plan(config: RunConfig, *, quiet: bool, as_json: bool, measure: bool) -> None:
    from vaekit.cli.terminal.plan_view import plan_json, plan_text
    from vaekit.training.planning.plan import plan_run

    plan = plan_run(config, Terminal(quiet=quiet), measure=measure)
    if place().rank == 0:
        print(plan_json(plan) if as_json else plan_text(plan))


def _summary(result: Any) -> dict[str, Any]:
    return {
        "model": str(result.model),
        "folder": str(result.folder),
        "best_epoch": result.best_epoch or None,
        "likelihood": result.config.likelihood,
        **result.record,
    }
