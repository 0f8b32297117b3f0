"""`vaekit compare`: several models on the same images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from vaekit.cli.console import Terminal
from vaekit.cli.evaluation_options import (
    MetricOptions,
    load_evaluation_images,
    metric_request,
)
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.model_commands import note_part, open_model, open_terminal
from vaekit.cli.options import DatasetOptions, UseOptions, with_option_groups
from vaekit.cli.tables import print_table
from vaekit.errors import DataError, UsageError
from vaekit.evaluation.metrics import METRICS
from vaekit.header import read_model_file

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.evaluation.comparison import Difference

Record = dict[str, Any]


@with_option_groups
def command(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="two or more model files or runs")
    ],
    by: DatasetOptions,
    what: MetricOptions,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Evaluate several models on the same images, side by side.

    [dim]vaekit compare runs/digits-mlp runs/digits-mlp-2[/dim]

    Parentheses hold the difference from the first model, image by image, with
    its standard error. Stars mark the best model of a row and those that are
    not significantly worse.
    """
    asked = metric_request(what, by, use)
    _refuse(models)
    terminal = open_terminal(use)
    first = open_model(models[0], use, terminal)
    images, points = load_evaluation_images(first, by, asked, use, terminal)
    from vaekit.evaluation.evaluation_record import evaluate_each

    records, values = [], []
    for path in models:
        model = open_model(path, use, terminal)
        record, each = evaluate_each(model, images, asked, points=points, reporter=terminal)
        records.append({"model": str(path), **record})
        values.append(each)
    if by.dataset:
        note_part(by, len(images), by.dataset, terminal)
    _conclude(records, values, use, terminal)


def _refuse(models: Sequence[Path]) -> None:
    """Refuse a single model, and models of different image shapes."""
    if len(models) < 2:
        raise UsageError("compare takes two model files or more: vaekit evaluate takes one")
    shapes = {path: read_model_file(path).header.image for path in models}
    first, *others = shapes
    for other in others:
        if shapes[other] != shapes[first]:
            one, two = ("x".join(map(str, shapes[path])) for path in (first, other))
            raise DataError(f"{other}: its images are {two}, those of {first} are {one}")


def _conclude(
    records: list[Record], values: list[dict[str, Tensor]], use: UseOptions, terminal: Terminal
) -> None:
    from vaekit.evaluation.comparison import best, comparable, comparison_record, differences

    if not comparable(records):
        terminal.note("the likelihoods differ in kind, so their nats do not compare")
    if use.as_json:
        print(json.dumps(comparison_record(records, values)))
        return
    found = differences(records, values)
    titles = ["", *(record["model"] for record in records)]
    print_table(titles, _lines(records, found, best(records, found)))


def _lines(
    records: Sequence[Record],
    found: dict[str, list[Difference]],
    leaders: dict[str, list[int]],
) -> Iterator[list[str | Text]]:
    yield ["likelihood", *(record["likelihood"] for record in records)]
    if any(record["trained_on"] for record in records):
        yield ["trained on", *(_trained(record) for record in records)]
    shown = [metric.name for metric in METRICS if not metric.per_dimension]
    for name in shown:
        if not any(name in record for record in records):
            continue
        first = {d.second: d for d in found.get(name, ()) if d.first == 0}
        cells: list[str | Text] = []
        for place, record in enumerate(records):
            text = shown_number(name, record) if name in record else ""
            text += _difference(first.get(place))
            starred = place in leaders.get(name, ()) and len(leaders[name]) < len(records)
            cells.append(Text(f"{text} *", style="bold") if starred else text)
        yield [name, *cells]


def _trained(record: Record) -> str:
    count = record["trained_on"]
    return "unknown" if count is None else f"{count:,} of {record['n']:,} images"


def _difference(each: Difference | None) -> str:
    """The difference from the first model, in parentheses."""
    return "" if each is None else f" ({each.mean:+.3g} ± {each.stderr:.2g})"
