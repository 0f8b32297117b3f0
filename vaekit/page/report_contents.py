"""Gathers all that the report of a model shows, in values that JSON can hold."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit import __version__, registry
from vaekit.data import ImageSet
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE
from vaekit.evaluation.evaluation_record import EvaluationRecord, PerImage, without_nonfinite
from vaekit.evaluation.metrics import METRICS
from vaekit.inference import Model
from vaekit.page.decoded_frames import (
    LEG_STEPS,
    round_trip,
    shown_dimensions,
    traversal_facts,
    traversals,
    varied_images,
)
from vaekit.page.latent_map import (
    MAP_POINTS,
    PLANE_SIDE,
    choose_images,
    decoded_plane,
    image_caption,
    image_name,
    label_name,
    map_plane,
    map_points,
    plane_box,
    rounded,
)
from vaekit.page.outlying_images import Scores, flagged, most_outlying, outlier_numbers
from vaekit.page.run_history import Records
from vaekit.page.sprite_sheet import sprite_sheet
from vaekit.reporting import SILENT, Reporter

KILOBYTE = 1000
MOST_SAMPLES, MOST_PAIRS, MOST_EXTREMES, STOPS, STARTS = 64, 24, 8, 6, 2
SHEETS = {
    "points": (40, 3000 * KILOBYTE),
    "plane": (64, 900 * KILOBYTE),
    "samples": (160, 1000 * KILOBYTE),
    "pairs": (192, 900 * KILOBYTE),
    "extremes": (192, 600 * KILOBYTE),
    "outliers": (192, 300 * KILOBYTE),
    "traversals": (96, 1700 * KILOBYTE),
    "interpolation": (192, 1000 * KILOBYTE),
    "stops": (96, 100 * KILOBYTE),
}
"""The longest side of an image and the most bytes of each sheet: 9.5 MB, or 12.7 MB in base64."""


@dataclass(frozen=True)
class ReportSubject:
    """A model, the images it was evaluated on, and what that gave."""

    model: Model
    images: ImageSet
    record: EvaluationRecord
    per_image: PerImage
    seed: int = 0

    @property
    def losses(self) -> Tensor:
        """The -ELBO of each image."""
        return self.per_image["neg_elbo"]


def report_contents(
    subject: ReportSubject,
    shown: Mapping[str, str],
    history: Records,
    command: str,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Everything on the page.

    `shown` are the numbers as `evaluate` prints them, `command` is what makes this report again.
    """
    outlying = outlier_numbers(subject.model, subject.images, subject.seed, reporter)
    parts = (
        *(_map, _traversals, _interpolation, _samples, _pairs, _extremes),
        functools.partial(_outliers, numbers=outlying),
    )
    contents: dict[str, Any] = {"sheets": {}}
    with reporter.task("pictures", None) as task:
        for part in parts:
            found, stacks = part(subject)
            contents |= found
            contents["sheets"] |= {name: _sheet(name, stack) for name, stack in stacks.items()}
            task.advance(sum(map(len, stacks.values())))
    facts = _facts(subject, shown, history, command)
    if outlying is not None:
        contents["map"]["outlying"] = [outlying[0][index] for index in images_on_map(subject)]
    finite: dict[str, Any] = without_nonfinite({**facts, **contents})
    return finite


PagePart = tuple[dict[str, Any], dict[str, Any]]
"""Facts for the page, and stacks of images by the name of their sheet."""


def _sheet(name: str, stack: Any) -> dict[str, Any]:
    longest_side, most_bytes = SHEETS[name]
    return sprite_sheet(stack, longest_side=longest_side, most_bytes=most_bytes)


def _map(subject: ReportSubject) -> PagePart:
    model, images = subject.model, subject.images
    chosen = images_on_map(subject)
    pixels = np.ascontiguousarray(images.images[chosen])
    plane = map_plane(model.embed(pixels).double().numpy())
    box = plane_box(plane.points)
    facts = map_points(images, chosen, plane)
    facts |= {
        "losses": [rounded(value) for value in subject.losses[chosen].tolist()],
        "classes": list(images.classes) if images.classes else None,
        "box": box,
        "side": PLANE_SIDE,
    }
    return {"map": facts}, {"points": pixels, "plane": decoded_plane(model, plane, box)}


def images_on_map(subject: ReportSubject) -> list[int]:
    """The images that are points of the map."""
    return choose_images(len(subject.images), MAP_POINTS, subject.seed, "map")


