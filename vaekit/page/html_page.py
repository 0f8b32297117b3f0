"""Writes the page: markup, style, scripts and data in one HTML file that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

SCRIPTS = (
    "core.js",
    "curves.js",
    "latent_map.js",
    "map_tools.js",
    "players.js",
    "galleries.js",
    "numbers.js",
)
"""In the order in which they run."""

LIVE_SCRIPTS = ("live.js", "following.js")


def html_page(contents: dict[str, Any], *, live: bool = False) -> bytes:
    """The whole file, in ASCII. The contents are data in it: nothing in them can become markup.

    The browser is told to run only these scripts, by their hashes, and to load nothing; the live
    page may ask the server that it came from.
    """
    scripts = (*SCRIPTS, *LIVE_SCRIPTS) if live else SCRIPTS
    style, script = _static("page.css"), "\n".join(map(_static, scripts))
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src 'sha256-{_hash(style)}'",
            f"script-src 'sha256-{_hash(script)}'",
            *(["connect-src 'self'"] if live else []),
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    page = _static("page.html")
    parts = {"policy": policy, "style": style, "script": script, "data": json_for_html(contents)}
    for name, text in parts.items():  # the data come last: a marker in them stays as it is
        before, marker, after = page.partition(f"[[{name}]]")
        assert marker, name
        page = before + text + after
    return page.encode("ascii")


def json_for_html(value: Any) -> str:
    r"""JSON that can stand in a script element: in ASCII, and no tag can begin in it.

    >>> json_for_html("</script>&\u2028")
    '"\\u003c/script\\u003e\\u0026\\u2028"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _static(name: str) -> str:
    return (files("vaekit.page") / "static" / name).read_text(encoding="ascii")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
