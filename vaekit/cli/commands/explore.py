"""`vaekit explore`: the page of `report`, alive on this machine, which follows a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.evaluation_options import MetricOptions, metric_request
from vaekit.cli.model_commands import open_terminal
from vaekit.cli.options import (
    DatasetOptions,
    ModelArgument,
    UseOptions,
    switch_option,
    value_option,
    with_option_groups,
)
from vaekit.cli.reported_model import PageOptions, command_line
from vaekit.errors import VaekitError
from vaekit.model_file.header import read_model_file
from vaekit.page.followed_run import run_in

if TYPE_CHECKING:
    from vaekit.page.live_page import LivePage
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
    tied: Annotated[bool, switch_option("--tied", hidden=True)] = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Explore a model in the browser: sliders, your images, a map.

    [dim]vaekit explore runs/digits-mlp --open[/dim]

    Serves the page of report on this machine alone, and follows a run while
    it trains. Ctrl-C stops it.
    """
    metric_request(what, by, use)  # a wrong metric is refused before the model is loaded
    terminal = open_terminal(use)
    if run_in(model) is None:
        read_model_file(model)  # a bad file is refused before torch is imported
    if tied:  # `train --watch` started it: it ends with that command, and leaves it the cores
        from vaekit.cli.watched_run import end_with_stdin

        end_with_stdin()
    from vaekit.cli.explored_model import live_page

    options = PageOptions(by, what, use, command_line("explore", model, by, what, use))
    page = live_page(model, options, terminal, tied=tied)
    if not tied:
        page.look_now()
    with page_server(page, port) as server:
        print(json.dumps({"url": server.url}) if use.as_json else server.url, flush=True)
        terminal.note("Ctrl-C stops it; whoever has this address can use the page")
        if open_browser:
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever()


def page_server(page: LivePage, port: int) -> LiveServer:
    """The server of the page, ready to run."""
    from vaekit.page.live_server import LiveServer

    answers = {
        "/decode": page.decode,
        "/walk": page.walk,
        "/status": page.status,
        "/contents": page.contents,
    }
    try:
        return LiveServer(page.html, answers, {"/place": page.place}, port)
    except OSError as error:
        raise VaekitError(f"--port {port}: {(error.strerror or str(error)).lower()}") from None
