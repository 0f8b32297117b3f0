"""The meaning of folders inside a data set: splits, class labels, or nothing.

    photo.jpg                   flat: no labels
    cat/1.jpg  dog/1.jpg        a class for each folder
    train/cat/1.jpg  test/…     splits, each flat or with class folders; val/ (or valid/) too
    any/train/cat/1.jpg         one folder around it all is looked through
    cat/1.jpg  photo.jpg        images beside class folders are a class of their own, the last: `.`

Classes and images are in natural order (2 before 10), so that folders named 0 to 10 have their
own numbers as labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vaekit.data.imageset import Integers
from vaekit.data.source import ENDINGS, SPLITS
from vaekit.errors import DataError
from vaekit.wording import one_line

_SPLIT_NAMES = {**{split: split for split in SPLITS}, "valid": "val", "validation": "val"}
_DIGITS = str.maketrans("123456789", "000000000")
_HIDDEN = re.compile(r"(?:^|/)(?:\.|(?:__macosx|thumbs\.db|desktop\.ini)(?:/|\Z))")
Note = Callable[[str], None]

BESIDE = "."
"""The class of images that lie beside class folders."""


@dataclass(frozen=True)
class SplitImages:
    """The images of one split."""

    names: tuple[str, ...]
    """Paths as the source gives them, with `/` between their parts."""
    labels: Integers | None


@dataclass(frozen=True)
class FolderLayout:
    """The images of a source, by split."""

    splits: Mapping[str, SplitImages]
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Gathered:
    """The images of a source as one list."""

    names: tuple[str, ...]
    labels: tuple[str | None, ...]
    """The class folder of each."""
    classes: tuple[str, ...] | None


def is_hidden(name: str) -> bool:
    """Whether a path is clutter, such as a dot file or what macOS and Windows leave behind.

    >>> [is_hidden(name) for name in ("a/.b/c", "__MACOSX/a.png", "a/Thumbs.db", "a/b.thumbs.db")]
    [True, True, True, False]
    """
    return _HIDDEN.search(name.lower()) is not None


def is_image(name: str) -> bool:
    """Whether a path ends like an image."""
    return name.lower().endswith(ENDINGS)


def natural(name: str) -> tuple[object, ...]:
    """A sorting key under which 2 comes before 10.

    >>> sorted(["10.png", "9.png", "b/1.png", "a/2.png"], key=natural)
    ['9.png', '10.png', 'a/2.png', 'b/1.png']
    """
    pieces = re.split(r"([0-9]+)", name)
    numbers = [digits.lstrip("0") for digits in pieces[1::2]]
    keyed: list[object] = []
    for text, number in zip(pieces[::2], [*numbers, ""], strict=True):
        keyed += [text, len(number), number]
    return (*keyed, name)


def in_natural_order(names: list[str]) -> list[str]:
    """The names sorted by `natural`, without its keys where plain order is the same.

    It is where names that begin alike, up to their first digit, have their digits in the same
    places, as programs number files.

    >>> in_natural_order(["b/02.png", "b/01.png", "a/3.png"])
    ['a/3.png', 'b/01.png', 'b/02.png']
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.translate(_DIGITS), []).append(name)
    beginnings = {form.split("0")[0]: form for form in alike}
    if len(beginnings) < len(alike):
        return sorted(names, key=natural)
    return [name for _, form in sorted(beginnings.items()) for name in sorted(alike[form])]


def read_folder_layout(files: Iterable[str], where: str, note: Note) -> FolderLayout:
    """Read splits and classes from the paths of a source, with notes on files left out."""
    images = _images(files, where, note)
    root = _root(images)
    grouped = _by_split(images, root, where, note)
    classes = _classes(grouped, where, note)
    splits = {
        split: SplitImages(tuple(names), _labels(names, split, depth, classes, where))
        for split, (names, depth) in grouped.items()
    }
    return FolderLayout(splits, classes)


