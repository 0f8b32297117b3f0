"""`vaekit reconstruct`: images, encoded and decoded again."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from vaekit.cli.model_commands import (
    choose_target,
    chunks_with_progress,
    known_count,
    open_input_images,
    open_model,
    open_terminal,
    print_output_path,
)
from vaekit.cli.options import (
    AsBytes,
    DrawSample,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES

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
    as_bytes: AsBytes = False,
) -> None:
    """Encode and decode images: originals above reconstructions.

    [dim]vaekit reconstruct model.safetensors photos/ -o pairs.png[/dim]
    [dim]cat a.jpg | vaekit reconstruct model.safetensors - -o back.png[/dim]

    Folders and arrays hold the reconstructions alone. A picture of a data set
    shows 16 random images unless -n or --limit is given.
    """
    target = choose_target(
        model, where, use, takes=TAKES, on_stdout="png", default="reconstructions.png"
    )
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.output.image_writer import open_image_writer

    if target.form in PICTURES and not (n or source.has_images or source.limit):
        source = dataclasses.replace(source, limit=IMAGES_IN_PICTURE)
    stream = open_input_images(source, opened, use, terminal)
    shape, count = opened.header.image, 0
    with (
        chunks_with_progress(stream, terminal, "reconstructing", n) as chunks,
        open_image_writer(
            target, shape, count=known_count(stream, n), as_bytes=as_bytes, reporter=terminal
        ) as out,
    ):
        for chunk in chunks:
            z = opened.embed(chunk.images, sample=sample, seed=use.seed, start=count)
            out.write(opened.decode(z), names=chunk.names, originals=chunk.images)
            count += len(chunk)
    print_output_path(target, count, use)
