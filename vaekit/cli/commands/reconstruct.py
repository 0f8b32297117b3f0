"""`vaekit reconstruct`: images through the latents and back."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from vaekit.cli.model_commands import (
    begin,
    counted,
    known_count,
    open_input_images,
    open_model,
    say_written,
)
from vaekit.cli.options import (
    AsBytes,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    Sampled,
    UseOptions,
    flat,
    value_option,
)
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES, choose_format

TAKES = (*PICTURES, FOLDER, *ARRAYS)
SHOWN = 16


@flat
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    use: UseOptions,
    n: Annotated[
        int | None,
        value_option("-n", "--number", metavar="N", min=1, help="the first N of them"),
    ] = None,
    sample: Sampled = False,
    as_bytes: AsBytes = False,
) -> None:
    """Reconstruct images: originals above reconstructions, or the reconstructions alone.

    A picture of a data set shows 16 images chosen at random, unless -n or --limit says otherwise.

    [dim]vaekit reconstruct model.safetensors photos/ -o pairs.png[/dim]
    [dim]cat photo.jpg | vaekit reconstruct model.safetensors - -o - --format png[/dim]
    """
    target = choose_format(where.output, where.form, TAKES, "png", "reconstructions.png")
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    from vaekit.output.image_writer import open_image_writer

    if target.form in PICTURES and not (n or source.listed or source.limit):
        source = dataclasses.replace(source, limit=SHOWN)
    stream = open_input_images(source, opened, use, terminal)
    shape, count = opened.header.image, 0
    with (
        counted(stream, terminal, "reconstructing", n) as chunks,
        open_image_writer(
            target, shape, count=known_count(stream, n), as_bytes=as_bytes, reporter=terminal
        ) as out,
    ):
        for chunk in chunks:
            z = opened.embed(chunk.images, sample=sample, seed=use.seed, start=count)
            out.write(opened.decode(z), names=chunk.names, originals=chunk.images)
            count += len(chunk)
    say_written(target, count, use)
