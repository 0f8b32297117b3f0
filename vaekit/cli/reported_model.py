"""What `report` and `explore` share: evaluate a model, and gather its page."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.cli.evaluation_options import MetricOptions, load_evaluation_images, metric_request
from vaekit.cli.metric_rows import shown_number
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.terminal.console import Terminal
from vaekit.reporting import Reporter

if TYPE_CHECKING:
    from vaekit.data import ImageSet
    from vaekit.inference import Model
    from vaekit.page.report_contents import ReportSubject
    from vaekit.page.run_history import Records

GatheredPage = tuple["ReportSubject", dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class PageOptions:
    """Which images and numbers are on a page, and the command line that makes it again."""

    by: DatasetOptions
    what: MetricOptions
    use: UseOptions
    again: str


def gather_page(model: Model, options: PageOptions, terminal: Terminal) -> GatheredPage:
    """The model with its images and numbers, and the contents of its page."""
    asked = metric_request(options.what, options.by, options.use)
    images, points = load_evaluation_images(model, options.by, asked, options.use, terminal)
    return page_of_images(model, images, options, history_of(model), terminal, points=points)


def page_of_images(
    model: Model,
    images: ImageSet,
    options: PageOptions,
    history: Records,
    reporter: Reporter,
    *,
    points: ImageSet | None = None,
) -> GatheredPage:
    """The same, of images that are loaded already."""
    from vaekit.evaluation.evaluation_record import evaluate_each
    from vaekit.evaluation.metrics import METRICS
    from vaekit.page.report_contents import ReportSubject, report_contents

    asked = metric_request(options.what, options.by, options.use)
    record, per_image = evaluate_each(model, images, asked, points=points, reporter=reporter)
    shown = {m.name: shown_number(m.name, record) for m in METRICS if m.name in record}
    subject = ReportSubject(model, images, record, per_image, options.use.seed)
    return subject, report_contents(subject, shown, history, options.again, reporter)


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
