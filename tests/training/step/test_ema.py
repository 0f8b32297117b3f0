"""The weights that `--ema` keeps are the moving average of its formula."""

from __future__ import annotations

import pytest
import torch

from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build
from vaekit.training.step.ema import WeightAverage


def network(name: str = "mlp") -> VAE:
    return build(name, image=(8, 8, 1), latent_dim=2, likelihood=build_likelihood("bce"))


def stir(model: VAE, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("decay", [0.2, 0.9, 0.999])
def test_the_average_follows_the_formula(decay: float) -> None:
    model = network()
    average = WeightAverage(model, decay)
    expected = [p.detach().double().clone() for p in model.parameters()]
    for step in range(8):
        stir(model, step)
        average.update(model, step)
        now = min(decay, (1 + step) / (10 + step))
        expected = [
            now * old + (1 - now) * new.detach().double()
            for old, new in zip(expected, model.parameters(), strict=True)
        ]
    for mine, its in zip(average.network.parameters(), expected, strict=True):
        assert torch.allclose(mine.double(), its, atol=1e-5)


def test_the_statistics_of_a_batch_norm_are_copied_and_not_averaged() -> None:
    model = network("conv")
    average = WeightAverage(model, 0.9)
    model.train()
    model.encode(torch.rand(4, 1, 8, 8))
    average.update(model, 0)
    theirs = dict(model.named_buffers())
    assert theirs
    for name, mine in average.network.named_buffers():
        assert torch.equal(mine, theirs[name])


def test_the_average_shares_no_memory_with_the_trained_network() -> None:
    model = network()
    average = WeightAverage(model, 0.9)
    before = [p.clone() for p in average.network.parameters()]
    stir(model, 0)
    assert all(map(torch.equal, before, average.network.parameters()))
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad for p in model.parameters())
