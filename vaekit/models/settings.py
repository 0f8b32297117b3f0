"""Which values a network's settings may have, and the errors for those they may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeGuard

from vaekit.errors import UsageError
from vaekit.registry import names, near_miss, resolve

Image = tuple[int, int, int]
"""Height, width, channels."""
GridSize = tuple[int, int]
"""Height and width of a layer's output."""

MOST_LAYERS = 1000
"""Layers of one kind: more take minutes to build, even without memory for their weights."""

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky-relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
}
"""Names to classes of torch.nn, as strings, so that listing them imports nothing."""

NORMS = ("batch", "group", "none")
UPSAMPLINGS = ("nearest", "transposed")


class Setting(NamedTuple):
    """One setting: a test of its values, and the words for those it accepts."""

    accepts: Callable[[object], bool]
    allowed: str


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_widths(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS:
        return False
    return all(_is_count(width) for width in value)


def _is_counts(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS:
        return False
    return any(value) and all(_is_count(count) or count == 0 for count in value)


def _one_of(known: tuple[str, ...]) -> Setting:
    return Setting(lambda value: isinstance(value, str) and value in known, ", ".join(known))


_WIDTHS = f"up to {MOST_LAYERS} positive whole numbers"

SETTINGS = {
    "hidden": Setting(_is_widths, f"a list of {_WIDTHS}, or an empty one"),
    "channels": Setting(lambda value: bool(value) and _is_widths(value), f"a list of {_WIDTHS}"),
    "depth": Setting(
        lambda value: _is_count(value) and value <= MOST_LAYERS,
        f"a positive whole number, up to {MOST_LAYERS}",
    ),
    "latent_groups": Setting(
        lambda value: _is_counts(value), f"a list of up to {MOST_LAYERS} counts, not all of them 0"
    ),
    "latent_channels": Setting(_is_count, "a positive whole number"),
    "activation": _one_of(tuple(ACTIVATIONS)),
    "norm": _one_of(NORMS),
    "upsampling": _one_of(UPSAMPLINGS),
}


def resolve_settings(name: str, image: Image, given: Mapping[str, object]) -> dict[str, object]:
    """A model's full settings: the given ones, checked, over the defaults for this image.

    >>> resolve_settings("mlp", (28, 28, 1), {"hidden": [400]})
    {'hidden': [400], 'activation': 'relu'}
    """
    check_image(image)
    defaults: dict[str, object] = resolve("model", name).defaults(image)
    for setting, value in given.items():
        if setting not in defaults:
            raise UsageError(_not_taken(name, setting, tuple(defaults)))
        if not SETTINGS[setting].accepts(value):
            raise UsageError(f"--{setting} {value!r}: give {SETTINGS[setting].allowed}")
    merged = {**defaults, **given}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in merged.items()}


def check_image(image: Image) -> None:
    """Refuse an image shape that is not three positive whole numbers."""
    if not (_is_widths(image) and len(image) == 3):
        raise UsageError(f"image {image!r}: give height, width and channels, each at least 1")


def check_latent_dim(latent_dim: object) -> None:
    """Refuse a latent that is not a positive whole number of dimensions."""
    if not _is_count(latent_dim):
        raise UsageError(f"--latent-dim {latent_dim!r}: give a positive whole number")


def stage_widths(stages: int) -> list[int]:
    """The default width of each halving stage: 32, doubling up to 256.

    >>> stage_widths(5)
    [32, 64, 128, 256, 256]
    """
    return [min(32 * 2**stage, 256) for stage in range(max(1, stages))]


def _not_taken(name: str, setting: str, known: tuple[str, ...]) -> str:
    takers = [m for m in names("model") if setting in resolve("model", m).defaults((1, 1, 1))]
    if takers:
        *first, last = takers
        owners = f"{', '.join(first)} or {last}" if first else last
        return f"--{setting} is for --model {owners}, not for {name}"
    return f"unknown setting {setting!r} for --model {name}: {near_miss(setting, known)}"
