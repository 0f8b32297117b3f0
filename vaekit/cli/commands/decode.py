"""`vaekit decode`: latents to images, the inverse of `embed`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from vaekit.cli.model_commands import choose_target, open_model, open_terminal, print_output_path
from vaekit.cli.options import (
    AsBytes,
    ModelArgument,
    OutputOptions,
    RestTemperature,
    UseOptions,
    with_option_groups,
)
from vaekit.errors import DataError, UsageError
from vaekit.latents.groups import parse_temperatures, temperatures
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.cli.terminal.console import Terminal
    from vaekit.inference import Model
    from vaekit.latents.reading import LatentStream

TAKES = (*PICTURES, FOLDER, *ARRAYS)
Latents = Annotated[
    str,
    typer.Argument(metavar="LATENTS", help=".npy, .npz, .csv, .jsonl or .parquet; - is stdin"),
]


@with_option_groups
def command(
    model: ModelArgument,
    latents: Latents = "-",
    where: OutputOptions = OutputOptions(),  # noqa: B008 (frozen)
    temperature: RestTemperature = None,
    as_bytes: AsBytes = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Decode latents to images; reads every format that embed writes.

    [dim]vaekit decode model.safetensors latents.npz -o images/[/dim]
    [dim]vaekit embed m.safetensors in/ -o - | vaekit decode m.safetensors[/dim]

    Of a ladder, latents of the first groups alone are decoded too, as
    embed --groups writes them: the other groups are at their means, or drawn.
    """
    asked = None if temperature is None else parse_temperatures(temperature)
    target = choose_target(model, where, use, takes=TAKES, on_stdout="png", default="decoded.png")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.latents.reading import read_latents
    from vaekit.output.image_writer import open_image_writer

    source = _stdin() if latents == "-" else Path(latents)
    count = 0
    with (
        read_latents(source, widths=opened.widths, allow_nonfinite=use.allow_nonfinite) as stream,
        open_image_writer(
            target, opened.header.image, count=stream.count, as_bytes=as_bytes, reporter=terminal
        ) as out,
        terminal.task("decoding", stream.count) as task,
    ):
        spread = _spread(opened, stream.width, asked, terminal)
        for z in _chunks(stream, opened.chunk):
            out.write(opened.decode(z, temperature=spread, seed=use.seed, start=count))
            count += len(z)
            task.advance(len(z))
    print_output_path(target, count, use)


def _spread(model: Model, width: int, asked: list[float] | None, terminal: Terminal) -> list[float]:
    """The temperature of each group, with a note of what happens to those that are left out."""
    spread = temperatures(asked or [0.0], model.groups)
    given, count = sum(group.stop <= width for group in model.groups), len(model.groups)
    if given < count:
        rest = "drawn from their prior" if any(spread[given:]) else "at their prior's means"
        terminal.note(f"the latents are the first {given} of {count} groups: the others are {rest}")
    elif asked is not None:
        raise UsageError("--temperature is for latents of a ladder's first groups alone")
    return spread


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise DataError("standard input: is closed")
    if sys.stdin.isatty():
        raise UsageError("no latents: name a file of latents, or pipe one to stdin")
    return sys.stdin.buffer


def _chunks(stream: LatentStream, size: int) -> Iterator[Tensor]:
    """The latents in the chunks that `embed` used, so that results are equal to the bit."""
    import torch

    from vaekit.chunks import in_chunks

    yield from in_chunks((torch.from_numpy(part) for part in stream), size)
