"""`vaekit sweep`: a model for each of several betas, and their rate-distortion curve."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from vaekit.cli.compared_models import ComparedModels, evaluate_models, write_plot
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.options import (
    ConfigFile,
    DatasetOptions,
    Debug,
    Json,
    Quiet,
    Recipe,
    Split,
    UseOptions,
    switch_option,
    value_option,
)
from vaekit.cli.run_options import with_run_options
from vaekit.cli.terminal.console import Terminal, warn_of_unknown_variables
from vaekit.cli.terminal.tables import print_table
from vaekit.configuration.config import RunConfig
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import UsageError

USUAL_BETAS = "0.1,0.3,1,3,10"
SWEEP_COLUMNS = {
    "rate": "kl",
    "distortion": "reconstruction",
    "−ELBO": "neg_elbo",
    "active units": "active_units",
}


@with_run_options
def command(
    *,
    beta: Annotated[
        str,
        value_option(
            "--beta",
            metavar="X,X,...",
            rich_help_panel="Loss",
            help="weights of the KL in training, one model each",
        ),
    ] = USUAL_BETAS,
    output: Annotated[
        str | None,
        value_option(
            "--output",
            "-o",
            metavar="DIR",
            rich_help_panel="Output",
            help="folder of the runs, the plot and the numbers [dim]\\[runs/<dataset>-betas][/dim]",
        ),
    ] = None,
    split: Split = "test",
    recipe: Recipe = None,
    config: ConfigFile = None,
    force: Annotated[bool, switch_option("--force", help="train again what is there")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
    **options: Any,
) -> None:
    """Train a model for each of several betas, and plot rate and distortion.

    [dim]vaekit sweep --dataset digits --beta 0.1,0.5,1,2,4[/dim]

    All other options are those of [dim]vaekit train[/dim]. The same command
    again trains only what is missing or was stopped.
    """
    betas = parse_betas(beta)
    if output is not None and output.endswith(".safetensors"):
        raise UsageError(f"--output {output}: name a folder, which holds a run for each beta")
    warn_of_unknown_variables(Terminal(quiet=quiet))
    settled = resolve_config({**options, "output": output}, config=config, recipe=recipe)
    models = _trained(settled, betas, force=force, quiet=quiet)
    by = DatasetOptions(
        dataset=settled.dataset,
        split=split,
        data_dir=settled.data_dir,
        strict=settled.strict,
        max_bad=settled.max_bad,
    )
    use = UseOptions(device=settled.device, threads=settled.threads, quiet=quiet, as_json=as_json)
    _conclude(settled, models, by, use)


def parse_betas(text: str) -> list[float]:
    """The betas of `0.1,1,4`, in order and each once.

    >>> parse_betas("4, 0.1,1,1")
    [0.1, 1.0, 4.0]
    """
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(0 <= beta < math.inf for beta in found):
        raise UsageError(
            f"--beta {text}: write numbers of at least 0 with commas between, such as {USUAL_BETAS}"
        )
    return found


def _trained(config: RunConfig, betas: Sequence[float], *, force: bool, quiet: bool) -> list[Path]:
    """The model of each beta."""
    from vaekit.cli.terminal.training_view import TrainingView
    from vaekit.training.sweep_runs import train_betas

    views: list[TrainingView] = []

    def watch(beta: float) -> TrainingView:
        views.append(TrainingView(quiet=quiet))
        views[-1].say(f"beta {beta:g}: run {len(views)} of {len(betas)}", style="bold")
        return views[-1]

    models = []
    for result in train_betas(config, betas, watch, force=force):
        views[-1].finished(result)
        models.append(result.model)
    return models


def _conclude(
    config: RunConfig, models: Sequence[Path], by: DatasetOptions, use: UseOptions
) -> None:
    """Evaluate the models, write the plot and the numbers, and print the numbers."""
    from vaekit.evaluation.comparison import comparison_record
    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.files import write_text
    from vaekit.training.sweep_runs import sweep_folder

    terminal = Terminal(quiet=use.quiet)
    compared = evaluate_models(models, by, MetricRequest(), use, terminal)
    folder = sweep_folder(config)
    text = json.dumps(comparison_record(compared.records, compared.values))
    write_text(folder / "rate-distortion.json", text + "\n")
    write_plot(folder / "rate-distortion.png", compared, terminal)
    if use.as_json:
        print(text)
    else:
        print_table(["beta", *SWEEP_COLUMNS, "model"], _rows(compared))


def _rows(compared: ComparedModels) -> Iterator[list[str]]:
    for record in compared.records:
        numbers = [shown_number(name, record) for name in SWEEP_COLUMNS.values()]
        yield [f"{record['beta']:g}", *numbers, record["model"]]
