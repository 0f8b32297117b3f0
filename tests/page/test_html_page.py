"""The file: data cannot become markup, and the browser is forbidden to load anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from vaekit.page.html_page import LIVE_SCRIPTS, SCRIPTS, html_page

EVIL = "</script><img src=x onerror=alert(1)><!--<script>&amp; [[script]] [[data]] \u2028 \udcff é"


class Parts(HTMLParser):
    """The elements of a page with their attributes, and the text of scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(page.decode("ascii"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("type") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def policy(self) -> dict[str, str]:
        """The Content-Security-Policy by directive."""
        metas = [dict(a) for tag, a in self.elements if tag == "meta" and "http-equiv" in a]
        directives = (metas[0]["content"] or "").split("; ")
        return {d.partition(" ")[0]: d.partition(" ")[2] for d in directives}


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts(html_page({"name": EVIL, EVIL: [EVIL, 1.5, None]}))


def test_text_of_the_data_is_data_whatever_is_in_it(parts: Parts) -> None:
    assert json.loads(parts.texts["application/json"]) == {"name": EVIL, EVIL: [EVIL, 1.5, None]}
    bare = Parts(html_page({}))
    assert parts.elements == bare.elements, "the data add no element"


def test_the_policy_allows_these_scripts_and_this_style_and_nothing_else(parts: Parts) -> None:
    def digest(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    assert parts.policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": digest(parts.texts["style"]),
        "script-src": digest(parts.texts["script"]),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_nothing_in_the_page_refers_to_the_network(parts: Parts) -> None:
    page = html_page({}).decode()
    assert not re.search(r"(?i)https?:|//[a-z0-9-]+\.[a-z]|@import|fetch\(|XMLHttp|WebSocket", page)
    references = [a[name] for _, a in parts.elements for name in ("src", "href") if name in a]
    assert references == ["data:,", "#content"]


def test_scripts_set_text_and_never_markup(parts: Parts) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", page_script()
    )
    assert [tag for tag, attributes in parts.elements if "style" in attributes] == []
    assert not [n for _, a in parts.elements for n in a if n.startswith("on")], "no handlers inline"


def page_script() -> str:
    return Parts(html_page({})).texts["script"]


def test_each_script_and_the_page_are_short_enough_to_read() -> None:
    from importlib.resources import files

    folder = files("vaekit.page") / "static"
    names = [*SCRIPTS, *LIVE_SCRIPTS, "page.css", "page.html"]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    lengths = {name: len((folder / name).read_text("ascii").splitlines()) for name in names}
    assert max(lengths.values()) < 350, lengths


def test_every_element_that_a_script_looks_for_is_in_the_page(parts: Parts) -> None:
    ids = [a["id"] for _, a in parts.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'byId\("([\w-]+)"\)', page_script())} - set(ids) == set()


def test_the_live_page_may_ask_its_own_server_and_nobody_else(parts: Parts) -> None:
    live = Parts(html_page({}, live=True)).policy
    assert live.pop("connect-src") == "'self'"
    assert live.pop("script-src") != parts.policy["script-src"]
    assert live.items() <= parts.policy.items()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    contents: dict[str, Any] = {"x": value}
    with pytest.raises(ValueError, match="JSON"):
        html_page(contents)
