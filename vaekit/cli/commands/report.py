"""`vaekit report`: one HTML file with everything about a model."""

from __future__ import annotations

from vaekit.cli.evaluation_options import MetricOptions, metric_request
from vaekit.cli.model_commands import choose_target, open_model, open_terminal, print_output_path
from vaekit.cli.options import (
    DatasetOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    with_option_groups,
)
from vaekit.cli.reported_model import PageOptions, command_line, gather_page

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
    metric_request(what, by, use)  # a wrong metric is refused before the model is loaded
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.output.byte_streams import write_output
    from vaekit.page.html_page import html_page

    options = PageOptions(by, what, use, command_line("report", model, by, what, use))
    subject, contents = gather_page(opened, options, terminal)
    write_output(target, html_page(contents))
    print_output_path(target, len(subject.images), use)
