"""Checks a checkpoint's header by type and range, and its tensors by shape.

A checkpoint may be damaged or malicious. It is compared with the network of its own config before
that network, or an image, takes any memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vaekit.configuration.config import RunConfig
from vaekit.errors import ModelFileError, UsageError
from vaekit.evaluation.dataset_elbo import TERMS
from vaekit.model_file.tensor_file import TensorLayout, TensorPlace
from vaekit.model_file.weights import least_layers
from vaekit.models.vae import VAE
from vaekit.training.defaults import fill_defaults, network_from_config, settings_of

CHANNELS = (1, 3)
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's state for each weight, beside its step count."""

DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64", torch.bool: "BOOL"}

TensorSpec = tuple[str, tuple[int, ...]]
_Count = Annotated[int, Field(ge=0, lt=2**62)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProgressRecord(_Checked):
    """Position in the run."""

    step: _Count
    epoch: _Count
    seen: _Count
    seconds: _Seconds
    epoch_seconds: _Seconds
    best_epoch: _Count
    best: Annotated[float, Field(allow_inf_nan=False)] | None
    cycle_epoch: _Count = 0
    skipped: _Count = 0
    largest_gradient: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class RunEnvironmentRecord(_Checked):
    """Versions, threads, device and ranks of the run."""

    vaekit: str
    torch_version: str
    threads: int
    device_type: str
    ranks: Annotated[int, Field(ge=1)] = 1


class CheckpointRecord(_Checked):
    """The header of a checkpoint."""

    format_version: Literal[2]
    config: dict[str, Any]
    fingerprint: str
    model_beside: bool
    progress: ProgressRecord
    environment: RunEnvironmentRecord


def checked_checkpoint(values: Mapping[str, Any], where: object) -> CheckpointRecord:
    """A checkpoint's header, or an error that names the first bad value."""
    try:
        return CheckpointRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _bad(where, f"bad checkpoint header: {place}: {first['msg'].lower()}") from None


def refuse_position(
    layout: TensorLayout, progress: ProgressRecord | Any, steps_per_epoch: int
) -> None:
    """Refuse a step, epoch and image count that contradict each other."""
    done = progress.step - progress.epoch * steps_per_epoch
    if not 0 <= done <= steps_per_epoch or (progress.seen > 0) != (done > 0):
        raise _bad(
            layout.path,
            f"bad checkpoint header: step {progress.step} with {progress.seen} images seen is not "
            f"in epoch {progress.epoch + 1}, which has {steps_per_epoch} steps",
        )


def refuse_wrong_tensors(
    layout: TensorLayout, config: RunConfig, image: tuple[int, int, int] | None = None
) -> None:
    """Refuse tensors that do not match the config's network for images of this shape.

    Before the images are read, the config's image size must fit with one or three channels.
    """
    shapes = [image] if image is not None else _possible_shapes(config)
    if least_layers(settings_of(config)) > len(layout.tensors):
        raise _mismatch(layout, "it asks for more layers than there are tensors")
    reasons = [
        _first_mismatch(layout, fill_defaults(config, shape, config.dataset), shape)
        for shape in shapes
    ]
    if reasons and all(reasons):
        raise _mismatch(layout, str(reasons[0]))


def _possible_shapes(config: RunConfig) -> list[tuple[int, int, int]]:
    return [] if config.image_size is None else [(*config.image_size, c) for c in CHANNELS]


def _first_mismatch(
    layout: TensorLayout, config: RunConfig, image: tuple[int, int, int]
) -> str | None:
    """The first tensor that is missing, unexpected, or of another type or shape."""
    try:
        with torch.device("meta"):
            network = network_from_config(config, image)
    except (UsageError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    needed, optional = _needed(network, config), _optional(network)
    for name in sorted(needed.keys() | layout.tensors.keys()):
        place = layout.tensors.get(name)
        wanted = needed.get(name) or optional.get(name)
        if place is None:
            return f"tensor {name} is missing"
        if wanted is None:
            return f"tensor {name} belongs to no part of a run"
        if not _fits(place, wanted):
            return f"tensor {name} is {_spec_text(_spec(place))}, not {_spec_text(wanted)}"
    return _incomplete_group(layout, optional)


def _needed(network: VAE, config: RunConfig) -> dict[str, TensorSpec]:
    """Tensors that every checkpoint of a run has."""
    state = _state(network)
    sums = {"sums": ("F64", (len(TERMS),)), "latents": ("F64", (2, network.latent_dim))}
    average = _prefixed("average", state) if config.ema else {}
    return {**sums, **_prefixed("network", state), **average}


def _optional(network: VAE) -> dict[str, TensorSpec]:
    """Tensors that a checkpoint has from some step on: all of a group or none."""
    found = _prefixed("best", _state(network))
    for name, weight in network.named_parameters():
        found[f"optimizer.step.{name}"] = ("F32", ())
        for moment in MOMENTS:
            found[f"optimizer.{moment}.{name}"] = (DTYPES[weight.dtype], tuple(weight.shape))
    return found


def _incomplete_group(layout: TensorLayout, optional: Mapping[str, TensorSpec]) -> str | None:
    """Why a group is incomplete: the name of its first missing tensor."""
    for group in _groups(optional):
        missing = [name for name in group if name not in layout.tensors]
        if missing and len(missing) < len(group):
            return f"tensor {missing[0]} is missing"
    return None


def _groups(optional: Mapping[str, TensorSpec]) -> list[list[str]]:
    """Groups of tensors: the best weights, and Adam's state of each weight."""
    groups: dict[str, list[str]] = {}
    for name in optional:
        owner = "best" if name.startswith("best.") else name.split(".", 2)[2]
        groups.setdefault(owner, []).append(name)
    return list(groups.values())


def _state(network: VAE) -> dict[str, TensorSpec]:
    return {n: (DTYPES[t.dtype], tuple(t.shape)) for n, t in network.state_dict().items()}


def _prefixed(prefix: str, state: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    return {f"{prefix}.{name}": spec for name, spec in state.items()}


def _fits(place: TensorPlace, wanted: TensorSpec) -> bool:
    """Whether type and shape match; the type of sums depends on the device of the run."""
    kinds = ("F64", "F32") if wanted[0] == "F64" else (wanted[0],)
    return place.dtype in kinds and place.shape == wanted[1]


def _spec(place: TensorPlace) -> TensorSpec:
    return place.dtype, place.shape


def _spec_text(spec: TensorSpec) -> str:
    return f"{spec[0]} {list(spec[1])}"


def _mismatch(layout: TensorLayout, why: str) -> ModelFileError:
    return _bad(layout.path, f"the checkpoint does not fit its config: {why}")


def _bad(where: object, why: str) -> ModelFileError:
    return ModelFileError(f"{where}: {why}")
