"""`vaekit traverse`: what each latent dimension does."""

from __future__ import annotations

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
    require_finite,
)
from vaekit.cli.options import (
    FirstGroups,
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.trained_count import TrainedCount
from vaekit.errors import UsageError
from vaekit.latents.groups import latents_in
from vaekit.output.formats import ARRAYS, FOLDER

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.inference import Model

TAKES = ("png", "jpeg", "gif", "webp", "apng", FOLDER, *ARRAYS)
MOST_DIMENSIONS = 16


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    dims: Annotated[
        int, value_option("--dims", metavar="N", min=1, help="number of dimensions")
    ] = MOST_DIMENSIONS,
    steps: Annotated[
        int, value_option("--steps", metavar="N", min=2, help="images per dimension")
    ] = 11,
    reach: Annotated[
        float, value_option("--range", metavar="X", min=0, help="vary each from -X to X")
    ] = 3.0,
    groups: FirstGroups = None,
    how: PathOptions = PathOptions(),  # noqa: B008 (frozen)
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Vary one latent dimension per row, the most informative first.

    [dim]vaekit traverse model.safetensors photo.jpg -o dims.png[/dim]

    The other dimensions keep the image's values, or 0 without an image. The
    order is by mean KL over --dataset, else over the training images; below
    0.01 nats a dimension carries nothing and is left out. With --groups only
    dimensions of a ladder's first groups are shown.
    """
    require_finite("--range", reach)
    refuse_dataset_flags(source)
    target = choose_target(model, where, use, takes=TAKES, on_stdout="png", default="traversal.png")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.latents.walks import CARRIES, informative, marks, order_by_kl, traversal

    width = latents_in(opened.groups, groups)
    kl = _kl(opened, source, use, terminal)
    carrying = set(informative(kl[:width]))
    order = [dim for dim in order_by_kl(kl[:width]) if dim in carrying][:dims]
    if max(kl[:width], default=0.0) < CARRIES:
        terminal.warn(f"none of {width:,} dimensions carries anything: the decoder ignores them")
    else:
        _say_what_is_left_out(len(order), len(carrying), width, terminal)
    base, start = _base(opened, source, use, terminal)
    paths = [opened.decode(traversal(base, dim, steps, reach)) for dim in order]
    labels = [f"z{dim}  {_place(opened, dim)}{kl[dim]:.2f} nats" for dim in order]
    still = Still(before=[start] * len(paths), headings=["start", *marks(steps, reach)])
    write_paths(target, paths, labels, opened.header.image, how, terminal, still=still)
    print_output_path(target, sum(map(len, paths)), use)


def _say_what_is_left_out(shown: int, carrying: int, width: int, terminal: Terminal) -> None:
    nothing = f"{width - carrying:,} of {width:,} dimensions carry nothing: left out"
    if shown < carrying:
        rest = f"the {shown:,} most informative of {width:,} dimensions are shown; --dims for more"
        terminal.note(rest if carrying == width else f"{rest}; {nothing}")
    elif carrying < width:
        terminal.note(nothing)


def _place(model: Model, dim: int) -> str:
    """The group of a latent in a model with several, and its grid."""
    if len(model.groups) == 1:
        return ""
    group = next(group for group in model.groups if dim < group.stop)
    return f"group {group.number}, {group.grid}  "


def _kl(model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal) -> list[float]:
    """The mean KL of each dimension."""
    if source.dataset is None:
        return list(model.header.latents.kl)
    import dataclasses

    import torch

    seen = TrainedCount(model)
    total, count = torch.zeros(model.latent_dim, dtype=torch.float64), 0
    dataset = dataclasses.replace(source, images=None, files_from=None)
    with open_input_images(dataset, model, use, terminal) as stream:
        for chunk in stream:
            total += model.posterior(chunk.images).kl_to_standard().double().sum(0)
            count += len(chunk)
            seen.add(chunk.images)
    seen.report(dataset, terminal)
    return [float(kl) / count for kl in total]


def _base(
    model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal
) -> tuple[Tensor, Tensor]:
    """The latents that every row starts from, and the image: without one, what 0 decodes to."""
    import dataclasses

    import numpy as np
    import torch

    from vaekit.image_arguments import as_floats

    if not source.has_images:
        base = torch.zeros(model.latent_dim)
        return base, model.decode(base[None])
    one = dataclasses.replace(source, dataset=None, split="test", limit=None, strict=True)
    with every_image_required(), open_input_images(one, model, use, terminal) as stream:
        images = np.concatenate([chunk.images for chunk in stream])
    if len(images) != 1:
        raise UsageError(f"traverse starts from one image, not {len(images)}")
    seen = TrainedCount(model)
    seen.add(images)
    seen.report(one, terminal)
    return model.embed(images)[0], as_floats(images)
