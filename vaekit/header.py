"""The header of a model file, read and checked without torch.

A model file is one safetensors file: eight bytes with the header's length, a JSON header with the
place of every tensor, then the tensors. `__metadata__` holds `format: pt` and one key, `vaekit`,
whose JSON is a `ModelHeader`. A file may come from a stranger, so everything is checked before it
is used, and before memory of its size is allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vaekit import registry
from vaekit.errors import ModelFileError

FORMAT_VERSION = 1
MODEL_NAME = "model.safetensors"
"""The model's name in a run's folder."""

LONGEST_HEADER = 16 * 1024 * 1024
"""Bytes of the largest header that is read; those of vaekit have about 10,000."""

MOST_HEADER_VALUES = 1 << 18
"""Values in the largest header; in memory a value may take 100 times its size in the file."""

CHECKED_BYTES = 1 << 18
"""Bytes that are read at a time to compare a digest."""

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip

_Side = Annotated[int, Field(ge=1, le=65_536)]


class ModelSpec(BaseModel):
    """The network: its registry name, its outer shape, and its own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str
    latent_dim: Annotated[int, Field(ge=1, le=2**31)]
    image: Annotated[list[_Side], Field(min_length=3, max_length=3)]

    @property
    def settings(self) -> dict[str, Any]:
        """The network's own settings, such as `hidden` or `channels`."""
        return dict(self.model_extra or {})


class LikelihoodSpec(BaseModel):
    """The likelihood p(x|z), with its own settings."""

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
    """What a model file states about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format_version: int
    vaekit_version: str
    model: ModelSpec
    likelihood: LikelihoodSpec
    objective: dict[str, Any]
    classes: list[str] | None
    latents: LatentStatistics
    training: dict[str, Any]
    digest: Annotated[str, Field(pattern=r"^crc32:[0-9a-f]{32}$")] | None = None
    """The `tensor_digest` of the file; None in a file that was written without one."""

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
    """The checked layout of a safetensors file: its metadata, and where its tensors lie."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorPlace]
    size: int


@dataclass(frozen=True)
class ModelFile:
    """A model file with a checked header, not yet loaded."""

    path: Path
    header: ModelHeader
    tensors: Mapping[str, TensorPlace]
    size: int

    @property
    def parameters(self) -> int:
        """The number of trainable values, or of all values where the file does not state it."""
        stated = self.header.training.get("parameters")
        held = sum(math.prod(place.shape) for place in self.tensors.values())
        return stated if isinstance(stated, int) and 0 <= stated <= held else held


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
    """The system's reason; for a folder, that it holds no model."""
    if path.is_dir():
        return f"is a folder without a {MODEL_NAME}, which a run writes when it ends"
    return (error.strerror or "cannot be read").lower()


def tensor_digest(
    tensors: Mapping[str, TensorPlace], checksum: Callable[[TensorPlace], int]
) -> str:
    """A hash of each tensor's name, type, shape and CRC-32, which `checksum` gives.

    It finds damage, not forgery: whoever changes a tensor on purpose can change the digest too.
    CRC-32 finds every flipped bit, four times as fast as a cryptographic hash.
    """
    lines = [
        f"{json.dumps(name)} {place.dtype} {list(place.shape)} {checksum(place):08x}\n"
        for name, place in sorted(tensors.items())
    ]
    return "crc32:" + hashlib.blake2b("".join(lines).encode(), digest_size=16).hexdigest()


def verify_digest(file: ModelFile) -> None:
    """Compare the tensors in a file with the digest in its header, if it has one."""
    if file.header.digest is None:
        return
    tensors = file.tensors.values()
    begin = file.size - max((place.stop for place in tensors), default=0)
    try:
        with file.path.open("rb") as opened:
            found = tensor_digest(
                file.tensors, lambda place: _checksum(opened, begin + place.start, place)
            )
    except OSError as error:
        raise ModelFileError(f"{file.path}: {_why_unreadable(file.path, error)}") from None
    if found != file.header.digest:
        raise ModelFileError(
            f"{file.path}: is damaged: its tensors are not those that were saved (the digest in "
            "its header differs); copy it again, or train again"
        )


def _checksum(file: IO[bytes], start: int, place: TensorPlace) -> int:
    file.seek(start)
    found, left = 0, place.stop - place.start
    while left and (content := file.read(min(left, CHECKED_BYTES))):
        found, left = zlib.crc32(content, found), left - len(content)
    return found


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_pickle(path: Path, start: bytes) -> None:
    """Name a pickle as such before its bytes are taken for a header; it is never unpickled.

    A header's length may begin with the bytes of a pickle (640 does), but then `{` follows.
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
    """A JSON object from a file's text, or an error that names the file."""
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
    """The places of tensors, checked to fill the rest of the file, each as large as its shape."""
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
    if not _is_valid(entry):
        raise ModelFileError(f"{path}: bad entry for tensor {name!r} in the header")
    return as_place(entry)


def as_place(entry: Mapping[str, Any]) -> TensorPlace:
    """A valid entry of a header as a place."""
    return TensorPlace(entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])


def _is_valid(entry: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return False
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        return False
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2 and len(shape) <= 8):
        return False
    start, stop = offsets
    return bool(stop - start == math.prod(shape) * ITEM_SIZES[dtype])


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**62 for v in values)
