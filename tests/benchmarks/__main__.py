"""`python -m tests.benchmarks NAME`: time vaekit against its rivals and print the ratios."""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.interleaved import Subject, interleave
from tests.benchmarks.works import Options

SUBJECTS = {
    "train-mlp": ("training", "mlp"),
    "train-conv": ("training", "conv"),
    "together-mlp": ("together", "mlp"),
    "together-conv": ("together", "conv"),
    "quality-mlp": ("quality", "mlp"),
    "quality-conv": ("quality", "conv"),
    "startup": ("startup", "mlp"),
    "store": ("store", "conv"),
    "first-step": ("first_step", "conv"),
    "inference-mlp": ("inference", "mlp"),
    "inference-conv": ("inference", "conv"),
    "nll-mlp": ("nll", "mlp"),
    "nll-conv": ("nll", "conv"),
}


def main() -> None:
    """Parse the options, run the benchmark, print the tables, write the file."""
    asked = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="vaekit-bench-") as folder:
        options = _options(asked, Path(folder))
        subject = _subject(asked.name, options)
        rounds = asked.rounds or (1 if asked.quick else subject.rounds)
        runs = interleave(subject.contenders, rounds, warm_up=subject.warm_up)
    report.show(subject, runs)
    if asked.json:
        settings = {key: value for key, value in asdict(options).items() if key != "folder"}
        text = json.dumps(report.record(asked.name, subject, runs, settings), indent=1)
        asked.json.write_text(text + "\n", encoding="utf-8")


def _subject(name: str, options: Options) -> Subject:
    module, work = SUBJECTS[name]
    made: Subject = importlib.import_module(f"tests.benchmarks.{module}").subject(work, options)
    return made


def _options(asked: argparse.Namespace, folder: Path) -> Options:
    given = {key: value for key, value in vars(asked).items() if key in Options.__annotations__}
    return Options(folder=folder, **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("name", choices=SUBJECTS)
    add("--rounds", type=int, help="rounds that count, after a warm-up")
    add("--json", type=Path, metavar="FILE", help="write everything to this file")
    add("--data-dir", type=Path, metavar="DIR", help="folder with MNIST; default: made-up images")
    add("--cifar-zip", type=Path, metavar="FILE", help="zip of CIFAR-10; default: made-up images")
    add("--threads", type=int, metavar="N", help="CPU threads of every contender")
    add("--images", type=int, metavar="N", help="number of images")
    add("--epochs", type=int, metavar="N", help="epochs; in quality-*, of the rival")
    add("--vaekit-epochs", type=int, metavar="N", help="in quality-*, epochs of vaekit")
    add("--batch", type=int, default=128, metavar="N", help="images per step")
    add("--workers", type=int, default=2, metavar="N", help="loading processes of the plain loop")
    add("--compile", action="store_true", help="add a contender: vaekit train --compile on")
    add("--quick", action="store_true", help="one very short round, as a check")
    return parser


if __name__ == "__main__":
    main()
