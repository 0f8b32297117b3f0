"""`vaekit evaluate`: the metrics of one model."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from vaekit.cli.evaluation_options import (
    MetricOptions,
    load_evaluation_images,
    metric_request,
)
from vaekit.cli.metric_rows import table
from vaekit.cli.model_commands import open_model, open_terminal
from vaekit.cli.options import DatasetOptions, ModelArgument, UseOptions, with_option_groups
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.terminal.tables import print_pairs
from vaekit.machine.ranks import Ranks, joined

if TYPE_CHECKING:
    from vaekit.data import ImageSet
    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.inference import Model


@with_option_groups
def command(
    model: ModelArgument,
    by: DatasetOptions,
    what: MetricOptions,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Evaluate a model: likelihood, reconstructions, samples.

    [dim]vaekit evaluate model.safetensors --nll-samples 1000[/dim]
    [dim]vaekit evaluate model.safetensors --metrics all --json[/dim]
    """
    asked = metric_request(what, by, use)
    terminal = open_terminal(use)
    with joined() as ranks:
        with ranks.host_leads():
            opened = open_model(model, use, terminal)
            images, points = load_evaluation_images(opened, by, asked, use, terminal)
        ranks.begin()
        record = _record(opened, images, points, asked, terminal, ranks)
    if record is None:
        return
    if not use.as_json:
        print_pairs(table(record))
        return
    if sys.stderr.isatty():
        for name, value in table(record):
            terminal.say(f"{name:<22} {value}")
    print(json.dumps(record))


def _record(
    model: Model,
    images: ImageSet,
    points: ImageSet | None,
    asked: MetricRequest,
    terminal: Terminal,
    ranks: Ranks,
) -> dict[str, Any] | None:
    """The numbers on rank 0; None on the others, which do their share of the work."""
    from vaekit.evaluation.evaluated_model import EvaluatedModel
    from vaekit.evaluation.evaluation_record import evaluate_each
    from vaekit.evaluation.shared_passes import take_part

    if ranks.is_first:
        return evaluate_each(model, images, asked, points=points, reporter=terminal, ranks=ranks)[0]
    take_part(EvaluatedModel(model, images, asked.seed, asked.batch_size, ranks=ranks), asked)
    return None
