"""The same text means the same data set from anywhere, and its name says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaekit.configuration.config import RunConfig
from vaekit.configuration.dataset_names import fixed_folder, is_pattern, telling_part


def test_a_file_of_that_very_name_is_no_pattern() -> None:
    assert is_pattern("photos[1].zip")
    Path("photos[1].zip").touch()
    assert not is_pattern("photos[1].zip")
    assert not is_pattern("hf:owner/a*b")


def test_a_config_repeats_a_pattern_from_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("with [odd] name/shards")
    place.mkdir(parents=True)
    (place / "1.tar").touch()
    monkeypatch.chdir(place.parent)
    text = RunConfig(dataset="shards/*.tar").reproducible().dataset
    monkeypatch.chdir("/")
    from vaekit.data.sources.patterns import expand

    assert [Path(path).name for path in expand(text)] == ["1.tar"]


def test_a_model_file_names_no_folder_of_this_machine() -> None:
    secret = Path.cwd() / "secret"
    for name, shared in {
        f"{secret}/x-*.tar": "x-*.tar",
        f"{secret}/faces/*.tar": "faces/*.tar",
        f"hf:{secret}/pets": "hf:pets",
        "hf:owner/pets:small": "hf:owner/pets:small",
    }.items():
        assert RunConfig(dataset=name).shared()["dataset"] == shared


@pytest.mark.parametrize(
    ("text", "name"),
    [("x/train-*.tar", "train"), ("x/s-{000..012}.tar", "s"), ("faces/**/*.png", "faces"),
     ("hf:owner/pets:small", "pets"), ("hf:mnist", "mnist"), ("x/a.tar.gz", "a.tar.gz")],
)  # fmt: skip
def test_a_run_is_named_after_what_a_pattern_begins_with(text: str, name: str) -> None:
    assert telling_part(text) == name


def test_what_is_before_the_first_wildcard_is_the_set() -> None:
    assert fixed_folder("a/b/{train,test}/*.tar") == Path.cwd() / "a" / "b"
    assert fixed_folder("*.tar") == Path.cwd()
