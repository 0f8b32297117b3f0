"""Sample metrics over seeds, and beside them what real images score against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vaekit
from vaekit.cli.metric_rows import shown_number
from vaekit.data import ImageSet
from vaekit.evaluation.evaluation_record import evaluate
from vaekit.evaluation.metrics import SAMPLE_METRICS, MetricRequest
from vaekit.inference import Model


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return vaekit.load(tiny_model, "cpu")


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return vaekit.load_dataset("digits", limit=120)


def wanted(*names: str, **more: int) -> MetricRequest:
    return MetricRequest(metrics=frozenset(names), features="pixels", **more)


def test_several_seeds_give_the_mean_and_the_spread_of_each(model: Model, digits: ImageSet) -> None:
    names = ("fid", "kid", "coverage")
    one = [evaluate(model, digits, wanted(*names, seed=seed)) for seed in (4, 5, 6)]
    found = evaluate(model, digits, wanted(*names, seed=4, seeds=3))
    for name in names:
        values = [record[name] for record in one]
        assert found[name] == pytest.approx(np.mean(values), rel=1e-9)
        assert found[f"{name}_sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)
        assert f"{name}_sd" not in one[0]
    assert found["sample_settings"]["seeds"] == 3
    assert f"(sd {found['fid_sd']:.2g} over 3 seeds)" in shown_number("fid", found)


def test_real_images_stand_beside_as_the_floor(model: Model, digits: ImageSet) -> None:
    record = evaluate(model, digits, wanted(*SAMPLE_METRICS))
    floor = record["real_against_real"]
    assert floor["n"] == 60
    assert set(floor) == {"n", *SAMPLE_METRICS}
    assert floor["fid"] < record["fid"] / 2  # a model of three epochs
    assert floor["coverage"] > record["coverage"]
    assert f"(real against real, 60 each: {floor['fid']:.4g})" in shown_number("fid", record)


def test_halves_that_are_too_small_have_no_floor(model: Model, digits: ImageSet) -> None:
    few = ImageSet("few", "test", digits.images[:9])
    record = evaluate(model, few, wanted("fid", "precision"))
    assert set(record["real_against_real"]) == {"n", "fid"}  # four images have no third neighbour
