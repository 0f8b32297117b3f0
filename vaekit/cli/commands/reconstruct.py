"""`vaekit reconstruct`: images, encoded and decoded again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.group_sheet import Drawing, check_group_sheet, write_group_sheet
from vaekit.cli.model_commands import (
    choose_target,
    chunks_with_progress,
    known_count,
    open_input_images,
    open_model,
    open_terminal,
    print_output_path,
    sheet_size,
)
from vaekit.cli.options import (
    AsBytes,
    DrawSample,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    RestTemperature,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.cli.trained_count import TrainedCount
from vaekit.errors import UsageError
from vaekit.latents.groups import latents_in, parse_temperatures, temperatures
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES, Target

if TYPE_CHECKING:
    from vaekit.data.streams.mixed_inputs import Chunk
    from vaekit.inference import Model
    from vaekit.output.image_writer import ImageWriter

TAKES = (*PICTURES, FOLDER, *ARRAYS)
IMAGES_IN_PICTURE = 16
"""How many images of a data set a picture shows by default."""


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    use: UseOptions,
    n: Annotated[
        int | None,
        value_option("-n", "--number", metavar="N", min=1, help="use the first N images"),
    ] = None,
    sample: DrawSample = False,
    groups: Annotated[
        str | None,
        value_option(
            "--groups",
            metavar="K|all",
            help="ladder: only the first K groups from the image; all: a row for each K",
        ),
    ] = None,
    temperature: RestTemperature = None,
    as_bytes: AsBytes = False,
) -> None:
    """Encode and decode images: originals above reconstructions.

    [dim]vaekit reconstruct model.safetensors photos/ -o pairs.png[/dim]
    [dim]cat a.jpg | vaekit reconstruct model.safetensors - -o back.png[/dim]

    Folders and arrays hold the reconstructions alone. A picture of a data set
    shows 16 random images unless -n or --limit is given; that of other images
    shows the first 200 unless -n is given. --groups shows what
    the groups of a ladder hold: the others come from the prior.
    """
    spread = _temperatures(temperature, groups)
    target = choose_target(
        model, where, use, takes=TAKES, on_stdout="png", default="reconstructions.png"
    )
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    temperatures(spread, opened.groups)
    kept = _latents_kept(groups, opened, target)
    if target.form in PICTURES and not (n or source.has_images or source.limit):
        source = dataclasses.replace(source, limit=IMAGES_IN_PICTURE)
    stream, seen = open_input_images(source, opened, use, terminal), TrainedCount(opened)
    n = sheet_size(target, n, stream, terminal) if not source.limit else n
    count = known_count(stream, n)
    drawn = Drawing(sample=sample, temperature=spread, seed=use.seed)
    with chunks_with_progress(stream, terminal, "reconstructing", n, seen) as chunks:
        if groups == "all":
            count = write_group_sheet(target, opened, chunks, drawn)
        else:
            from vaekit.output.image_writer import open_image_writer

            with open_image_writer(
                target, opened.header.image, count=count, as_bytes=as_bytes, reporter=terminal
            ) as out:
                count = _write(out, opened, chunks, kept, drawn)
    seen.report(source, terminal)
    print_output_path(target, count, use, skipped=len(stream.skipped))


def _write(
    out: ImageWriter, model: Model, chunks: Iterator[Chunk], kept: int, drawn: Drawing
) -> int:
    """Write each image's reconstruction from its first latents; returns how many images."""
    count = 0
    for chunk in chunks:
        z = model.embed(chunk.images, sample=drawn.sample, seed=drawn.seed, start=count)
        images = model.decode(
            z[:, :kept], temperature=drawn.temperature, seed=drawn.seed, start=count
        )
        out.write(images, names=chunk.names, originals=chunk.images)
        count += len(chunk)
    return count


def _temperatures(asked: str | None, groups: str | None) -> list[float]:
    """The temperatures of the groups that do not come from the image: by default their means."""
    if asked is None:
        return [0.0]
    if groups is None:
        raise UsageError("--temperature needs --groups: else no latents are drawn")
    return parse_temperatures(asked)


def _latents_kept(groups: str | None, model: Model, target: Target) -> int:
    """How many latents come from the image."""
    if groups == "all":
        check_group_sheet(target, model)
        return model.latent_dim
    if groups is not None and not groups.isdecimal():
        raise UsageError(f"--groups {groups}: give a number of groups, or all")
    return latents_in(model.groups, None if groups is None else int(groups))
