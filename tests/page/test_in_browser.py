"""The page in a browser: it draws itself from disk without an error, and its controls work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.browser import Tab, find_browser, open_browser


@pytest.fixture(scope="module")
def tab(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The page of the small run, on a screen of 1000 x 900."""
    found = find_browser()
    if found is None:
        pytest.skip("there is no Chromium here")
    with open_browser(found, tmp_path_factory.mktemp("profile")) as browser:
        tab = browser.tab()
        tab.screen(1000, 900)
        tab.open(page)
        yield tab


@pytest.fixture(autouse=True)
def _no_error(tab: Tab) -> Iterator[None]:
    yield
    tab.evaluate("0")
    assert tab.problems == []
    assert {request.partition(":")[0] for request in tab.requests} <= {"file", "data", "blob"}


def choose(tab: Tab, selector: str, value: str) -> None:
    tab.evaluate(
        f"(() => {{ const e = document.querySelector('{selector}'); e.value = '{value}';"
        "e.dispatchEvent(new Event('change')); })()"
    )


def text(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def test_every_part_is_drawn(tab: Tab) -> None:
    assert tab.evaluate("document.title") == "mlp on digits – vaekit report"
    counts = {
        "#sample-grid canvas": 64, "#pair-grid canvas": 48, "#lowest canvas": 16,
        "#traversal-cards canvas": 4, "#player-stops canvas": 6, "#health-bars > div": 4,
    }  # fmt: skip
    found = {each: tab.evaluate(f"document.querySelectorAll('{each}').length") for each in counts}
    assert found == counts


def test_the_page_fits_a_phone_even_with_a_tip_open_where_the_screen_ends(tab: Tab) -> None:
    tab.evaluate("document.querySelector('#curve').focus()")
    tab.key("ArrowLeft")
    assert not tab.evaluate("document.querySelector('#curves .tip').hidden")
    tab.screen(390, 844)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.screen(1000, 900)


def test_pointing_at_the_curves_shows_the_values_of_an_epoch(tab: Tab) -> None:
    left, top, width, height = tab.place("#curve")
    tab.mouse("mouseMoved", left + width - 15, top + height / 2)
    assert text(tab, "#curves .tip").startswith("Epoch 3\ntraining ")
    tab.evaluate("document.querySelector('#curve').focus()")
    tab.key("ArrowLeft")
    assert text(tab, "#curve-values").startswith("Epoch 2: training ")


def test_pointing_at_the_map_shows_the_image_there(tab: Tab) -> None:
    tab.place("#map-canvas")
    tab.evaluate("document.querySelector('#map-canvas').focus()")
    tab.key("n")
    name = tab.evaluate("report.map.names[0]")
    assert text(tab, "#map .tip").startswith(f"{name}\nclass ")
    tab.key("s")
    assert tab.evaluate("document.querySelector('#selection-names').value") == name
    tab.key("Escape")
    assert tab.evaluate("document.querySelector('#selection').hidden")


def test_a_lasso_around_everything_lists_every_name(tab: Tab) -> None:
    tab.click("#map-lasso")
    left, top, width, height = tab.place("#map-canvas")
    right, bottom = left + width - 2, top + height - 2
    tab.drag((left + 2, top + 2), (right, top + 2), (right, bottom), (left + 2, bottom))
    names = tab.evaluate("document.querySelector('#selection-names').value").split("\n")
    assert names == tab.evaluate("report.map.names")
    assert text(tab, "#selection-title") == "60 images selected"
    tab.click("#selection-clear")
    tab.click("#map-lasso")


def test_the_map_zooms_moves_and_shows_pictures_and_the_decoded_plane(tab: Tab) -> None:
    pixels = "document.querySelector('#map-canvas').toDataURL()"
    before = tab.evaluate(pixels)
    tab.click("#map-in")
    left, top, _, _ = tab.place("#map-canvas")
    tab.drag((left + 300, top + 200), (left + 380, top + 260))
    assert tab.evaluate(pixels) != before
    tab.click("#map-reset")
    tab.mouse("mouseMoved", 5, 5)
    assert tab.evaluate(pixels) == before
    seen = {before}
    for way in ("pictures", "plane"):
        choose(tab, "#map-show", way)
        seen.add(tab.evaluate(pixels))
    assert len(seen) == 3
    choose(tab, "#map-show", "dots")
    choose(tab, "#map-colour", "loss")
    assert tab.evaluate(pixels) not in seen
    assert "percentile" in text(tab, "#map-legend")


def test_a_slider_changes_its_image_and_the_player_plays(tab: Tab) -> None:
    image = "document.querySelector('#traversal-cards canvas').toDataURL()"
    before = tab.evaluate(image)
    tab.evaluate("document.querySelector('#traversal-cards input').focus()")
    tab.place("#traversal-cards input")
    tab.key("End")
    assert tab.evaluate(image) != before
    assert text(tab, "#traversal-cards figcaption").endswith("3.00")
    tab.click("#player-play")
    moved = (
        "new Promise(r => setTimeout(() => r(document.querySelector('#player-slider').value), 400))"
    )
    assert int(tab.evaluate(moved)) > 0
    tab.click("#player-play")


def test_the_theme_follows_the_system_and_the_button(tab: Tab) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(colour)
    tab.screen(1000, 900, dark=True)
    dark = tab.evaluate(colour)
    assert dark != light
    tab.click("#theme")
    assert (text(tab, "#theme"), tab.evaluate(colour)) == ("Theme: light", light)
    tab.screen(1000, 900)
    tab.click("#theme")
    assert (text(tab, "#theme"), tab.evaluate(colour)) == ("Theme: dark", dark)
