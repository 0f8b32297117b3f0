"""The header of a model file, read and checked without torch.

A model file is one safetensors file: eight bytes with the header's length, a JSON header that
places every tensor, then the tensors. `__metadata__` holds `format: pt` and one key, `vaekit`,
whose JSON is a `ModelHeader`. A file may come from a stranger, so everything here is checked
before it is believed and before anything of its size is allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vaekit import registry
from vaekit.errors import ModelFileError

FORMAT_VERSION = 1
MODEL_NAME = "model.safetensors"
"""The model's name in a run's folder."""

LONGEST_HEADER = 16 * 1024 * 1024
"""Bytes of the largest header that is read: a vaekit header has some tens of thousands."""

MOST_HEADER_VALUES = 1 << 18
"""Values in the largest header: read, each may take a hundred times the room it has in the file."""

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip

_Side = Annotated[int, Field(ge=1, le=65_536)]


class ModelSpec(BaseModel):
    """Which network: its registry name, its outer shape, and the network's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str
    latent_dim: Annotated[int, Field(ge=1, le=2**31)]
    image: Annotated[list[_Side], Field(min_length=3, max_length=3)]

    @property
    def settings(self) -> dict[str, Any]:
        """The network's own settings, such as `hidden` or `channels`."""
        return dict(self.model_extra or {})


class LikelihoodSpec(BaseModel):
    """Which p(x|z), with its own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str
    binarize: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The likelihood's own settings, such as `sigma`."""
        return dict(self.model_extra or {})


class LatentStatistics(BaseModel):
    """Per latent dimension: mean and spread of the posterior means, and the mean KL in nats."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mean: list[float]
    std: list[float]
    kl: list[float]


class ModelHeader(BaseModel):
    """All that a model file says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format_version: int
    vaekit_version: str
    model: ModelSpec
    likelihood: LikelihoodSpec
    objective: dict[str, Any]
    classes: list[str] | None
    latents: LatentStatistics
    training: dict[str, Any]

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's images."""
        height, width, channels = self.model.image
        return height, width, channels


@dataclass(frozen=True)
class TensorPlace:
    """Where one tensor lies in the file, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class TensorLayout:
    """A safetensors file that was found sound: what it says, and where its tensors lie."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorPlace]
    size: int


@dataclass(frozen=True)
class ModelFile:
    """A model file that was found sound, not yet loaded."""

    path: Path
    header: ModelHeader
    tensors: Mapping[str, TensorPlace]
    size: int

    @property
    def parameters(self) -> int:
        """How many numbers training could change; where the file does not say, all it holds."""
        said = self.header.training.get("parameters")
        held = sum(math.prod(place.shape) for place in self.tensors.values())
        return said if isinstance(said, int) and 0 <= said <= held else held


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read and check the header of a model file, without torch and without the tensors.

    A run's folder stands for its model.
    """
    layout = read_layout(model_path(path))
    header = _model_header(layout.path, layout.metadata)
    return ModelFile(layout.path, header, layout.tensors, layout.size)


def model_path(path: str | os.PathLike[str]) -> Path:
    """The path of a model file; for a run's folder, the model in it or beside it."""
    path = Path(path)
    if path.is_dir():
        for found in (path / MODEL_NAME, path.with_name(f"{path.name}.safetensors")):
            if found.is_file():
                return found
    return path


def is_model_file(path: Path) -> bool:
    """Whether a file begins like a safetensors file, of vaekit or of another program."""
    if not path.is_file():  # opening a pipe would wait for its writer
        return False
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and length <= LONGEST_HEADER


