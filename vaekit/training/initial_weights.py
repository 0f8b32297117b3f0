"""Starts a run from the weights of another model (`--init`), and freezes parts (`--freeze`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.configuration.config import RunConfig
from vaekit.errors import UsageError
from vaekit.model_file.header import ModelHeader, read_model_file, verify_digest
from vaekit.model_file.weights import read_tensors, refuse_nonfinite
from vaekit.models.vae import VAE
from vaekit.reporting import Reporter
from vaekit.training.defaults import NETWORK_OPTIONS
from vaekit.wording import image_in_words

MOST_NAMED = 4
"""Tensors that a note names one by one."""


def inherited(config: RunConfig) -> RunConfig:
    """The config with the image size, network and likelihood of `init` where none are given."""
    if config.init is None:
        return config
    header = read_model_file(config.init).header
    found: dict[str, Any] = {"image_size": header.image[:2], "model": header.model.name}
    if config.model in (None, header.model.name):
        found |= {"latent_dim": header.model.latent_dim, **_settings(header)}
    if config.likelihood in (None, header.likelihood.name):
        found |= _likelihood(header)
    missing = {name: value for name, value in found.items() if getattr(config, name) is None}
    return config.changed(**missing)


def _settings(header: ModelHeader) -> dict[str, Any]:
    settings = {n: v for n, v in header.model.settings.items() if n in NETWORK_OPTIONS}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}


def _likelihood(header: ModelHeader) -> dict[str, Any]:
    spec = header.likelihood
    found: dict[str, Any] = {"likelihood": spec.name, "binarize": spec.binarize}
    kept = {name: value for name, value in spec.settings.items() if name in RunConfig.model_fields}
    return found | kept


def start_network(network: VAE, config: RunConfig, reporter: Reporter) -> None:
    """Give a new run's network the weights of `init`; warn of a part frozen as it was drawn."""
    if config.init is not None:
        start_from(network, config.init, reporter)
    elif config.freeze is not None:
        reporter.warn(f"--freeze {config.freeze} without --init keeps weights that nobody trained")


@torch.no_grad()
def start_from(network: VAE, path: str, reporter: Reporter) -> None:
    """Copy the weights of a model file that have the same name and shape; name the others."""
    file = read_model_file(path)
    given = read_tensors(file.path, file.weights)
    verify_digest(file)
    refuse_nonfinite(file, given)
    own = network.state_dict()
    fitting = {name for name, tensor in own.items() if _fits(tensor, given.get(name))}
    if not fitting:
        that = _in_words(file.header.model.name, file.header.image)
        this = _in_words(network.name, network.image)
        kinds = f"that is {that}, this run trains {this}" if that != this else _left_out(own, given)
        raise UsageError(f"--init {path}: none of its tensors fits; {kinds}")
    for name in fitting:
        own[name].copy_(given[name])
    left = {name: tensor for name, tensor in own.items() if name not in fitting}
    count = f"{len(fitting)} of {len(own)} tensors are those of {path}"
    reporter.note(f"{count}; {_left_out(left, given)}" if left else count)


def _in_words(model: str, image: tuple[int, int, int]) -> str:
    return f"{'an' if model == 'mlp' else 'a'} {model} of {image_in_words(*image)}"


def _fits(own: Tensor, given: Tensor | None) -> bool:
    return given is not None and given.shape == own.shape and given.dtype == own.dtype


def _left_out(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Which tensors start new, and why."""
    texts = [_reason(name, tensor, given.get(name)) for name, tensor in [*own.items()][:MOST_NAMED]]
    more = len(own) - len(texts)
    return f"new: {', '.join(texts)}{f' and {more} more' if more else ''}"


def _reason(name: str, own: Tensor, given: Tensor | None) -> str:
    here = "x".join(map(str, own.shape)) or "one number"
    there = "missing" if given is None else "x".join(map(str, given.shape)) or "one number"
    return f"{name} (here {here}, there {there})"


def freeze(network: VAE, part: str | None) -> list[nn.Module]:
    """Keep the weights of the encoder or the decoder as they are; returns its modules."""
    if part is None:
        return []
    if not hasattr(network, "posterior"):
        raise UsageError(
            f"--freeze {part}: is not for --model {network.name}, whose posterior is part of its "
            "decoder"
        )
    frozen: dict[str, list[nn.Module]] = {
        "encoder": [network.encoder, network.posterior],
        "decoder": [network.decoder, network.output, network.likelihood],
    }
    for module in frozen[part]:
        module.requires_grad_(False)
    return frozen[part]
