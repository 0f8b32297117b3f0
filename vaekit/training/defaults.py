"""Settles the options that depend on the images, and builds the network.

The defaults are measured choices (see `docs/defaults.md`). They are written into the run's config,
so that it stays complete if a later vaekit has other defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vaekit import registry
from vaekit.configuration.config import USUAL_BATCH, RunConfig, flag
from vaekit.errors import UsageError
from vaekit.likelihoods import Likelihood, build_likelihood
from vaekit.models.vae import VAE, build

EMBEDDED = ("glyphs", "digits", "shapes")
EMBEDDED_LATENTS = 16
EPOCHS = {"digits": 100, "glyphs": 24}
SMALL_NETWORK = "mlp"
"""The network of small images, and of `glyphs`: it makes ten times as many steps as `conv`."""
MEASURED = {"digits": "logistic", "shapes": "bce"}
"""Likelihoods of the embedded data sets, where they are better than the usual one."""

USUAL_EPOCHS = 50
FEWEST = {"ladder": 1200}
USUAL_FEWEST = 1000
"""Default epochs give at least this number of steps."""

FEW_PHOTOS = 2_000
SMALL_PHOTO = 64 * 64
"""Colour sets of up to this number of images, each of up to this number of pixels, get a ladder."""
NOT_OF_LADDER = ("latent_dim", "hidden", "norm", "upsampling")
"""Who sets one of these means another network."""

USUAL_RATE = 2e-3
HIGH_RATE = 5e-3
"""For `bce` and `bernoulli`, which stay stable at it; see docs/defaults.md."""

MANY_IMAGES = 10_000
BATCHES = {"ladder": 32}
"""Images per step of the models for which more steps are worth more than larger ones."""
STABLE_RATES = {"ladder": 1e-3}
"""Peak rates of the models that are not stable at the usual one."""

PICTURES_IN_A_RUN = 10
NETWORK_OPTIONS = (
    *("hidden", "channels", "depth", "activation", "norm", "upsampling"),
    *("latent_groups", "latent_channels"),
)
NEW_NETWORKS: Mapping[str, Mapping[str, Any]] = {"conv": {"upsampling": "nearest"}}
"""Settings of new networks, by model, where a file that lacks the setting means another value."""
LIKELIHOOD_OPTIONS = ("sigma", "mixtures", "binarize")
"""Options for some likelihoods only."""


def fill_defaults(
    config: RunConfig, image: tuple[int, int, int], dataset: str, n: int | None = None
) -> RunConfig:
    """The config with every default filled in, for `n` training images of this shape."""
    channels = image[2]
    model = config.model or _model(config, image, dataset, n)
    likelihood = config.likelihood or _likelihood(dataset, channels)
    batch_size = config.batch_size or BATCHES.get(model, USUAL_BATCH)
    epochs = config.epochs or EPOCHS.get(dataset) or _epochs(n, batch_size, model)
    kind: type[VAE] = registry.resolve("model", model)
    size = _size(config, model, kind, n or 0)
    network = _network_options(config, model, image, size)
    usual = _latent_dim(dataset, channels)
    return config.changed(
        model=model,
        latent_dim=kind.latent_dim_for(image, network, config.latent_dim, usual),
        size=size,
        likelihood=likelihood,
        epochs=epochs,
        batch_size=batch_size,
        lr=config.lr or _rate(model, config.schedule, batch_size, likelihood, n or 0),
        pictures_every=config.pictures_every or max(1, epochs // PICTURES_IN_A_RUN),
        **network,
        **_likelihood_options(config, likelihood),
    )


def _model(
    config: RunConfig, image: tuple[int, int, int], dataset: str, n: int | None = None
) -> str:
    """The network with the best images after five minutes on two cores, where that was measured.

    >>> small = (32, 32, 3)
    >>> _model(RunConfig(), small, "photos", 400), _model(RunConfig(), small, "photos", 50_000)
    ('ladder', 'conv')
    """
    height, width, channels = image
    if min(height, width) < 16 or dataset == "glyphs":
        return SMALL_NETWORK
    few = n is not None and n <= FEW_PHOTOS and height * width <= SMALL_PHOTO
    asked = any(getattr(config, name) is not None for name in NOT_OF_LADDER)
    return "ladder" if channels == 3 and few and not asked and dataset != "shapes" else "conv"


def _latent_dim(dataset: str, channels: int) -> int:
    if dataset in EMBEDDED:
        return EMBEDDED_LATENTS
    return 20 if channels == 1 else 128


def _epochs(n: int | None, batch_size: int, model: str) -> int:
    """The usual number, or more for few images, so that they get `FEWEST` steps.

    >>> _epochs(60_000, 128, "conv"), _epochs(300, 128, "conv"), _epochs(300, 32, "ladder")
    (50, 334, 120)
    """
    fewest = FEWEST.get(model, USUAL_FEWEST)
    steps = math.ceil(n / batch_size) if n else fewest
    return max(USUAL_EPOCHS, math.ceil(fewest / steps))


def _rate(model: str, schedule: str, batch_size: int, likelihood: str, n: int) -> float:
    """The peak learning rate: lower for small batches, whose gradients are noisier.

    >>> [_rate("mlp", "one-cycle", 32, likelihood, 60_000) for likelihood in ("bce", "logistic")]
    [0.0025, 0.002]
    """
    if model in STABLE_RATES:
        return STABLE_RATES[model]
    stable = schedule == "one-cycle" and _likelihood_class(likelihood).logits
    if not stable or n < MANY_IMAGES:
        return USUAL_RATE
    return max(USUAL_RATE, HIGH_RATE * min(1.0, math.sqrt(batch_size / USUAL_BATCH)))


def _likelihood(dataset: str, channels: int) -> str:
    """The likelihood with the better images, measured: see docs/defaults.md."""
    return MEASURED.get(dataset) or ("bce" if channels == 1 else "logistic")


def _size(config: RunConfig, model: str, kind: type[VAE], n: int) -> str | None:
    """The size of a model that has several, by the number of images."""
    if config.size is not None and config.size not in kind.size_names:
        owners = [
            name for name in registry.names("model") if registry.resolve("model", name).size_names
        ]
        raise UsageError(f"{flag('size')} is for --model {' or '.join(owners)}, not for {model}")
    return config.size or kind.size_for(n)


def _network_options(
    config: RunConfig, model: str, image: tuple[int, int, int], size: str | None
) -> dict[str, Any]:
    """The network's options, its defaults filled in; an option it does not take is an error."""
    kind: type[VAE] = registry.resolve("model", model)
    defaults: Mapping[str, Any] = kind.sized(image, size) if size else kind.defaults(image)
    asked = {name: getattr(config, name) for name in NETWORK_OPTIONS}
    for name, value in asked.items():
        if value is not None and name not in defaults:
            raise UsageError(_option_of_other_models(name, model, image))
    usual = {**defaults, **NEW_NETWORKS.get(model, {})}
    return {name: _tuple(asked[name], usual[name]) for name in defaults}