def read_layout(path: str | os.PathLike[str]) -> TensorLayout:
    """Read and check the layout of any safetensors file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            _refuse_pickle(path, start + file.read(1))
            file.seek(len(start))
            length = _header_length(path, start, size)
            entries = read_json(path, file.read(length), "header")
    except OSError as error:
        raise ModelFileError(f"{path}: {_why_unreadable(path, error)}") from None
    metadata = entries.pop("__metadata__", None)
    tensors = _places(path, entries, size - 8 - length)
    return TensorLayout(path, metadata if isinstance(metadata, dict) else {}, tensors, size)


def _why_unreadable(path: Path, error: OSError) -> str:
    """The system's words; of a folder, that it holds no model."""
    if path.is_dir():
        return f"is a folder without a {MODEL_NAME}, which a run writes when it ends"
    return (error.strerror or "cannot be read").lower()


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_pickle(path: Path, start: bytes) -> None:
    """Say what a .pth is before its bytes are mistaken for a header; it is never opened.

    A header's length may begin with the same bytes as a pickle (640 does), but `{` follows it.
    """
    if start[8:] == b"{":
        return
    if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        raise ModelFileError(
            f"{path} is a pickle (a PyTorch checkpoint?): vaekit reads only safetensors, "
            "since a pickle can run code"
        )


def _header_length(path: Path, start: bytes, size: int) -> int:
    if len(start) < 8:
        raise ModelFileError(f"{path}: file is truncated ({size} bytes)")
    length = int(struct.unpack("<Q", start)[0])
    if length > LONGEST_HEADER:
        raise ModelFileError(
            f"{path} is not a safetensors file: its header claims {length:,} bytes"
        )
    if 8 + length > size:
        raise ModelFileError(f"{path}: file is truncated within its header")
    return length


def read_json(path: Path, content: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object out of a file's text, or an error that names the file."""
    text = content if isinstance(content, str) else content.decode("latin-1")
    if sum(map(text.count, ",[{")) > MOST_HEADER_VALUES:
        raise ModelFileError(
            f"{path}: its {what} holds over {MOST_HEADER_VALUES:,} values: refused"
        )
    try:
        value = json.loads(content, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path} is not a safetensors file: its {what} is not JSON") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: its {what} is not a JSON object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _model_header(path: Path, metadata: Mapping[str, Any]) -> ModelHeader:
    text = metadata.get("vaekit")
    if not isinstance(text, str):
        raise ModelFileError(f"{path} is not a vaekit model: its header has no `vaekit` key")
    values = read_json(path, text, "vaekit header")
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, newer than this vaekit reads "
            f"({FORMAT_VERSION}): upgrade vaekit"
        )
    try:
        header = ModelHeader.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(f"{path}: bad header: {where}: {first['msg'].lower()}") from None
    for kind, name in (("model", header.model.name), ("likelihood", header.likelihood.name)):
        if name not in registry.names(kind):
            raise ModelFileError(f"{path}: {registry.suggest(kind, name)}")
    for name, numbers in header.latents:
        if len(numbers) != header.model.latent_dim:
            raise ModelFileError(
                f"{path}: bad header: latents.{name} holds {len(numbers)} numbers, "
                f"latent_dim is {header.model.latent_dim}"
            )
    return header


def _places(path: Path, entries: Mapping[str, Any], available: int) -> dict[str, TensorPlace]:
    """Check that the tensors fill the rest of the file exactly, each as large as its shape says."""
    places = {name: _place(path, name, entry) for name, entry in entries.items()}
    end = 0
    for name, place in sorted(places.items(), key=lambda item: (item[1].start, item[1].stop)):
        if place.start != end:
            raise ModelFileError(f"{path}: tensor {name} does not start where the last one ended")
        end = place.stop
    if end > available:
        raise ModelFileError(f"{path}: file is truncated ({end - available:,} bytes are missing)")
    if end < available:
        raise ModelFileError(f"{path}: {available - end:,} bytes follow the last tensor")
    return places


def _place(path: Path, name: str, entry: object) -> TensorPlace:
    place = _as_place(entry)
    if place is None:
        raise ModelFileError(f"{path}: bad entry for tensor {name!r} in the header")
    return place


def _as_place(entry: object) -> TensorPlace | None:
    """The entry as a place, or None where anything about it does not hold."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return None
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        return None
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2 and len(shape) <= 8):
        return None
    start, stop = offsets
    if stop - start != math.prod(shape) * ITEM_SIZES[dtype]:
        return None
    return TensorPlace(dtype, tuple(shape), start, stop)


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**62 for v in values)
