"""Read latents from CSV and JSON lines, in the variants that other programs write too."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import DataError
from vaekit.latents.binary import ROWS_PER_READ, CountAndRows, numbered_columns

MOST_NUMBERS = 1 << 17
"""Numbers that are collected before they become an array: Python floats take 4 times the memory."""

LONGEST_LINE = 16 << 20
"""Characters of one record, to bound memory."""

WIDEST_LINE = 1 << 17
"""Values in one record, to bound memory: a value of two characters takes many times that."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?')
"""An unclosed string runs to the end; otherwise the search would start again at each quote.

It never goes back over what it has matched: to be able to would take 130 bytes a character.
"""

_TOKEN = re.compile(rf"{_STRING.pattern}|[\[\]{{}}]")
_ARRAY_OF_RECORDS = re.compile(r"\s*\[\s*[\[{]")


def read_csv(file: IO[bytes], where: str) -> CountAndRows:
    """Columns z0, z1, … under a header, or all columns; separated by commas, tabs or spaces."""
    return None, _arrays(_csv_rows(file, where))


def read_jsonl(file: IO[bytes], where: str) -> CountAndRows:
    """`{"z": [...]}` or `[...]` on a line each, spread over lines, or all in one array."""
    return None, _arrays(_json_rows(file, where))


def _arrays(rows: Iterable[list[float]]) -> Iterator[NDArray[np.float64]]:
    held: list[list[float]] = []
    for row in rows:
        held.append(row)
        if len(held) == ROWS_PER_READ or len(held) * len(row) >= MOST_NUMBERS:
            yield np.array(held, np.float64)
            held = []
    if held:
        yield np.array(held, np.float64)


def _text(file: IO[bytes]) -> io.TextIOWrapper:
    # Names may hold any bytes and line ends, which do not matter here.
    return io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")


def _csv_rows(file: IO[bytes], where: str) -> Iterator[list[float]]:
    lines = _table(_text(file), where)
    line, first = next(lines, (0, []))
    columns = list(range(len(first)))
    names = [f"column {number + 1}" for number in columns]
    if _is_header(first):
        stripped = [name.strip() for name in first]
        names = numbered_columns(stripped, where)
        places = {name: number for number, name in enumerate(stripped)}
        columns = [places[name] for name in names]
    elif first:
        yield _floats(first, names, f"{where}: line {line}")
    for line, fields in lines:
        if len(fields) != len(first):
            raise DataError(
                f"{where}: line {line}: has {len(fields)} fields, where the first line has"
                f" {len(first)}"
            )
        yield _floats([fields[column] for column in columns], names, f"{where}: line {line}")


