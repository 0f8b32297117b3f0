"""`vaekit evaluate`: the numbers of one model."""

from __future__ import annotations

import json
import sys

from vaekit.cli.console import Terminal
from vaekit.cli.evaluation_options import EvaluationOptions, What, loaded, wanted
from vaekit.cli.metric_rows import table
from vaekit.cli.model_commands import open_model
from vaekit.cli.options import ModelArgument, UseOptions, flat
from vaekit.cli.tables import show_pairs


@flat
def command(
    model: ModelArgument,
    by: EvaluationOptions,
    what: What,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Evaluate a model: likelihood, reconstructions, latents; samples and disentanglement if asked.

    [dim]vaekit evaluate model.safetensors --nll-samples 1000[/dim]
    [dim]vaekit evaluate model.safetensors --metrics all --features pixels --json[/dim]
    """
    asked = wanted(what, use)
    terminal = Terminal(quiet=use.quiet)
    opened = open_model(model, use, terminal)
    images, points = loaded(opened, by, asked, use, terminal)
    from vaekit.evaluation.report import evaluate

    record = evaluate(opened, images, asked, points=points, reporter=terminal)
    if not use.as_json:
        show_pairs(table(record))
        return
    if sys.stderr.isatty():
        for name, value in table(record):
            terminal.say(f"{name:<22} {value}")
    print(json.dumps(record))
