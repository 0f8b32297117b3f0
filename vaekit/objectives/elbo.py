"""The evidence lower bound, and the loss that maximises it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vaekit.gaussian import Normal, Posterior
from vaekit.likelihoods import Likelihood


class Prior(Protocol):
    """The part of p(z) that the objective uses."""

    def kl(self, q: Normal) -> Tensor:
        """KL(q ‖ prior) of each dimension: shape (N, D)."""
        ...


class ElboModel(Protocol):
    """The part of a variational autoencoder that the objective uses."""

    @property
    def likelihood(self) -> Likelihood:
        """p(x|z), given the decoder's output."""
        ...

    @property
    def prior(self) -> Prior:
        """p(z)."""
        ...

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x)."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z)."""
        ...


def elbo(
    model: ElboModel,
    x: Tensor,
    noise: Tensor,
    *,
    beta: float = 1.0,
    free_bits: float = 0.0,
) -> dict[str, Tensor]:
    """The negative evidence lower bound of each image, in nats, from one draw of z.

        neg_elbo = −log p(x|z) + KL(q(z|x) ‖ p(z)),   z = mean + std · noise

    Kingma & Welling 2013 (arXiv:1312.6114). `reconstruction`, `kl`, `neg_elbo` and `loss` have
    shape (N,). `beta` (Higgins et al. 2017) and `free_bits` change `loss` alone, which training
    minimises; nothing is divided by the size of the image or the latent. `kl_per_dim` and `mean`,
    of shape (N, D), are for monitoring and carry no gradient.

        >>> from vaekit.likelihoods import build_likelihood
        >>> from vaekit.models.vae import build
        >>> model = build("mlp", image=(8, 8, 1), latent_dim=2, likelihood=build_likelihood("mse"))
        >>> terms = elbo(model, torch.rand(5, 1, 8, 8), torch.randn(5, 2))
        >>> bool((terms["neg_elbo"] == terms["reconstruction"] + terms["kl"]).all())
        True
    """
    z, q, params = model.encode(x).draw(noise)
    if params is None:
        params = model.decode(z)
    reconstruction = -model.likelihood.log_prob(params, x)
    kl_per_dim = model.prior.kl(q)
    kl = kl_per_dim.sum(1)
    neg_elbo = reconstruction + kl
    charged = _with_free_bits(kl_per_dim, free_bits).sum(1) if free_bits > 0 else kl
    plain = beta == 1 and charged is kl
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "neg_elbo": neg_elbo,
        "loss": neg_elbo if plain else reconstruction + beta * charged,
        "kl_per_dim": kl_per_dim.detach(),
        "mean": q.mean.detach(),
    }


def _with_free_bits(kl_per_dim: Tensor, free_bits: float) -> Tensor:
    """Charge each dimension at least `free_bits` nats, on average over the batch.

    Σ_d max(free_bits, mean over the batch of KL_d), Kingma et al. 2016, eq. 15 (arXiv:1606.04934),
    distributed over the images so that their mean is that sum: an image pays its own divergence
    where the dimension is above the floor, and the floor, without a gradient, where it is below.
    An image's share therefore depends on the other images of the batch.
    """
    above = kl_per_dim.detach().mean(0) > free_bits
    return torch.where(above, kl_per_dim, free_bits)
