"""The layout of a safetensors file, and a digest of its tensors, without torch.

Eight bytes hold the length of a JSON header, which places every tensor in the rest of the file. All
of it is checked before it is used, and before memory of its size is allocated.
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
from typing import IO, Any, TypeGuard

from vaekit.errors import ModelFileError

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


def is_tensor_file(path: Path) -> bool:
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


def file_digest(path: Path, tensors: Mapping[str, TensorPlace], size: int) -> str:
    """The `tensor_digest` of tensors in a file of `size` bytes."""
    begin = size - max((place.stop for place in tensors.values()), default=0)
    try:
        with path.open("rb") as file:
            return tensor_digest(tensors, lambda place: _checksum(file, begin + place.start, place))
    except OSError as error:
        raise ModelFileError(f"{path}: {_why_unreadable(path, error)}") from None


def _checksum(file: IO[bytes], start: int, place: TensorPlace) -> int:
    file.seek(start)
    found, left = 0, place.stop - place.start
    while left and (content := file.read(min(left, CHECKED_BYTES))):
        found, left = zlib.crc32(content, found), left - len(content)
    return found


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
