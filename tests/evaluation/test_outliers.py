"""Outlier scores: they find strangers where −ELBO fails, with false alarms at the stated rate."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

import vaekit
from tests.benchmarks.strangers import MAKERS, fitted, strangers
from vaekit.array_types import Float64s
from vaekit.data.imageset import Pixels
from vaekit.errors import ModelFileError
from vaekit.evaluation.image_scores import columns, scores
from vaekit.evaluation.outliers import (
    OUTLIER_COLUMNS,
    RATES,
    calibrated,
    compared_statistics,
    distances,
    false_alarm_rate,
    latent_distance,
    left_out,
    outlier_scores,
    png_bytes,
    summarise,
)
from vaekit.inference import Model
from vaekit.model_file.header import KnownImages, LatentStatistics, read_model_file

FOUND = {"black", "constant", "blurred", "noise", "inverted", "text page", "silhouettes"}


def made(count: int, seed: int) -> dict[str, Tensor]:
    """Statistics of images that all come from one distribution, and depend on each other."""
    random = np.random.default_rng(seed)
    detail = random.normal(size=count)
    parts = {
        "neg_elbo": 100 + 20 * detail + 3 * random.normal(size=count),
        "reconstruction": 80 + 18 * detail + 2 * random.normal(size=count),
        "kl": 20 * np.exp(0.1 * detail + 0.1 * random.normal(size=count)),
        "latent_distance": np.sqrt(random.chisquare(10, count)),
        "mse": 0.01 * np.exp(0.3 * detail + 0.2 * random.normal(size=count)),
        "png_bytes": 150 * np.exp(0.2 * detail + 0.05 * random.normal(size=count)),
    }
    return {name: torch.from_numpy(values) for name, values in parts.items()}


def known_from(count: int, seed: int) -> KnownImages:
    known = summarise(made(count, seed), "validation")
    assert known is not None
    return known


Drawn = Callable[[np.random.Generator, int], Float64s]


def usual_tails(random: np.random.Generator, count: int) -> Float64s:
    return random.normal(size=(count, 5))


def heavy_tails(random: np.random.Generator, count: int) -> Float64s:
    return random.standard_t(3, size=(count, 5))


def two_kinds(random: np.random.Generator, count: int) -> Float64s:
    """One in 20 is of another kind: few known images have none of them."""
    return random.normal(size=(count, 5)) + 6 * (random.random((count, 1)) < 0.05)


@pytest.mark.parametrize("draw", [usual_tails, heavy_tails, two_kinds])
@pytest.mark.parametrize("count", [20, 72, 200, 1000])
def test_no_more_new_images_reach_a_rate_than_it_says(draw: Drawn, count: int) -> None:
    """Over many sets of known images, and for every rate that a file can hold.

    One set alone says little: the share beyond its k-th score has the spread of Beta(k, n + 1 − k).
    """
    random, sets, shares = np.random.default_rng(count), 600, []
    mixed = random.normal(size=(5, 5))
    for _ in range(sets):
        known = KnownImages(
            part="validation", n=count, neg_elbo=[0.0, 1.0], error_of_size=[0.0, 0.0, 1.0],
            **calibrated(draw(random, count) @ mixed),
        )  # fmt: skip
        new = draw(random, 40) @ mixed
        score = distances(new, np.array(known.mean), np.array(known.precision))
        rate = false_alarm_rate(score, known)
        shares.append([(rate <= level + 1e-12).mean() for level in known.rates])
    found, levels = np.mean(shares, 0), np.array(known.rates)
    spread = np.sqrt(levels * (1 - levels) * (1 / count + 1 / 40) / sets)
    assert (found <= levels + 4 * spread).all()
    if draw is not two_kinds:  # where the covariance of few images is unsure, the rate errs upwards
        assert (found >= 0.7 * levels - 4 * spread).all()


def test_a_rate_is_never_below_what_the_known_images_can_show() -> None:
    known = known_from(99, 0)
    rates = false_alarm_rate(np.array([0.0, 1e9]), known)
    assert rates.tolist() == pytest.approx([1.0, 1 / 100])
    assert min(RATES) == 0.001
    assert known_from(1500, 0).rates[-1] == pytest.approx(1 / 1501)


def test_leaving_an_image_out_is_what_its_formula_says() -> None:
    points = np.random.default_rng(0).normal(size=(30, 4)) @ np.diag([1.0, 2, 3, 4])
    inverse = np.linalg.inv(np.cov(points, rowvar=False))
    own = points - points.mean(0)
    found = left_out(np.einsum("ni,ij,nj->n", own, inverse, own), 30)
    for i, point in enumerate(points):
        rest = np.delete(points, i, axis=0)
        away = point - rest.mean(0)
        direct = away @ np.linalg.inv(np.cov(rest, rowvar=False)) @ away
        assert found[i] == pytest.approx(direct, rel=1e-9)


def test_the_outlier_score_is_the_distance_of_scipy() -> None:
    from scipy.spatial.distance import mahalanobis

    known, others = made(400, 1), made(5, 2)
    usual = compared_statistics(known)
    inverse = np.linalg.inv(np.cov(usual, rowvar=False))
    found = outlier_scores(others, known_from(400, 1))["outlier"]
    direct = [mahalanobis(row, usual.mean(0), inverse) for row in compared_statistics(others)]
    assert found.tolist() == pytest.approx(direct, rel=1e-4)


def test_typicality_and_relative_error_by_hand() -> None:
    known = KnownImages(
        part="validation", n=100, neg_elbo=[100.0, 5.0], error_of_size=[10.0, 0.5, 4.0],
        mean=[0.0] * 4, precision=np.eye(4).tolist(), rates=[0.5, 0.01], scores=[2.0, 4.0],
    )  # fmt: skip
    image = {"neg_elbo": 90.0, "reconstruction": 80.0, "kl": 10.0, "mse": 0.1, "png_bytes": 100.0}
    found = outlier_scores({name: torch.tensor([value]) for name, value in image.items()}, known)
    assert found["typicality"].tolist() == [2.0]
    assert found["relative_error"].tolist() == [5.0]  # (80 − (10 + 0.5 · 100)) / 4
    assert "latent_distance" not in found
    scores = np.array([1.9, 2.0, 3.9, 4.0, 9.0])  # between two thresholds, the higher rate holds
    assert false_alarm_rate(scores, known).tolist() == [1.0, 0.5, 0.5, 0.01, 0.01]


def test_a_file_that_describes_other_statistics_is_refused() -> None:
    known = known_from(60, 0)
    hierarchy = {name: value for name, value in made(3, 1).items() if name != "latent_distance"}
    with pytest.raises(ModelFileError, match="known describes 5 statistics, this model has 4"):
        outlier_scores(hierarchy, known)


def test_dimensions_that_carry_nothing_do_not_make_an_outlier() -> None:
    latents = LatentStatistics(mean=[0.0, 0.0], std=[1.0, 1e-6], kl=[1.0, 0.0])
    assert latent_distance(torch.tensor([[0.0, 0.01]]), latents).item() == pytest.approx(0.1)


def test_the_length_of_a_png_is_that_of_a_file_that_reads_back() -> None:
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    least = len(zlib.compress(image.tobytes())) + 8 + 25 + 12 + 12  # signature, IHDR, IDAT, IEND
    assert least <= png_bytes(image) <= least + 9 + 20  # a filter byte per row
    assert png_bytes(np.zeros((9, 7, 3), np.uint8)) < 100
    grey = np.zeros((4, 4, 1), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey[..., 0]).save(buffer, "png", compress_level=6)
    assert png_bytes(grey) == len(buffer.getvalue())
    assert struct.unpack(">II", buffer.getvalue()[16:24]) == (4, 4)


# With a trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("outliers") / "run"
    path = vaekit.train(dataset="digits", epochs=25, hidden=[128], output=folder, threads=1)
    return vaekit.load(path, "cpu")


@pytest.fixture(scope="module")
def usual() -> Pixels:
    return vaekit.load_dataset("digits").images


def auroc(strange: list[float | None], known: list[float | None]) -> float:
    values = np.array([*strange, *known], float)
    return float(roc_auc_score([1] * len(strange) + [0] * len(known), values))


def test_strangers_that_score_best_by_the_elbo_are_found(trained: Model, usual: Pixels) -> None:
    known = scores(trained, usual)
    found = {kind: scores(trained, images) for kind, images in strangers(usual).items()}
    by_loss = {kind: auroc(row["neg_elbo"], known["neg_elbo"]) for kind, row in found.items()}
    by_score = {kind: auroc(row["outlier"], known["outlier"]) for kind, row in found.items()}
    assert by_loss["black"] < 0.01  # an all-black image has the best −ELBO of all
    assert {kind for kind, value in by_score.items() if value > 0.95} >= FOUND
    assert min(by_score.values()) > 0.6
    assert np.mean([*by_score.values()]) > np.mean([*by_loss.values()]) + 0.05


def test_few_test_images_are_called_outliers(trained: Model, usual: Pixels) -> None:
    """At 10 percent: 162 known images cannot resolve 1 percent."""
    rate = np.array(scores(trained, usual)["false_alarm_rate"], float)
    assert 0.01 < (rate <= 0.1).mean() < 0.22


def test_one_image_has_the_scores_it_has_among_others(trained: Model, usual: Pixels) -> None:
    together, alone = scores(trained, usual[:9]), scores(trained, usual[5:6], start=5)
    for name in ("neg_elbo", *OUTLIER_COLUMNS):
        assert alone[name] == together[name][5:6]


def test_the_file_says_what_the_scores_compare_with(trained: Model) -> None:
    known = read_model_file(str(trained.path)).header.known
    assert known is not None
    assert (known.part, known.n) == ("validation", trained.header.training["n_val"])
    assert known.neg_elbo[0] == pytest.approx(
        trained.header.training["best"]["val_neg_elbo"], rel=0.01
    )
    assert columns(trained, None)[3:] == list(OUTLIER_COLUMNS)


def test_a_hierarchy_has_no_latent_distance(tmp_path: Path) -> None:
    path = vaekit.train(
        dataset="digits", limit=80, epochs=1, model="ladder", channels=[4],
        latent_groups=[1, 0, 0, 0], latent_channels=2, output=tmp_path / "run", threads=1,
    )  # fmt: skip
    model = vaekit.load(path, "cpu")
    found = scores(model, vaekit.load_dataset("digits", limit=3).images)
    assert list(found) == columns(model, None)
    assert "latent_distance" not in found
    assert all(value is not None for value in found["outlier"])


def test_too_few_known_images_give_no_rate_instead_of_a_wrong_one() -> None:
    assert summarise(made(19, 0), "training") is None
    broken = made(60, 0)
    broken["kl"][3] = torch.nan
    assert summarise(broken, "training") is None


def test_images_that_are_all_equal_can_still_be_described() -> None:
    same = {name: values[:1].expand(60) for name, values in made(60, 0).items()}
    known = summarise(same, "training")
    assert known is not None
    others = outlier_scores({name: 2 * values[:1] for name, values in same.items()}, known)
    assert others["outlier"].item() > 100
    assert others["false_alarm_rate"].item() == pytest.approx(1 / 61)


def test_strangers_of_the_benchmark_have_the_shape_of_the_images() -> None:
    for channels in (1, 3):
        images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, channels), dtype=np.uint8)
        found = strangers(images)
        assert list(found) == [*MAKERS]
        assert {value.shape for value in found.values()} == {images.shape}
        assert {value.dtype for value in found.values()} == {np.dtype(np.uint8)}
        assert (found["inverted"] == 255 - images).all()
        assert fitted(images, (8, 8, 3)).shape == (3, 8, 8, 3)
