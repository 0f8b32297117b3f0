"""`vaekit interpolate`: what lies between images."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.console import Terminal
from vaekit.cli.model_commands import (
    begin,
    open_input_images,
    open_model,
    refuse_parts,
    required,
    say_written,
)
from vaekit.cli.options import (
    AsBytes,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    flat,
    value_option,
)
from vaekit.errors import DataError, UsageError
from vaekit.output.formats import ANIMATIONS, ARRAYS, FOLDER, choose_format

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.inference import Model

STILLS = ("png", "jpeg")
TAKES = (*STILLS, *ANIMATIONS, FOLDER, *ARRAYS)
MOST_STRIPS = 8


@flat
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    steps: Annotated[
        int, value_option("--steps", metavar="N", min=2, help="images from one end to the other")
    ] = 10,
    method: Annotated[
        str, value_option("--method", metavar="slerp|linear", help="along the arc, or straight")
    ] = "slerp",
    n: Annotated[
        int | None,
        value_option("-n", "--number", metavar="N", min=1, help="paths, when ends are drawn [8]"),
    ] = None,
    as_bytes: AsBytes = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Interpolate from one image to the next: a strip, an animation or an array.

    [dim]vaekit interpolate model.safetensors a.jpg b.jpg --steps 12 -o morph.gif[/dim]
    Without images the ends are drawn from the prior; with --dataset they are images of it.
    """
    target = choose_format(where.output, where.form, TAKES, "png", "interpolation.png")
    terminal = begin(model, target, use)
    if n is not None and source.listed:
        raise UsageError("-n is for drawn ends: with images there is one path, through all of them")
    if source.dataset is None:
        refuse_parts(source)
    opened = open_model(model, use, terminal)
    from vaekit.cli.latent_paths import write_paths
    from vaekit.inference import check_path

    check_path(steps, method)
    ends = _ends(opened, source, use, terminal, n or MOST_STRIPS)
    paths = [opened.decode(_along(row, steps, method)) for row in ends]
    count = sum(map(len, paths))
    if target.form in STILLS:  # through many images: a row from each to the next
        paths = [leg for path in paths for leg in _legs(path, steps)]
    write_paths(target, paths, None, opened.header.image, as_bytes=as_bytes, reporter=terminal)
    say_written(target, count, use)


def _along(stops: list[Tensor], steps: int, method: str) -> Tensor:
    """The latents along a path; where two legs meet, the one in common comes once."""
    import torch

    from vaekit.inference import between

    legs = [between(a, b, steps, method) for a, b in pairwise(stops)]
    return torch.cat([legs[0], *(leg[1:] for leg in legs[1:])])


def _legs(path: Tensor, steps: int) -> list[Tensor]:
    """The parts of a path, each with both its ends."""
    return [path[start : start + steps] for start in range(0, len(path) - 1, steps - 1)]


def _ends(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal, rows: int
) -> list[list[Tensor]]:
    """For each path the latents it passes through."""
    if source.listed:
        return [list(_images(model, source, use, terminal, None))]
    if source.dataset:
        z = _images(model, source, use, terminal, 2 * rows)
    else:
        z = model.draw(2 * rows, seed=use.seed)
    return [list(z[i : i + 2]) for i in range(0, len(z) - 1, 2)]


def _images(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal, most: int | None
) -> Tensor:
    """The latents of the ends; every one of them must be readable."""
    import dataclasses

    import torch

    strict = dataclasses.replace(source, strict=True, limit=source.limit or most)
    with required(), open_input_images(strict, model, use, terminal) as stream:
        found = [model.embed(chunk.images) for chunk in stream]
    z = torch.cat(found) if found else torch.empty(0, model.latent_dim)
    if len(z) < 2:
        raise DataError(f"an interpolation needs two images at least; there is {len(z)}")
    return z
