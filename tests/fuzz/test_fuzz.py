"""No file, however it was changed, may end in anything but a load or the project's own error."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.judge import Judge
from tests.fuzz.kinds import KINDS, Files, Samples

FEW = 20
MANY = int(os.environ.get("FUZZ_FILES", "1600"))
"""Files of each kind in the long run: over 20,000 together."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    with Judge(tmp_path_factory.mktemp("judged")) as judge:
        yield judge


@pytest.mark.parametrize("name", KINDS)
def test_changed_files_load_or_are_refused(name: str, judge: Judge, samples: Samples) -> None:
    """A user who is handed a broken file would lose the message that says so."""
    run(name, judge, samples, FEW, seed=None)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", KINDS)
def test_many_changed_files(
    name: str, judge: Judge, samples: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same at length, from a seed that is another each time: FUZZ_SEED repeats one."""
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))
    with capsys.disabled():
        print(f"\n{name}: seed {seed}", flush=True)
    before, loaded = judge.count, judge.loaded
    run(name, judge, samples, MANY, seed)
    with capsys.disabled():
        print(f"{name}: {judge.count - before} passes, {judge.loaded - loaded} loaded")


def run(name: str, judge: Judge, samples: Samples, examples: int, seed: int | None) -> None:
    """So many changed files of one kind, each through all doors of its kind."""
    kind = KINDS[name]
    valid = Files(kind.samples(samples))
    for data in valid:
        for door in kind.doors:
            judge.warm(data, kind.file, door)

    @settings(
        max_examples=examples,
        derandomize=seed is None,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.changed(valid))
    def one(data: bytes) -> None:
        for door in kind.doors:
            judge.check(data, kind.file, door)

    (one if seed is None else hypothesis.seed(seed)(one))()
    if not judge.measures_memory:
        pytest.skip("all held but memory, which cannot be measured without /proc/self/clear_refs")
