"""`vaekit manifold`: a decoded grid of the latent plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from vaekit.cli.model_commands import (
    choose_target,
    open_model,
    open_terminal,
    print_output_path,
)
from vaekit.cli.options import (
    AsBytes,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.errors import UsageError
from vaekit.output.formats import ARRAYS, FOLDER, PICTURES

if TYPE_CHECKING:
    from vaekit.inference import Model

FEW = 0.1
"""A share of the KL: with less, two dimensions show little of what a model draws."""
TAKES = (*PICTURES, FOLDER, *ARRAYS)


@with_option_groups
def command(
    model: ModelArgument,
    where: OutputOptions,
    size: Annotated[
        int, value_option("--size", metavar="N", min=2, help="images per side of the grid")
    ] = 20,
    dims: Annotated[
        str | None,
        value_option(
            "--dims", metavar="I,J", help="the dimensions of the plane [the two of most KL]"
        ),
    ] = None,
    as_bytes: AsBytes = False,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Decode a grid of the latent plane: what the model draws where.

    [dim]vaekit train --latent-dim 2 -o runs/plane && vaekit manifold runs/plane[/dim]

    The first dimension grows to the right, the second upwards, in quantiles of
    the prior; any other dimensions are 0.
    """
    target = choose_target(model, where, use, takes=TAKES, on_stdout="png", default="manifold.png")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    from vaekit.latents.search import latent_plane
    from vaekit.output.image_writer import open_image_writer

    across, up = _dims(opened, dims)
    z = latent_plane(opened.latent_dim, (across, up), size)
    if opened.latent_dim > 2:
        terminal.note(_share(opened, across, up))
    with open_image_writer(
        target, opened.header.image, count=len(z), as_bytes=as_bytes, columns=size,
        reporter=terminal,
    ) as out:  # fmt: skip
        out.write(opened.decode(z))
    print_output_path(target, len(z), use)


def _share(model: Model, across: int, up: int) -> str:
    """How much of the image the plane's two dimensions carry, and that the others stay 0."""
    kl = model.header.latents.kl
    share = (kl[across] + kl[up]) / (sum(kl) or 1.0)
    few = "; for all of them at once: vaekit sample, interpolate" if share < FEW else ""
    return (
        f"z{across} and z{up} hold {share:.0%} of the KL of {model.latent_dim:,} dimensions; the "
        f"others are 0{few}"
    )


def _dims(model: Model, given: str | None) -> tuple[int, int]:
    """The two dimensions of the plane: those given, else the most informative, in order."""
    if model.latent_dim < 2:
        raise UsageError("manifold needs two latent dimensions; this model has one: use traverse")
    if given is None:
        from vaekit.latents.walks import order_by_kl

        first, second = sorted(order_by_kl(model.header.latents.kl)[:2])
        return first, second
    parts = given.split(",")
    known = [int(part) for part in parts if part.strip().isdecimal()]
    if len(parts) != 2 or len(set(known)) != 2 or max(known) >= model.latent_dim:
        raise UsageError(
            f"--dims {given}: two different dimensions from 0 to {model.latent_dim - 1}, as in 0,1"
        )
    return known[0], known[1]
