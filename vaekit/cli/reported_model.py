"""What `report` and `explore` share: evaluate a model, and gather its page."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.cli.console import Terminal
from vaekit.cli.evaluation_options import MetricOptions, load_evaluation_images, metric_request
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.options import DatasetOptions, UseOptions

if TYPE_CHECKING:
    from vaekit.inference import Model
    from vaekit.page.report_contents import ReportSubject
    from vaekit.page.run_history import Records


def gather_page(
    model: Model,
    by: DatasetOptions,
    what: MetricOptions,
    use: UseOptions,
    terminal: Terminal,
    again: str,
) -> tuple[ReportSubject, dict[str, Any]]:
    """The model with its images and numbers, and the contents of its page."""
    from vaekit.evaluation.evaluation_record import evaluate_each
    from vaekit.evaluation.metrics import METRICS
    from vaekit.page.report_contents import ReportSubject, report_contents

    asked = metric_request(what, by, use)
    images, points = load_evaluation_images(model, by, asked, use, terminal)
    history = history_of(model)
    record, per_image = evaluate_each(model, images, asked, points=points, reporter=terminal)
    shown = {m.name: shown_number(m.name, record) for m in METRICS if m.name in record}
    subject = ReportSubject(model, images, record, per_image, use.seed)
    return subject, report_contents(subject, shown, history, again, terminal)


def history_of(model: Model) -> Records:
    """The epochs of the model's run, as far as it has come."""
    from vaekit.page.run_history import training_history

    return training_history(model.path, model.header) if model.path else []


def command_line(
    name: str, model: Path, by: DatasetOptions, what: MetricOptions, use: UseOptions
) -> str:
    """The command line that makes a page again: every option that is not at its default."""
    given = [part for group in (by, what) for part in _given(group)]
    seed = ["--seed", str(use.seed)] if use.seed else []
    return shlex.join(["vaekit", name, str(model), *given, *seed])


def _given(group: DatasetOptions | MetricOptions) -> Iterator[str]:
    """The flags of a group's fields that differ from their defaults."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if value == field.default or field.name == "refresh":  # decoding again changes nothing
            continue
        yield f"--{field.name.replace('_', '-')}"
        if value is not True:
            yield str(value)
