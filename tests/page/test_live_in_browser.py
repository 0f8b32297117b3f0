"""The live page in a browser: sliders decode, an image lands on the map, the run is followed."""

from __future__ import annotations

import base64
import contextlib
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
from tests.conftest import TINY
from tests.page.browser import Tab, find_browser, open_browser
from vaekit import files
from vaekit.cli.commands.explore import page_server
from vaekit.cli.evaluation_options import MetricOptions
from vaekit.cli.explored_model import live_page
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.reported_model import PageOptions
from vaekit.cli.terminal.console import Terminal
from vaekit.model_file.header import sha256
from vaekit.page import live_page as live_page_module
from vaekit.page.live_server import LiveServer
from vaekit.training.run_files.run_folder import LOCK


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small run, to which epochs may be added."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("live") / "run"))


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[LiveServer]:
    """The live page of the small run."""
    with served(run) as server:
        yield server


@contextlib.contextmanager
def served(run: Path) -> Iterator[LiveServer]:
    """Serve the live page of a run in a thread."""
    few, use = DatasetOptions(limit=60), UseOptions(quiet=True, device="cpu")
    options = PageOptions(few, MetricOptions(), use, "x")
    page = live_page(run, options, Terminal(quiet=True), tied=False)
    page.look_now()
    with page_server(page, 0) as server:
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
        file.write(json.dumps(record | {"epoch": 4, "train_neg_elbo": 123.25}) + "\n" + '{"epoc')
    tab.evaluate("followRun()")
    tab.evaluate("document.querySelector('#curve').focus()")
    tab.key("ArrowLeft")
    words = tab.evaluate("document.querySelector('#curve-values').textContent")
    assert words.startswith("Epoch 4: training 123.25, validation ")


def test_newer_weights_replace_those_that_are_shown(
    tab: Tab, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The visitor keeps the latent of the sliders, the images dropped, the choices, the focus."""
    monkeypatch.setattr(live_page_module, "REST", 0)
    before = tab.evaluate(
        "(() => { const s = document.querySelector('#live .sliders input'); s.value = 1.5;"
        "s.dispatchEvent(new Event('input')); byId('map-show').value = 'plane';"
        "byId('sample-grid').querySelector('button').focus();"
        "return [mixed.z, report.map.x[7], byId('sample-grid').querySelectorAll('canvas').length];"
        "})()"
    )
    vaekit.train(**{**TINY, "seed": 5}, output="other", pictures_every="off", threads=1)
    Path("other/model.safetensors").replace(run / "model.safetensors")
    tab.evaluate("followRun()")
    assert tab.until("report.live.version === 2 || followRun().then(() => false)")
    model = vaekit.load(run, "cpu")
    data = vaekit.load_dataset("digits", "test", limit=60)
    subject = model.embed(data.images).double().numpy()
    spread = (subject - subject.mean(0)).var(0).sum()
    found = tab.evaluate("[mixed.z, report.map.x, report.map.y, byId('map-show').value]")
    assert found[0] == before[0]
    assert found[1][7] != before[1]
    assert np.var(found[1]) + np.var(found[2]) <= spread * 1.0001
    assert found[3] == "plane"
    assert tab.evaluate("document.querySelectorAll('#sample-grid canvas').length") == before[2]
    assert tab.evaluate("document.activeElement.closest('section').id") == "samples"
    assert tab.evaluate("report.record.model_sha256") == sha256(run / "model.safetensors")
    assert tab.until("mapMarks.length === 2")
    assert tab.evaluate("mapMarks[0].x") == pytest.approx(found[1][20], abs=1e-3)
    words = tab.evaluate("byId('run-words').textContent")
    best = model.header.training["best"]["epoch"]
    assert words.endswith(f"The page shows the weights of epoch {best}, the best on validation.")


def test_a_run_that_was_started_again_with_another_network_is_shown(
    tab: Tab, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page_module, "REST", 0)
    options = {**TINY, "latent_dim": 2, "image_size": (10, 12), "epochs": 2}
    vaekit.train(**options, output="other", pictures_every="off", threads=1)
    version = tab.evaluate("report.live.version")
    shutil.rmtree(run)
    tab.evaluate("followRun()")
    assert tab.evaluate("byId('run-words').textContent").startswith(f"The folder {run} is gone.")
    Path("other").rename(run)
    assert tab.until(f"report.live.version > {version} || followRun().then(() => false)")
    assert tab.evaluate("[report.model.image, mixed.z, report.map.axes]") == [
        [10, 12, 1], [0, 0], ["z0", "z1"],
    ]  # fmt: skip
    assert tab.evaluate("document.querySelectorAll('#traversal-cards figure').length") <= 2
    assert tab.until("mapMarks.length === 2"), "the images dropped are placed by the new network"


def test_a_run_without_weights_is_waited_for(
    tab: Tab, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page_module, "REST", 0)
    young = Path(shutil.copytree(tiny_run, "young"))
    (young / "model.safetensors").unlink()
    lines = (young / "metrics.jsonl").read_text().splitlines(keepends=True)
    (young / "metrics.jsonl").write_text("")
    (young / "checkpoint").rename("later")
    here = tab.evaluate("location.href")
    with served(young) as server, files.locked(young / LOCK):
        tab.visit(server.url)
        assert (
            tab.evaluate("byId('run').innerText")
            .split("\n")[-1]
            .endswith(
                "Training: epoch 1 of 3. No weights are saved yet: the page waits for the first."
            )
        )
        shown = "[...document.querySelectorAll('section')].filter(s => s.getClientRects().length)"
        assert tab.evaluate(f"{shown}.map(s => s.id)") == []
        for count in (1, 2):
            (young / "metrics.jsonl").write_text("".join(lines[:count]))
            tab.evaluate("followRun()")
            assert tab.evaluate("report.history.length") == count
        assert tab.evaluate(f"{shown}.map(s => s.id)") == ["curves"]
        Path("later").rename(young / "checkpoint")
        assert tab.until("report.live.version === 1 || followRun().then(() => false)")
        assert tab.evaluate("byId('run-words').textContent") == (
            "Training: epoch 3 of 3. The page shows the weights of epoch 3, the best on "
            "validation so far."
        )
        assert tab.evaluate(f"{shown}.length") > 8
        assert tab.evaluate("document.title") == "mlp on digits \u2013 vaekit explore"
        server_of_young = f"http://127.0.0.1:{server.server_port}/"
    tab.requests[:] = [url for url in tab.requests if not url.startswith(server_of_young)]
    tab.visit(here)


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
