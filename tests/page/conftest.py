"""What the tests of the page share: the small model, its images, and the page of both."""

from __future__ import annotations

from pathlib import Path

import pytest

import vaekit
from vaekit.cli import run
from vaekit.data import ImageSet
from vaekit.inference import Model


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return vaekit.load(tiny_model, "cpu")


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return vaekit.load_dataset("digits", "test", limit=60)


@pytest.fixture(scope="session")
def page(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small run."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert run(["report", str(tiny_run), "--limit", "60", "-o", str(path), "-q"]) == 0
    return path