def _traversals(subject: ReportSubject) -> PagePart:
    model, images = subject.model, subject.images
    chosen = images_on_map(subject)
    spread = model.embed(np.ascontiguousarray(images.images[chosen])).var(0, correction=0)
    kl = subject.record["kl_per_dim"]
    dims = shown_dimensions(kl, spread)
    starts = varied_images(images, STARTS, subject.seed, "traversals")
    z = model.embed(images.images[starts])
    bases = torch.cat([torch.zeros(1, model.latent_dim), z])
    health = [
        {"dim": dim, "kl": rounded(value or 0.0), "active": float(spread[dim]) > ACTIVE_VARIANCE}
        for dim, value in enumerate(kl)
    ]
    facts = traversal_facts(images, starts, bases, dims, kl)
    return {"traversals": facts, "dims": health}, {"traversals": traversals(model, dims, bases)}


def _interpolation(subject: ReportSubject) -> PagePart:
    images = subject.images
    stops = varied_images(images, STOPS, subject.seed, "interpolation")
    originals = images.images[stops]
    facts = {"names": _captions(subject, stops), "leg": LEG_STEPS}
    frames = round_trip(subject.model, subject.model.embed(originals))
    return {"interpolation": facts}, {"interpolation": frames, "stops": originals}


def _samples(subject: ReportSubject) -> PagePart:
    return {}, {"samples": subject.model.sample(MOST_SAMPLES, seed=subject.seed)}


def _pairs(subject: ReportSubject) -> PagePart:
    chosen = choose_images(len(subject.images), MOST_PAIRS, subject.seed, "reconstructions")
    return {"pairs": _image_facts(subject, chosen)}, {"pairs": _both(subject, chosen)}


def _extremes(subject: ReportSubject) -> PagePart:
    """Images with the lowest and the highest -ELBO, each group from its extreme inwards."""
    order = subject.losses.argsort(stable=True).tolist()
    count = min(MOST_EXTREMES, len(order) // 2)
    chosen = [*order[:count], *order[::-1][:count]]
    if not chosen:
        return {"extremes": []}, {}
    return {"extremes": _image_facts(subject, chosen)}, {"extremes": _both(subject, chosen)}


def _outliers(subject: ReportSubject, numbers: tuple[Scores, Scores] | None) -> PagePart:
    """The images that are most unlike those that the model knows, where it knows any."""
    known = subject.model.header.known
    if numbers is None or known is None:
        return {"outliers": None}, {}
    outlying, rates = numbers
    chosen = most_outlying(outlying, MOST_EXTREMES)
    images = [
        {**facts, "outlier": outlying[index], "rate": rates[index]}
        for index, facts in zip(chosen, _image_facts(subject, chosen), strict=True)
    ]
    about = {"known": known.n, "part": known.part, "flagged": flagged(rates)}
    return {"outliers": {"images": images, **about}}, {"outliers": _both(subject, chosen)}


def _both(subject: ReportSubject, chosen: list[int]) -> Tensor:
    """Originals, then their reconstructions."""
    pixels = np.ascontiguousarray(subject.images.images[chosen])
    originals = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return torch.cat([originals, subject.model.reconstruct(pixels)])


def _image_facts(subject: ReportSubject, chosen: list[int]) -> list[dict[str, Any]]:
    columns = ("neg_elbo", "reconstruction", "kl", "psnr")
    return [
        without_nonfinite(
            {
                "name": image_name(subject.images, index),
                "label": label_name(subject.images, index),
                **{name: rounded(float(subject.per_image[name][index])) for name in columns},
            }
        )
        for index in chosen
    ]


def _captions(subject: ReportSubject, chosen: list[int]) -> list[str]:
    return [image_caption(subject.images, index) for index in chosen]


def _facts(
    subject: ReportSubject, shown: Mapping[str, str], history: Records, command: str
) -> dict[str, Any]:
    header, record = subject.model.header, subject.record
    likelihood = registry.resolve("likelihood", record["likelihood"])
    config = header.training.get("config")
    best = header.training.get("best")
    return {
        "model": header.model.model_dump(mode="json"),
        "parameters": header.training.get("parameters"),
        "record": record,
        "normalised": bool(likelihood.normalised),
        "metrics": [
            {"name": m.name, "shown": shown[m.name], "meaning": m.meaning, "better": m.better}
            for m in METRICS
            if m.name in shown
        ],
        "history": history,
        "best_epoch": best.get("epoch") if isinstance(best, dict) else None,
        "command": command,
        "config": _yaml(config) if isinstance(config, dict) else "",
        "version": __version__,
    }


def _yaml(config: Mapping[str, Any]) -> str:
    """The options of the training run that were set, for `vaekit train --config`."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in config.items() if value is not None]
    return "\n".join(lines)
