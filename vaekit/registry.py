"""Names to code: the list of models, likelihoods, objectives and data sets.

A new entry is its code and one line here; the contract tests iterate over these tables. Entries are
strings, so that listing them imports nothing, and a name from a file can only reach what this
module lists.

    >>> suggest("model", "rensett")
    "unknown model 'rensett': did you mean 'resnet'? (conv, ladder, mlp, resnet)"
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from vaekit.errors import UsageError

MODELS = {
    "mlp": "vaekit.models.mlp:MLP",
    "conv": "vaekit.models.conv:Conv",
    "resnet": "vaekit.models.resnet:ResNet",
    "ladder": "vaekit.models.ladder:Ladder",
}
LIKELIHOODS = {
    "bce": "vaekit.likelihoods:CrossEntropy",
    "bernoulli": "vaekit.likelihoods:Bernoulli",
    "mse": "vaekit.likelihoods:UnitGaussian",
    "gaussian": "vaekit.likelihoods:Gaussian",
    "logistic": "vaekit.likelihoods:DiscretizedLogistic",
    "dmol": "vaekit.likelihoods:MixtureOfLogistics",
}
OBJECTIVES = {
    "elbo": "vaekit.objectives.elbo:elbo",
}
DATASETS = {
    "digits": "vaekit.data.datasets.digits:open_digits",
    "glyphs": "vaekit.data.datasets.glyphs:open_glyphs",
    "shapes": "vaekit.data.datasets.shapes:open_shapes",
    "mnist": "vaekit.data.datasets.mnist:open_mnist",
    "fashion-mnist": "vaekit.data.datasets.mnist:open_fashion_mnist",
    "kmnist": "vaekit.data.datasets.mnist:open_kmnist",
    "cifar10": "vaekit.data.datasets.cifar:open_cifar10",
    "cifar100": "vaekit.data.datasets.cifar:open_cifar100",
    "svhn": "vaekit.data.datasets.svhn:open_svhn",
    "stl10": "vaekit.data.datasets.stl10:open_stl10",
    "celeba": "vaekit.data.datasets.celeba:open_celeba",
    "dsprites": "vaekit.data.datasets.dsprites:open_dsprites",
}
_TABLES = {
    "model": MODELS,
    "likelihood": LIKELIHOODS,
    "objective": OBJECTIVES,
    "dataset": DATASETS,
}


def names(kind: str) -> tuple[str, ...]:
    """The names of one kind, in the order of the table."""
    return tuple(_TABLES[kind])


def resolve(kind: str, name: str) -> Any:
    """The object with this name; only names in the table are imported."""
    target = _TABLES[kind].get(name)
    if target is None:
        raise UsageError(suggest(kind, name))
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def suggest(kind: str, name: str) -> str:
    """The message for an unknown name: the nearest known one, and all of them."""
    return f"unknown {kind} {name!r}: {near_miss(name, names(kind))}"


def near_miss(name: str, known: tuple[str, ...]) -> str:
    """A suggestion instead of `name`: the nearest known name, and the others if they are few."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}?" if close else ""
    if close and len(known) > 12:
        return guess
    everything = ", ".join(sorted(known))
    return f"{guess} ({everything})" if close else f"choose from {everything}"
