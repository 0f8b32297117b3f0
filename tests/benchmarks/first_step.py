"""Time from a second run's start to its first step; its images are in the store already."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.interleaved import Claim, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.store import archive_of
from tests.benchmarks.works import WORKS, Options


def subject(work: str, options: Options) -> Subject:
    """The benchmark; its warm-up round is the first run, which decodes."""
    cache = {"XDG_CACHE_HOME": str(options.folder / "cache")}
    archive = archive_of(options)
    flags = ["--dataset", str(archive), *WORKS[work].flags]
    run = partial(contender, "ours", environ=cache, kind="first_step", flags=flags)
    facts: dict[str, str | int] = {"images": archive.name if options.cifar_zip else "made up"}
    return Subject("s", {"vaekit": run}, [Claim("vaekit")], rounds=5, images=facts)
