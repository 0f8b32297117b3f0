"""What a reader of the tests would lose: helpers in one place, found without opening a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {path: imports(path) for path in TESTS.rglob("*.py")}


@pytest.mark.parametrize("path", IMPORTS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_imports_from_another_test_module(path: Path) -> None:
    assert [name for name in IMPORTS[path] if re.search(r"^tests\..*\btest_", name)] == []
