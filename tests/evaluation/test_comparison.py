"""If these fail, `compare` calls a model better when the difference is noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel
from torch import Tensor

from vaekit.evaluation.comparison import (
    best,
    comparable,
    differences,
    holm,
    paired_differences,
)

N = 400


def values(mean: float, seed: int, noise: float = 0.3) -> Tensor:
    """Images differ a lot, models on one image little."""
    images = 50 * np.random.default_rng(0).normal(size=N)
    own = noise * np.random.default_rng(seed).normal(size=N)
    return torch.from_numpy(100 + mean + images + own)


def record(each: Tensor, likelihood: str = "mse", **more: Any) -> dict[str, Any]:
    return {
        "likelihood": likelihood, "binarization": None, "neg_elbo": float(each.mean()), **more
    }  # fmt: skip


def leaders(*models: Tensor) -> list[int]:
    records = [record(each) for each in models]
    return best(records, differences(records, [{"neg_elbo": each} for each in models]))["neg_elbo"]


def test_two_models_that_differ_by_noise_are_both_best() -> None:
    assert leaders(values(0, 1), values(0, 2)) == [0, 1]


def test_a_small_difference_on_every_image_is_found_though_images_differ_more() -> None:
    a, b = values(0.1, 1), values(0, 2)
    assert float(a.std()) / math.sqrt(N) > 20 * float((a - b).mean())
    assert leaders(a, b) == [1]
    assert leaders(a, b, values(0, 3), values(-0.001, 4)) == [1, 2, 3]


def test_p_is_that_of_the_paired_t_test() -> None:
    a, b = values(0.03, 1), values(0, 2)
    (found,) = paired_differences([a, b])
    reference = ttest_rel(b.numpy(), a.numpy())
    assert found.p == pytest.approx(reference.pvalue)
    assert found.mean / found.stderr == pytest.approx(reference.statistic)


def test_more_models_need_more_evidence() -> None:
    """Among twenty equal models some pair differs at the 5 percent level by chance."""
    models = [values(0, seed) for seed in range(20)]
    plain = [ttest_rel(a, b).pvalue for i, a in enumerate(models) for b in models[:i]]
    assert min(plain) < 0.05
    assert leaders(*models) == [*range(20)]


def test_holm_orders_and_never_exceeds_one() -> None:
    assert holm([0.5, 0.001, 0.9]) == pytest.approx([1.0, 0.003, 1.0])
    assert holm([]) == []


def test_one_image_or_equal_images_decide_nothing() -> None:
    assert leaders(torch.tensor([1.0]), torch.tensor([2.0])) == [0, 1]
    assert leaders(values(0, 1), values(0, 1)) == [0, 1]
    assert leaders(values(0, 1), values(0, 1) + 1) == [0]


def test_a_mean_that_is_infinite_or_missing_decides_nothing() -> None:
    perfect = torch.full((N,), math.inf)
    records = [{**record(values(0, 1)), "psnr": None}, {**record(values(0, 2)), "psnr": 20.0}]
    images = [{"psnr": perfect}, {"psnr": values(0, 2)}]
    assert best(records, differences(records, images)) == {"psnr": [0, 1]}


def test_nats_compare_only_between_likelihoods_of_one_kind() -> None:
    a, b = values(0, 1), values(-5, 2)
    images = [{"neg_elbo": a, "mse": a}, {"neg_elbo": b, "mse": b}]
    for likelihood, alike in {"gaussian": True, "bce": False}.items():
        records = [record(a, mse=float(a.mean())), record(b, likelihood, mse=float(b.mean()))]
        assert comparable(records) == alike
        expected = {"neg_elbo": [1], "mse": [1]} if alike else {"mse": [1]}
        assert best(records, differences(records, images)) == expected
    one = record(a)
    assert not comparable([one, {**one, "likelihood": "bernoulli", "binarization": "static"}])


def test_a_metric_whose_noise_is_unknown_names_no_best() -> None:
    records = [record(values(0, 1), fid=1.0), record(values(0, 2), fid=9.0)]
    assert "fid" not in best(records, differences(records, [{}, {}]))
