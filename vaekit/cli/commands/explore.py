"""`vaekit explore`: the page of `report`, alive on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.evaluation_options import MetricOptions, metric_request
from vaekit.cli.model_commands import open_model, open_terminal
from vaekit.cli.options import (
    DatasetOptions,
    ModelArgument,
    UseOptions,
    switch_option,
    value_option,
    with_option_groups,
)
from vaekit.cli.reported_model import command_line, gather_page, history_of
from vaekit.errors import VaekitError

if TYPE_CHECKING:
    from vaekit.cli.console import Terminal
    from vaekit.inference import Model
    from vaekit.page.live_server import LiveServer


@with_option_groups
def command(
    model: ModelArgument,
    by: DatasetOptions,
    what: MetricOptions,
    port: Annotated[
        int, value_option("--port", metavar="N", min=0, max=65535, help="port; 0: any free one")
    ] = 0,
    open_browser: Annotated[
        bool, switch_option("--open", help="open the page in the browser")
    ] = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Explore a model in the browser: sliders, your images, a map.

    [dim]vaekit explore runs/digits-mlp --open[/dim]

    Serves the page of report on this machine alone. Ctrl-C stops it.
    """
    metric_request(what, by, use)  # a wrong metric is refused before the model is loaded
    terminal = open_terminal(use)
    opened = open_model(model, use, terminal)
    again = command_line("explore", model, by, what, use)
    with _server(opened, by, what, use, terminal, again, port) as server:
        print(json.dumps({"url": server.url}) if use.as_json else server.url, flush=True)
        terminal.note("Ctrl-C stops it; whoever has this address can use the page")
        if open_browser:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever()


def _server(
    model: Model,
    by: DatasetOptions,
    what: MetricOptions,
    use: UseOptions,
    terminal: Terminal,
    again: str,
    port: int,
) -> LiveServer:
    """The server of the page, ready to run."""
    from vaekit.page.html_page import html_page
    from vaekit.page.live_model import LiveModel
    from vaekit.page.live_server import LiveServer
    from vaekit.page.report_contents import images_on_map

    subject, contents = gather_page(model, by, what, use, terminal, again)
    live = LiveModel(model, subject.images, images_on_map(subject))
    page = html_page({**contents, "live": live.page_facts()}, live=True)
    answers = {"/decode": live.decode, "/walk": live.walk, "/history": lambda _: history_of(model)}
    try:
        return LiveServer(page, answers, {"/place": live.place}, port)
    except OSError as error:
        raise VaekitError(f"--port {port}: {(error.strerror or str(error)).lower()}") from None
