"""The networks of the recipes as most scripts write them: a sigmoid at the end, no clamps."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import nn

from tests.benchmarks.works import Work


class Parts(NamedTuple):
    """An encoder to features, the number of features, a decoder from latents."""

    encoder: nn.Module
    features: int
    decoder: nn.Module


def parts(work: Work) -> Parts:
    """Encoder and decoder, without the two linear maps to the posterior."""
    return _mlp(work) if work.model == "mlp" else _conv(work)


def _mlp(work: Work) -> Parts:
    height, width, channels = work.image
    (hidden,), pixels = work.settings["hidden"], height * width * channels
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU())
    to_image = nn.Unflatten(1, (channels, height, width))
    first = [nn.Linear(work.latent_dim, hidden), nn.ReLU()]
    decoder = nn.Sequential(*first, nn.Linear(hidden, pixels), nn.Sigmoid(), to_image)
    return Parts(encoder, hidden, decoder)


def _conv(work: Work) -> Parts:
    height, width, channels = work.image
    widths = work.settings["channels"]
    small = (widths[-1], height >> len(widths), width >> len(widths))
    features = small[0] * small[1] * small[2]
    down = [_stage(nn.Conv2d, a, b) for a, b in pairwise([channels, *widths])]
    up = [_stage(nn.ConvTranspose2d, a, b) for a, b in pairwise(widths[::-1])]
    start = nn.Sequential(nn.Linear(work.latent_dim, features), nn.Unflatten(1, small))
    end = [nn.ConvTranspose2d(widths[0], channels, 4, 2, 1), nn.Sigmoid()]
    return Parts(nn.Sequential(*down, nn.Flatten()), features, nn.Sequential(start, *up, *end))


def _stage(kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], a: int, b: int) -> nn.Module:
    return nn.Sequential(kind(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU())
