"""`vaekit sample`: draw images."""

from __future__ import annotations

from typing import Annotated

from vaekit.cli.model_commands import (
    choose_target,
    open_model,
    open_terminal,
    print_output_path,
    require_positive,
)
from vaekit.cli.options import (
    AsBytes,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.latents.groups import parse_temperatures, temperatures
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES

TAKES = (*PICTURES, FOLDER, *ARRAYS)


@with_option_groups
def command(
    model: ModelArgument,
    use: UseOptions,
    where: OutputOptions,
    n: Annotated[int, value_option("-n", "--number", metavar="N", help="number of images")] = 64,
    temperature: Annotated[
        str,
        value_option(
            "--temperature",
            metavar="T,...",
            help="standard deviation of the latents; several: one for each group, 1x1 first",
        ),
    ] = "1",
    as_bytes: AsBytes = False,
) -> None:
    """Draw new images: a grid, a folder of images, or an array.

    [dim]vaekit sample model.safetensors -n 64[/dim]

    With the same seed, the first 16 of 64 images equal those of -n 16.
    --temperature 0.7 draws less varied, often cleaner images; 0 gives the
    means. In 1,0.7 the last number is for all further groups of a ladder.
    """
    require_positive("-n", n)
    spread = parse_temperatures(temperature)
    target = choose_target(model, where, use, takes=TAKES, on_stdout="png", default="samples.png")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.output.image_writer import open_image_writer

    temperatures(spread, opened.groups)
    size = opened.images_at_once(use.batch_size)
    with (
        open_image_writer(
            target, opened.header.image, count=n, as_bytes=as_bytes, reporter=terminal
        ) as out,
        terminal.task("sampling", n) as task,
    ):
        for start in range(0, n, size):
            count = min(size, n - start)
            z = opened.draw_latents(count, seed=use.seed, temperature=spread, start=start)
            out.write(opened.decode(z))
            task.advance(count)
    print_output_path(target, n, use)
