"""The table in README.md is true: rows are numbered in order, and every test it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

INDEX = Path(__file__).parent / "README.md"
ROOT = INDEX.parent.parent.parent


def wrong(text: str) -> list[str]:
    """What is not true in the text of an index."""
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", text, flags=re.MULTILINE)
    numbers = [int(number) for number, *_ in rows]
    found = [] if numbers == [*range(1, len(rows) + 1)] else [f"the rows are {numbers}"]
    for number, _, _, cell in rows:
        tests = re.findall(r"`([^`]+)`", cell)
        if not tests or re.sub(r"`[^`]+`|<br>", "", cell):
            found.append(f"row {number} names no test, or more than tests: {cell}")
    named = re.findall(r"`(tests/[^`]+)`", text)
    return found + [f"there is no {name}" for name in named if name not in _known(name)]


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """The tests of a file as pytest names them, without parameters."""
    if not path.is_file():
        return frozenset()
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inside = (part for part in node.body if isinstance(part, ast.FunctionDef))
            names |= {f"{node.name}::{part.name}" for part in inside}
    where = path.relative_to(ROOT).as_posix()
    return frozenset(
        f"{where}::{name}" for name in names if name.split("::")[-1].startswith("test_")
    )


def _known(name: str) -> frozenset[str]:
    return _tests_in(ROOT / name.partition("::")[0])


def test_rows_are_numbered_in_order_and_every_test_they_name_exists() -> None:
    assert wrong(INDEX.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("pattern", "instead", "said"),
    [
        (r"::test_zero_byte_file\w+", "::test_renamed", "test_renamed"),
        (r"model_file/test_header\.py", "model_file/test_heading.py", "model_file/test_heading.py"),
        (r"TestStreams::test_head_ends\w+", "test_head_out_of_its_class", "out_of_its_class"),
        (r"^\| 7 \|.*\n", "", "the rows are"),
        (r"^(\| 8 \|.*\n)", r"\1\1", "the rows are"),
        (r"^(\| 8 \|.*\n)(\| 9 \|.*\n)", r"\2\1", "the rows are"),
        (r"^(\| 16 \|.*\| )`.*`", r"\1soon", "row 16 names no test"),
        (r"^(\| 60 \|.*\| )`.*`", r"\1not built yet", "row 60 names no test"),
        (r"^(\| 62 \|.*\| ).*( \|)$", r"\1?\2", "row 62 names no test"),
        (r"^(\| 90 \|.*\| )`.*`", r"\1not built yet", "row 90 names no test"),
    ],
)
def test_an_index_that_is_not_true_is_noticed(pattern: str, instead: str, said: str) -> None:
    text = INDEX.read_text(encoding="utf-8")
    changed = re.sub(pattern, instead, text, flags=re.MULTILINE)
    assert changed != text
    assert any(said in complaint for complaint in wrong(changed))
