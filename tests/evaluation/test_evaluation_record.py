"""The whole record of a model: what is in it, what is not and why, and that it holds still."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit.data import ImageSet
from vaekit.data.batches import Batches, statically_binarized
from vaekit.errors import DataError, UsageError
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.evaluated_model import EvaluatedModel, pixel_variance
from vaekit.evaluation.evaluation_record import evaluate, without_nonfinite
from vaekit.evaluation.image_scores import scores
from vaekit.evaluation.metrics import (
    EXTRA,
    FACTOR_METRICS,
    SAMPLE_METRICS,
    MetricRequest,
    NllSettings,
    parse,
)
from vaekit.inference import Model
from vaekit.model_file.header import sha256
from vaekit.reporting import Silent

SETTINGS = {"limit": 300, "epochs": 2, "hidden": [32], "latent_dim": 4, "threads": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """One small model of each kind that evaluation treats differently."""
    made = {}
    for name, options in {
        "bce": {"likelihood": "bce"},
        "dynamic": {"likelihood": "bernoulli", "binarize": "dynamic"},
        "static": {"likelihood": "bernoulli", "binarize": "static"},
        "logistic": {"likelihood": "logistic"},
        "gaussian": {"likelihood": "gaussian"},
    }.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        path = vaekit.train(dataset="digits", **{**SETTINGS, **options}, output=folder)
        made[name] = vaekit.load(path, "cpu")
    return made


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return vaekit.load_dataset("digits", limit=90)


@pytest.fixture(scope="module")
def with_factors() -> ImageSet:
    """Grey pictures of 8x8 in which two numbers can be seen."""
    random = np.random.default_rng(0)
    factors = np.stack([random.integers(4, size=240), random.integers(3, size=240)], axis=1)
    factors = np.column_stack([factors, np.full(240, 7)])
    images = np.zeros((240, 8, 8, 1), np.uint8)
    for image, (a, b, _) in zip(images, factors, strict=True):
        image[2 * a : 2 * a + 2], image[:, 3 * b] = 200, 120
    names = ("row", "column", "still")
    return ImageSet("made", "test", images, factors=factors, factor_names=names)


def everything(**more: Any) -> MetricRequest:
    return MetricRequest(metrics=frozenset(EXTRA), everything=True, features="pixels", **more)


def test_the_record_is_json_with_the_keys_that_were_promised(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    model = trained["logistic"]
    record = evaluate(model, digits, everything(nll_samples=5))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    promised = {
        "neg_elbo", "reconstruction", "kl", "neg_elbo_stderr", "reconstruction_stderr",
        "kl_stderr", "kl_per_dim", "bits_per_dim", "nll", "nll_stderr", "nll_samples",
        "active_units", "mse", "psnr", "ssim", "total_correlation", *SAMPLE_METRICS,
        "dataset", "split", "n", "likelihood", "binarization", "features", "seed",
        "model_sha256", "vaekit_version",
    }  # fmt: skip
    assert promised <= record.keys()
    assert (record["dataset"], record["split"], record["n"]) == ("digits", "test", 90)
    assert (record["features"], record["seed"], record["nll_samples"]) == ("pixels", 0, 5)
    assert record["model_sha256"] == sha256(model.path or "")
    assert record["neg_elbo"] == pytest.approx(record["reconstruction"] + record["kl"])
    assert record["kl"] == pytest.approx(sum(record["kl_per_dim"]), rel=1e-6)
    assert record["bits_per_dim"] == pytest.approx(record["neg_elbo"] / 64 / math.log(2))


@pytest.mark.parametrize("kind", ["logistic", "dynamic"])
def test_no_batch_size_changes_a_number(
    trained: dict[str, Model], with_factors: ImageSet, kind: str
) -> None:
    found = [
        evaluate(trained[kind], with_factors, everything(nll_samples=30, batch_size=size))
        for size in (1, 7, 512)
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("kind", "encoded"), [("bce", 1), ("gaussian", 1), ("dynamic", 2)])
def test_an_image_is_encoded_once_and_in_black_and_white_once_for_each_version(
    trained: dict[str, Model], digits: ImageSet, monkeypatch: Any, kind: str, encoded: int
) -> None:
    network, seen = trained[kind].network, {"encode": 0, "decode": 0}

    def counting(name: str) -> Any:
        usual = getattr(network, name)

        def counted(rows: torch.Tensor) -> Any:
            seen[name] += len(rows)
            return usual(rows)

        return counted

    for name in seen:
        monkeypatch.setattr(network, name, counting(name))
    evaluate(trained[kind], digits)
    padded = -(-len(digits) // network.chunk) * network.chunk
    assert seen == {"encode": encoded * padded, "decode": 2 * padded}


def test_evaluating_twice_gives_the_same_and_another_seed_another(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    model = trained["dynamic"]
    one, two = (evaluate(model, digits, everything(nll_samples=3)) for _ in range(2))
    other = evaluate(model, digits, everything(nll_samples=3, seed=1))
    assert one == two
    for name in ("neg_elbo", "nll", "fid", "kid"):
        assert one[name] != other[name]


def test_image_quality_is_that_of_the_reconstructions_that_are_shown(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    model = trained["gaussian"]
    record = evaluate(model, digits)
    back = model.reconstruct(digits.images).clamp(0, 1).permute(0, 2, 3, 1).double().numpy()
    errors = ((back - digits.images / 255) ** 2).mean((1, 2, 3))
    assert record["mse"] == pytest.approx(errors.mean(), rel=1e-5)
    assert record["psnr"] == pytest.approx((-10 * np.log10(errors)).mean(), rel=1e-5)
    spread = (digits.images / 255).var(axis=0).mean()
    assert pixel_variance(digits) == pytest.approx(spread)
    assert record["explained_variance"] == pytest.approx(1 - errors.mean() / spread, rel=1e-4)


@pytest.mark.parametrize("kind", ["bce", "gaussian"])
def test_bits_per_dim_is_left_out_with_a_reason_where_it_is_undefined(
    trained: dict[str, Model], digits: ImageSet, kind: str
) -> None:
    record = evaluate(trained[kind], digits)
    assert "bits_per_dim" not in record
    assert kind in record["absent"]["bits_per_dim"]
    assert (record["notes"] != []) == (kind == "bce")


def test_images_are_binarized_as_in_training(trained: dict[str, Model], digits: ImageSet) -> None:
    x = Batches(digits).gather(torch.arange(len(digits)))
    static = Batches(statically_binarized(digits)).gather(torch.arange(len(digits)))
    indices = torch.arange(len(digits))
    assert torch.equal(binarize(x, indices, "static", 0), static)
    assert torch.equal(binarize(x, indices, "static", 1), static)
    drawn = binarize(x, indices, "dynamic", 0)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(drawn, binarize(x, indices, "dynamic", 1))
    assert torch.equal(drawn[30:50], binarize(x[30:50], indices[30:50], "dynamic", 0))
    assert torch.equal(binarize(x, indices, "threshold", 0), (x > 0.5).float())
    assert torch.equal(binarize(x, indices, None, 0), x)
    subject = EvaluatedModel(trained["dynamic"], digits)
    assert torch.equal(torch.cat([x for _, x in subject.observed()]), drawn)


@pytest.mark.parametrize("kind", ["dynamic", "static", "logistic"])
def test_the_means_of_scores_are_the_evaluation(
    trained: dict[str, Model], digits: ImageSet, kind: str
) -> None:
    record = evaluate(trained[kind], digits, MetricRequest(nll_samples=7))
    parts = [
        scores(trained[kind], digits.images[i : i + 64], start=i, nll=NllSettings(7))
        for i in (0, 64)
    ]
    for name in ("neg_elbo", "reconstruction", "kl", "nll"):
        values = np.array(parts[0][name] + parts[1][name], float)
        assert values.mean() == pytest.approx(record[name], rel=1e-6)
        stderr = values.std(ddof=1) / math.sqrt(len(values))
        assert stderr == pytest.approx(record[f"{name}_stderr"], rel=1e-4)


def test_factors_that_never_vary_are_left_out_of_the_scores(
    trained: dict[str, Model], with_factors: ImageSet
) -> None:
    record = evaluate(trained["gaussian"], with_factors, everything())
    assert all(0 <= record[name] <= 1 for name in FACTOR_METRICS)
    settings = record["factor_settings"]
    assert settings["factors"] == ["row", "column"]
    assert (settings["train"], settings["test"], settings["bins"]) == (160, 80, 20)


def test_missing_weights_leave_every_other_number(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    wanted = MetricRequest(metrics=frozenset({"fid", "total_correlation"}))
    record = evaluate(trained["gaussian"], digits, wanted)
    assert "fid" not in record
    assert "torch-fidelity" in record["absent"]["fid"]
    assert record["total_correlation"] >= 0


def test_dependence_of_the_latents_is_reported_with_what_it_rests_on(
    trained: dict[str, Model],
    digits: ImageSet,
    with_factors: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "nonlinear_total_correlation"
    wanted = MetricRequest(metrics=frozenset({name}))
    record = evaluate(trained["gaussian"], with_factors, wanted)
    assert record[f"{name}_held_out"] == 60
    assert record[f"{name}_stderr"] > 0
    assert math.isfinite(record[name])
    assert record[f"{name}_ceiling"] == pytest.approx(math.log(4 * 60 / 10))
    with pytest.raises(DataError, match=f"--metrics {name}: 90 images, and at least 100"):
        evaluate(trained["gaussian"], digits, wanted)
    assert "at least 100" in evaluate(trained["gaussian"], digits, everything())["absent"][name]
    hierarchy = copy.deepcopy(trained["gaussian"])
    monkeypatch.setattr(hierarchy.network, "factorised", False)
    assert "hierarchy" in evaluate(hierarchy, digits, wanted)["absent"][name]


def test_all_leaves_out_what_the_data_cannot_give_and_a_name_is_an_error(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    record = evaluate(trained["gaussian"], digits, everything())
    assert set(FACTOR_METRICS) <= record["absent"].keys()
    assert "no factors" in record["absent"]["mig"]
    with pytest.raises(DataError, match="--metrics mig: digits has no factors"):
        evaluate(trained["gaussian"], digits, MetricRequest(metrics=frozenset({"mig"})))


def few(images: ImageSet, count: int) -> ImageSet:
    factors = None if images.factors is None else images.factors[:count]
    return ImageSet(images.name, "test", images.images[:count], factors=factors)


@pytest.mark.parametrize(
    ("metric", "count"), [("fid", 1), ("precision", 5), ("coverage", 5), ("mig", 149)]
)
def test_too_few_images_are_named_with_how_many_are_needed(
    trained: dict[str, Model], with_factors: ImageSet, metric: str, count: int
) -> None:
    wanted = MetricRequest(metrics=frozenset({metric}), features="pixels")
    with pytest.raises(DataError, match=f"--metrics {metric}: {count} images, and at least"):
        evaluate(trained["gaussian"], few(with_factors, count), wanted)
    evaluate(trained["gaussian"], few(with_factors, count + 1), wanted)


def test_one_image_has_numbers_and_no_standard_errors(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    record = evaluate(trained["gaussian"], few(digits, 1), everything(nll_samples=2))
    assert record["neg_elbo"] is not None
    assert record["neg_elbo_stderr"] is None
    assert record["nll_stderr"] is None
    assert set(SAMPLE_METRICS) <= record["absent"].keys()


def test_a_model_of_nan_has_nulls_and_is_called_broken(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    model = copy.deepcopy(trained["gaussian"])
    model.allow_nonfinite = True
    with torch.no_grad():
        model.network.posterior.mean.weight.fill_(math.nan)
    record = evaluate(model, digits, MetricRequest(nll_samples=2))
    assert record["verdict"] == "broken"
    for name in ("neg_elbo", "kl", "nll", "mse", "active_units", "neg_elbo_stderr"):
        assert record[name] is None


@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        ("bce", MetricRequest(nll_samples=10), "not a likelihood"),
        ("bce", MetricRequest(metrics=frozenset({"bits_per_dim"})), "bits_per_dim: bce is not"),
        ("gaussian", MetricRequest(metrics=frozenset({"bits_per_dim"})), "gaussian is a density"),
        ("gaussian", MetricRequest(nll_samples=0), "--nll-samples 0: at least 1"),
        ("gaussian", MetricRequest(metrics=frozenset({"nll"})), "number of draws"),
        ("gaussian", MetricRequest(features="pixel"), "did you mean 'pixels'"),
    ],
)
def test_a_senseless_request_is_refused_in_one_line(
    trained: dict[str, Model], digits: ImageSet, kind: str, wanted: MetricRequest, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as failure:
        evaluate(trained[kind], digits, wanted)
    assert "\n" not in str(failure.value)


def test_images_of_another_shape_are_refused_with_both_shapes(
    trained: dict[str, Model],
) -> None:
    large = ImageSet("large", "test", np.zeros((3, 9, 8, 1), np.uint8))
    with pytest.raises(DataError, match="large: its images are 9x8x1, the model's are 8x8x1"):
        evaluate(trained["bce"], large)


def test_names_of_metrics_are_known_or_suggested() -> None:
    assert parse("fid, dci-completeness")[0] == {"fid", "dci_completeness"}
    assert parse("all,nll") == (frozenset({*EXTRA, "nll"}), True)
    with pytest.raises(UsageError, match="did you mean 'fid'"):
        parse("fidd")
    with pytest.raises(UsageError, match="is empty"):
        parse(" , ")


def test_json_gets_null_for_what_is_not_a_number() -> None:
    found = without_nonfinite({"a": [math.nan, 1.0, {"b": -math.inf}], "c": "nan", "d": 3})
    assert found == {"a": [None, 1.0, {"b": None}], "c": "nan", "d": 3}


def test_a_log_likelihood_that_cannot_be_trusted_is_a_warning_in_the_record(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    warnings: list[str] = []

    class Listener(Silent):
        def warn(self, message: str) -> None:
            warnings.append(message)

    model = copy.deepcopy(trained["dynamic"])
    request = MetricRequest(nll_samples=200)
    good = evaluate(model, digits, request, reporter=Listener())
    assert good["nll_pareto_k_bad"] < 0.1
    assert good["nll_ess"] > 100
    assert 0 < good["nll_mc_stderr"] < good["nll_stderr"]
    assert warnings == []
    with torch.no_grad():
        model.network.posterior.logvar.weight.zero_()
        model.network.posterior.logvar.bias.fill_(-4.0)
    bad = evaluate(model, digits, request, reporter=Listener())
    assert bad["nll_pareto_k_bad"] > 0.5
    assert len(warnings) == 1
    assert "nll is unreliable" in warnings[0]
    assert warnings[0] in bad["notes"]


def test_disentanglement_scores_of_a_collapsed_model_carry_a_warning(
    trained: dict[str, Model], with_factors: ImageSet
) -> None:
    """It prints a mig above zero, which reads like a result."""
    request = MetricRequest(metrics=frozenset({"mig", "sap"}))
    model = copy.deepcopy(trained["gaussian"])
    with torch.no_grad():
        model.network.posterior.mean.weight.mul_(1e-3)
        collapsed = evaluate(model, with_factors, request)
        model.network.posterior.mean.weight.mul_(1e6)
        active = evaluate(model, with_factors, request)
    assert collapsed["active_units"] == 0
    assert collapsed["mig"] > 0
    assert any("no latent dimension is active" in note for note in collapsed["notes"])
    assert active["active_units"] == 4
    assert active["notes"] == []


def test_the_kl_is_what_latents_tell_and_their_distance_from_the_prior(
    trained: dict[str, Model], digits: ImageSet
) -> None:
    record = evaluate(trained["logistic"], digits)
    parts = record["mutual_information"] + record["aggregate_kl"]
    assert parts == pytest.approx(record["kl"], abs=1e-6)
    assert 0 <= record["aggregate_kl_floor"] <= record["aggregate_kl"]
    assert record["mutual_information"] <= math.log(90)
    assert record["aggregate_kl_stderr"] == record["mutual_information_stderr"] > 0
