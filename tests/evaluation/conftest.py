"""Linear VAEs, whose log p(x) is known: what every estimate is held against."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit.evaluation.aggregate_posterior import density_ratio
from vaekit.gaussian import Normal
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build

SIGMA = 0.4

Linear = Callable[..., VAE]


@pytest.fixture(autouse=True)
def _short_density_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--metrics all` fits a network each time, which need not be a good one in most tests."""
    for name, value in {"STEPS": 60, "MOST_ROUNDS": 4, "JUDGED_DRAWS": 1000, "HIDDEN": 8}.items():
        monkeypatch.setattr(density_ratio, name, value)


@pytest.fixture
def linear() -> VAE:
    """x = W z + b + noise on 4x4 images, with an encoder that is near the true posterior only."""
    torch.manual_seed(3)
    network = build(
        "mlp",
        image=(4, 4, 1),
        latent_dim=3,
        likelihood=build_likelihood("gaussian", sigma=SIGMA),
        settings={"hidden": []},
    ).eval()
    w = 0.3 * torch.randn(16, 3)
    precision = w.T @ w / SIGMA**2 + torch.eye(3)
    to_mean = torch.linalg.solve(precision, w.T) / SIGMA**2
    with torch.no_grad():
        network.output.weight.copy_(w)
        network.output.bias.fill_(0.5)
        network.posterior.mean.weight.copy_(0.5 * to_mean)
        network.posterior.mean.bias.copy_(-0.5 * to_mean @ torch.full((16,), 0.5))
        network.posterior.logvar.weight.zero_()
        network.posterior.logvar.bias.copy_(-torch.log(precision.diagonal()) + 0.9)
    return network


@pytest.fixture
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand(60, 1, 4, 4, generator=generator)


def sharp(latents: int = 16) -> tuple[VAE, Tensor]:
    """A linear model with sigma 0.05 whose encoder is the prior, and images drawn from it."""
    torch.manual_seed(0)
    network = build(
        "mlp", image=(8, 8, 1), latent_dim=latents, settings={"hidden": []},
        likelihood=build_likelihood("gaussian", sigma=0.05),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network.output.weight.copy_(0.1 * torch.randn(64, latents))
        network.output.bias.fill_(0.5)
        for layer in (network.posterior.mean, network.posterior.logvar):
            layer.weight.zero_()
            layer.bias.zero_()
        x = network.decode(torch.randn(20, latents)) + 0.05 * torch.randn(20, 1, 8, 8)
    return network, x


def curved(name: str, **settings: Any) -> tuple[VAE, Tensor]:
    """A model that is not linear, with two latents and an untrained encoder, and images of it."""
    torch.manual_seed(1)
    network = build(
        "mlp", image=(6, 6, 1), latent_dim=2, settings={"hidden": [24]},
        likelihood=build_likelihood(name, **settings), seed=4,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.mul_(2)
        params = network.decode(torch.randn(6, 2))
        x = network.likelihood.sample(params, torch.rand(6, 1, 6, 6)).clamp(0, 1)
    return network, x


def integral(network: VAE, x: Tensor) -> Tensor:
    """log ∫ p(x|z) p(z) dz by the sum over a fine grid of the plane."""
    side = torch.linspace(-5, 5, 301)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        params = network.decode(z)
        log_px = [network.likelihood.log_prob(params, one.expand(len(z), 1, 6, 6)) for one in x]
    joint = torch.stack(log_px).double() + network.prior.log_prob(z).double()
    return torch.logsumexp(joint, 1) + 2 * math.log(float(side[1] - side[0]))


def exact_log_likelihood(network: VAE, x: Tensor) -> Tensor:
    """log N(x; b, W Wᵀ + σ² I), by torch in float64."""
    w, b = network.output.weight.detach().double(), network.output.bias.detach().double()
    sigma = float(network.likelihood.sigma)
    covariance = w @ w.T + sigma**2 * torch.eye(len(b), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(b, covariance).log_prob(x.double().flatten(1))


def exact_elbo(network: VAE, x: Tensor) -> Tensor:
    """The expectation over q(z|x) worked out, not drawn."""
    w, b = network.output.weight.detach().double(), network.output.bias.detach().double()
    sigma = float(network.likelihood.sigma)
    with torch.no_grad():
        q = network.encode(x)
    q = Normal(q.mean.double(), q.logvar.double())
    flat = x.double().flatten(1)
    misses = (flat - b - q.mean @ w.T).square().sum(1)
    spread = (w.square().sum(0) * q.logvar.exp()).sum(1)
    constant = torch.log(torch.tensor(2 * torch.pi * sigma**2, dtype=torch.float64))
    log_px = -0.5 * ((misses + spread) / sigma**2 + flat.shape[1] * constant)
    standard = torch.distributions.Normal(torch.zeros_like(q.mean), 1.0)
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(q.mean, q.std), standard)
    return log_px - kl.sum(1)
