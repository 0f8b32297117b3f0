"""`vaekit reconstruct`: images through the latents and back."""

from __future__ import annotations

from typing import Annotated

from vaekit.cli.console import Terminal
from vaekit.cli.options import AsBytes, ModelFile, Sampled, Source, Use, Where, flat, option
from vaekit.cli.using import counted, known, open_images, open_model, refuse_mixed, say_written
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
        option("-n", "--number", metavar="N", min=1, help="how many [16 of a data set]"),
    ] = None,
    sample: Sampled = False,
    as_bytes: AsBytes = False,
) -> None:
    """Reconstruct images: originals above reconstructions, or the reconstructions alone.

    [dim]vaekit reconstruct model.safetensors photos/ -o pairs.png[/dim]
    [dim]cat photo.jpg | vaekit reconstruct model.safetensors - -o - --format png[/dim]
    """
    target = choose(where.output, where.form, TAKES, "png", "reconstructions.png")
    refuse_mixed(target, use)
    terminal = Terminal(quiet=use.quiet)
    opened = open_model(model, use, terminal)
    from vaekit.output.images import open_images as open_output

    most = n if n or source.listed or source.limit else SHOWN
    stream = open_images(source, opened, use, terminal)
    shape, count = opened.header.image, 0
    with (
        counted(stream, terminal, "reconstructing", most) as chunks,
        open_output(target, shape, count=known(stream, most), as_bytes=as_bytes) as out,
    ):
        for chunk in chunks:
            z = opened.embed(chunk.images, sample=sample, seed=use.seed, start=count)
            out.write(opened.decode(z), names=chunk.names, originals=chunk.images)
            count += len(chunk)
    say_written(target, count, use)
