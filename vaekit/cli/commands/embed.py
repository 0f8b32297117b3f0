"""`vaekit embed`: images to latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.model_commands import (
    choose_target,
    chunks_with_progress,
    numbered,
    open_input_images,
    open_model,
    open_terminal,
    print_output_path,
)
from vaekit.cli.options import (
    DrawSample,
    FirstGroups,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    switch_option,
    value_option,
    with_option_groups,
)
from vaekit.cli.projected_latents import ProjectedLatents, ProjectionOptions
from vaekit.cli.trained_count import TrainedCount
from vaekit.errors import UsageError
from vaekit.latents.groups import latents_in
from vaekit.machine.ranks import Ranks, joined
from vaekit.output.formats import FOLDER, PICTURES, RECORDS, Target

if TYPE_CHECKING:
    from vaekit.cli.terminal.console import Terminal
    from vaekit.data.streams.mixed_inputs import Chunk, ImageStream
    from vaekit.gaussian import Normal
    from vaekit.inference import Model

TAKES = (*RECORDS, *PICTURES)

MANY_FOR_TSNE = 2000
"""Images from which t-SNE takes so long that a user should know why nothing happens."""


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    stats: Annotated[bool, switch_option("--stats", help="write the log-variance as well")] = False,
    sample: DrawSample = False,
    groups: FirstGroups = None,
    plane: ProjectionOptions = ProjectionOptions(),  # noqa: B008 (frozen)
    projector: Annotated[
        Path | None,
        value_option(
            "--projector", metavar="DIR", help="write a folder for TensorBoard's projector"
        ),
    ] = None,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Encode images to latents, with the path and label of each.

    [dim]vaekit embed model.safetensors photos/ -o latents.csv[/dim]
    [dim]vaekit embed model.safetensors --dataset digits -o scatter.png[/dim]
    """
    target = choose_target(model, where, use, takes=TAKES, on_stdout="npy", default="latents.npz")
    plane.check(target)
    if stats and (plane.project or target.form in PICTURES):
        raise UsageError("--stats does not go with a 2-D projection")
    terminal = open_terminal(use, target)
    projector_only = projector is not None and not (where.output or where.form or plane.project)
    with joined() as ranks, ExitStack() as stack:
        with ranks.host_leads():
            opened = open_model(model, use, terminal)
            width = latents_in(opened.groups, groups)
            stream = open_input_images(source, opened, use, terminal)
        seen = TrainedCount(opened)
        ranks.begin()
        watched = chunks_with_progress(
            stream, terminal, "embedding", seen=seen if ranks.is_first else None
        )
        chunks = stack.enter_context(watched)
        rows = _embedded(opened, chunks, use, width, ranks, sample=sample)
        if not ranks.is_first:
            any(rows)  # rank 0 alone gets them
            return
        if projector is not None:
            rows = _written_to_projector(rows, stream, projector, stack)
        if projector_only:
            count = sum(len(chunk) for chunk, _ in rows)
        elif plane.project or target.form in PICTURES:
            count = _write_projection(rows, stream, target, plane, use, terminal)
        else:
            count = _write_records(rows, stream, target, width, stats=stats)
    seen.report(source, terminal)
    bad = len(stream.skipped)
    if projector is None:
        print_output_path(target, count, use, skipped=bad)
    elif projector_only:
        print_output_path(Target(projector, FOLDER), count, use, skipped=bad)
    else:
        print_output_path(target, count, use, skipped=bad, projector=projector)


def _embedded(
    model: Model,
    chunks: Iterator[Chunk],
    use: UseOptions,
    width: int,
    ranks: Ranks,
    *,
    sample: bool,
) -> Iterator[tuple[Chunk, Normal]]:
    """Each chunk with its posteriors, of the first latents; with `sample` a draw is the mean."""
    from vaekit.gaussian import Normal

    def posterior(given: tuple[int, Chunk]) -> Normal:
        start, chunk = given
        if sample:
            z, drawn, _ = model.draw(chunk.images, seed=use.seed, start=start)
            q = Normal(z, drawn.logvar)
        else:
            q = model.posterior(chunk.images)
        return Normal(q.mean[:, :width], q.logvar[:, :width])

    for (_, chunk), q in ranks.in_turns(numbered(chunks), posterior):
        yield chunk, q


def _write_records(
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


def _written_to_projector(
    rows: Iterator[tuple[Chunk, Normal]], stream: ImageStream, folder: Path, stack: ExitStack
) -> Iterator[tuple[Chunk, Normal]]:
    """The same rows, each also written to the projector's folder."""
    from vaekit.output.projector import open_projector

    out = stack.enter_context(open_projector(folder))
    for chunk, q in rows:
        out.write(chunk.names, q.mean, labels=chunk.words(stream.classes), images=chunk.images)
        yield chunk, q


def _write_projection(
    rows: Iterator[tuple[Chunk, Normal]],
    stream: ImageStream,
    target: Target,
    plane: ProjectionOptions,
    use: UseOptions,
    terminal: Terminal,
) -> int:
    """Project all latents to 2-D: a scatter, or records of two numbers."""
    method = plane.project or "auto"
    latents = ProjectedLatents(method, use.seed, keep_images=plane.thumbnails)
    for chunk, q in rows:
        latents.add(chunk, q.mean)
    count = len(latents.names)
    if method != "pca" and count >= MANY_FOR_TSNE:
        terminal.note(f"placing {count:,} images on a map: t-SNE may take half a minute")
    latents.write(target, stream.classes)
    return count
