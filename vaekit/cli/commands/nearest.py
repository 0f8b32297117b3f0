"""`vaekit nearest`: the images whose latents are nearest to those of given images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vaekit.cli.model_commands import (
    choose_target,
    open_model,
    open_terminal,
    print_output_path,
)
from vaekit.cli.options import (
    ImageOptions,
    ModelArgument,
    OutputOptions,
    UseOptions,
    value_option,
    with_option_groups,
)
from vaekit.cli.searched_images import SearchedPart, named_images, searched_parts
from vaekit.cli.terminal.console import Terminal
from vaekit.errors import DataError, UsageError
from vaekit.output.formats import PICTURES, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vaekit.inference import Model

TAKES = (*PICTURES, "jsonl", "csv")
NEIGHBOUR_FIELDS = ("query", "query_label", "rank", "path", "label", "row", "distance")


@with_option_groups
def command(
    model: ModelArgument,
    source: ImageOptions,
    where: OutputOptions,
    among: Annotated[
        list[str] | None,
        value_option(
            "--among",
            metavar="PATH",
            help="search these images, or latents that embed wrote; may be repeated",
        ),
    ] = None,
    k: Annotated[
        int, value_option("-k", "--neighbours", metavar="K", min=1, help="neighbours per image")
    ] = 8,
    use: UseOptions = UseOptions(),  # noqa: B008 (frozen)
) -> None:
    """Find the images whose latents are nearest to an image's.

    [dim]vaekit nearest model.safetensors me.jpg --among photos/[/dim]
    [dim]vaekit nearest model.safetensors new/ --among z.npz -o near.csv[/dim]

    Without --among, a data set is searched. The image's own file is left out.
    The picture has a row per image; .jsonl and .csv have a line per neighbour,
    with its distance.
    """
    target = choose_target(model, where, use, takes=TAKES, on_stdout="jsonl", default="nearest.png")
    if among and source.dataset:
        raise UsageError("--among and --dataset exclude each other: both say what to search")
    terminal = open_terminal(use, target)
    opened = open_model(model, use, terminal)
    queries = named_images(opened, source, use, terminal, "nearest")
    found = _searched(queries, k, searched_parts(opened, among or [], source, use, terminal))
    _tell_agreement(queries, found, terminal)
    if target.form in PICTURES:
        _write_sheet(target, opened, queries, found)
    else:
        _write_records(target, queries, found)
    print_output_path(target, len(queries.z), use)


@dataclass
class _Known:
    """What is known of a latent that was among the nearest."""

    name: str
    label: str | int | None
    z: Tensor
    image: np.ndarray[Any, Any] | None


@dataclass
class _Found:
    """The neighbours of each query, and what is known of them."""

    rows: list[list[int]] = field(default_factory=list)
    distances: list[list[float]] = field(default_factory=list)
    known: dict[int, _Known] = field(default_factory=dict)


def _searched(queries: SearchedPart, k: int, parts: Iterable[SearchedPart]) -> _Found:
    """Search while latents arrive; only the nearest so far are kept in memory."""
    from vaekit.latents.search import NearestSearch

    search, known, start = NearestSearch(queries.z, k + 1), dict[int, _Known](), 0
    for part in parts:
        search.add(part.z)
        kept = set(search.found.rows.flatten().tolist())
        known = {row: fact for row, fact in known.items() if row in kept}
        for row in sorted(kept - known.keys()):
            at = row - start
            image = None if part.images is None else part.images[at].copy()
            known[row] = _Known(part.names[at], part.labels[at], part.z[at].clone(), image)
        start += len(part.z)
    if not start:
        raise DataError("there are no images to search")
    found = _Found(known=known)
    columns = search.found.rows.tolist(), search.found.distances.tolist()
    for query, rows, distances in zip(queries.names, *columns, strict=True):
        others = [at for at, row in enumerate(rows) if not _is_itself(query, known[row].name)][:k]
        found.rows.append([rows[at] for at in others])
        found.distances.append([distances[at] for at in others])
    if not all(found.rows):
        raise DataError("there are no images to search but the one that is searched for")
    return found


def _is_itself(query: str, found: str) -> bool:
    """Whether both are the path of one file."""
    return Path(query).exists() and Path(found).exists() and Path(query).samefile(found)


def _tell_agreement(queries: SearchedPart, found: _Found, terminal: Terminal) -> None:
    """How often the nearest image has the query's label, where labels are known."""
    nearest = [found.known[rows[0]].label for rows in found.rows]
    pairs = [(q, n) for q, n in zip(queries.labels, nearest, strict=True) if None not in (q, n)]
    if len(pairs) > 1 and set(queries.labels) & set(nearest):
        agreed = sum(q == n for q, n in pairs)
        terminal.note(f"the nearest has the label of its query for {agreed:,} of {len(pairs):,}")


def _write_sheet(target: Target, model: Model, queries: SearchedPart, found: _Found) -> None:
    """A row per query: the query first, then its neighbours."""
    import numpy as np

    from vaekit.output.byte_streams import write_output
    from vaekit.output.image_writer import refuse_many
    from vaekit.output.pictures import encode_picture, strip

    columns = 1 + min(map(len, found.rows))
    refuse_many(columns * len(found.rows), model.header.image)
    images = {row: _image(model, fact) for row, fact in found.known.items()}
    assert queries.images is not None
    stacks = [
        np.stack([query, *(images[row] for row in rows[: columns - 1])])
        for query, rows in zip(queries.images, found.rows, strict=True)
    ]
    headings = ["query", *map(str, range(1, columns))]
    names = [str(name).rsplit("/", 1)[-1][-24:] for name in queries.names]
    write_output(target, encode_picture(strip(stacks, names, headings=headings), target.form))


def _image(model: Model, fact: _Known) -> np.ndarray[Any, Any]:
    """The image; where a file held the latents alone, the image that they decode to."""
    from vaekit.output.pictures import to_uint8

    return to_uint8(model.decode(fact.z[None]))[0] if fact.image is None else fact.image


def _records(queries: SearchedPart, found: _Found) -> Iterator[list[Any]]:
    heads = zip(queries.names, queries.labels, found.rows, found.distances, strict=True)
    for query, query_label, rows, distances in heads:
        for rank, (row, distance) in enumerate(zip(rows, distances, strict=True), 1):
            fact = found.known[row]
            yield [query, query_label, rank, fact.name, fact.label, row, distance]


def _write_records(target: Target, queries: SearchedPart, found: _Found) -> None:
    """A line per query and neighbour, the nearest first."""
    from vaekit.output.byte_streams import write_output
    from vaekit.output.record_lines import csv_lines, json_lines

    rows = [*_records(queries, found)]
    text = (
        csv_lines([NEIGHBOUR_FIELDS, *rows])
        if target.form == "csv"
        else json_lines(NEIGHBOUR_FIELDS, rows)
    )
    write_output(target, text.encode("utf-8", "surrogateescape"))
