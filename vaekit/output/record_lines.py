"""Records as lines of text: CSV, or one JSON object per line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any


def csv_lines(rows: Sequence[Sequence[Any]]) -> str:
    r"""Rows as CSV; None is an empty field.

    >>> csv_lines([["a,b", None, 1.5]])
    '"a,b",,1.5\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def json_lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    r"""Rows as JSON objects, one per line.

    >>> json_lines(["path", "kl"], [["a.png", None]])
    '{"path": "a.png", "kl": null}\n'
    """
    lines = (json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in lines)
