"""The commands that only tell: what they say is true, is data, and comes at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from vaekit.cli.app import COMMANDS, load_command
from vaekit.configuration.config import flag, recipe_names
from vaekit.configuration.config_sources import resolve_config
from vaekit.model_file.header import read_model_file, sha256
from vaekit.model_file.weights import write_tensors
from vaekit.registry import DATASETS, MODELS, resolve

# info


def test_info_tells_what_a_file_is(cli: Any, tiny_model: Path) -> None:
    done = cli("info", tiny_model)
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    told = {name: value.strip() for name, value in lines.items()}
    assert (done.code, done.stderr) == (0, "")
    assert told["model"] == "mlp (activation relu; hidden 32)"
    assert told["images"] == "8x8 grey"
    assert told["parameters"] == f"{read_model_file(tiny_model).parameters:,}"
    assert told["likelihood"].startswith("bce: not a likelihood")
    assert told["trained on"].startswith("digits, 300 images")
    assert told["steps"] == "9 in 3 epochs, seed 0"
    best = read_model_file(tiny_model).header.training["best"]
    assert told["best"] == f"{best['val_neg_elbo']:.2f} on validation, epoch {best['epoch']}"


def test_info_in_json_is_one_object_with_the_whole_header(cli: Any, tiny_model: Path) -> None:
    done = cli("info", tiny_model, "--json")
    record = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert record["sha256"] == sha256(tiny_model)
    assert record["path"] == str(tiny_model)
    assert record["bytes"] == tiny_model.stat().st_size
    header = read_model_file(tiny_model).header.model_dump(mode="json")
    assert {name: record[name] for name in header} == header


def test_info_verifies_a_whole_file_and_refuses_a_damaged_one(
    cli: Any, vaekit: Any, tiny_model: Path
) -> None:
    assert "(--verify compares it)" in cli("info", tiny_model).stdout
    assert "(verified)" in cli("info", "--verify", tiny_model).stdout
    assert json.loads(cli("info", "--verify", "--json", tiny_model).stdout)["verified"] is True
    content = bytearray(tiny_model.read_bytes())
    content[-1] ^= 1
    Path("m.safetensors").write_bytes(content)
    done = vaekit("info", "--verify", "m.safetensors", environ={"PYTHONPROFILEIMPORTTIME": "1"})
    (line,) = [text for text in done.stderr.splitlines() if not text.startswith("import time")]
    assert (done.code, done.stdout) == (3, "")
    assert line.startswith("vaekit: m.safetensors: is damaged")
    assert "torch" not in done.stderr, "info imports no torch"
    assert cli("info", "m.safetensors").code == 0, "the header is whole"


def test_info_says_that_a_file_has_no_digest(cli: Any, tiny_model: Path) -> None:
    values = read_model_file(tiny_model).header.model_dump(mode="json", exclude={"digest"})
    write_tensors(Path("m.safetensors"), lambda _: {"vaekit": values}, load_file(tiny_model))
    assert "no digest" in cli("info", "m.safetensors").stdout
    done = cli("info", "--verify", "m.safetensors")
    assert (done.code, done.stdout) == (3, "")
    assert "has no digest" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
@pytest.mark.parametrize("name", [b"new\nline", b"not-utf-8-\xff", b"\x1b[2J", b"-dash", b"a b\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8:strict"])
def test_info_takes_any_name_and_keeps_to_its_lines(
    vaekit: Any, tiny_model: Path, name: bytes, encoding: str
) -> None:
    path = os.fsdecode(name)
    shutil.copy(tiny_model, path)
    environ = {"PYTHONIOENCODING": encoding}
    plain = vaekit("info", "--", "ordinary.safetensors", environ=environ)
    assert plain.code == 3
    done = vaekit("info", "--", path, environ=environ)
    assert (done.code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()][:3] == [
        "file", "model", "parameters",
    ]  # fmt: skip
    record = vaekit("info", "--json", "--", path, environ=environ)
    assert record.stdout.count("\n") == 1
    assert json.loads(record.stdout)["path"] == path
    Path(path).write_bytes(b"nothing")
    refused = vaekit("info", "--", path, environ=environ)
    assert (refused.code, refused.stdout, refused.stderr.count("\n")) == (3, "", 1)
    assert "\x1b" not in refused.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"training": {}},
        {"training": {"n": "many", "steps": None, "final": [], "best": "yes"}},
        {"training": {"final": {"train_neg_elbo": "low"}, "best": {}, "n": {}}},
        {"classes": ["\x1b[2J\x1b]0;owned\x07", "two\nlines", "\ud800", "[red]"]},
        {"objective": {"name": "\x1b[2J", "beta": [1]}},
        {"vaekit_version": "\r\x1b[1A"},
    ],
    ids=lambda change: str(change)[:40],
)
def test_info_shows_a_strangers_header_without_obeying_it(
    cli: Any, tiny_model: Path, change: dict[str, Any]
) -> None:
    header = {**read_model_file(tiny_model).header.model_dump(mode="json"), **change}
    write_tensors(Path("strange"), lambda _: {"vaekit": header}, load_file(tiny_model))
    done = cli("info", "strange")
    assert (done.code, done.stderr) == (0, "")
    assert not {"\x1b", "\x07", "\r"} & set(done.stdout)
    assert 9 < done.stdout.count("\n") < 16
    assert json.loads(cli("info", "strange", "--json").stdout)["training"] == header["training"]


def test_info_of_what_is_no_model_is_3(cli: Any) -> None:
    Path("x.pth").write_bytes(b"\x80\x02}q\x00." + b" " * 100)
    done = cli("info", "x.pth")
    assert (done.code, done.stdout) == (3, "")
    assert "x.pth is a pickle" in done.stderr
    assert cli("info").code == 2


def test_info_costs_little_more_than_its_own_imports(tiny_model: Path) -> None:
    """Not a time, which a busy machine would break: a few times what its packages cost."""

    def seconds(*arguments: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - began

    pairs = [
        (seconds("-c", "import typer, rich, pydantic, yaml"),
         seconds("-m", "vaekit", "info", str(tiny_model)))
        for _ in range(5)
    ]  # fmt: skip
    floor, ours = (min(times) for times in zip(*pairs, strict=True))
    assert ours < 5 * floor


# recipes, models, datasets, doctor


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_is_shown_can_be_given_back(cli: Any, name: str) -> None:
    done = cli("recipes", "--show", name)
    Path("mine.yaml").write_text(done.stdout, encoding="utf-8")
    assert resolve_config({}, environ={}, config="mine.yaml") == resolve_config(
        {}, environ={}, recipe=name
    )
    assert json.loads(cli("recipes", "--show", name, "--json").stdout) == yaml.safe_load(
        done.stdout
    )


def test_the_recipes_are_listed_a_line_each(cli: Any) -> None:
    done = cli("recipes")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(recipe_names())
    assert list(json.loads(cli("recipes", "--json").stdout)) == list(recipe_names())
    assert cli("recipes", "--show", "nonsense").code == 2


def test_every_model_is_listed(cli: Any) -> None:
    assert list(json.loads(cli("models", "--json").stdout)) == list(MODELS)
    assert [line.split()[0] for line in cli("models").stdout.splitlines()[1:]] == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_listed_with_the_options_that_it_takes(cli: Any, name: str) -> None:
    listed = json.loads(cli("models", "--json").stdout)[name]["options"]
    assert set(listed.split(", ")) == {*map(flag, resolve("model", name).defaults((32, 32, 3)))}


def test_every_data_set_is_listed(cli: Any) -> None:
    lines = cli("datasets").stdout.splitlines()[1:]
    assert {line.split()[0] for line in lines} == set(DATASETS)
    facts = json.loads(cli("datasets", "--json").stdout)
    assert set(facts) == set(DATASETS)
    assert facts["cifar10"]["shape"] == [32, 32, 3]


# The commands as a whole.


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(cli: Any, name: str) -> None:
    for how in ("--help", "-h"):
        done = cli(name, how)
        assert (done.code, done.stderr) == (0, "")
        assert f"vaekit {name}" in done.stdout
    assert name in cli("--help").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_does_not_wrap_its_examples_at_80_columns(
    cli: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An example that is cut in two cannot be copied."""
    texts = []
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        before_the_panels = cli(name, "--help").stdout.split("╭")[0]
        texts.append([line.strip() for line in before_the_panels.splitlines()])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name: str) -> None:
    """The list has its own copy of the words, so that it need not import the command."""
    assert COMMANDS[name] == " ".join(load_command(name).help.split("\n\n")[0].split())


def test_a_command_that_is_misspelt_is_answered_with_the_right_one(cli: Any) -> None:
    done = cli("trian")
    assert (done.code, done.stdout) == (2, "")
    assert "did you mean 'train'?" in done.stderr
    assert cli("--nonsense").code == 2


def test_completion_offers_what_the_registry_knows(vaekit: Any) -> None:
    for words, expected in (("vaekit train --model ", set(MODELS)),
                            ("vaekit train --recipe ", set(recipe_names())),
                            ("vaekit train --schedule c", {"constant", "cosine"}),
                            ("vaekit re", {"recipes"})):  # fmt: skip
        count = len(words.split()) - (not words.endswith(" "))
        done = vaekit(environ={"_VAEKIT_COMPLETE": "complete_bash", "COMP_WORDS": words,
                               "COMP_CWORD": str(count)})  # fmt: skip
        assert expected <= set(done.stdout.split()), words
