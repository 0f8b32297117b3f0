"""`vaekit compare`: several models on the same images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from vaekit.cli.compared_models import ComparedModels, evaluate_models, plot_path, write_plot
from vaekit.cli.evaluation_options import MetricOptions, metric_request
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.model_commands import open_terminal
from vaekit.cli.options import DatasetOptions, UseOptions, value_option, with_option_groups
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.terminal.tables import print_table
from vaekit.errors import DataError, UsageError
from vaekit.evaluation.metrics import METRICS
from vaekit.model_file.header import ModelHeader, read_model_file

if TYPE_CHECKING:
    from vaekit.evaluation.comparison import Difference

Record = dict[str, Any]


@with_option_groups
def command(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="two or more model files or runs")
    ],
    by: DatasetOptions,
    what: MetricOptions,
    plot: Annotated[
        str | None,
        value_option(
            "--plot", metavar="FILE", help="draw rate against distortion: .png, .jpg or .webp"
        ),
    ] = None,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Evaluate several models on the same images, side by side.

    [dim]vaekit compare runs/digits-mlp runs/digits-mlp-2[/dim]

    Parentheses hold the difference from the first model, image by image, with
    its standard error. Stars mark the best model of a row and those that are
    not significantly worse.
    """
    asked, picture = metric_request(what, by, use), plot_path(plot)
    headers = _headers_of_one_shape(models)
    if picture is not None:
        from vaekit.evaluation.rate_distortion import refuse_other_kinds

        refuse_other_kinds(headers)
    terminal = open_terminal(use)
    compared = evaluate_models(models, by, asked, use, terminal)
    _conclude(compared, use, terminal)
    if picture is not None:
        write_plot(picture, compared, terminal)


def _headers_of_one_shape(models: Sequence[Path]) -> list[ModelHeader]:
    """The headers; a single model, and models of different image shapes, are refused."""
    if len(models) < 2:
        raise UsageError("compare takes two model files or more: vaekit evaluate takes one")
    headers = [read_model_file(path).header for path in models]
    for path, header in zip(models, headers, strict=True):
        if header.image != headers[0].image:
            own, others = ("x".join(map(str, each.image)) for each in (header, headers[0]))
            raise DataError(f"{path}: its images are {own}, those of {models[0]} are {others}")
    return headers


def _conclude(compared: ComparedModels, use: UseOptions, terminal: Terminal) -> None:
    from vaekit.evaluation.comparison import best, comparable, comparison_record, differences

    records, values = compared.records, compared.values
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
