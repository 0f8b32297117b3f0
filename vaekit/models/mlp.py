"""Fully connected networks, the default for images under 16 pixels a side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from vaekit.likelihoods import Likelihood
from vaekit.models.layers import PosteriorHead, activate
from vaekit.models.linear import Linear, suits
from vaekit.models.settings import Image
from vaekit.models.vae import VAE
from vaekit.seeds import BLOCK

LIGHT = 1 << 17
"""Up to this many values, elementwise operations gain no second thread (docs/benchmarks.md)."""

MOST_BLOCKS = 4
CHUNK_VALUES = 1 << 20
"""Values of a chunk of images: few enough for a processor's cache."""


class MLP(VAE):
    """Linear layers with an activation after each, mirrored in the decoder.

    The network of Kingma & Welling 2013 (arXiv:1312.6114). Without hidden layers it is the linear
    VAE of Lucas et al. 2019 (arXiv:1911.02469), whose optimum is known: probabilistic PCA.

    >>> from vaekit.likelihoods import build_likelihood
    >>> model = MLP((8, 8, 1), 2, build_likelihood("mse"), hidden=[32, 16])
    >>> [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    [32, 16, 2, 2, 16, 32, 64]
    """

    name = "mlp"

    def __init__(
        self,
        image: Image,
        latent_dim: int,
        likelihood: Likelihood,
        *,
        hidden: Sequence[int] = (400, 400),
        activation: str = "relu",
    ) -> None:
        super().__init__(image, latent_dim, likelihood)
        self.hidden, self.activation = list(hidden), activation
        values = math.prod(image)
        down, up = [values, *hidden], [latent_dim, *reversed(hidden)]
        self.encoder = nn.Sequential(nn.Flatten(), *_linears(down, activation))
        self.posterior = PosteriorHead(down[-1], latent_dim)
        self.decoder = nn.Sequential(*_linears(up, activation))
        self.output = Linear(up[-1], self.output_channels * math.prod(image[:2]))

    @classmethod
    def defaults(cls, image: Image) -> dict[str, Any]:
        """Two hidden layers of 400 for any image."""
        return {"hidden": [400, 400], "activation": "relu"}

    @property
    def settings(self) -> dict[str, Any]:
        """The widths of the hidden layers, and their activation."""
        return {"hidden": self.hidden, "activation": self.activation}

    def is_light(self, rows: int) -> bool:
        """Whether no layer has more than `LIGHT` outputs, and large products use all threads."""
        widest = max(self.output.weight.shape[0], math.prod(self.image), *self.hidden)
        return rows * widest <= LIGHT and suits(self.output.weight)

    @property
    def chunk(self) -> int:
        """Small products are inefficient: 256 rows at a time are nearly twice as fast as 64."""
        fitting = CHUNK_VALUES // (BLOCK * math.prod(self.image))
        return BLOCK * max(1, min(MOST_BLOCKS, fitting))


def _linears(widths: Sequence[int], activation: str) -> list[nn.Module]:
    steps = [[Linear(a, b), activate(activation)] for a, b in pairwise(widths)]
    return [layer for step in steps for layer in step]
