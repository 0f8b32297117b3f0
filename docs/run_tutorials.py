"""Run the cells of the tutorials, and write what they print, and their pictures, into the pages.

python docs/run_tutorials.py          all of them
python docs/run_tutorials.py 1 3      those whose names begin so
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

TUTORIALS = Path(__file__).parent / "tutorials"
PAGES = sorted(TUTORIALS.glob("[0-9]-*.md"))

CELL = re.compile(r"^```(python|sh)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
"""A cell, and what it printed when the page was last made."""
PICTURE = re.compile(r"!\[[^\]]*\]\(images/([^)]+)\)")


class Ran(NamedTuple):
    """A page after its cells ran."""

    text: str
    """The page, with what the cells print now."""
    pictures: list[Path]
    """The files of the pictures that the page shows, where its cells wrote them."""


def run_page(page: Path, folder: Path) -> Ran:
    """Run the cells in order, in one namespace, in a folder where they may write."""
    text, names = page.read_text(encoding="utf-8"), dict[str, Any]()
    with contextlib.chdir(folder):
        ran = CELL.sub(lambda cell: _with_output(cell, f"{page.name}", names), text)
    pictures = [folder / name for name in PICTURE.findall(text)]
    missing = [path.name for path in pictures if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{page.name} shows pictures that no cell wrote: {missing}")
    return Ran(ran, pictures)


def _with_output(cell: re.Match[str], page: str, names: dict[str, Any]) -> str:
    language, code = cell[1], cell[2]
    run = _run_shell if language == "sh" else _run_python
    printed = run(code, page, names).rstrip()
    block = f"\n```text\n{printed}\n```\n" if printed else ""
    return f"```{language}\n{code}```\n{block}"


def _run_python(code: str, page: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, page, "exec"), names)
    return out.getvalue()


def _run_shell(code: str, page: str, names: dict[str, Any]) -> str:
    """With the commands of this Python's environment; what they write to stderr is not kept."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", code], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{page}: {code}{done.stderr}")
    return done.stdout


def main() -> None:
    """Run the pages that are named, or all, and write them and their pictures."""
    for page in PAGES:
        if sys.argv[1:] and not page.name.startswith(tuple(sys.argv[1:])):
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran = run_page(page, Path(folder))
            page.write_text(ran.text, encoding="utf-8")
            for picture in ran.pictures:
                shutil.copy(picture, TUTORIALS / "images" / picture.name)
        print(page.name)


if __name__ == "__main__":
    main()
