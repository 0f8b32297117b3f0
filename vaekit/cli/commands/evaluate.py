"""`vaekit evaluate`: the metrics of one model."""

from __future__ import annotations

import json
import sys

from vaekit.cli.evaluation_options import (
    MetricOptions,
    load_evaluation_images,
    metric_request,
)
from vaekit.cli.metric_rows import table
from vaekit.cli.model_commands import open_model, open_terminal
from vaekit.cli.options import DatasetOptions, ModelArgument, UseOptions, with_option_groups
from vaekit.cli.tables import print_pairs


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
    opened = open_model(model, use, terminal)
    images, points = load_evaluation_images(opened, by, asked, use, terminal)
    from vaekit.evaluation.evaluation_record import evaluate

    record = evaluate(opened, images, asked, points=points, reporter=terminal)
    if not use.as_json:
        print_pairs(table(record))
        return
    if sys.stderr.isatty():
        for name, value in table(record):
            terminal.say(f"{name:<22} {value}")
    print(json.dumps(record))
