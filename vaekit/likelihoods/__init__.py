"""Likelihoods p(x|z): from a decoder's output to log-probabilities, means and samples.

A decoder gives `params` of shape (N, P·C, H, W), P parameters for each of the C·H·W values of an
image; a likelihood turns them into a log-probability, a mean or a sample. Images are in [0, 1].
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
    "UnitGaussian",
    "build_likelihood",
]


def build_likelihood(name: str, *, sigma: float | str | None = None) -> Likelihood:
    """Make the likelihood of this name; not all take a sigma.

    >>> build_likelihood("gaussian", sigma=0.1).settings
    {'sigma': 0.1}
    """
    kind: type[Likelihood] = resolve("likelihood", name)
    if sigma is None:
        return kind()
    if not kind.takes_sigma:
        takers = [one for one in names("likelihood") if resolve("likelihood", one).takes_sigma]
        raise UsageError(f"--sigma goes with --likelihood {' or '.join(takers)}, not with {name}")
    return kind(sigma=sigma)
