"""Decoding small JPEGs from a zip into the store, against one process of plain Pillow."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.interleaved import Claim, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.works import Options, jpeg_zip

IMAGES = 60_000


def subject(_work: str, options: Options) -> Subject:
    """The benchmark, of the whole zip each time."""
    archive = str(archive_of(options))
    contenders = {
        "vaekit": partial(into_store, archive),
        "Pillow": partial(contender, "rivals.pillow_zip", archive=archive),
    }
    claim = Claim("vaekit", "Pillow", "at least 1.7 on two cores")
    facts: dict[str, str | int] = {"images": Path(archive).name if options.cifar_zip else "made up"}
    return Subject("images/s", contenders, [claim], images=facts)


def archive_of(options: Options) -> Path:
    """The given zip, or one of made-up images."""
    if options.cifar_zip:
        return options.cifar_zip.resolve()
    return jpeg_zip(options.folder / "images.zip", options.count(IMAGES))


def into_store(archive: str) -> dict[str, float]:
    """Measure vaekit with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        return contender("ours", environ={"XDG_CACHE_HOME": cache}, kind="store", archive=archive)
