"""What a student would lose: a tutorial that runs, and shows what it prints."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.io

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = sorted(TUTORIALS.glob("[0-9]-*.md"))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def without_numbers(text: str) -> list[str]:
    """The lines, their numbers replaced and their spaces made one."""
    masked = re.sub(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?", "#", text)
    return [" ".join(line.split()) for line in masked.splitlines()]


@pytest.mark.slow
@pages
def test_every_cell_of_a_tutorial_runs_and_prints_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four take a minute in all, so they run by themselves: see .ci/run."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    program = runpy.run_path(str(ROOT / "docs" / "run_tutorials.py"))
    ran = program["run_page"](page, tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert without_numbers(ran.text) == without_numbers(shown)
    assert len(ran.pictures) >= 1


@pytest.mark.slow
def test_the_second_tutorial_runs_on_svhn_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On files as the publisher lays them out, of colours at random; one epoch."""
    random = np.random.default_rng(0)
    for split, count in (("train", 120), ("test", 40)):
        images = random.integers(0, 256, (32, 32, 3, count), np.uint8)
        labels = random.integers(1, 11, (count, 1)).astype(np.uint8)
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels})
    (page,) = TUTORIALS.glob("2-*.md")
    text = page.read_text(encoding="utf-8")
    options = f'"likelihood": "logistic", "data_dir": "{tmp_path}", "epochs": 1'
    for old, new in [('NAME = "glyphs"', 'NAME = "svhn"'), ('"likelihood": "logistic"', options)]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    changed = tmp_path / page.name
    changed.write_text(text, encoding="utf-8")
    monkeypatch.setenv("MPLBACKEND", "agg")
    ran = runpy.run_path(str(ROOT / "docs" / "run_tutorials.py"))["run_page"](changed, tmp_path)
    assert "ImageSet('svhn', 'test', 40 images (32, 32, 3))" in ran.text
    assert "beta = 4: reconstruction" in ran.text
    assert "mig" not in ran.text.partition("```text\nbeta = 1:")[2].partition("```")[0]
    assert len(ran.pictures) == len(re.findall(r"\(images/", text))


@pages
def test_every_picture_of_a_tutorial_is_there_and_every_cell_is_python(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\(images/([^)]+)\)", text):
        assert (TUTORIALS / "images" / name).exists()
    cells = re.findall(r"^```python\n(.+?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(cells) >= 5
    for number, cell in enumerate(cells):
        compile(cell, f"{page.name}, cell {number}", "exec")


def test_no_picture_is_left_that_no_tutorial_shows() -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    kept = [path.name for path in (TUTORIALS / "images").iterdir()]
    assert [name for name in kept if f"(images/{name})" not in shown] == []


@pages
def test_jupyter_opens_a_tutorial_as_a_notebook_with_the_same_cells(page: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="comes with the extra `docs`")
    notebook = jupytext.read(page)
    code = [cell["source"] for cell in notebook.cells if cell["cell_type"] == "code"]
    text = page.read_text(encoding="utf-8")
    cells = re.findall(r"^```(python|sh)\n(.+?)\n```", text, flags=re.MULTILINE | re.DOTALL)
    magics = {"python": "", "sh": "%%sh\n"}
    assert code == [magics[language] + source for language, source in cells]
    assert notebook.metadata["kernelspec"]["name"] == "python3"
