"""`vaekit datasets`: the named data sets."""

from __future__ import annotations

import dataclasses
import json

from vaekit.cli.options import Debug, Json
from vaekit.cli.tables import show
from vaekit.data.datasets.catalogue import CATALOGUE, Entry


def command(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the named data sets; `--dataset` takes a path to your own images as well.

    A folder of images (flat, or a folder for each class), a .zip or .tar of one, a .npy, or a
    .npz with [bold]x[/bold] and optional [bold]y[/bold] and [bold]factors[/bold].
    """
    if as_json:
        facts = {name: dataclasses.asdict(entry) for name, entry in CATALOGUE.items()}
        print(json.dumps(facts))
    else:
        columns = ("name", "images", "train", "test", "download", "what it shows")
        show(columns, [_line(name, entry) for name, entry in CATALOGUE.items()])


def _line(name: str, entry: Entry) -> tuple[str, ...]:
    height, width, channels = entry.shape
    colour = "grey" if channels == 1 else "colour"
    size = "embedded" if entry.is_embedded else f"{entry.megabytes:,} MB"
    counts = (f"{entry.train:,}", f"{entry.test:,}")
    return name, f"{height}x{width} {colour}", *counts, size, entry.title
