"""Labels in `.cls` files beside images, as in WebDataset's tars: `0001.cls` is of `0001.jpg`.

The text of such a file is a class's number or its name. All files of one sample share the name up
to its first dot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from vaekit.data.imageset import Integers
from vaekit.data.source import Listing
from vaekit.data.sources.folder_layout import Note, is_hidden, natural
from vaekit.errors import DataError, ImageError
from vaekit.wording import one_line

ENDING = ".cls"
MOST_BYTES = 256
"""A longer file is no label."""

_NUMBER = re.compile(r"[0-9]{1,18}")
Texts = Sequence[str | None]
"""The label of each image as text; None where it has none."""


def is_label_file(name: str) -> bool:
    """Whether a path ends like a label file."""
    return name.endswith(ENDING)


def label_file_of(image: str) -> str:
    """The path of an image's label file.

    >>> label_file_of("a.b/0001.jpg"), label_file_of("0001.left.png")
    ('a.b/0001.cls', '0001.cls')
    """
    folder, slash, name = image.rpartition("/")
    return f"{folder}{slash}{name.split('.', 1)[0]}{ENDING}"


def label_texts(listing: Listing) -> dict[str, str]:
    """The text of each label file, by its path; what is no text, or too long, is left out."""
    found = _read(listing) if listing.labels is None else listing.labels
    texts = {name: text_of(data) for name, data in found.items()}
    return {name: text for name, text in texts.items() if text}


def text_of(data: bytes) -> str:
    r"""The text in a label file; empty where it holds none.

    >>> text_of(b" 7\n"), text_of(b"\xff\xfe")
    ('7', '')
    """
    if len(data) > MOST_BYTES:
        return ""
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _read(listing: Listing) -> dict[str, bytes]:
    names = [name for name in listing.names if is_label_file(name) and not is_hidden(name)]
    if not names:
        return {}
    found = {}
    with listing.reading(names)(np.arange(len(names))) as items:
        for place, load in items:
            try:
                found[names[place]] = load()
            except (OSError, ImageError):  # counts as an image without a label
                continue
    return found


Labels = tuple[dict[str, Integers | None], tuple[str, ...] | None]
"""The labels of each split, and the names of the classes."""


def labels_from_texts(splits: Mapping[str, Texts], where: str, note: Note) -> Labels | None:
    """The labels of each split; None unless every image of the first split has one.

    Whole numbers are taken as they are. Names are numbered in natural order, by those of the first
    split, so that test cannot bring in a class.
    """
    first, texts = next(iter(splits.items()))
    lacking = sum(text is None for text in texts)
    if lacking:
        if lacking < len(texts):
            note(
                f"{where}: {lacking:,} of {len(texts):,} images ({first}) have no {ENDING} file: "
                "those of the others are left alone"
            )
        return None
    given = [text for texts in splits.values() for text in texts if text is not None]
    if all(_NUMBER.fullmatch(text) for text in given):
        return {split: _numbers(texts) for split, texts in splits.items()}, None
    classes = tuple(sorted({text for text in texts if text is not None}, key=natural))
    places = {name: str(number) for number, name in enumerate(classes)}
    unknown = next((text for text in given if text not in places), None)
    if unknown is not None:
        raise DataError(
            f"{where}: the class {one_line(unknown)!r} of a {ENDING} file is not in {first}: every "
            "class needs images to train on"
        )
    numbered = {split: _renamed(texts, places) for split, texts in splits.items()}
    return {split: _numbers(texts) for split, texts in numbered.items()}, classes


def _renamed(texts: Texts, places: Mapping[str, str]) -> Texts:
    return [None if text is None else places[text] for text in texts]


def _numbers(texts: Texts) -> Integers | None:
    """The labels of a split; None where an image has none."""
    found = [int(text) for text in texts if text is not None]
    return np.array(found, np.int64) if len(found) == len(texts) else None
