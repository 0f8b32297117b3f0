"""`vaekit report`: one HTML file with everything about a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.cli.evaluation_options import MetricOptions, load_evaluation_images, metric_request
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.model_commands import choose_target, open_model, open_terminal, print_output_path
from vaekit.cli.options import (
    DatasetOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    with_option_groups,
)

if TYPE_CHECKING:
    from vaekit.cli.console import Terminal
    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.inference import Model

TAKES = ("html",)


@with_option_groups
def command(
    model: ModelArgument,
    by: DatasetOptions,
    what: MetricOptions,
    where: OutputOptions,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Write a page about a model: curves, pictures, a map, numbers.

    [dim]vaekit report runs/digits-mlp[/dim]
    [dim]vaekit report model.safetensors --dataset photos/ -o photos.html[/dim]

    The page is one HTML file. It needs no network and opens from disk.
    """
    target = choose_target(model, where, use, takes=TAKES, on_stdout="html", default="report.html")
    asked = metric_request(what, use)
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.output.byte_streams import write_output

    count, page = _page(opened, by, asked, use, terminal, _again(model, by, what, use))
    write_output(target, page)
    print_output_path(target, count, use)


def _page(
    model: Model,
    by: DatasetOptions,
    asked: MetricRequest,
    use: UseOptions,
    terminal: Terminal,
    again: str,
) -> tuple[int, bytes]:
    """The number of images, and the page."""
    from vaekit.evaluation.evaluation_record import evaluate_each
    from vaekit.evaluation.metrics import METRICS
    from vaekit.page.html_page import html_page
    from vaekit.page.report_contents import ReportSubject, report_contents
    from vaekit.page.run_history import training_history

    images, points = load_evaluation_images(model, by, asked, use, terminal)
    history = training_history(model.path, model.header) if model.path else []
    record, per_image = evaluate_each(model, images, asked, points=points, reporter=terminal)
    shown = {m.name: shown_number(m.name, record) for m in METRICS if m.name in record}
    subject = ReportSubject(model, images, record, per_image, use.seed)
    return len(images), html_page(report_contents(subject, shown, history, again, terminal))


def _again(model: Path, by: DatasetOptions, what: MetricOptions, use: UseOptions) -> str:
    """The command line that makes this page again, without what changes no byte of it."""
    flags = {
        "--dataset": by.dataset,
        "--split": by.split if by.split != "test" else None,
        "--limit": by.limit,
        "--data-dir": by.data_dir,
        "--metrics": what.metrics,
        "--nll-samples": what.nll_samples,
        "--features": what.features if what.features != "inception" else None,
        "--inception-weights": what.inception_weights,
        "--seed": use.seed or None,
    }
    given = [part for flag, value in flags.items() if value for part in (flag, str(value))]
    return shlex.join(["vaekit", "report", str(model), *given])
