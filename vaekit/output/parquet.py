"""Write records as Parquet; only this module and the reader of latents use pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vaekit.array_types import Float32s
from vaekit.errors import UsageError
from vaekit.output.byte_streams import AbandonableOutput, open_output
from vaekit.output.formats import Target

GROUP_BYTES = 8 << 20
"""Bytes of latents in one row group."""


def pyarrow() -> Any:
    """The package pyarrow, or an error that says how to install it."""
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'vaekit[parquet]'") from None
    return pyarrow


@contextlib.contextmanager
def open_table(target: Target, *, class_names: bool, logvar: bool) -> Iterator[Table]:
    """A table with `path`, `label` (a class name or number), `z` and, if asked for, `logvar`."""
    pa = pyarrow()
    floats = pa.list_(pa.float32())
    fields = [("path", pa.string()), ("label", pa.string() if class_names else pa.int64())]
    fields += [("z", floats), *([("logvar", floats)] if logvar else [])]
    schema = pa.schema(fields)
    with open_output(target) as file:
        stream = AbandonableOutput(file)
        # Latents hardly ever repeat, so a dictionary would make the file larger.
        with pa.parquet.ParquetWriter(stream, schema, use_dictionary=["label"]) as writer, stream:
            table = Table(writer, schema)
            yield table
            table.flush()


class Table:
    """Collects records into row groups."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self.writer, self.schema = writer, schema
        self.held: list[Any] = []
        self.size = 0

    def add(
        self, names: Sequence[str], labels: Sequence[Any], z: Float32s, logvar: Float32s | None
    ) -> None:
        """Append records."""
        pa = pyarrow()
        columns = [
            pa.array([_readable(name) for name in names], pa.string()),
            pa.array([_as(label, self.schema.field("label").type) for label in labels]),
            *(_lists(rows) for rows in (z, logvar) if rows is not None),
        ]
        columns = [
            column.cast(field.type) for column, field in zip(columns, self.schema, strict=True)
        ]
        self.held.append(pa.record_batch(columns, schema=self.schema))
        self.size += z.nbytes
        if self.size >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the collected records as one row group."""
        if self.held:
            self.writer.write_table(pyarrow().Table.from_batches(self.held))
        self.held, self.size = [], 0


def _readable(name: str) -> str:
    r"""The name as UTF-8, which Parquet needs: other bytes become escapes such as `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _as(label: Any, kind: Any) -> Any:
    return str(label) if label is not None and kind == pyarrow().string() else label


def _lists(rows: Float32s) -> Any:
    pa = pyarrow()
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))
