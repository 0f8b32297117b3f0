"""Likelihoods p(x|z): from a decoder's output to log-probabilities, means and samples.

A decoder gives `params` of shape (N, P, H, W), P parameters for each pixel of an image (for most
likelihoods, one or two for each of its channels); a likelihood turns them into a log-probability,
a mean or a sample. Images are in [0, 1].
All have the same methods, so they are interchangeable:

    >>> import torch
    >>> from vaekit.likelihoods import build_likelihood
    >>> likelihood = build_likelihood("bernoulli")
    >>> likelihood.log_prob(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))  # four fair coins
    tensor([-2.7726])
"""

from __future__ import annotations

from vaekit.errors import UsageError
from vaekit.likelihoods.bernoulli import Bernoulli, CrossEntropy
from vaekit.likelihoods.dmol import MixtureOfLogistics
from vaekit.likelihoods.likelihood import LEVELS, TYPICAL_SIGMA, Likelihood
from vaekit.likelihoods.logistic import DiscretizedLogistic
from vaekit.likelihoods.normal import SIGMA_SETTINGS, Gaussian, UnitGaussian
from vaekit.registry import names, resolve

__all__ = [
    "LEVELS",
    "SIGMA_SETTINGS",
    "TYPICAL_SIGMA",
    "Bernoulli",
    "CrossEntropy",
    "DiscretizedLogistic",
    "Gaussian",
    "Likelihood",
    "MixtureOfLogistics",
    "UnitGaussian",
    "build_likelihood",
]


def build_likelihood(name: str, **settings: float | str | None) -> Likelihood:
    """Make the likelihood of this name; a setting that is None keeps its default.

    >>> build_likelihood("gaussian", sigma=0.1).settings
    {'sigma': 0.1}
    """
    kind: type[Likelihood] = resolve("likelihood", name)
    given = {setting: value for setting, value in settings.items() if value is not None}
    for setting in given:
        if setting not in kind.takes:
            takers = [one for one in names("likelihood") if setting in _takes(one)]
            owners = " or ".join(takers) or "none"
            raise UsageError(f"--{setting} goes with --likelihood {owners}, not with {name}")
    return kind(**given)


def _takes(name: str) -> tuple[str, ...]:
    kind: type[Likelihood] = resolve("likelihood", name)
    return kind.takes
