"""The header of a model file, read and checked without torch.

A model file is a safetensors file whose `__metadata__` holds `format: pt` and one key, `vaekit`,
with the JSON of a `ModelHeader`. It may come from a stranger: names in it are never imported.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vaekit import registry
from vaekit.errors import ModelFileError
from vaekit.model_file.tensor_file import (
    MODEL_NAME,
    TensorPlace,
    file_digest,
    read_json,
    read_layout,
)

FORMAT_VERSION = 1

TRAINED_ON = "vaekit.trained_on"
"""The name of the tensor that holds hashes of the training images; no network has one like it."""
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


Finite = Annotated[float, Field(allow_inf_nan=False)]


class KnownImages(BaseModel):
    """Statistics of images that the model knows, which outlier scores compare others with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    part: str
    """`validation` or `training`."""
    n: Annotated[int, Field(ge=1)]
    neg_elbo: Annotated[list[Finite], Field(min_length=2, max_length=2)]
    """Mean and standard deviation."""
    error_of_size: Annotated[list[Finite], Field(min_length=3, max_length=3)]
    """Reconstruction term by PNG length: a line's offset and slope, and the spread around it."""
    mean: list[Finite]
    precision: list[list[Finite]]
    """Mean and inverse covariance of the compared statistics."""
    rates: list[Annotated[float, Field(gt=0, le=1)]]
    scores: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """Known images reach the outlier score `scores[i]` at the rate `rates[i]`, the lowest first."""

    @model_validator(mode="after")
    def _consistent(self) -> KnownImages:
        size = len(self.mean)
        if size not in (4, 5) or [len(row) for row in self.precision] != [size] * size:
            raise ValueError("mean and precision disagree")
        if not self.rates or len(self.rates) != len(self.scores):
            raise ValueError("rates and scores disagree")
        if min(self.neg_elbo[1], self.error_of_size[2]) <= 0:
            raise ValueError("a spread is not positive")
        if self.scores != sorted(self.scores) or self.rates != sorted(self.rates, reverse=True):
            raise ValueError("rates and scores are not in order")
        return self


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
    known: KnownImages | None = None
    """None where fewer than 20 images are known, or in a file that was written without it."""
    digest: Annotated[str, Field(pattern=r"^crc32:[0-9a-f]{32}$")] | None = None
    """The `tensor_digest` of the file; None in a file that was written without one."""

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's images."""
        height, width, channels = self.model.image
        return height, width, channels

    @property
    def val_split(self) -> float:
        """The `--val-split` of the training run, so that `--split val` gives the same images."""
        config = self.training.get("config")
        value = config.get("val_split") if isinstance(config, dict) else None
        return float(value) if isinstance(value, int | float) and 0 <= value < 1 else 0.1


@dataclass(frozen=True)
class ModelFile:
    """A model file with a checked header, not yet loaded."""

    path: Path
    header: ModelHeader
    tensors: Mapping[str, TensorPlace]
    size: int

    @property
    def weights(self) -> dict[str, TensorPlace]:
        """The tensors of the network."""
        return {name: place for name, place in self.tensors.items() if name != TRAINED_ON}

    @property
    def parameters(self) -> int:
        """The number of trainable values, or of all values where the file does not state it."""
        stated = self.header.training.get("parameters")
        held = sum(math.prod(place.shape) for place in self.weights.values())
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
        parent = path.parent if path.name else path / ".."  # "." has no name
        beside = parent / f"{path.absolute().name}.safetensors"
        for found in (path / MODEL_NAME, beside):
            if found.is_file():
                return found
    return path


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_digest(file: ModelFile) -> None:
    """Compare the tensors in a file with the digest in its header, if it has one."""
    digest = file.header.digest
    if digest is not None and file_digest(file.path, file.tensors, file.size) != digest:
        raise ModelFileError(
            f"{file.path}: is damaged: its tensors are not those that were saved (the digest in "
            "its header differs); copy it again, or train again"
        )


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
