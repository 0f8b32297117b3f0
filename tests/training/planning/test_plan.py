"""What `--dry-run` says of a run is what the run then does.

This also tests `planning/probe.py` and `planning/like_runs.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit as package
from tests.conftest import TINY
from vaekit.configuration.config import RunConfig
from vaekit.model_file.header import read_model_file
from vaekit.training.planning import probe
from vaekit.training.planning.plan import plan_run
from vaekit.training.run_length import RunLength

SMALL = {**TINY, "epochs": 2, "threads": 1}


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate({**SMALL, "hidden": (32,), **changes})


def test_a_plan_tells_the_config_the_parameters_and_the_steps(tiny_model: Path) -> None:
    plan = plan_run(config(epochs=None, threads=None))
    assert plan.need.parameters == read_model_file(tiny_model).parameters
    assert plan.need.weights == 16 * plan.need.parameters
    assert plan.need.total > plan.need.weights
    settled = plan.config
    assert (settled.model, settled.likelihood, settled.epochs) == ("mlp", "bce", 100)
    assert (plan.n_train, plan.image, plan.length) == (300, (8, 8, 1), RunLength(100, 3))
    assert plan.store_bytes == (300 + plan.n_val) * 64
    assert not Path("runs").exists()


def test_the_steps_are_those_of_the_run() -> None:
    run = package.train(**SMALL, output="run")
    assert plan_run(config()).length.steps == run.history[-1]["step"]


def test_a_probe_measures_and_writes_nothing() -> None:
    before = {path for path in Path().rglob("*") if ".cache" not in path.parts}
    plan = plan_run(config(), measure=True)
    assert {path for path in Path().rglob("*") if ".cache" not in path.parts} == before
    measured, time = plan.measured, plan.time
    assert measured is not None
    assert time is not None
    assert probe.FEWEST_STEPS <= measured.steps <= probe.MOST_STEPS
    assert time.train == pytest.approx(measured.start_seconds + 6 * measured.step_seconds)
    assert time.validation == pytest.approx(2 * (measured.validation_seconds or 0))
    assert time.images_per_second == pytest.approx(100 / measured.step_seconds)
    assert time.timed_by == "probe"


def test_a_probe_changes_no_bit_of_a_later_run(tiny_run: Path) -> None:
    plan_run(config(epochs=3), measure=True)
    package.train(**{**SMALL, "epochs": 3}, output="run")
    assert (
        Path("run/model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()
    )


@pytest.mark.skipif(not probe.CLEAR.exists(), reason="the system does not tell a peak of memory")
def test_the_peak_of_memory_is_what_was_taken_and_given_back() -> None:
    memory = probe.PeakMemory(torch.device("cpu"))
    memory.reset()
    held = np.ones(256 << 20, np.uint8)
    del held
    taken = memory.taken()
    assert taken is not None
    assert 240 << 20 < taken < 272 << 20
    assert memory.taken(besides=1 << 20) == taken - (1 << 20)


def test_memory_that_nothing_tells_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "CLEAR", Path("no/such/file"))
    memory = probe.PeakMemory(torch.device("cpu"))
    memory.reset()
    assert memory.taken() is None


# Runs that are like the planned one.


@pytest.fixture
def earlier() -> Path:
    """A run in `runs/`, with speeds that are easy to recognise."""
    package.train(**SMALL, output="runs/earlier")
    lines = [json.loads(x) for x in Path("runs/earlier/metrics.jsonl").read_text().splitlines()]
    for line, speed in zip(lines, (1.0, 600.0), strict=True):
        line["images_per_second"] = speed
    Path("runs/earlier/metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return Path("runs/earlier")


def test_a_like_run_tells_the_time(earlier: Path) -> None:
    """The first epoch, which is slower, does not count."""
    plan = plan_run(config(epochs=8, lr=0.1, seed=3, beta=4.0))
    assert plan.time is not None
    assert (plan.time.timed_by, plan.time.images_per_second) == (str(earlier), 600.0)
    assert plan.time.train == pytest.approx(8 * 300 / 600)
    assert plan.time.validation is None


OTHER_WORK: list[dict[str, Any]] = [
    {"hidden": (33,)}, {"batch_size": 64}, {"threads": 2}, {"image_size": (7, 7)}, {"ema": 0.9},
     {"likelihood": "mse"}, {"latent_dim": 5}, {"precision": "bfloat16"},
]  # fmt: skip


@pytest.mark.usefixtures("earlier")
def test_a_run_with_other_work_in_a_step_tells_nothing() -> None:
    assert plan_run(config()).time is not None
    for other in OTHER_WORK:
        assert plan_run(config(**other)).time is None, other


def test_a_run_beside_the_output_counts_too(earlier: Path) -> None:
    earlier.parent.rename("elsewhere")
    assert plan_run(config()).time is None
    found = plan_run(config(output="elsewhere/next"))
    assert found.time is not None
    assert found.time.timed_by == "elsewhere/earlier"
    assert not Path("elsewhere/next").exists()


@pytest.mark.usefixtures("earlier")
@pytest.mark.parametrize("file", ["config.yaml", "metrics.jsonl", "model.safetensors"])
def test_a_damaged_run_is_passed_over(file: str) -> None:
    assert plan_run(config()).time is not None
    Path("runs/earlier", file).write_text("}{")
    assert plan_run(config()).time is None
