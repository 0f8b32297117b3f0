"""`vaekit embed`: images to latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.model_commands import begin, counted, open_input_images, open_model, say_written
from vaekit.cli.options import (
    ImageOptions,
    ModelArgument,
    OutputOptions,
    Sampled,
    UseOptions,
    flat,
    switch_option,
    value_option,
)
from vaekit.errors import UsageError
from vaekit.output.formats import FOLDER, PICTURES, RECORDS, Target, choose_format

if TYPE_CHECKING:
    from vaekit.data.streams.mixed_inputs import Chunk, ImageStream
    from vaekit.gaussian import Normal
    from vaekit.inference import Model

TAKES = (*RECORDS, *PICTURES)
PROJECTIONS = ("pca", "tsne")


@flat
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    stats: Annotated[
        bool, switch_option("--stats", help="the log-variance beside the mean")
    ] = False,
    sample: Sampled = False,
    project: Annotated[
        str | None, value_option("--project", metavar="pca|tsne", help="two dimensions in place")
    ] = None,
    thumbnails: Annotated[
        bool, switch_option("--thumbnails", help="images in place of dots in a scatter")
    ] = False,
    projector: Annotated[
        Path | None,
        value_option("--projector", metavar="DIR", help="a folder for TensorBoard's projector"),
    ] = None,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Embed images: the posterior mean of each, with its path and label.

    [dim]vaekit embed model.safetensors photos/ -o z.csv[/dim]
    [dim]vaekit embed model.safetensors --dataset digits -o latents.png[/dim] draws a scatter.
    """
    target = choose_format(where.output, where.form, TAKES, "npy", "latents.npz")
    _check(target, project, thumbnails=thumbnails, stats=stats)
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    stream = open_input_images(source, opened, use, terminal)
    alone = projector is not None and not (where.output or where.form or project)
    with counted(stream, terminal, "embedding") as chunks, ExitStack() as stack:
        rows = _embedded(opened, chunks, use, sample=sample)
        if projector is not None:
            rows = _projected(rows, stream, projector, stack)
        if alone:
            count = sum(len(chunk) for chunk, _ in rows)
        elif project or target.form in PICTURES:
            count = _plane(rows, stream, target, project or "pca", use, thumbnails=thumbnails)
        else:
            count = _records(rows, stream, target, opened.latent_dim, stats=stats)
    if projector is None:
        say_written(target, count, use)
    elif alone:
        say_written(Target(projector, FOLDER), count, use)
    else:
        say_written(target, count, use, projector=projector)


def _check(target: Target, project: str | None, *, thumbnails: bool, stats: bool) -> None:
    if project not in (None, *PROJECTIONS):
        raise UsageError(f"--project {project}: pca or tsne")
    if thumbnails and target.form not in PICTURES:
        raise UsageError("--thumbnails is for a picture: -o latents.png")
    if stats and (project or target.form in PICTURES):
        raise UsageError("--stats does not go with two dimensions")


def _embedded(
    model: Model, chunks: Iterator[Chunk], use: UseOptions, *, sample: bool
) -> Iterator[tuple[Chunk, Normal]]:
    """Each chunk with its latents: the posterior, or a draw in place of its mean."""
    from vaekit.gaussian import Normal

    done = 0
    for chunk in chunks:
        q = model.posterior(chunk.images)
        if sample:
            q = Normal(model.draw_from(q, seed=use.seed, start=done), q.logvar)
        done += len(chunk)
        yield chunk, q


def _records(
    rows: Iterator[tuple[Chunk, Normal]],
    stream: ImageStream,
    target: Target,
    width: int,
    *,
    stats: bool,
) -> int:
    from vaekit.output.latent_records import open_record_writer

    count = 0
    with open_record_writer(
        target, width=width, classes=stream.classes, logvar=stats, count=stream.count
    ) as out:
        for chunk, q in rows:
            logvar = q.logvar if stats else None
            out.write(chunk.names, q.mean, labels=chunk.labels, logvar=logvar)
            count += len(chunk)
    return count


def _projected(
    rows: Iterator[tuple[Chunk, Normal]], stream: ImageStream, folder: Path, stack: ExitStack
) -> Iterator[tuple[Chunk, Normal]]:
    """The same rows, which on their way go into the projector's folder."""
    from vaekit.output.projector import open_projector

    out = stack.enter_context(open_projector(folder))
    for chunk, q in rows:
        out.write(chunk.names, q.mean, labels=chunk.words(stream.classes), images=chunk.images)
        yield chunk, q


def _plane(
    rows: Iterator[tuple[Chunk, Normal]],
    stream: ImageStream,
    target: Target,
    method: str,
    use: UseOptions,
    *,
    thumbnails: bool,
) -> int:
    """All latents in two dimensions: a scatter, or records of two numbers."""
    from vaekit.cli.projected_latents import ProjectedLatents

    plane = ProjectedLatents(method, use.seed, keep_images=thumbnails)
    for chunk, q in rows:
        plane.add(chunk, q.mean)
    plane.write(target, stream.classes)
    return len(plane.names)
