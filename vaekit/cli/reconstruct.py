"""`vaekit reconstruct`: images through the latents and back."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from vaekit.cli.options import AsBytes, ModelFile, Sampled, Source, Use, Where, flat, option
from vaekit.cli.using import begin, counted, known, open_images, open_model, say_written
from vaekit.output.forms import ARRAYS, FOLDER, PICTURES, choose

TAKES = (*PICTURES, FOLDER, *ARRAYS)
SHOWN = 16


@flat
def command(
    model: ModelFile,
    source: Source,
    where: Where,
    use: Use,
    n: Annotated[
        int | None,
        option("-n", "--number", metavar="N", min=1, help="the first N of them"),
    ] = None,
    sample: Sampled = False,
    as_bytes: AsBytes = False,
) -> None:
    """Reconstruct images: originals above reconstructions, or the reconstructions alone.

    A picture of a data set shows 16 images chosen at random, unless -n or --limit says otherwise.

    [dim]vaekit reconstruct model.safetensors photos/ -o pairs.png[/dim]
    [dim]cat photo.jpg | vaekit reconstruct model.safetensors - -o - --format png[/dim]
    """
    target = choose(where.output, where.form, TAKES, "png", "reconstructions.png")
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    from vaekit.output.images import open_images as open_output

    if target.form in PICTURES and not (n or source.listed or source.limit):
        source = dataclasses.replace(source, limit=SHOWN)
    stream = open_images(source, opened, use, terminal)
    shape, count = opened.header.image, 0
    with (
        counted(stream, terminal, "reconstructing", n) as chunks,
        open_output(
            target, shape, count=known(stream, n), as_bytes=as_bytes, reporter=terminal
        ) as out,
    ):
        for chunk in chunks:
            z = opened.embed(chunk.images, sample=sample, seed=use.seed, start=count)
            out.write(opened.decode(z), names=chunk.names, originals=chunk.images)
            count += len(chunk)
    say_written(target, count, use)