def gather_images(files: Iterable[str], where: str, note: Note) -> Gathered:
    """All images of a source as one list, whatever splits they lie in; classes are still read.

    >>> found = gather_images(["train/cat/1.png", "test/dog/2.png"], "pets", print)
    >>> found.names, found.labels
    (('test/dog/2.png', 'train/cat/1.png'), ('dog', 'cat'))
    """
    images = _images(files, where, note)
    grouped = _by_split(images, _root(images), where, _no_note)
    labels: dict[str, str] = {}
    for split, (names, depth) in grouped.items():
        if _classes({split: (names, depth)}, where, note) is not None:
            labels.update((name, _class_of(name, depth)) for name in names)
    classes = tuple(sorted(set(labels.values()), key=_class_order)) or None
    return Gathered(tuple(images), tuple(labels.get(name) for name in images), classes)


def no_image(where: str) -> DataError:
    """The error for a place without images."""
    return DataError(f"{where}: holds no image; taken are {' '.join(ENDINGS)}")


def others_note(where: str, count: int) -> str:
    """The note on files that are not images."""
    what = "file that is no image is" if count == 1 else "files that are not images are"
    return f"{where}: {count:,} {what} left alone"


def _images(files: Iterable[str], where: str, note: Note) -> list[str]:
    seen = [name for name in files if not is_hidden(name)]
    images = in_natural_order([name for name in seen if is_image(name)])
    if len(images) < len(seen):
        note(others_note(where, len(seen) - len(images)))
    if not images:
        raise no_image(where)
    return images


def _no_note(message: str) -> None:
    """Ignore a note: every split is read here, so no image is left out."""


def _root(images: list[str]) -> int:
    """How many folders enclose all images and are not named like a split."""
    depth = 0
    while True:
        first = images[0].split("/")
        if len(first) <= depth + 1 or first[depth].lower() in _SPLIT_NAMES:
            return depth
        prefix = "/".join(first[: depth + 1]) + "/"
        if not all(name.startswith(prefix) for name in images):
            return depth
        depth += 1


_Group = tuple[list[str], int]
"""Names, and how many folders deep their classes are."""


def _by_split(images: list[str], root: int, where: str, note: Note) -> dict[str, _Group]:
    tops = {name.split("/")[root].lower() for name in images if name.count("/") > root}
    splits = {_SPLIT_NAMES[top] for top in tops if top in _SPLIT_NAMES}
    loose = any(name.count("/") == root for name in images)
    if "train" not in splits and (loose or not tops <= set(_SPLIT_NAMES)):
        return {"train": (images, root)}
    grouped: dict[str, _Group] = {split: ([], root + 1) for split in SPLITS if split in splits}
    beside = 0
    for name in images:
        parts = name.split("/")
        split = _SPLIT_NAMES.get(parts[root].lower()) if len(parts) > root + 1 else None
        if split is None:
            beside += 1
        else:
            grouped[split][0].append(name)
    if beside:
        note(f"{where}: {beside:,} images outside the folders of the splits are left alone")
    return grouped


def _classes(grouped: Mapping[str, _Group], where: str, note: Note) -> tuple[str, ...] | None:
    """The class folders: of train where there is one, so that test cannot bring in its own."""
    names, depth = next(iter(grouped.values()))
    loose = sum(name.count("/") == depth for name in names)
    if loose == len(names):
        return None
    if loose:
        note(
            f"{where}: {loose:,} {'image lies' if loose == 1 else 'images lie'} beside the "
            f"class folders: labelled {BESIDE!r}"
        )
    return tuple(sorted({_class_of(name, depth) for name in names}, key=_class_order))


def _class_of(name: str, depth: int) -> str:
    return name.split("/")[depth] if name.count("/") > depth else BESIDE


def _class_order(name: str) -> tuple[object, ...]:
    """Natural order, with the class of images beside folders last: others keep their numbers."""
    return (name == BESIDE, *natural(name))


def _labels(
    names: list[str], split: str, depth: int, classes: tuple[str, ...] | None, where: str
) -> Integers | None:
    found = [_class_of(name, depth) for name in names]
    if classes is None or (BESIDE in found and BESIDE not in classes):
        return None
    numbers = {label: number for number, label in enumerate(classes)}
    unknown = sorted(set(found) - set(numbers), key=natural)
    if unknown:
        raise DataError(
            f"{where}: {split} holds the class folder {one_line(unknown[0])!r}, which train does "
            "not: every class needs images to train on"
        )
    return np.array([numbers[label] for label in found], np.int64)
