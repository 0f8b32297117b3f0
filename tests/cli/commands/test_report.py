"""`vaekit report`: one file, true to the other commands, the same bytes every time."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from vaekit.cli.app import load_command
from vaekit.cli.evaluation_options import MetricOptions
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.reported_model import command_line

FEW = ("--limit", "40")


def contents(path: str) -> dict[str, Any]:
    page = Path(path).read_text(encoding="ascii")
    (data,) = re.findall(r'<script id="report-data" type="application/json">(.*?)</script>', page)
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_page_holds_the_numbers_of_evaluate_with_their_words(cli: Any, tiny_run: Path) -> None:
    done = cli("report", tiny_run, *FEW, "-q", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"path": "report.html", "n": 40}
    found = contents("report.html")
    record = json.loads(cli("evaluate", tiny_run, *FEW, "-q", "--json").stdout)
    assert found["record"] == record
    table = dict(re.split(r"  +", x, maxsplit=1) for x in
                 cli("evaluate", tiny_run, *FEW, "-q").stdout.splitlines())  # fmt: skip
    shown = {metric["name"]: metric["shown"] for metric in found["metrics"]}
    assert shown["neg_elbo"] == table["neg_elbo"]
    assert {"mse", "kl_per_dim", "active_units"} <= shown.keys()
    assert all(metric["meaning"] for metric in found["metrics"])
    assert found["command"] == f"vaekit report {tiny_run} --limit 40"
    assert [epoch["epoch"] for epoch in found["history"]] == [1, 2, 3]
    assert 'dataset: "digits"' in found["config"]


def test_extremes_are_the_lowest_and_highest_losses_of_score(cli: Any, tiny_run: Path) -> None:
    assert cli("report", tiny_run, *FEW, "-q", "-o", "x.html").stdout == "x.html\n"
    scores = cli("score", tiny_run, "--dataset", "digits", *FEW, "-q").stdout.splitlines()
    losses = sorted(json.loads(line)["neg_elbo"] for line in scores)
    found = [each["neg_elbo"] for each in contents("x.html")["extremes"]]
    assert found == pytest.approx([*losses[:8], *losses[:-9:-1]], rel=1e-4)


def test_outliers_are_those_of_score(cli: Any, tiny_run: Path) -> None:
    assert cli("report", tiny_run, *FEW, "-q", "-o", "x.html").code == 0
    lines = cli("score", tiny_run, "--dataset", "digits", *FEW, "-q").stdout.splitlines()
    scores = sorted(map(json.loads, lines), key=lambda score: -score["outlier"])
    found = contents("x.html")
    outliers = found["outliers"]
    assert [(each["outlier"], each["rate"]) for each in outliers["images"]] == [
        (score["outlier"], score["false_alarm_rate"]) for score in scores[:8]
    ]
    assert outliers["flagged"] == sum(score["false_alarm_rate"] <= 0.01 for score in scores)
    assert max(found["map"]["outlying"]) == scores[0]["outlier"]


def test_the_same_model_and_images_give_the_same_bytes(cli: Any, tiny_run: Path) -> None:
    cli("report", tiny_run, *FEW, "-q", "-o", "a.html")
    cli("report", tiny_run, *FEW, "-q", "-o", "b.htm", "--batch-size", "16")
    assert Path("a.html").read_bytes() == Path("b.htm").read_bytes()
    assert Path("a.html").stat().st_size < 1_000_000


@pytest.mark.usefixtures("photos")
def test_names_of_files_are_data_in_the_page(cli: Any, placed: Path) -> None:
    evil = "<img src=x onerror=alert(1)>&amp;.jpg"
    shutil.copy("photos/cat/0.jpg", f"photos/cat/{evil}")
    done = cli("report", placed, "--dataset", "photos", "--split", "all", "-q", "-o", "p.html")
    assert (done.code, done.stderr) == (0, "")
    found = contents("p.html")
    assert any(name.endswith(evil) for name in found["map"]["names"])
    assert "<img" not in Path("p.html").read_text()
    assert found["map"]["classes"] == ["cat", "dog"]
    assert found["history"] == [], "a model without its run has no curves"
    assert found["command"].startswith("vaekit report model.safetensors --dataset photos --split")


def test_the_command_line_names_every_option_that_was_given() -> None:
    by = DatasetOptions(dataset="my photos", split="all", limit=9, refresh=True, strict=True)
    what = MetricOptions(metrics="fid", nll_samples=50, nll="refined", features="model")
    assert shlex.split(command_line("report", Path("m"), by, what, UseOptions(seed=3))) == [
        *("vaekit", "report", "m", "--dataset", "my photos", "--split", "all", "--limit", "9"),
        *("--strict", "--metrics", "fid", "--nll-samples", "50", "--nll", "refined"),
        *("--features", "model", "--seed", "3"),
    ]


@pytest.mark.parametrize("group", [DatasetOptions, MetricOptions])
def test_the_flags_of_the_command_line_are_those_of_the_command(group: type) -> None:
    flags = {flag for option in load_command("report").params for flag in option.opts}
    fields = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(group)}
    assert fields - flags == set()


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_enough(cli: Any, tiny_model: Path, count: int) -> None:
    done = cli("report", tiny_model, "--limit", str(count), "-q")
    assert (done.code, done.stderr) == (0, "")
    assert len(contents("report.html")["map"]["x"]) == count


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [(["-o", "x.pdf"], 2, ".html"), (["--metrics", "nope"], 2, "--metrics nope"),
     (["--dataset", "gone"], 2, "gone"), (["-o", "-", "--json"], 2, "exclude each other")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(
    cli: Any, tiny_model: Path, options: list[str], code: int, message: str
) -> None:
    done = cli("report", tiny_model, "-q", *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
