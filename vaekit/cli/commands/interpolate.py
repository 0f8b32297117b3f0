"""`vaekit interpolate`: paths through the latents from image to image."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from vaekit.cli.latent_paths import PathOptions, Still, write_paths
from vaekit.cli.model_commands import (
    choose_target,
    every_image_required,
    open_input_images,
    open_model,
    open_terminal,
    print_output_path,
    refuse_dataset_flags,
)
from vaekit.cli.options import (
    FirstGroups,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    switch_option,
    value_option,
    with_option_groups,
)
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.trained_count import TrainedCount
from vaekit.errors import DataError, UsageError
from vaekit.latents.groups import latents_in
from vaekit.output.formats import ANIMATIONS, ARRAYS, FOLDER

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.inference import Model

STILLS = ("png", "jpeg")
TAKES = (*STILLS, *ANIMATIONS, FOLDER, *ARRAYS)
DEFAULT_PATHS = 8


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    steps: Annotated[
        int, value_option("--steps", metavar="N", min=2, help="images per path, both ends included")
    ] = 10,
    method: Annotated[
        str, value_option("--method", metavar="slerp|linear", help="along the arc, or straight")
    ] = "slerp",
    n: Annotated[
        int | None,
        value_option(
            "-n", "--number", metavar="N", min=1, help="number of paths; needs no IMAGES [8]"
        ),
    ] = None,
    walk: Annotated[
        bool, switch_option("--walk", help="one path through all, and back to the first")
    ] = False,
    groups: FirstGroups = None,
    how: PathOptions = PathOptions(),  # noqa: B008 (frozen)
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Morph one image into the next: a strip, animation or array.

    [dim]vaekit interpolate model.safetensors a.jpg b.jpg -o morph.gif[/dim]
    [dim]vaekit interpolate model.safetensors --walk -n 12 -o walk.gif[/dim]

    Without images, both ends of a path are drawn from the prior, or from
    --dataset; with --walk, the N stops of one closed path are. With --groups
    only a ladder's first groups walk; the others are at their prior's means.
    """
    target = choose_target(
        model, where, use, takes=TAKES, on_stdout="png", default="interpolation.png"
    )
    terminal = open_terminal(use, target)
    if n is not None and source.has_images:
        raise UsageError("-n and images exclude each other: one path goes through all images")
    refuse_dataset_flags(source)
    opened = open_model(model, use, terminal)
    from vaekit.latents.walks import check_path

    check_path(steps, method)
    width = latents_in(opened.groups, groups)
    many = n or DEFAULT_PATHS
    if walk and many < 2:
        raise UsageError(f"-n {many}: a walk needs two stops or more")
    stops, images = _stops(opened, source, use, terminal, many if walk else 2 * many)
    in_rows = _closed if walk else _in_one if source.has_images else _in_pairs
    kept = [[z[:width] for z in row] for row in in_rows(stops)]
    paths = [opened.decode(_along(row, steps, method)) for row in kept]
    count = sum(map(len, paths))
    if target.form in STILLS:  # a path through many images: one row per leg
        paths = [leg for path in paths for leg in _legs(path, steps)]
    still = _between_originals(in_rows(images) if images else [], steps)
    shape = opened.header.image
    write_paths(target, paths, None, shape, how, terminal, still=still, closed=walk)
    print_output_path(target, count, use)


def _between_originals(images: list[list[Tensor]], steps: int) -> Still:
    """The images themselves at both ends of each row, where the path is between images."""
    if not images:
        return Still()
    pairs = [pair for row in images for pair in pairwise(row)]
    headings = ["original", *[""] * steps, "original"]
    return Still([a for a, _ in pairs], [b for _, b in pairs], headings)


def _along(stops: list[Tensor], steps: int, method: str) -> Tensor:
    """The latents along a path; the point where two legs meet comes once."""
    import torch

    from vaekit.latents.walks import latent_path

    legs = [latent_path(a, b, steps, method) for a, b in pairwise(stops)]
    return torch.cat([legs[0], *(leg[1:] for leg in legs[1:])])


def _legs(path: Tensor, steps: int) -> list[Tensor]:
    """The legs of a path, each with both its ends."""
    return [path[start : start + steps] for start in range(0, len(path) - 1, steps - 1)]


def _closed(stops: list[Tensor]) -> list[list[Tensor]]:
    """All of them in one row that ends where it begins."""
    return [[*stops, *stops[:1]]]


def _in_one(stops: list[Tensor]) -> list[list[Tensor]]:
    return [stops]


def _in_pairs(stops: list[Tensor]) -> list[list[Tensor]]:
    return [stops[i : i + 2] for i in range(0, len(stops) - 1, 2)]


def _stops(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal, count: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The latents that paths pass through, and the images (1, C, H, W) where they are of images."""
    if not source.has_images and not source.dataset:
        return list(model.draw_latents(count, seed=use.seed)), []
    most = None if source.has_images else count
    z, images = _images(model, source, use, terminal, most)
    return list(z), list(images.split(1))


def _images(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal, most: int | None
) -> tuple[Tensor, Tensor]:
    """The latents of the images, and the images; an unreadable image is an error."""
    import dataclasses

    import torch

    from vaekit.image_arguments import as_floats

    strict = dataclasses.replace(source, strict=True, limit=source.limit or most)
    with every_image_required(), open_input_images(strict, model, use, terminal) as stream:
        seen, found = TrainedCount(model), []
        for chunk in stream:
            found.append(as_floats(chunk.images))
            seen.add(chunk.images)
    seen.report(source, terminal)
    count = sum(map(len, found))
    if count < 2:
        raise DataError(f"an interpolation needs at least two images, not {count}")
    images = torch.cat(found)
    return model.embed(images), images