def refuse_unfitting_options(config: RunConfig) -> None:
    """Refuse options of other models and likelihoods than those named, before images are read.

    Which options there are does not depend on the image.
    """
    if config.model is not None:
        size = _size(config, config.model, registry.resolve("model", config.model), 0)
        _network_options(config, config.model, (32, 32, 3), size)
    if config.likelihood is not None:
        _likelihood_options(config, config.likelihood)


def _option_of_other_models(option: str, model: str, image: tuple[int, int, int]) -> str:
    """The message for an option that this network does not take: which networks take it."""
    takes = {
        name: registry.resolve("model", name).defaults(image) for name in registry.names("model")
    }
    owners = " or ".join(f"--model {name}" for name, options in takes.items() if option in options)
    others = ", ".join(map(flag, takes[model]))
    return f"{flag(option)} is for {owners}, not for --model {model}, which takes {others}"


def _tuple(asked: Any, default: Any) -> Any:
    value = default if asked is None else asked
    return tuple(value) if isinstance(value, list) else value


def _likelihood_options(config: RunConfig, likelihood: str) -> dict[str, Any]:
    """The likelihood's options, its defaults filled in; an option it does not take is an error."""
    for name in LIKELIHOOD_OPTIONS:
        takers = [n for n in registry.names("likelihood") if name in _likelihood_defaults(n)]
        if getattr(config, name) is not None and likelihood not in takers:
            owners = " or ".join(takers)
            raise UsageError(f"{flag(name)} is for --likelihood {owners}, not {likelihood}")
    defaults = _likelihood_defaults(likelihood)
    return {name: getattr(config, name) or value for name, value in defaults.items()}


def _likelihood_defaults(likelihood: str) -> dict[str, Any]:
    kind = _likelihood_class(likelihood)
    return kind().settings | ({"binarize": "dynamic"} if kind.binary else {})


def _likelihood_class(name: str) -> type[Likelihood]:
    found: type[Likelihood] = registry.resolve("likelihood", name)
    return found


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The network's settings as its class takes them: plain JSON values."""
    asked = {name: getattr(config, name) for name in NETWORK_OPTIONS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asked.items()
        if value is not None
    }


def likelihood_for_config(config: RunConfig) -> Likelihood:
    """The likelihood of a config without open defaults."""
    assert config.likelihood is not None
    return build_likelihood(config.likelihood, sigma=config.sigma, mixtures=config.mixtures)


def network_from_config(
    config: RunConfig, image: tuple[int, int, int], mean_image: Tensor | None = None
) -> VAE:
    """The network of a config without open defaults; the seed sets its weights."""
    assert config.model is not None
    assert config.latent_dim is not None
    return build(
        config.model,
        image=image,
        latent_dim=config.latent_dim,
        likelihood=likelihood_for_config(config),
        settings=settings_of(config),
        seed=config.seed,
        mean_image=mean_image,
    )
