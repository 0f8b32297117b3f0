"""`vaekit traverse`: what each latent dimension does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from vaekit.cli.console import Terminal
from vaekit.cli.model_commands import (
    begin,
    open_input_images,
    open_model,
    refuse_parts,
    require_finite,
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
from vaekit.errors import UsageError
from vaekit.output.formats import ARRAYS, FOLDER, choose_format

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.inference import Model

TAKES = ("png", "jpeg", "gif", "webp", "apng", FOLDER, *ARRAYS)
MOST_DIMENSIONS = 16


@flat
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    dims: Annotated[
        int, value_option("--dims", metavar="N", min=1, help="how many dimensions to show")
    ] = MOST_DIMENSIONS,
    steps: Annotated[
        int, value_option("--steps", metavar="N", min=2, help="images along each dimension")
    ] = 11,
    reach: Annotated[float, value_option("--range", metavar="X", min=0, help="from -X to X")] = 3.0,
    as_bytes: AsBytes = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Traverse the latent dimensions, the most informative first, a labelled row each.

    [dim]vaekit traverse model.safetensors photo.jpg -o dims.png[/dim]
    The others stay where the image has them, or at the prior's mean. Dimensions are ordered by
    their mean KL over --dataset, or over training images as the model file has it.
    """
    require_finite("--range", reach)
    if source.dataset is None:
        refuse_parts(source)
    target = choose_format(where.output, where.form, TAKES, "png", "traversal.png")
    terminal = begin(model, target, use)
    opened = open_model(model, use, terminal)
    from vaekit.cli.latent_paths import write_paths
    from vaekit.inference import informative, traversal

    kl = _kl(opened, source, use, terminal)
    order = informative(kl)[:dims]
    base = _base(opened, source, use, terminal)
    paths = [opened.decode(traversal(base, dim, steps, reach)) for dim in order]
    labels = [f"z{dim}  {kl[dim]:.2f} nats" for dim in order]
    write_paths(target, paths, labels, opened.header.image, as_bytes=as_bytes, reporter=terminal)
    say_written(target, sum(map(len, paths)), use)


def _kl(model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal) -> list[float]:
    """Mean KL of each dimension."""
    if source.dataset is None:
        return list(model.header.latents.kl)
    import dataclasses

    import torch

    total, count = torch.zeros(model.latent_dim, dtype=torch.float64), 0
    wanted = dataclasses.replace(source, images=None, files_from=None)
    with open_input_images(wanted, model, use, terminal) as stream:
        for chunk in stream:
            total += model.posterior(chunk.images).kl_to_standard().double().sum(0)
            count += len(chunk)
    return [float(kl) / count for kl in total]


def _base(model: Model, source: ImageOptions, use: UseOptions, terminal: Terminal) -> Tensor:
    """The latents that the rows depart from."""
    import dataclasses

    import torch

    if not source.listed:
        return torch.zeros(model.latent_dim)
    one = dataclasses.replace(source, dataset=None, split="test", limit=None, strict=True)
    with required(), open_input_images(one, model, use, terminal) as stream:
        z = torch.cat([model.embed(chunk.images) for chunk in stream])
    if len(z) != 1:
        raise UsageError(f"traverse departs from one image, not {len(z)}")
    return z[0]