def _table(lines: io.TextIOWrapper, where: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line that is not empty."""
    first = ""
    blank = 0
    rest = _csv_lines(lines, where)
    while not first.strip():
        first = next(rest, "")
        if not first:
            return
        blank += 1
    reader = csv.reader(itertools.chain([first], rest), strict=True, **_dialect(first))
    try:
        for fields in reader:
            if fields:
                yield reader.line_num + blank - 1, fields
    except csv.Error as error:
        line = reader.line_num + blank - 1
        raise DataError(f"{where}: line {line}: is not CSV ({error})") from None


def _csv_lines(lines: io.TextIOWrapper, where: str) -> Iterator[str]:
    number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE or sum(map(line.count, ",\t ")) > 2 * WIDEST_LINE:
            raise DataError(f"{where}: line {number}: is too long for a line of latents")
        yield line


def _dialect(first: str) -> dict[str, Any]:
    r"""The separator: commas, else tabs, else spaces, as `numpy.savetxt` writes.

    >>> _dialect("0.5\t1.5")
    {'delimiter': '\t'}
    """
    if "," in first:
        return {"delimiter": ","}
    return {"delimiter": "\t"} if "\t" in first else {"delimiter": " ", "skipinitialspace": True}


def _is_header(fields: Sequence[str]) -> bool:
    return bool(fields) and not all(_is_number(field) for field in fields)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _floats(fields: Sequence[str], names: Sequence[str], where: str) -> list[float]:
    try:
        return [float(field) for field in fields]
    except ValueError:
        pairs = zip(names, fields, strict=True)
        name, bad = next((name, field) for name, field in pairs if not _is_number(field))
        raise DataError(f"{where}: {name} is {bad[:40]!r}, not a number") from None


def _json_rows(file: IO[bytes], where: str) -> Iterator[list[float]]:
    width = None
    for line, value in _values(_text(file), where):
        for vector in _vectors(value, f"{where}: line {line}"):
            width = width or len(vector)
            if len(vector) != width:
                raise DataError(
                    f"{where}: line {line}: has {len(vector)} numbers, where the first has {width}"
                )
            yield vector


def _values(lines: io.TextIOWrapper, where: str) -> Iterator[tuple[int, Any]]:
    """JSON values, each with the number of its first line.

    A value is usually a line. One that is spread over several, as by `jq` without `-c`, is joined
    until all brackets are closed.
    """
    number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        here = f"{where}: line {number}"
        if line.strip():
            start = number
            values = _parsed(line, here)
            if values is None:
                joined, count = _until_closed(line, lines, here)
                number += count
                values = _parsed(joined, here)
            if values is None:
                raise DataError(f"{here}: ends in the middle of a record")
            yield from ((start, value) for value in values)


def _until_closed(line: str, lines: io.TextIOWrapper, where: str) -> tuple[str, int]:
    """`line` and the lines after it up to the bracket that closes it, and how many they are."""
    depth, count, joined = _depth(line), 0, io.StringIO()
    joined.write(line)
    while depth > 0 and (more := lines.readline(LONGEST_LINE)):
        depth += _depth(more)
        count += 1
        joined.write(more)
        if joined.tell() >= LONGEST_LINE:
            raise _too_long(where)
    return joined.getvalue(), count


def _depth(line: str) -> int:
    """The brackets outside of strings that a line opens, less those that it closes."""
    bare = _STRING.sub("", line)
    return sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))


def _parsed(text: str, where: str) -> Iterable[Any] | None:
    """The value of a text, or the records of a long array; None if the text is incomplete."""
    if _has_few_values(text):
        return _loaded(text, where)
    if not _ARRAY_OF_RECORDS.match(text):
        raise _too_long(where)
    return _records_of(text, where) if _depth(text) <= 0 else None


def _has_few_values(text: str) -> bool:
    return sum(map(text.count, ",[{")) <= WIDEST_LINE


def _too_long(where: str) -> DataError:
    return DataError(f"{where}: record is too long; write one per line (jq -c)")


def _loaded(text: str, where: str) -> tuple[Any] | None:
    try:
        return (json.loads(text),)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            return None
        why = f"{error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError):
        why = "a number is too long, or lists lie too deep"
    raise DataError(f"{where}: is not JSON ({why})")


def _records_of(text: str, where: str) -> Iterator[Any]:
    """The records of an array one after another, so that memory holds one at a time.

    `JSONDecoder.raw_decode` is twice as fast, but builds a value before its size is known: one
    record of 16 MB then takes 434 MB.
    """
    end, between = 0, "["
    for start, stop in _spans(text):
        if text[end:start].strip() != between:
            break
        part = text[start:stop]
        if not _has_few_values(part):
            raise _too_long(where)
        yield from _loaded(part, where) or ()
        end, between = stop, ","
    if text[end:].strip() != "]":
        raise DataError(f"{where}: is not JSON (after character {end})")


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each list or object in the outermost array begins and ends."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            start = token.start() if depth == 2 else start
        elif token[0] in "]}":
            depth -= 1
            if depth == 1:
                yield start, token.end()
            if depth < 1:
                return


def _vectors(value: Any, where: str) -> Iterator[list[float]]:
    """The latents in one value: one, or many where it is an array of records (`jq -s`)."""
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        for part in value:
            yield from _vectors(part, where)
        return
    vector = value.get("z") if isinstance(value, dict) else value
    if not isinstance(vector, list):
        found = ", ".join(map(repr, value)) if isinstance(value, dict) else repr(value)
        raise DataError(f"{where}: needs a list of numbers under 'z', but has {found[:80]}")
    if not vector:
        raise DataError(f"{where}: has no numbers")
    yield [_number(part, f"{where}: z[{index}]") for index, part in enumerate(vector)]


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise DataError(f"{where} is {json.dumps(value)[:40]}, not a number")
    try:
        return float(value)
    except OverflowError:
        raise DataError(f"{where} is too large for any float") from None
