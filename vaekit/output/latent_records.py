"""Write latents with image names and class names, in every format of `embed`.

    npy      the latents alone, (N, D)
    npz      z, path, label and, if asked for, logvar
    csv      path,label,z0,z1,…[,logvar0,…]
    jsonl    {"path":…,"label":…,"z":[…][,"logvar":[…]]}
    parquet  path, label, z[, logvar]

A label is the name of a class, or its number where classes have no names. An image without a label
has an empty one, null, or -1 in the numbers of an .npz. Text holds each float in the shortest form
that gives the same bits back. Zero records make a valid, empty file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vaekit.array_types import Float32s
from vaekit.errors import VaekitError
from vaekit.output.array_writer import (
    ArrayWriter,
    open_npy_rows,
    open_npz_member,
    open_zip_writer,
)
from vaekit.output.byte_streams import copy_spool, is_regular_file, open_output, temporary_spool
from vaekit.output.float_text import shortest
from vaekit.output.formats import Target
from vaekit.output.pictures import to_numpy
from vaekit.wording import one_line

Label = str | int | None

RECORD_BLOCK = 1024
"""Rows that are formatted as text at a time."""


@dataclass(frozen=True)
class RecordLayout:
    """The fields that every record has."""

    width: int
    classes: Sequence[str] | None = None
    logvar: bool = False
    count: int | None = None


@dataclass(frozen=True)
class RecordBlock:
    """Records that are written together."""

    names: Sequence[str]
    numbers: NDArray[np.int64]
    """Indices into the classes; below zero where the label is unknown."""
    classes: Sequence[str] | None
    z: Float32s
    logvar: Float32s | None

    @property
    def labels(self) -> list[Label]:
        """Class names, or numbers where there are none."""
        return [_label(number, self.classes) for number in self.numbers.tolist()]


class _WriteBlock(Protocol):
    """Writes one block in one format."""

    def __call__(self, block: RecordBlock) -> None: ...


class RecordWriter:
    """Writes records in blocks."""

    def __init__(self, layout: RecordLayout, write_block: _WriteBlock) -> None:
        self._layout, self._write_block = layout, write_block

    def write(
        self,
        names: Sequence[str],
        z: Any,
        *,
        labels: Sequence[int] | NDArray[Any] | None = None,
        logvar: Any = None,
    ) -> None:
        """Append names, latents (n, D) and class indices (below zero: unknown)."""
        numbers = np.full(len(names), -1) if labels is None else np.asarray(labels, np.int64)
        rows = self._checked(z, len(names))
        spread = self._checked(logvar, len(names)) if self._layout.logvar else None
        for start in range(0, len(names), RECORD_BLOCK):
            part = slice(start, start + RECORD_BLOCK)
            here = None if spread is None else spread[part]
            self._write_block(
                RecordBlock(names[part], numbers[part], self._layout.classes, rows[part], here)
            )

    def _checked(self, values: Any, count: int) -> Float32s:
        rows = to_numpy(values)
        if rows.shape != (count, self._layout.width):
            wanted = (count, self._layout.width)
            raise VaekitError(f"{count} names need values of shape {wanted}, not {rows.shape}")
        return rows.astype(np.float32, copy=False)


@contextlib.contextmanager
def open_record_writer(
    target: Target,
    *,
    width: int,
    classes: Sequence[str] | None = None,
    logvar: bool = False,
    count: int | None = None,
) -> Iterator[RecordWriter]:
    """Write records of `width` latents each; `count` is their number, where known.

    Example:
        with open_record_writer(target, width=16, classes=("cat", "dog")) as out:
            out.write(["a.png", "b.png"], z, labels=[0, 1])
    """
    layout = RecordLayout(width, classes, logvar, count)
    with _OPENERS[target.form](target, layout) as write_block:
        yield RecordWriter(layout, write_block)


def _label(number: int, classes: Sequence[str] | None) -> Label:
    if number < 0:
        return None
    return classes[number] if classes is not None and number < len(classes) else number


@contextlib.contextmanager
def _npy(target: Target, layout: RecordLayout) -> Iterator[_WriteBlock]:
    row, seekable = (layout.width,), is_regular_file(target)
    with (
        open_output(target) as file,
        open_npy_rows(file, target, row, layout.count, np.float32, seekable=seekable) as rows,
    ):
        yield lambda block: rows.write(block.z)


@contextlib.contextmanager
def _csv(target: Target, layout: RecordLayout) -> Iterator[_WriteBlock]:
    columns = ["path", "label", *(f"z{i}" for i in range(layout.width))]
    if layout.logvar:
        columns += [f"logvar{i}" for i in range(layout.width)]
    with open_output(target) as file:
        file.write((",".join(columns) + "\n").encode())
        yield lambda block: _write(file, _csv_line, block)


def _csv_line(name: str, label: Label, *numbers: list[str]) -> str:
    texts = [_field(name), "" if label is None else _field(str(label))]
    return ",".join(texts + [text for row in numbers for text in row])


def _field(text: str) -> str:
    """The text, in quotes where CSV needs them."""
    if any(c in text for c in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


@contextlib.contextmanager
def _jsonl(target: Target, layout: RecordLayout) -> Iterator[_WriteBlock]:
    written = 0

    def write(block: RecordBlock) -> None:
        nonlocal written
        _refuse_nonfinite(block, written)
        _write(file, _json_line, block)
        written += len(block.z)

    with open_output(target) as file:
        yield write


def _json_line(name: str, label: Label, *numbers: list[str]) -> str:
    """One record. Names that are not UTF-8 hold lone surrogates, which survive as JSON escapes."""
    arrays = (
        f'"{key}":[{",".join(row)}]' for key, row in zip(("z", "logvar"), numbers, strict=False)
    )
    return f'{{"path":{json.dumps(name)},"label":{json.dumps(label)},{",".join(arrays)}}}'


def _refuse_nonfinite(block: RecordBlock, before: int) -> None:
    values = block.z if block.logvar is None else np.concatenate([block.z, block.logvar], axis=1)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        name = one_line(block.names[bad[0]])
        raise VaekitError(
            f"record {before + int(bad[0]) + 1} ({name}) has latents that are NaN or infinite,"
            " which JSON cannot hold: write .npy, .npz, .csv or .parquet"
        )


def _write(file: IO[bytes], line: Callable[..., str], block: RecordBlock) -> None:
    columns = [shortest(rows) for rows in (block.z, block.logvar) if rows is not None]
    lines = map(line, block.names, block.labels, *columns)
    file.write("".join(f"{text}\n" for text in lines).encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def _npz(target: Target, layout: RecordLayout) -> Iterator[_WriteBlock]:
    """Members of an .npz follow one another: z is written at once, the others are spooled."""
    row = (layout.width,)
    with (
        open_output(target) as file,
        open_zip_writer(file) as archive,
        contextlib.ExitStack() as stack,
    ):
        names = stack.enter_context(_SpooledTexts.opened(target))
        words = stack.enter_context(_SpooledTexts.opened(target))
        numbers = ArrayWriter(stack.enter_context(temporary_spool(target)), (), np.int64)
        spread = ArrayWriter(stack.enter_context(temporary_spool(target)), row, np.float32)

        def write(block: RecordBlock) -> None:
            z.write(block.z)
            names.write(block.names)
            if layout.classes is None:
                numbers.write(np.maximum(block.numbers, -1))
            else:  # a class out of range is written as its number
                words.write(["" if label is None else str(label) for label in block.labels])
            if block.logvar is not None:
                spread.write(block.logvar)

        with open_npz_member(archive, target, "z", row, layout.count, np.float32) as z:
            yield write
        names.copy_to(archive, target, "path")
        if layout.classes is None:
            _copy_to(archive, target, "label", numbers)
        else:
            words.copy_to(archive, target, "label")
        if layout.logvar:
            _copy_to(archive, target, "logvar", spread)


def _copy_to(archive: Any, target: Target, name: str, rows: ArrayWriter) -> None:
    """Make a member of spooled rows."""
    with open_npz_member(archive, target, name, rows.row, rows.count, rows.dtype) as out:
        copy_spool(rows.file, out.file)
        out.count = rows.count


class _SpooledTexts:
    """Texts of an array, whose header needs the length of the longest one."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.count, self.longest = file, 0, 1

    @classmethod
    @contextlib.contextmanager
    def opened(cls, target: Target) -> Iterator[_SpooledTexts]:
        with temporary_spool(target) as file:
            yield cls(file)

    def write(self, names: Sequence[str]) -> None:
        self.file.write("".join(f"{json.dumps(name)}\n" for name in names).encode())
        self.count += len(names)
        self.longest = max([self.longest, *map(len, names)])

    def copy_to(self, archive: Any, target: Target, name: str) -> None:
        self.file.seek(0)
        with open_npz_member(archive, target, name, (), self.count, f"<U{self.longest}") as out:
            for start in range(0, self.count, RECORD_BLOCK):
                lines = [self.file.readline() for _ in range(min(RECORD_BLOCK, self.count - start))]
                out.write(np.array([json.loads(line) for line in lines], out.dtype))


@contextlib.contextmanager
def _parquet(target: Target, layout: RecordLayout) -> Iterator[_WriteBlock]:
    from vaekit.output.parquet import open_table

    class_names = layout.classes is not None
    with open_table(target, class_names=class_names, logvar=layout.logvar) as table:
        yield lambda block: table.add(block.names, block.labels, block.z, block.logvar)


_OPENERS: dict[
    str, Callable[[Target, RecordLayout], contextlib.AbstractContextManager[_WriteBlock]]
] = {
    "npy": _npy,
    "npz": _npz,
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
