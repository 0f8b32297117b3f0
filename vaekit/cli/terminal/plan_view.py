"""What `train --dry-run` prints: the config with a plan in comments, or one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vaekit.cli.terminal.console import duration
from vaekit.configuration.config import as_yaml
from vaekit.wording import image_in_words

if TYPE_CHECKING:
    from vaekit.training.planning.plan import RunPlan


def plan_text(plan: RunPlan) -> str:
    """A config file for `--config`, with the plan in its last lines."""
    lines = [f"# {line}" for line in plan_lines(plan)]
    return "\n".join([as_yaml(plan.config, "vaekit train --dry-run"), *lines])


def plan_lines(plan: RunPlan) -> list[str]:
    """The plan in words, a line for each thing."""
    kept = f" + {plan.n_val:,} for validation" if plan.n_val else ""
    run = plan.length
    return [
        f"{plan.need.parameters:,} parameters; "
        f"about {_megabytes(plan.need.total)} beside the images{_in_each(plan)}",
        *_measured_memory(plan),
        f"images: {plan.n_train:,} to train on{kept}, {image_in_words(*plan.image)}, "
        f"{_megabytes(plan.store_bytes)} decoded",
        f"steps: {run.steps_per_epoch:,} an epoch, {run.steps:,} in {run.epochs:,} epochs",
        _time(plan),
    ]


def _measured_memory(plan: RunPlan) -> list[str]:
    if plan.measured is None:
        return []
    taken = plan.measured.memory
    if taken is None:
        return [f"memory: {plan.device} does not tell what a step takes"]
    return [
        f"memory: {_megabytes(taken)} beside the images{_in_each(plan)}, "
        f"measured on {plan.device} in one step"
    ]


def _in_each(plan: RunPlan) -> str:
    return f" in each of {plan.processes} processes" if plan.processes > 1 else ""


def _time(plan: RunPlan) -> str:
    expected = plan.time
    if expected is None:
        return "time: unknown; --probe times a few steps (no like run was found)"
    speed = f"{expected.images_per_second:,.0f} images/s"
    if plan.measured is None:
        return (
            f"time: about {duration(expected.train)} of training at the {speed} of "
            f"{expected.timed_by} (same network, batch, image size, device and threads); "
            "validation and pictures come on top"
        )
    validation = ""
    if expected.validation is not None:
        validation = f" and {duration(expected.validation)} of validation"
    return (
        f"time: about {duration(expected.train)} of training{validation}, at {speed} "
        f"({plan.measured.steps} steps timed on {plan.device}); pictures come on top"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 10e6 else f"{count / 1e6:.1f} MB"


def plan_json(plan: RunPlan) -> str:
    """The plan as one JSON object; what is not known is null."""
    return json.dumps(_record(plan))


def _record(plan: RunPlan) -> dict[str, Any]:
    measured, time = plan.measured, plan.time
    return {
        "config": plan.config.model_dump(mode="json"),
        "parameters": plan.need.parameters,
        "expected_bytes": plan.need.total,
        "measured_bytes": measured and measured.memory,
        "device": plan.device,
        "processes": plan.processes,
        "image": list(plan.image),
        "n_train": plan.n_train,
        "n_val": plan.n_val,
        "store_bytes": plan.store_bytes,
        "epochs": plan.length.epochs,
        "steps_per_epoch": plan.length.steps_per_epoch,
        "steps": plan.length.steps,
        "images_per_second": time and time.images_per_second,
        "train_seconds": time and time.train,
        "validation_seconds": time and time.validation,
        "timed_by": time and time.timed_by,
    }
