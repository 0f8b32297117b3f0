"""`vaekit info`: what a model file is, read from its header alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from vaekit.cli.options import Debug, Json, switch_option
from vaekit.cli.terminal.tables import print_pairs
from vaekit.errors import ModelFileError
from vaekit.latents.groups import LatentGroup, groups_of
from vaekit.model_file.header import ModelFile, read_model_file, sha256, verify_digest
from vaekit.wording import image_in_words, one_line


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a model file or a run's folder")],
    verify: Annotated[
        bool,
        switch_option("--verify", help="check the tensors against the digest; 3 if they differ"),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a model file is, its training data and its results."""
    file = read_model_file(model)
    if verify:
        _verify(file)
    if as_json:
        print(json.dumps(_record(file) | ({"verified": True} if verify else {})))
    else:
        print_pairs([*_pairs(file), ("digest", _digest(file, verify))])


def _verify(file: ModelFile) -> None:
    if file.header.digest is None:
        raise ModelFileError(
            f"{one_line(str(file.path))}: has no digest, so --verify has no answer"
        )
    verify_digest(file)


def _digest(file: ModelFile, verified: bool) -> str:
    if file.header.digest is None:
        return "no digest: damaged tensors cannot be found"
    return f"{file.header.digest} ({'verified' if verified else '--verify compares it'})"


def _record(file: ModelFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "bytes": file.size,
        "sha256": sha256(file.path),
        "parameters": file.parameters,
        **file.header.model_dump(mode="json"),
        "groups": [
            {"shape": group.shape, "latents": len(group), "nats": group.nats, "share": share}
            for group, share in _groups_with_shares(file)
        ],
    }


def _pairs(file: ModelFile) -> list[tuple[str, str]]:
    header, training = file.header, file.header.training
    pairs = [
        ("file", f"{file.path} ({file.size / 1e6:.1f} MB, vaekit {header.vaekit_version})"),
        ("model", f"{header.model.name}{_size(training)}{_settings(header.model.settings)}"),
        ("parameters", f"{file.parameters:,}"),
        ("images", image_in_words(*header.image)),
        ("latents", f"{header.model.latent_dim}{_active(file)}"),
        *_groups(file),
        ("likelihood", _likelihood(file)),
        ("objective", f"{header.objective.get('name')}{_settings(_rest(header.objective))}"),
        ("trained on", _data(training)),
        ("steps", f"{_count(training.get('steps'))} in {training.get('epochs')} epochs, "
                  f"seed {training.get('seed')}"),
        ("weights", str(training.get("weights", ""))),
    ]  # fmt: skip
    if header.classes:
        pairs.append(("classes", ", ".join(header.classes)))
    return [*pairs, *_results(training)]


def _size(training: dict[str, Any]) -> str:
    """The size that the run asked for, of a model with several."""
    config = training.get("config")
    size = config.get("size") if isinstance(config, dict) else None
    return f", {size}" if isinstance(size, str) else ""


def _settings(settings: dict[str, Any]) -> str:
    """Settings in brackets: ` (hidden 400,400; activation relu)`."""
    texts = [f"{name.replace('_', '-')} {_plain(value)}" for name, value in settings.items()]
    return f" ({'; '.join(texts)})" if texts else ""


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(value: object) -> str:
    """A number with commas; what a stranger's file holds instead, as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _numbers(record: object, *names: str) -> list[float] | None:
    """Numbers out of a record by name, or None where it does not hold them all."""
    values = [record.get(name) for name in names] if isinstance(record, dict) else [None]
    numbers = [value for value in values if isinstance(value, int | float)]
    return numbers if len(numbers) == len(values) else None


def _rest(objective: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in objective.items() if name != "name"}


def _active(file: ModelFile) -> str:
    active = sum(std * std > 0.01 for std in file.header.latents.std)
    kl = sum(file.header.latents.kl)
    return f" dimensions, {active} active, {kl:.2f} nats of KL on training images"


def _groups(file: ModelFile) -> list[tuple[str, str]]:
    """A line for each group of a model with several."""
    groups = _groups_with_shares(file)
    return [
        (
            f"group {group.number}",
            f"{group.shape[0]} latents on each cell of {group.grid}: "
            f"{group.nats:.2f} nats, {share:.1%} of the KL",
        )
        for group, share in groups
        if len(groups) > 1
    ]


def _groups_with_shares(file: ModelFile) -> list[tuple[LatentGroup, float]]:
    """The groups of latents, each with its share of the KL divergence."""
    total = math.fsum(file.header.latents.kl)
    groups = groups_of(file.header)
    return [(group, group.nats / total if total else 0.0) for group in groups]


def _likelihood(file: ModelFile) -> str:
    spec = file.header.likelihood
    settings = dict(spec.settings) | ({"binarize": spec.binarize} if spec.binarize else {})
    warning = ": not a likelihood, so its numbers compare only with each other"
    return f"{spec.name}{_settings(settings)}{warning if spec.name == 'bce' else ''}"


def _data(training: dict[str, Any]) -> str:
    mark = str(training.get("fingerprint", ""))[:12]
    return f"{training.get('dataset')}, {_count(training.get('n'))} images (fingerprint {mark})"


def _results(training: dict[str, Any]) -> list[tuple[str, str]]:
    """The last epoch's losses, and the best validation."""
    lines = []
    for part, title in (("train", "training loss"), ("val", "validation loss")):
        terms = (f"{part}_neg_elbo", f"{part}_reconstruction", f"{part}_kl")
        loss = _numbers(training.get("final"), *terms)
        if loss is not None:
            total, first, second = loss
            lines.append((title, f"{total:.2f} = {first:.2f} reconstruction + {second:.2f} KL, "
                                 "in nats per image, at the last epoch"))  # fmt: skip
    best = _numbers(training.get("best"), "val_neg_elbo", "epoch")
    if best is not None:
        lines.append(("best", f"{best[0]:.2f} on validation, epoch {best[1]:.0f}"))
    return lines
