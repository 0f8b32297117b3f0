"""The live page in a browser: sliders decode, an image lands on the map, a click decodes."""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vaekit
from tests.page.browser import Tab, find_browser, open_browser
from vaekit.cli.console import Terminal
from vaekit.cli.evaluation_options import MetricOptions
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.reported_model import gather_page, history_of
from vaekit.page.html_page import html_page
from vaekit.page.live_model import LiveModel
from vaekit.page.live_server import LiveServer
from vaekit.page.report_contents import images_on_map


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small run, to which epochs may be added."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("live") / "run"))


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[LiveServer]:
    """The live page of the small run."""
    model = vaekit.load(run, "cpu")
    few, use = DatasetOptions(limit=60), UseOptions(quiet=True)
    subject, contents = gather_page(model, few, MetricOptions(), use, Terminal(quiet=True), "x")
    live = LiveModel(model, subject.images, images_on_map(subject))
    page = html_page({**contents, "live": live.page_facts()}, live=True)
    answers = {"/decode": live.decode, "/walk": live.walk, "/history": lambda _: history_of(model)}
    with LiveServer(page, answers, {"/place": live.place}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tab(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    found = find_browser()
    if found is None:
        pytest.skip("there is no Chromium here")
    with open_browser(found, tmp_path_factory.mktemp("profile")) as browser:
        tab = browser.tab()
        tab.screen(1000, 900)
        tab.visit(server.url)
        yield tab


@pytest.fixture(autouse=True)
def _no_error(tab: Tab, server: LiveServer) -> Iterator[None]:
    yield
    tab.evaluate("0")
    assert tab.problems == []
    own = f"http://127.0.0.1:{server.server_port}/"
    assert [url for url in tab.requests if not url.startswith((own, "data:", "blob:"))] == []


def test_a_slider_decodes_as_it_moves(tab: Tab) -> None:
    before = tab.evaluate("document.querySelector('#live img').src")
    tab.place("#live .sliders input")
    tab.evaluate("document.querySelector('#live .sliders input').focus()")
    tab.key("End")
    assert tab.until(f"document.querySelector('#live img').src !== {json.dumps(before)}")


def drop(tab: Tab, pixels: np.ndarray, name: str) -> None:
    """Drop the picture of a grey image on the page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(buffer, "png")
    text = base64.b64encode(buffer.getvalue()).decode()
    tab.evaluate(
        "(() => { const given = new DataTransfer();"
        f"const bytes = Uint8Array.from(atob('{text}'), c => c.charCodeAt(0));"
        f"given.items.add(new File([bytes], '{name}', {{type: 'image/png'}}));"
        "window.dispatchEvent(new DragEvent('drop', {dataTransfer: given})); })()"
    )
    assert tab.until(f"mapMarks.some(m => m.name === '{name}')")


def test_two_dropped_images_land_on_the_map_and_make_a_walk(tab: Tab, server: LiveServer) -> None:
    digits = vaekit.load_dataset("digits", "test", limit=60).images
    for index in (7, 20):
        drop(tab, digits[index], f"<b>{index}</b>.png")
    mark = tab.evaluate("mapMarks[0]")
    assert mark["x"] == pytest.approx(tab.evaluate("report.map.x[7]"), abs=1e-3)
    assert mark["y"] == pytest.approx(tab.evaluate("report.map.y[7]"), abs=1e-3)
    assert tab.until("document.querySelector('#live .walk input') !== null")
    assert tab.evaluate("document.querySelectorAll('#live .result').length") == 2
    assert tab.evaluate("document.querySelectorAll('#live b').length") == 0, "names are text"


def test_a_dropped_image_that_was_trained_on_is_marked(tab: Tab, run: Path) -> None:
    trained = vaekit.load(run, "cpu").trained_images
    assert trained is not None
    images = vaekit.load_dataset("digits", "train").images
    drop(tab, images[trained.found(images)][0], "seen.png")
    said = "[...document.querySelectorAll('#live .result')].map(r => r.textContent)"
    last = f"{said}.at(-1)"
    assert tab.until(f"{last}.includes('seen.png')")
    assert "The model was trained on this image" in tab.evaluate(last)
    assert "The model was trained on" not in tab.evaluate(f"{said}.at(-2)")


def test_a_click_on_the_map_decodes_that_place(tab: Tab) -> None:
    before = tab.evaluate("document.querySelector('.picked img').src")
    left, top, width, height = tab.place("#map-canvas")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        tab.mouse(kind, left + width / 2 + 60, top + height / 2 - 40)
    assert tab.until(f"document.querySelector('.picked img').src !== {json.dumps(before)}")
    assert tab.evaluate("document.querySelector('.picked p').textContent").startswith("Decoded at")


def test_the_curves_follow_the_run(tab: Tab, run: Path) -> None:
    metrics = run / "metrics.jsonl"
    record = json.loads(metrics.read_text().splitlines()[-1])
    with metrics.open("a") as file:
        file.write(json.dumps(record | {"epoch": 4, "train_neg_elbo": 123.25}) + "\n")
    tab.evaluate("followRun()")
    tab.evaluate("document.querySelector('#curve').focus()")
    tab.key("ArrowLeft")
    words = tab.evaluate("document.querySelector('#curve-values').textContent")
    assert words.startswith("Epoch 4: training 123.25, validation ")


def test_what_is_no_image_is_said_on_the_page(tab: Tab) -> None:
    tab.evaluate(
        "(() => { const given = new DataTransfer(); given.items.add(new File(['x'], 'x.txt'));"
        "window.dispatchEvent(new DragEvent('drop', {dataTransfer: given, bubbles: true})); })()"
    )
    problem = "[...document.querySelectorAll('#live .problem')].map(p => p.textContent).join('')"
    assert tab.until(f"{problem}.includes('is not an image')")
    tab.problems.clear()  # the browser notes the refusal, status 400, in its console


def test_the_live_page_fits_a_phone(tab: Tab) -> None:
    tab.screen(390, 844)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.screen(1000, 900)
