"""`vaekit datasets`: the named data sets."""

from __future__ import annotations

import dataclasses
import json

from vaekit.cli.options import Debug, Json
from vaekit.cli.terminal.tables import print_table
from vaekit.data.datasets.catalogue import CATALOGUE, Entry
from vaekit.wording import image_in_words


def command(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the data sets that --dataset knows by name.

    --dataset also takes a path to your own images: a folder (flat, or one
    folder per class), a .zip or .tar of a folder, a .npy, or a .npz with an
    array x and optional y and factors; a pattern in quotes that matches
    several of these; or hf:owner/name, a Hugging Face data set.
    """
    if as_json:
        facts = {name: dataclasses.asdict(entry) for name, entry in CATALOGUE.items()}
        print(json.dumps(facts))
    else:
        columns = ("name", "images", "train", "test", "download", "content")
        print_table(columns, [_line(name, entry) for name, entry in CATALOGUE.items()])


def _line(name: str, entry: Entry) -> tuple[str, ...]:
    size = "embedded" if entry.is_embedded else f"{entry.megabytes:,} MB"
    counts = (f"{entry.train:,}", f"{entry.test:,}")
    return name, image_in_words(*entry.shape), *counts, size, entry.title
