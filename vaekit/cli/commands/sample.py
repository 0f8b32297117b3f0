"""`vaekit sample`: draw images."""

from __future__ import annotations

from typing import Annotated

from vaekit.cli.model_commands import (
    begin,
    open_model,
    require_finite,
    require_positive,
    say_written,
)
from vaekit.cli.options import AsBytes, ModelArgument, OutputOptions, UseOptions, flat, value_option
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES, choose_format

TAKES = (*PICTURES, FOLDER, *ARRAYS)


@flat
def command(
    model: ModelArgument,
    use: UseOptions,
    where: OutputOptions,
    n: Annotated[int, value_option("-n", "--number", metavar="N", help="how many")] = 64,
    temperature: Annotated[
        float, value_option("--temperature", metavar="X", min=0, help="spread of the latents")
    ] = 1.0,
    as_bytes: AsBytes = False,
) -> None:
    """Draw images from a model: a grid, a folder of images, or an array.

    [dim]vaekit sample model.safetensors -n 64[/dim] writes samples.png. The first 16 of 64 are the
    16 of the same seed.
    """
    require_positive("-n", n)
    require_finite("--temperature", temperature)
    target = choose_format(where.output, where.form, TAKES, "png", "samples.png")
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    from vaekit.output.image_writer import open_image_writer

    size = opened.held(use.batch_size)
    with (
        open_image_writer(
            target, opened.header.image, count=n, as_bytes=as_bytes, reporter=terminal
        ) as out,
        terminal.task("sampling", n) as task,
    ):
        for start in range(0, n, size):
            count = min(size, n - start)
            z = opened.draw(count, seed=use.seed, temperature=temperature, start=start)
            out.write(opened.decode(z))
            task.advance(count)
    say_written(target, n, use)
