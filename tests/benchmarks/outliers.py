"""`python -m tests.benchmarks.outliers MODEL OTHER...`: how well each score tells strangers apart.

For each kind of stranger and each score, the AUROC: the probability that a stranger scores higher
than a test image of the model's own data set. 0.5 is chance. Below stand the shares that are called
outliers at a false-alarm rate of 1 percent, of strangers and of test images.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import vaekit
from tests.benchmarks.strangers import fitted, strangers
from vaekit.array_types import AnyArray
from vaekit.evaluation.image_scores import scores
from vaekit.evaluation.strangest import FLAGGED
from vaekit.inference import Model

COMPARED = ("neg_elbo", "typicality", "latent_distance", "relative_error", "outlier")


def main() -> None:
    """Score the test images and every kind of stranger, and print a Markdown table."""
    asked = _parser().parse_args()
    torch.set_num_threads(asked.threads)
    model = vaekit.load(asked.model, asked.device)
    known = _images(asked.dataset or model.header.training["dataset"], asked)
    kinds = strangers(known)
    for name in asked.other:
        kinds[name.split("/")[-1]] = fitted(_images(name, asked), known.shape[1:])
    usual = _scores(model, known)
    found = {kind: compared(_scores(model, images), usual) for kind, images in kinds.items()}
    found["mean"] = {n: float(np.mean([row[n] for row in found.values()])) for n in [*usual]}
    print(table(found, _flagged(usual)))
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(found, file, indent=1)


def compared(strange: dict[str, AnyArray], usual: dict[str, AnyArray]) -> dict[str, float]:
    """The AUROC of each score, and the share of strangers that are called outliers."""
    labels = np.repeat([1, 0], [len(strange["outlier"]), len(usual["outlier"])])
    found = {
        name: float(roc_auc_score(labels, np.concatenate([strange[name], usual[name]])))
        for name in usual
        if name != "false_alarm_rate"
    }
    return {**found, "false_alarm_rate": _flagged(strange)}


def table(found: dict[str, dict[str, float]], false_alarms: float) -> str:
    """A Markdown table, one row for each kind."""
    names = [name for name in next(iter(found.values())) if name != "false_alarm_rate"]
    heads = ["stranger", *(f"`{name}`" for name in names), "called outliers"]
    lines = [heads, ["---"] * len(heads)]
    for kind, row in found.items():
        shares = [f"{row[name]:.3f}" for name in names]
        lines.append([kind, *shares, f"{row['false_alarm_rate']:.1%}"])
    lines.append(["test images", *("" for _ in names), f"{false_alarms:.1%}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _scores(model: Model, images: AnyArray) -> dict[str, AnyArray]:
    numbers = scores(model, images)
    return {
        name: np.array(numbers[name], float)
        for name in (*COMPARED, "false_alarm_rate")
        if name in numbers
    }


def _flagged(numbers: dict[str, AnyArray]) -> float:
    return float((numbers["false_alarm_rate"] <= FLAGGED).mean())


def _images(name: str, asked: argparse.Namespace) -> AnyArray:
    data = vaekit.load_dataset(name, limit=asked.limit, data_dir=asked.data_dir)
    images: AnyArray = data.images
    return images


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.outliers")
    add = parser.add_argument
    add("model", help="a model file or a run's folder")
    add("--dataset", metavar="D", help="the model's data set; default: that of its training")
    add("other", metavar="OTHER", nargs="*", help="data sets of strangers, such as shapes")
    add("--limit", type=int, default=1000, metavar="N", help="images of each kind")
    add("--data-dir", metavar="DIR", help="where downloads are kept")
    add("--device", default="auto")
    add("--threads", type=int, default=1, metavar="N")
    add("--json", metavar="FILE", help="write the table to this file, too")
    return parser


if __name__ == "__main__":
    main()
