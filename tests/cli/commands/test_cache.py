"""`vaekit cache` says what the cache holds, and clears it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.data import load_dataset


@pytest.fixture(autouse=True)
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one entry of five images."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "pets"
    folder.mkdir()
    for number in range(5):
        values = np.full((6, 7, 3), number, np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    load_dataset(folder, "all")
    return tmp_path / "cache" / "vaekit" / "decoded"


def test_list_says_what_each_entry_is_and_takes(cli: Any, filled: Path) -> None:
    done = cli("cache", "list")
    assert done.code == 0
    heading, line = done.stdout.splitlines()
    assert heading.split() == ["data", "set", "split", "images", "pixels", "size", "last", "used"]
    assert line.split()[:4] == ["pets", "all", "5", "7"]
    assert "7 wide x 6 high colour" in line
    assert f"{filled}: 0.0 MB in 1 entries; the limit is 20.0 GB" in done.stderr


def test_list_as_json_has_the_sizes_in_bytes(cli: Any, filled: Path) -> None:
    told = json.loads(cli("cache", "list", "--json").stdout)
    assert (told["folder"], told["limit"]) == (str(filled), 20_000_000_000)
    (entry,) = told["entries"]
    assert (entry["name"], entry["split"], entry["shape"]) == ("pets", "all", [5, 6, 7, 3])
    assert told["bytes"] == entry["bytes"] > 630


def test_clear_removes_all_and_says_how_much(cli: Any, filled: Path) -> None:
    assert json.loads(cli("cache", "clear", "--json").stdout)["removed"] == 1
    assert list(filled.iterdir()) == []
    assert "removed 0 entries, 0.0 MB" in cli("cache", "clear").stderr


def test_another_word_is_refused_with_the_two_that_are_taken(cli: Any) -> None:
    done = cli("cache", "clean")
    assert done.code == 2
    assert "did you mean 'clear'" in done.stderr


def test_refresh_decodes_a_data_set_again_for_every_command(
    cli: Any, filled: Path, tiny_model: Path
) -> None:
    """For an image that changed in a way which no file system tells."""
    embed = ("embed", tiny_model, "--dataset", filled.parents[2] / "pets", "--split", "all")
    assert cli(*embed, "-o", "one.npy").code == 0

    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in filled.rglob("images.npy")}

    before = written()
    assert cli(*embed, "-o", "two.npy").code == 0
    assert written() == before
    assert cli(*embed, "-o", "three.npy", "--refresh").code == 0
    assert sum(written()[path] > at for path, at in before.items()) == 1
    done = cli("embed", tiny_model, filled.parents[2] / "pets", "-o", "four.npy", "--refresh")
    assert (done.code, "--refresh needs --dataset" in done.stderr) == (2, True)
