"""`vaekit score`: the losses and outlier scores of each image, or a sheet of the strangest."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from vaekit.cli.evaluation_options import NllOptions, load_images, refuse_too_few
from vaekit.cli.model_commands import (
    choose_target,
    chunks_with_progress,
    note_part,
    open_input_images,
    open_model,
    open_terminal,
    print_output_path,
)
from vaekit.cli.options import (
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    with_option_groups,
)
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.trained_count import TrainedCount
from vaekit.errors import ModelFileError
from vaekit.machine.ranks import joined
from vaekit.output.formats import PICTURES, Target

if TYPE_CHECKING:
    from vaekit.data.streams.mixed_inputs import Chunk
    from vaekit.evaluation.strangest import Strangest
    from vaekit.inference import Model

TAKES = ("jsonl", "csv", *PICTURES)
Chunks = Iterator["tuple[Chunk, list[str | int | None]]"]
Numbered = tuple[int, "Chunk", "list[str | int | None]"]


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    nll: NllOptions = NllOptions(),  # noqa: B008 (frozen)
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Score images one by one: a JSON line each, in input order.

    [dim]vaekit score model.safetensors photos/ > scores.jsonl[/dim]
    [dim]vaekit score m.safetensors in/ | jq 'select(.false_alarm_rate <= 0.01)'[/dim]
    [dim]vaekit score model.safetensors photos/ -o outliers.png[/dim]

    Lines are written as images are read; stdout is the default output. A
    picture shows the images with the highest outlier scores.
    """
    refuse_too_few(nll)
    target = choose_target(
        model,
        dataclasses.replace(where, output=where.output or "-"),
        dataclasses.replace(use, as_json=False),  # JSON on stdout is what comes anyway
        takes=TAKES,
        on_stdout="jsonl",
        default="scores.jsonl",
    )
    terminal = open_terminal(use, target)
    count, trust = 0, []
    with joined() as ranks, ExitStack() as stack:
        with ranks.host_leads():
            opened = open_model(model, use, terminal)
            _refuse_draws(opened, nll)
            strangest, seen = _strangest(opened, target, terminal), TrainedCount(opened)
            chunks = stack.enter_context(_chunks(opened, source, use, terminal))
        ranks.begin()
        scored = ranks.in_turns(
            _numbered(chunks), functools.partial(_numbers, opened, nll, use.seed)
        )
        if not ranks.is_first:
            any(scored)  # rank 0 alone gets them
            return
        write = stack.enter_context(_writer(target, _columns(opened, nll), strangest))
        for (_, chunk, labels), numbers in scored:
            if strangest is not None:
                strangest.add(chunk.images, chunk.names, numbers)
            heads = zip(chunk.names, labels, seen.add(chunk.images), strict=True)
            rows = _rows(heads, numbers)
            write(rows)
            trust += [row[-2:] for row in rows]
            count += len(chunk)
    if nll.nll_samples:
        _warn_of_unreliable(trust, nll, terminal)
    if strangest is not None:
        terminal.note(strangest.summary())
    seen.report(source, terminal)
    print_output_path(target, count, use)


def _strangest(model: Model, target: Target, terminal: Terminal) -> Strangest | None:
    """Where the strangest images are kept; None where the model cannot tell what is strange."""
    known = model.header.known
    if known is not None:
        from vaekit.evaluation.strangest import Strangest

        return Strangest(known.part, known.n)
    why = "the model file describes no known images (20 or more are needed in training)"
    if target.form in PICTURES:
        raise ModelFileError(f"{model.path}: no outlier scores: {why}")
    terminal.note(f"outlier scores are left out: {why}")
    return None


def _warn_of_unreliable(
    trust: Sequence[Sequence[float | None]], nll: NllOptions, terminal: Terminal
) -> None:
    """Warn if many images have a Pareto k that is too large, from (nll_ess, nll_pareto_k)."""
    from torch import tensor

    from vaekit.evaluation.log_likelihood.nll import unreliable_share, why_unreliable

    known = tensor([row for row in trust if None not in row]).reshape(-1, 2)
    if not len(known):
        return
    share, median = unreliable_share(known[:, 1]), float(known[:, 0].median())
    warning = why_unreliable(share, median, nll.nll_samples or 0, method=nll.nll)
    if warning:
        terminal.warn(warning)


def _refuse_draws(model: Model, nll: NllOptions) -> None:
    from vaekit.evaluation.preconditions import refuse_draws

    refuse_draws(model.network, nll.nll_samples, nll.nll, nll.nll_temperatures)


@contextmanager
def _chunks(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Iterator[Chunks]:
    """Chunks with their labels, from streamed images or from a data set."""
    if source.has_images:
        stream = open_input_images(source, model, use, terminal)
        with chunks_with_progress(stream, terminal, "scoring") as chunks:
            yield ((chunk, chunk.words(stream.classes)) for chunk in chunks)
        return
    images = load_images(model, source, use, terminal)
    if source.dataset:
        note_part(source, len(images), source.dataset, terminal)
    from vaekit.data.streams.mixed_inputs import Chunk

    with terminal.task("scoring", len(images)) as task:

        def parts() -> Chunks:
            for start in range(0, len(images), model.chunk):
                part = slice(start, start + model.chunk)
                labels = None if images.labels is None else images.labels[part]
                chunk = Chunk(images.images[part], tuple(images.names[part]), labels)
                yield chunk, chunk.words(images.classes)
                task.advance(len(chunk))

        yield parts()


def _columns(model: Model, nll: NllOptions) -> list[str]:
    from vaekit.evaluation.image_scores import columns

    return ["path", "label", "trained_on", *columns(model, nll.settings)]


def _numbered(chunks: Chunks) -> Iterator[Numbered]:
    """Each chunk with its labels and the number of its first image, which keys its draws."""
    start = 0
    for chunk, labels in chunks:
        yield start, chunk, labels
        start += len(chunk)


def _numbers(
    model: Model, nll: NllOptions, seed: int, given: Numbered
) -> dict[str, list[float | None]]:
    """The numbers of the images of a chunk."""
    start, chunk, _ = given
    from vaekit.evaluation.image_scores import scores

    return scores(model, chunk.images, start=start, nll=nll.settings, seed=seed)


def _rows(
    heads: Iterable[tuple[Any, ...]], numbers: dict[str, list[float | None]]
) -> list[list[Any]]:
    """One row per image: what it is, then its numbers."""
    lines = zip(*numbers.values(), strict=True)
    return [[*head, *line] for head, line in zip(heads, lines, strict=True)]


@contextmanager
def _writer(
    target: Target, columns: Sequence[str], strangest: Strangest | None
) -> Iterator[Callable[[list[list[Any]]], None]]:
    """Write rows as lines, without waiting for more; or at the end the sheet of the strangest."""
    from vaekit.output.byte_streams import open_output
    from vaekit.output.record_lines import csv_lines, json_lines

    with open_output(target) as file:
        if target.form == "csv":
            _send(file, csv_lines([columns]))
        if target.form not in PICTURES:
            texts = csv_lines if target.form == "csv" else functools.partial(json_lines, columns)
            yield lambda rows: _send(file, texts(rows))
            return
        yield lambda rows: None
        from vaekit.output.pictures import encode_picture

        if strangest is not None:
            file.write(encode_picture(strangest.sheet(), target.form))


def _send(file: IO[bytes], text: str) -> None:
    file.write(text.encode("utf-8", "surrogateescape"))
