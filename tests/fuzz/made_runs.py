"""What a run and the cache keep as JSON: metrics, the list of a run's files, facts of images."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged, odd_json

PATHS = (
    *("", ".", "..", "/", "../x", "../../precious.txt", "../precious.txt", "a/../../precious.txt"),
    *("notes.txt", "samples", "checkpoint", "checkpoint/x", "\0", "a\0b", "é", "x" * 5000),
    *("a/" * 3000, "@surrogate@", "~/x", "config.yaml/x", "./config.yaml", "C:\\x", "a\nb"),
)
WHOLE_METRICS = (
    b"", b"\n", b"\n" * 1_000_000, b"null\n", b"[]\n", b"{}\n", b'{"epoch": 1}\n', b"\xff\xfe\n",
    b'{"epoch": 1}\n' * 20_000, b'{"epoch": -1}\n', b'{"epoch": 1e0}\n', b'{"epoch": true}\n',
    b'{"epoch": ' + b"9" * 4000 + b"}\n", b'{"epoch": ' + b"9" * 5000 + b"}\n",
    b'{"epoch": 2, "train_kl": 1e308, "train_neg_elbo": -1e308}\n', b"[" * 500_000 + b"\n",
    b'{"epoch": 1, "x": ' + b"9" * 400 + b"}\n", b'{"epoch": 1, "lr": 1e999}\n',
    b'{"epoch": 1, "' + b"x" * 3_000_000 + b'": 1}\n', b'{"epoch": 0, "epoch": 1}\n',
    b'{"epoch": 1' + b', "a": 1' * 300_000 + b"}\n", b'{"epoch": 4611686018427387904}\n',
)  # fmt: skip


@st.composite
def metrics(draw: Draw, samples: list[bytes]) -> bytes:
    """Lines of numbers, changed, repeated, removed or cut; or nothing like them."""
    data = draw(st.sampled_from(samples))
    lines = data.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(("value", "value", "value", "twice", "gone", "order", "bytes",
                                "whole"))):  # fmt: skip
        case "value":
            odd = odd_json(draw, json.loads(lines[at])).encode("utf-8", "surrogatepass")
            lines[at] = odd + draw(st.sampled_from((b"\n", b"\n", b"\n", b"", b"\r\n", b"\r")))
        case "twice":
            lines[at:at] = [lines[at]] * draw(st.sampled_from((1, 2, 100)))
        case "gone":
            del lines[at]
        case "order":
            lines.reverse()
        case "whole":
            whole = draw(st.sampled_from(WHOLE_METRICS))
            return whole + draw(st.sampled_from((b"", data)))
        case _:
            return damaged(draw, data)
    return b"".join(lines)


@st.composite
def manifest(draw: Draw, samples: list[bytes]) -> bytes:
    """A list of files with odd paths in it, or that is no list."""
    data = draw(st.sampled_from(samples))
    match draw(st.sampled_from(("path", "path", "value", "bytes"))):
        case "path":
            entries: list[Any] = json.loads(data)
            for _ in range(draw(st.integers(1, 3))):
                entries.insert(
                    draw(st.integers(0, len(entries))),
                    draw(st.sampled_from(PATHS) | st.text(max_size=6)),
                )
            return json.dumps(entries).replace('"@surrogate@"', '"\\ud800"').encode()
        case "value":
            return odd_json(draw, json.loads(data)).encode("utf-8", "surrogatepass")
    return damaged(draw, data)


@st.composite
def cached_facts(draw: Draw, samples: list[bytes]) -> bytes:
    """What the cache says of its images, changed."""
    data = draw(st.sampled_from(samples))
    if draw(st.integers(0, 2)) == 0:
        return damaged(draw, data)
    return odd_json(draw, json.loads(data)).encode("utf-8", "surrogatepass")
