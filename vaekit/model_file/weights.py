"""The model file: saves a network with its description, and loads it with strict checks.

Written deterministically (the same training gives the same bytes) and whole or not at all; read
strictly: every tensor must be there with the shape that the header's own settings imply, and is
compared before anything of its size is allocated.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vaekit import files
from vaekit.errors import ModelFileError, UsageError
from vaekit.likelihoods import Likelihood, build_likelihood
from vaekit.model_file.header import (
    TRAINED_ON,
    LikelihoodSpec,
    ModelFile,
    ModelHeader,
    ModelSpec,
    read_model_file,
    verify_digest,
)
from vaekit.model_file.tensor_file import as_place, tensor_digest
from vaekit.models.vae import VAE, build


def save(
    path: Path,
    header: ModelHeader,
    state: Mapping[str, Tensor],
    trained_on: Tensor | None = None,
) -> None:
    """Write a model file, with a digest of its tensors in the header.

    `trained_on` is the tensor that `vaekit.model_file.trained_images` makes of the training images.
    """
    if trained_on is not None:
        state = {**state, TRAINED_ON: trained_on}

    def metadata(digest: str) -> dict[str, Any]:
        complete = header.model_copy(update={"digest": digest})
        return {"vaekit": complete.model_dump(mode="json")}

    write_tensors(path, metadata, state)


def write_tensors(
    path: Path, metadata: Callable[[str], Mapping[str, Any]], state: Mapping[str, Tensor]
) -> None:
    """Write a safetensors file, whole or not at all; its metadata may hold the tensors' digest."""
    entries, content = _laid_out(state)
    places = {name: as_place(entry) for name, entry in entries.items()}
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # zlib releases the GIL
        found = pool.map(
            lambda place: zlib.crc32(content[place.start : place.stop]), places.values()
        )
        checksums = dict(zip(places.values(), found, strict=True))
    _write(path, metadata(tensor_digest(places, checksums.__getitem__)), entries, content)


def _laid_out(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], memoryview]:
    """The header's entry of each tensor, and the bytes of all, as safetensors lays them out."""
    blob = safetensors.torch.save(_unshared(state))
    length = int(struct.unpack("<Q", blob[:8])[0])
    return json.loads(blob[8 : 8 + length]), memoryview(blob)[8 + length :]


def _write(
    path: Path, metadata: Mapping[str, Any], entries: dict[str, Any], content: memoryview
) -> None:
    """Write the header and the tensors, without a copy that joins them.

    safetensors itself writes `__metadata__` in another order each time.
    """
    texts = {
        name: json.dumps(value, sort_keys=True, allow_nan=False) for name, value in metadata.items()
    }
    header = {**entries, "__metadata__": {"format": "pt", **texts}}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns tensors to eight bytes
    with files.replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write(content)


def _unshared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU without shared memory, which safetensors refuses."""
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
    state = read_tensors(file.path, file.weights)
    verify_digest(file)
    _compare_types(file, network, state)
    if not allow_nonfinite:
        refuse_nonfinite(file, state)
    # Assigned, not copied: `to_empty` would first import more of torch, which takes 0.5 s.
    placed = {name: state[name].to(device, t.dtype) for name, t in network.state_dict().items()}
    network.load_state_dict(placed, strict=True, assign=True)
    network = network.to(memory_format=torch.channels_last)  # as in training: faster convolutions
    return file, network.eval().requires_grad_(False)


def specification(network: VAE, name: str) -> ModelSpec:
    """The header's description of a network."""
    values = {"name": name, "latent_dim": network.latent_dim, "image": list(network.image)}
    return ModelSpec.model_validate({**values, **network.settings})


def likelihood_of(spec: LikelihoodSpec) -> Likelihood:
    """The likelihood that a header describes."""
    return build_likelihood(spec.name, **spec.settings)


def _skeleton(file: ModelFile) -> VAE:
    """The network that the header describes, as shapes without memory."""
    spec, header = file.header.model, file.header
    if least_layers(spec.settings) > len(file.weights):
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
    """The least number of layers with these settings, each of which has tensors.

    Even layers without memory take time to build, so this is compared with the file first.
    """
    widths = [len(value) for value in settings.values() if isinstance(value, list)]
    depth = settings.get("depth")
    return max(widths, default=1) * (depth if isinstance(depth, int) else 1)


def _compare_shapes(file: ModelFile, network: VAE) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(expected.keys() | file.weights.keys()):
        if name not in file.weights:
            raise ModelFileError(f"{file.path}: tensor {name} is missing")
        if name not in expected:
            raise ModelFileError(f"{file.path}: tensor {name} is not part of the model")
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


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Some tensors, or all, of a safetensors file whose layout was checked."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in names or file.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def refuse_nonfinite(file: ModelFile, state: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity among the weights."""
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(
                f"{file.path}: tensor {name} holds NaN or infinity; "
                "--allow-nonfinite loads it anyway"
            )
