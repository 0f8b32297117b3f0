"""`vaekit score`: the numbers of each image."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from vaekit.cli.console import Terminal
from vaekit.cli.evaluation_options import NllSamples, images_for
from vaekit.cli.model_commands import begin, counted, open_input_images, open_model, say_written
from vaekit.cli.options import ImageOptions, ModelArgument, OutputOptions, UseOptions, flat
from vaekit.errors import UsageError
from vaekit.output.formats import Target, choose_format

if TYPE_CHECKING:
    from vaekit.data.streams.mixed_inputs import Chunk
    from vaekit.inference import Model

TAKES = ("jsonl", "csv")
Chunks = Iterator["tuple[Chunk, list[str | int | None]]"]


@flat
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    nll_samples: NllSamples = None,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    r"""Score images one by one: a JSON line each, in the order they came, as they come.

    [dim]vaekit score model.safetensors photos/ | jq -r '\[.neg_elbo,.path]|@tsv' | sort -rn[/dim]
    """
    if nll_samples is not None and nll_samples < 1:
        raise UsageError(f"--nll-samples {nll_samples}: at least 1")
    target = choose_format(where.output or "-", where.form, TAKES, "jsonl", "scores.jsonl")
    terminal = begin(model, target, _plain(use, target))
    opened = open_model(model, use, terminal)
    _refuse_draws(opened, nll_samples)
    columns = ["path", "label", "neg_elbo", "reconstruction", "kl"]
    count = 0
    with (
        _chunks(opened, source, use, terminal) as chunks,
        _writer(target, columns + (["nll"] if nll_samples else [])) as write,
    ):
        for chunk, labels in chunks:
            write(_rows(opened, chunk, labels, count, nll_samples, use.seed))
            count += len(chunk)
    say_written(target, count, use)


def _plain(use: UseOptions, target: Target) -> UseOptions:
    """On stdout `--json` asks for what comes anyway."""
    return dataclasses.replace(use, as_json=use.as_json and target.path is not None)


def _refuse_draws(model: Model, samples: int | None) -> None:
    from vaekit.evaluation.preconditions import refuse_draws

    if samples is not None:
        refuse_draws(model.network.likelihood, samples)


@contextmanager
def _chunks(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> Iterator[Chunks]:
    """Chunks with their labels: of images as they stream in, or of a data set."""
    if source.listed:
        stream = open_input_images(source, model, use, terminal)
        with counted(stream, terminal, "scoring") as chunks:
            yield ((chunk, chunk.words(stream.classes)) for chunk in chunks)
        return
    images = images_for(model, source, use, terminal)
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


def _rows(
    model: Model,
    chunk: Chunk,
    labels: Sequence[str | int | None],
    start: int,
    samples: int | None,
    seed: int,
) -> list[list[Any]]:
    """The numbers of a chunk, whose first image is number `start`."""
    from vaekit.evaluation.image_scores import scores

    numbers = scores(model, chunk.images, start=start, samples=samples, seed=seed)
    lines = zip(*numbers.values(), strict=True)
    heads = zip(chunk.names, labels, strict=True)
    return [[*head, *line] for head, line in zip(heads, lines, strict=True)]


@contextmanager
def _writer(target: Target, columns: Sequence[str]) -> Iterator[Callable[[list[list[Any]]], None]]:
    """Rows as lines, each written when it is there."""
    from vaekit.output.byte_streams import open_output

    with open_output(target) as file:
        if target.form == "csv":
            _send(file, _csv([columns]))
        yield lambda rows: _send(
            file, _csv(rows) if target.form == "csv" else _jsonl(columns, rows)
        )


def _send(file: IO[bytes], text: str) -> None:
    file.write(text.encode("utf-8", "surrogateescape"))


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _jsonl(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = (json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in lines)
