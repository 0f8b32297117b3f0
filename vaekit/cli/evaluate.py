"""`vaekit evaluate`: the numbers of one model."""

from __future__ import annotations

import json
import sys

from vaekit.cli.console import Terminal
from vaekit.cli.judging import By, What, loaded, wanted
from vaekit.cli.numbers import table
from vaekit.cli.options import ModelFile, Use, flat
from vaekit.cli.tables import show_pairs
from vaekit.cli.using import open_model


@flat
def command(
    model: ModelFile,
    by: By,
    what: What,
    use: Use = Use(),  # noqa: B008 (frozen)
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
