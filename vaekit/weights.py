"""The model file: saves a network with its description, and loads it with strict checks.

Written deterministically (the same training gives the same bytes) and whole or not at all; read
strictly: every tensor must be there with the shape that the header's own settings imply, and is
compared before anything of its size is allocated.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vaekit import files
from vaekit.errors import ModelFileError, UsageError
from vaekit.header import LikelihoodSpec, ModelFile, ModelHeader, ModelSpec, read_model_file
from vaekit.likelihoods import Likelihood, build_likelihood
from vaekit.models.vae import VAE, build


def save(path: Path, header: ModelHeader, state: Mapping[str, Tensor]) -> None:
    """Write a model file: sorted header, tensors as safetensors lays them out."""
    write_tensors(path, {"vaekit": header.model_dump(mode="json")}, state)


def write_tensors(path: Path, metadata: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write what `to_bytes` gives, whole or not at all, and never have it all in one piece."""
    with files.replacing(path) as file:
        for part in _parts(metadata, state):
            file.write(part)


def to_bytes(metadata: Mapping[str, Any], state: Mapping[str, Tensor]) -> bytes:
    """A safetensors file with its header in sorted order."""
    return b"".join(_parts(metadata, state))


def _parts(metadata: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[bytes, memoryview]:
    """The header and the tensors, which may be large: nothing is copied to join them.

    The library writes `__metadata__` in an order of its own, another each time; so it lays out
    the tensors, and the header is written anew.
    """
    blob = safetensors.torch.save(_apart(state))
    length = int(struct.unpack("<Q", blob[:8])[0])
    entries = json.loads(blob[8 : 8 + length])
    texts = {
        name: json.dumps(value, sort_keys=True, allow_nan=False) for name, value in metadata.items()
    }
    entries["__metadata__"] = {"format": "pt", **texts}
    text = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format keeps tensors aligned to eight bytes
    return struct.pack("<Q", len(text)) + text, memoryview(blob)[8 + length :]


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU of which no two share memory, which the library refuses."""
    plain, taken = {}, set[int]()
    for name, tensor in state.items():
        here = tensor.detach().cpu().contiguous()
        place = here.untyped_storage().data_ptr()
        plain[name] = here.clone() if place in taken else here
        taken.add(place)
    return plain


def load_weights(
    path: str | os.PathLike[str], device: torch.device, *, allow_nonfinite: bool = False
) -> tuple[ModelFile, VAE]:
    """Read a model file and rebuild its network, in eval mode on `device`."""
    file = read_model_file(path)
    network = _skeleton(file)
    _compare_shapes(file, network)
    state = read_tensors(file.path)
    _compare_types(file, network, state)
    if not allow_nonfinite:
        _refuse_nonfinite(file, state)
    # Assigned, not copied: `to_empty` would import half a second's worth of torch first.
    placed = {name: state[name].to(device, t.dtype) for name, t in network.state_dict().items()}
    network.load_state_dict(placed, strict=True, assign=True)
    network = network.to(memory_format=torch.channels_last)  # as in training: convolutions like it
    return file, network.eval().requires_grad_(False)


def specification(network: VAE, name: str) -> ModelSpec:
    """What the header says of a network."""
    values = {"name": name, "latent_dim": network.latent_dim, "image": list(network.image)}
    return ModelSpec.model_validate({**values, **network.settings})


def likelihood_of(spec: LikelihoodSpec) -> Likelihood:
    """The likelihood that a header describes."""
    return build_likelihood(spec.name, **spec.settings)


def _skeleton(file: ModelFile) -> VAE:
    """The network that the header describes, shapes only: nothing is allocated yet."""
    spec, header = file.header.model, file.header
    if least_layers(spec.settings) > len(file.tensors):
        raise ModelFileError(f"{file.path}: the header asks for more layers than there are tensors")
    try:
        with torch.device("meta"):
            return build(
                spec.name,
                image=header.image,
                latent_dim=spec.latent_dim,
                likelihood=likelihood_of(header.likelihood),
                settings=spec.settings,
                seed=0,
            )
    except (UsageError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelFileError(f"{file.path}: the header describes no network: {reason}") from None


def least_layers(settings: Mapping[str, Any]) -> int:
    """How many layers settings ask for at least; each has tensors, even where they are empty.

    Building a layer takes time and memory even without its numbers, so this is asked first.
    """
    widths = [len(value) for value in settings.values() if isinstance(value, list)]
    depth = settings.get("depth")
    return max(widths, default=1) * (depth if isinstance(depth, int) else 1)


def _compare_shapes(file: ModelFile, network: VAE) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(expected.keys() | file.tensors.keys()):
        if name not in file.tensors:
            raise ModelFileError(f"{file.path}: tensor {name} is missing")
        if name not in expected:
            raise ModelFileError(f"{file.path}: tensor {name} belongs to no part of the model")
        if file.tensors[name].shape != expected[name]:
            raise ModelFileError(
                f"{file.path}: tensor {name} has shape {list(file.tensors[name].shape)}, "
                f"the model needs {list(expected[name])}"
            )


def _compare_types(file: ModelFile, network: VAE, state: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(network.state_dict().items()):
        found, needed = state[name].dtype, tensor.dtype
        if found != needed and not (found.is_floating_point and needed.is_floating_point):
            one, other = (str(kind).removeprefix("torch.") for kind in (found, needed))
            raise ModelFileError(f"{file.path}: tensor {name} is {one}, the model needs {other}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file whose layout was found sound."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _refuse_nonfinite(file: ModelFile, state: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(
                f"{file.path}: tensor {name} holds NaN or infinity; "
                "--allow-nonfinite loads it all the same"
            )
