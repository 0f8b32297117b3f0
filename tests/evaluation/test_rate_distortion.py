"""Which models share a curve, what it is called, and which must not share a plot."""

from __future__ import annotations

from typing import Any

import pytest

from vaekit.errors import UsageError
from vaekit.evaluation.rate_distortion import nats_of, rate_points, refuse_other_kinds
from vaekit.model_file.header import LatentStatistics, LikelihoodSpec, ModelHeader, ModelSpec


def header(beta: float, likelihood: str = "logistic", **config: Any) -> ModelHeader:
    return ModelHeader(
        format_version=1,
        vaekit_version="1",
        model=ModelSpec(name="mlp", latent_dim=1, image=[8, 8, 1]),
        likelihood=LikelihoodSpec(name=likelihood),
        objective={"name": "elbo", "beta": beta},
        classes=None,
        latents=LatentStatistics(mean=[0.0], std=[1.0], kl=[0.0]),
        training={"config": {"beta": beta, "seed": 0, **config}},
    )


def record(model: str, rate: float, distortion: float) -> dict[str, Any]:
    return {"model": model, "kl": rate, "reconstruction": distortion,
            "kl_stderr": 0.1, "reconstruction_stderr": 0.5}  # fmt: skip


def test_models_that_differ_in_beta_alone_are_one_curve_in_its_order() -> None:
    records = [record("b", 10, 110), record("a", 30, 100), record("c", 5, 130)]
    points = rate_points(records, [header(1), header(0.1), header(4)])
    assert [(p.label, p.rate, p.distortion) for p in points] == [
        ("β 0.1", 30, 100), ("β 1", 10, 110), ("β 4", 5, 130),
    ]  # fmt: skip
    assert {p.curve for p in points} == {""}
    assert {(p.rate_stderr, p.distortion_stderr) for p in points} == {(0.1, 0.5)}


def test_curves_are_named_by_what_sets_them_apart() -> None:
    headers = [header(b, latent_dim=d) for d in (8, 16) for b in (1, 0.5)]
    points = rate_points([record("m", 1, 2)] * 4, headers)
    assert [(p.curve, p.label) for p in points] == [
        ("latent_dim 8", "β 0.5"), ("latent_dim 8", "β 1"),
        ("latent_dim 16", "β 0.5"), ("latent_dim 16", "β 1"),
    ]  # fmt: skip


def test_a_curve_that_its_options_do_not_tell_apart_has_the_name_of_its_model() -> None:
    others = {f"option_{n}": "x" * 20 for n in range(5)}
    points = rate_points(
        [record("runs/a", 1, 2), record("runs/b", 1, 2)], [header(1), header(1, **others)]
    )
    assert [p.curve for p in points] == ["runs/a", "runs/b"]


def test_a_model_without_numbers_keeps_its_place_without_a_number() -> None:
    (point,) = rate_points([{"model": "m", "kl": None, "reconstruction": None}], [header(1)])
    assert point.rate != point.rate


def test_nats_of_other_kinds_do_not_share_a_plot() -> None:
    refuse_other_kinds([header(1), header(2, likelihood="dmol")])
    with pytest.raises(UsageError, match="--plot: the likelihoods differ in kind"):
        refuse_other_kinds([header(1), header(1, likelihood="gaussian")])


def test_nats_of_no_likelihood_are_marked_on_the_axes() -> None:
    assert nats_of([header(1), header(2)]) == "nats per image"
    assert nats_of([header(1, likelihood="bce")]) == "nats per image (bce: not a likelihood)"


def test_an_option_that_a_curve_does_not_have_is_not_in_its_name() -> None:
    points = rate_points([record("m", 1, 2)] * 2, [header(1, mixtures=None), header(1, mixtures=5)])
    assert [p.curve for p in points] == ["m", "mixtures 5"]
