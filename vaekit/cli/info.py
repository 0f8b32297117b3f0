"""`vaekit info`: what a model file is, read from its header alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vaekit.cli.options import Debug, Json
from vaekit.cli.tables import show_pairs
from vaekit.header import ModelFile, read, sha256


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a model file")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a model file is, what it was trained on and how well it did."""
    file = read(model)
    if as_json:
        print(json.dumps(_record(file)))
    else:
        show_pairs(_pairs(file))


def _record(file: ModelFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "bytes": file.size,
        "sha256": sha256(file.path),
        "parameters": file.parameters,
        **file.header.model_dump(mode="json"),
    }


def _pairs(file: ModelFile) -> list[tuple[str, str]]:
    header, training = file.header, file.header.training
    height, width, channels = header.image
    colour = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    pairs = [
        ("file", f"{file.path} ({file.size / 1e6:.1f} MB, vaekit {header.vaekit_version})"),
        ("model", f"{header.model.name}{_settings(header.model.settings)}"),
        ("parameters", f"{file.parameters:,}"),
        ("images", f"{height}x{width} {colour}"),
        ("latents", f"{header.model.latent_dim}{_active(file)}"),
        ("likelihood", _likelihood(file)),
        ("objective", f"{header.objective.get('name')}{_settings(_rest(header.objective))}"),
        ("trained on", _data(training)),
        ("steps", f"{training.get('steps', 0):,} in {training.get('epochs')} epochs, "
                  f"seed {training.get('seed')}"),
        ("weights", str(training.get("weights", ""))),
    ]  # fmt: skip
    if header.classes:
        pairs.append(("classes", ", ".join(header.classes)))
    return [*pairs, *_results(training)]


def _settings(settings: dict[str, Any]) -> str:
    """Settings in brackets: ` (hidden 400,400; activation relu)`."""
    texts = [f"{name.replace('_', '-')} {_plain(value)}" for name, value in settings.items()]
    return f" ({'; '.join(texts)})" if texts else ""


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rest(objective: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in objective.items() if name != "name"}


def _active(file: ModelFile) -> str:
    active = sum(std * std > 0.01 for std in file.header.latents.std)
    kl = sum(file.header.latents.kl)
    return f" dimensions, {active} active, {kl:.2f} nats of KL on training images"


def _likelihood(file: ModelFile) -> str:
    spec = file.header.likelihood
    settings = dict(spec.settings) | ({"binarize": spec.binarize} if spec.binarize else {})
    warning = ": not a likelihood, so its numbers compare only with each other"
    return f"{spec.name}{_settings(settings)}{warning if spec.name == 'bce' else ''}"


def _data(training: dict[str, Any]) -> str:
    mark = str(training.get("fingerprint", ""))[:12]
    return f"{training.get('dataset')}, {training.get('n', 0):,} images (fingerprint {mark})"


def _results(training: dict[str, Any]) -> list[tuple[str, str]]:
    """The last epoch's losses, and the best validation."""
    final, best = training.get("final") or {}, training.get("best") or {}
    lines = []
    for part, title in (("train", "training loss"), ("val", "validation loss")):
        if f"{part}_neg_elbo" in final:
            total, first, second = (
                final[f"{part}_{term}"] for term in ("neg_elbo", "reconstruction", "kl")
            )
            lines.append((title, f"{total:.2f} = {first:.2f} reconstruction + {second:.2f} KL, "
                                 "in nats per image, at the last epoch"))  # fmt: skip
    if best:
        lines.append(("best", f"{best['val_neg_elbo']:.2f} on validation, epoch {best['epoch']}"))
    return lines
