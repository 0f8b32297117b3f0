"""Configs: a file with every option there is, and what YAML can do that a config must not."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged

ODD_SCALARS = (
    *("", "null", "~", "true", "on", "0", "-1", "1e400", "-.inf", ".nan", "1e-400", "0o17", "0x_"),
    *("9" * 5000, "0x" + "f" * 5000, "0b" + "1" * 20_000, "1:59:59", "1:0" * 3000, "1_000"),
    *("2001-01-01", "2001-99-99", "2001-01-01 99:99:99", "=", "<<", "[]", "{}", "[400, -1]"),
    *("[1.5]", "[a, b]", "{a: b}", "[[[[1]]]]", "[" * 2000, "{a: " * 500, "[" * 500 + "]" * 500),
    *(
        '"\\ud800"',
        '"\\0"',
        '"\\x"',
        "'",
        '"',
        "| \n  a\n  b",
        ">\n a",
        "!!python/object/apply:os.x",
    ),
    *(
        "!!binary eA==",
        "!!int x",
        "!x y",
        "&a 1",
        "*a",
        "? a",
        "- a",
        "@",
        "`",
        "%",
        "\t1",
        "a: b: c",
    ),
    *("x" * 50_000, "é\u202e", "９", "¹", "64x64x64", "99999x99999", "1e5", "400,400", "5 min"),
    *("9" * 400 + "s", "[" + "1," * 20_000 + "1]", "relu", "conv", "learned", "nan", "inf"),
)
WHOLE = (
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlr: *c\n",
    b"<<: {lr: 1}\n<<: {lr: 2}\n",
    b"!!python/object/apply:os.system [id]\n",
    b"{" * 49_000,
    b"[" * 49_000,
    b"- " * 24_000,
    b"? " * 24_000,
    b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 400)),
    b"hidden: [" + b"1," * 24_000 + b"1]",
    b"hidden: [" + b"[]," * 16_000 + b"[]]",
    b"".join(b"k%d: 1\n" % n for n in range(5_000)),
    b"lr: " + b"1:" * 24_000 + b"1",
    b"seed: " + b"1" + b":0" * 24_000,
    b"a: " + b"'" * 49_000,
    b"lr: 1\0", b"\xff\xfea\0:\0", b"\xef\xbb\xbflr: 1", b"\xff", b"", b"---\n---\n",
    b"%YAML 9.9\n--- {}", b"%TAG ! !\n---\n", b"&a lr: 1", b"lr: 1\nlr: 2", b"lr", b"- lr", b"1: 2",
    b"dashed-key: 1", b"adam-eps: 1\nadam_eps: 1", b"'': 1", b"\x85", b"\xe2\x80\xa8lr: 1",
    b"\n" * 49_000, b"#" * 49_000, b" " * 200_000, b"a" * 1_000_001,
)  # fmt: skip


@st.composite
def yaml(draw: Draw, sample: bytes) -> bytes:
    """The file, changed in one of the ways there are."""
    match draw(st.sampled_from(("value", "value", "value", "line", "bytes", "whole"))):
        case "whole":
            whole = draw(st.sampled_from(WHOLE))
            return whole if draw(st.booleans()) else damaged(draw, whole)
        case "bytes":
            return damaged(draw, sample)
        case "line":
            return "\n".join(_lines(draw, sample.decode().splitlines())).encode()
    text = sample.decode()
    for _ in range(draw(st.integers(1, 2))):
        text = _value(draw, text)
    return text.encode("utf-8", "surrogatepass")


def _value(draw: Draw, text: str) -> str:
    found = re.findall(r"^(\w+): ", text, re.MULTILINE)
    name = draw(st.sampled_from(found))
    odd = draw(st.sampled_from(ODD_SCALARS) | st.text(max_size=12))
    start = text.index(f"{name}: ") + len(name) + 2
    end = text.find("\n", start)
    return text[:start] + odd + text[end:]


def _lines(draw: Draw, lines: list[str]) -> list[str]:
    """Lines left out, said twice, out of place or indented."""
    at = draw(st.integers(0, len(lines) - 1))
    match draw(st.sampled_from(("remove", "twice", "swap", "indent", "dash", "misspell"))):
        case "remove":
            return lines[:at] + lines[at + 1 :]
        case "twice":
            return [*lines, lines[at]]
        case "swap":
            return lines[at:] + lines[:at]
        case "indent":
            return [*lines[:at], "  " + lines[at], *lines[at + 1 :]]
        case "dash":
            return [*lines, lines[at].replace("_", "-", 1)]
    return [*lines[:at], "x" + lines[at], *lines[at + 1 :]]
