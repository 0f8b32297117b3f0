"""The long run of all kinds, measured: `python -m tests.fuzz.long_run --files 50000 runs.json`.

Every 50 files have a seed of their own. The numbers are written after each 50, and a run that was
stopped goes on from them. What fails is written down with its seed, and the run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.judge import Judge
from tests.fuzz.kept_doors import ONE_STEP
from tests.fuzz.kinds import KINDS, Files, Samples

CHUNK = 50
Numbers = dict[str, Any]


def main() -> None:
    """Take up the run where it stopped, round after round through the kinds."""
    asked = _asked()
    numbers = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        with Judge(Path(folder)) as judge:
            valid = {name: Files(KINDS[name].samples(samples)) for name in asked.kinds}
            for name in asked.kinds:
                _warm(judge, name, valid[name])
            while sum(of_kind["files"] for of_kind in numbers.values()) < asked.files:
                for name in asked.kinds:
                    _chunk(judge, name, valid[name], numbers)
                    part = asked.results.with_suffix(".part")
                    part.write_text(json.dumps(numbers, indent=1))
                    part.replace(asked.results)
    print(table(numbers))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    return parser.parse_args()


def _warm(judge: Judge, name: str, valid: Files) -> None:
    for data in valid:
        for door in KINDS[name].doors:
            judge.warm(data, KINDS[name].file, door)


def _chunk(judge: Judge, name: str, valid: Files, numbers: Numbers) -> None:
    """The next 50 files of one kind."""
    start: Numbers = {"chunks": 0, "files": 0, "passes": 0, "read": 0, "refused": 0,
                      "seconds": 0.0, "longest": 0.0, "peak": 0, "failures": []}  # fmt: skip
    now = numbers.setdefault(name, start)

    @hypothesis.seed(now["chunks"])
    @settings(max_examples=CHUNK, database=None, deadline=None, phases=(Phase.generate,),
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(KINDS[name].changed(valid))
    def one(data: bytes) -> None:
        now["files"] += 1
        for door in KINDS[name].doors:
            _pass(judge, name, door, data, now)

    one()
    now["chunks"] += 1


def _pass(judge: Judge, name: str, door: str, data: bytes, now: Numbers) -> None:
    now["passes"] += 1
    try:
        told = judge.check(data, KINDS[name].file, door)
    except AssertionError as error:
        failed = Path(os.environ.get("FUZZ_FAILED", ".")) / f"{name}-{now['files']}"
        failed.write_bytes(data)
        now["failures"].append([now["chunks"], door, str(failed), str(error)[-2000:]])
        return
    now["read" if told["refused"] in (None, ONE_STEP) else "refused"] += 1
    now["seconds"] += told["seconds"]
    now["longest"] = max(now["longest"], told["seconds"])
    now["peak"] = max(now["peak"], told["grown"] or 0)


def table(numbers: Numbers) -> str:
    """The numbers as a table in Markdown."""
    rows = ["| kind | files | passes | refused | read | failed | longest, s | peak, MB |"]
    rows += ["| --- " + "| ---: " * 7 + "|"]
    for name, now in numbers.items():
        counts = (now[what] for what in ("files", "passes", "refused", "read"))
        cells = [name, *(f"{count:,}" for count in counts), str(len(now["failures"]))]
        cells += [f"{now['longest']:.2f}", f"{now['peak'] / 1e6:.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
