"""The ELBO over a split: the number that papers print, exact whatever the batches were."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE, ElboReport, evaluate_elbo
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build
from vaekit.objectives.elbo import elbo
from vaekit.seeds import normal_rows

COUNT, LATENT = 103, 3


def network(name: str = "mlp", likelihood: str = "bce") -> VAE:
    made = build_likelihood(likelihood)
    model = build(name, image=(8, 8, 1), latent_dim=LATENT, likelihood=made)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def images(count: int = COUNT) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 1, 8, 8), generator=generator) / 255


def batches(x: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for indices in torch.arange(len(x)).split(size):
        yield indices, x[indices]


def report(model: VAE, x: Tensor, size: int, seed: int = 0) -> ElboReport:
    return evaluate_elbo(model, elbo, batches(x, size), seed=seed)


def test_the_elbo_is_the_mean_over_images_with_an_uneven_last_batch_too() -> None:
    """The mean of the batches' means would weigh the last 23 images as much as the first 40."""
    model, x = network().eval(), images()
    noise = normal_rows(0, COUNT, LATENT, 5, "evaluate")
    with torch.no_grad():
        terms = elbo(model.double(), x.double(), noise.double())
    model.float()
    found = report(model, x, 40, seed=5)
    assert found.n == COUNT
    for name in ("neg_elbo", "reconstruction", "kl"):
        values = terms[name].numpy()
        assert getattr(found, name) == pytest.approx(values.mean(), rel=1e-6)
        stderr = values.std(ddof=1) / math.sqrt(COUNT)
        assert found.stderr[name] == pytest.approx(stderr, rel=1e-4)
    assert found.kl_per_dim == pytest.approx(terms["kl_per_dim"].mean(0).tolist(), rel=1e-5)
    assert sum(found.kl_per_dim) == pytest.approx(found.kl, rel=1e-6)
    assert found.latent_mean == pytest.approx(terms["mean"].mean(0).tolist(), rel=1e-5)
    assert found.latent_std == pytest.approx(terms["mean"].std(0, correction=0).tolist(), rel=1e-5)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_the_batch_size_changes_no_number(name: str) -> None:
    model, x = network(name), images()
    whole = report(model, x, 512)
    for size in (1, 7, 64):
        parts = report(model, x, size)
        for term in ("neg_elbo", "reconstruction", "kl"):
            assert getattr(parts, term) == pytest.approx(getattr(whole, term), rel=1e-5)
            assert parts.stderr[term] == pytest.approx(whole.stderr[term], rel=1e-4)
        assert parts.active_units == whole.active_units


def test_each_image_has_its_own_draw_keyed_by_seed_and_index() -> None:
    model, x = network(), images()
    assert report(model, x, 50) == report(model, x, 50)
    assert report(model, x, 50).neg_elbo != report(model, x, 50, seed=1).neg_elbo
    same = x[:1].expand(COUNT, -1, -1, -1)
    assert report(model, same, 50).stderr["reconstruction"] > 0
    assert report(model, same, 50).stderr["kl"] == pytest.approx(0, abs=1e-6)


def test_the_network_is_evaluated_in_eval_mode_and_left_as_it_was() -> None:
    model, x = network("conv").train(), images()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = report(model, x, 50)
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert first == report(model.eval(), x, 50)
    assert not model.training


def stub(means: Tensor) -> Any:
    """An objective whose posterior means are these."""

    def objective(_: Any, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros(len(x))
        start = int(x[0, 0, 0, 0])
        terms = dict.fromkeys(("neg_elbo", "reconstruction", "kl"), zero)
        mine = means[start : start + len(x)]
        return {**terms, "kl_per_dim": torch.zeros_like(mine), "mean": mine}

    return objective


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_active_units_are_the_dimensions_that_move(size: int) -> None:
    """A variance of the mean over 0.01 across images (Burda et al., 2016); a large mean is none."""
    edge = math.sqrt(ACTIVE_VARIANCE)
    columns = [
        [0.0] * 10,
        [100.0] * 10,
        [-1.0, 1.0] * 5,
        [edge * 1.01, -edge * 1.01] * 5,
        [edge * 0.99, -edge * 0.99] * 5,
    ]
    means = torch.tensor(columns).T
    x = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 1, 8, 8)
    found = evaluate_elbo(network(), stub(means), batches(x, size), seed=0)
    assert found.active_units == 2
    assert found.latent_std == pytest.approx(np.std(columns, axis=1), abs=1e-5)


def test_one_image_has_a_mean_and_no_standard_error() -> None:
    found = report(network(), images(1), 8)
    assert math.isfinite(found.neg_elbo)
    assert math.isnan(found.stderr["neg_elbo"])
    assert found.active_units == 0
