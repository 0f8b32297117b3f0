"""Makes a source of listed files: their splits and labels, from paths and from label files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from vaekit.array_types import UInt64s
from vaekit.data.imageset import Integers
from vaekit.data.source import Files, Listing, Reading, Source
from vaekit.data.sources.folder_layout import FolderLayout, Note, SplitImages, read_folder_layout
from vaekit.data.sources.label_files import (
    Labels,
    is_label_file,
    label_file_of,
    label_texts,
    labels_from_texts,
)


@dataclass(frozen=True)
class Container:
    """A folder or an archive: a data set of its own, or one of several that make up a set."""

    listing: Listing
    prefix: str = ""
    """What names of its files begin with for users, such as `shard-000.tar/`."""
    folder: str = ""
    """The folder of the set that its files count as being in, such as `train/`."""
    wrapper: str = ""
    """A folder around all its files that is looked through."""

    def inside(self, name: str) -> str:
        """The path of a file within the set: it decides the split and the class."""
        return self.folder + name.removeprefix(self.wrapper)


class Members(NamedTuple):
    """The images of one split in one container."""

    container: Container
    names: Sequence[str]
    rows: Integers
    """Their places in the layout."""


Join = Callable[[Sequence[Reading], Sequence[int]], Reading]
"""Makes one reading of those of several containers, given the number of images in each."""


def listed_source(
    name: str,
    where: str,
    containers: Sequence[Container],
    note: Note,
    identity: str,
    join: Join | None = None,
) -> Source:
    """The source of files in one container, or in several whose readings `join` puts together.

    Images come container by container, within each in natural order.
    """
    paths = dict.fromkeys(
        container.inside(file)
        for container in containers
        for file in container.listing.names
        if not is_label_file(file)
    )
    layout = read_folder_layout(paths, where, note)
    chosen = {split: _members(containers, images) for split, images in layout.splits.items()}
    labels, classes = _labels(layout, chosen, where, note)
    parts = {split: _files(members, labels[split], join) for split, members in chosen.items()}
    return Source(name, parts, identity, classes)


def _members(containers: Sequence[Container], images: SplitImages) -> list[Members]:
    if len(containers) == 1 and not containers[0].folder + containers[0].wrapper:
        return [Members(containers[0], images.names, np.arange(len(images.names)))]
    places = {path: row for row, path in enumerate(images.names)}
    found = []
    for container in containers:
        named = ((places.get(container.inside(n), -1), n) for n in container.listing.names)
        here = sorted(pair for pair in named if pair[0] >= 0)
        if here:
            rows = np.array([row for row, _ in here], np.int64)
            found.append(Members(container, [name for _, name in here], rows))
    return found


def _files(members: Sequence[Members], labels: Integers | None, join: Join | None) -> Files:
    names = tuple(each.container.prefix + name for each in members for name in each.names)
    readings = [each.container.listing.reading(each.names) for each in members]
    counts = [len(each.names) for each in members]
    known = all(each.container.listing.keys is not None for each in members)
    return Files(
        names,
        readings[0] if join is None else join(readings, counts),
        labels,
        keys=partial(_keys, members) if known else None,
    )


def _keys(members: Sequence[Members]) -> UInt64s:
    found = [m.container.listing.keys(m.names) for m in members if m.container.listing.keys]
    return np.concatenate(found)


def _labels(
    layout: FolderLayout, chosen: dict[str, list[Members]], where: str, note: Note
) -> Labels:
    """The labels of label files where there are any, else those of class folders."""
    containers = {id(m.container): m.container for each in chosen.values() for m in each}
    texts = {key: label_texts(container.listing) for key, container in containers.items()}
    if any(texts.values()):
        of_images = {
            split: [texts[id(m.container)].get(label_file_of(n)) for m in each for n in m.names]
            for split, each in chosen.items()
        }
        found = labels_from_texts(of_images, where, note)
        if found is not None:
            return found
    return {s: _of_folders(layout.splits[s], each) for s, each in chosen.items()}, layout.classes


def _of_folders(images: SplitImages, members: Sequence[Members]) -> Integers | None:
    if images.labels is None:
        return None
    labels: Integers = images.labels[np.concatenate([each.rows for each in members])]
    return labels
