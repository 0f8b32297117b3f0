"""What a user would lose: vectors with the right names and labels, in a form other tools read."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.errors import UsageError, VaekitError
from vaekit.output.float_text import shortest
from vaekit.output.formats import RECORDS, Target, choose_format
from vaekit.output.latent_records import open_record_writer

NAMES = ["a.png", 'b, "c"\n.png', "ü.png", "\udcff.png", " d\t.png"]
LABELS = [0, 1, -1, 1, 7]
CLASSES = ("cat", 'dog, "big"')
Z = np.array(
    [[0.1, -0.0], [1 / 3, 1e-45], [3.4028235e38, 1e16], [7.038531e-26, -7.038531e-26], [1, 2]],
    np.float32,
)
SPREAD = -Z


def send(target, *, classes=CLASSES, labels=LABELS, z=Z, names=NAMES, logvar=None, count=None):
    options = {"classes": classes, "logvar": logvar is not None, "count": count}
    with open_record_writer(target, width=z.shape[1], **options) as out:
        for part in (slice(0, 2), slice(2, None)):
            out.write(
                names[part],
                z[part],
                labels=None if labels is None else labels[part],
                logvar=None if logvar is None else logvar[part],
            )
    return target.path


@pytest.fixture
def write(tmp_path):
    return lambda form, **options: send(Target(tmp_path / "z", form), **options)


def same(a, b) -> bool:
    return np.asarray(a, np.float32).tobytes() == np.asarray(b, np.float32).tobytes()


def test_npy_holds_the_latents_alone(write):
    assert same(np.load(write("npy")), Z)


@pytest.mark.parametrize("count", [None, 5])
def test_npz_holds_everything_without_a_pickle(write, count):
    with np.load(write("npz", logvar=SPREAD, count=count), allow_pickle=False) as arrays:
        assert list(arrays) == ["z", "path", "label", "logvar"]
        assert same(arrays["z"], Z)
        assert same(arrays["logvar"], SPREAD)
        assert arrays["path"].tolist() == NAMES
        assert arrays["label"].tolist() == ["cat", 'dog, "big"', "", 'dog, "big"', "7"]


def test_npz_labels_without_names_are_numbers(write):
    with np.load(write("npz", classes=None)) as arrays:
        assert arrays["label"].tolist() == [0, 1, -1, 1, 7]
        assert "logvar" not in arrays


def test_csv_is_read_by_any_program(write):
    path = write("csv", logvar=SPREAD)
    with path.open(newline="", errors="surrogateescape", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "label", "z0", "z1", "logvar0", "logvar1"]
    assert [row[0] for row in rows] == NAMES
    assert [row[1] for row in rows] == ["cat", 'dog, "big"', "", 'dog, "big"', "7"]
    assert same([[float(v) for v in row[2:4]] for row in rows], Z)
    assert same([[float(v) for v in row[4:]] for row in rows], SPREAD)
    assert b"\xff.png" in path.read_bytes()


def test_json_lines_are_json_a_line_each(write):
    lines = write("jsonl", logvar=SPREAD).read_bytes().splitlines()
    assert lines[0] == b'{"path":"a.png","label":"cat","z":[0.1,-0.0],"logvar":[-0.1,0.0]}'
    records = [json.loads(line) for line in lines]
    assert [record["path"] for record in records] == NAMES
    assert [record["label"] for record in records] == ["cat", 'dog, "big"', None, 'dog, "big"', 7]
    assert same([record["z"] for record in records], Z)
    assert same([record["logvar"] for record in records], SPREAD)


def test_parquet_is_a_table(write):
    table = pa.parquet.read_table(write("parquet", logvar=SPREAD))
    assert table.schema.names == ["path", "label", "z", "logvar"]
    assert table["path"].to_pylist() == [*NAMES[:3], "\\xff.png", NAMES[4]]
    assert table["label"].to_pylist() == ["cat", 'dog, "big"', None, 'dog, "big"', "7"]
    assert table.schema.field("z").type == pa.list_(pa.float32())
    assert same(table["z"].to_pylist(), Z)
    assert same(table["logvar"].to_pylist(), SPREAD)


def test_parquet_without_class_names_or_labels(write):
    table = pa.parquet.read_table(write("parquet", classes=None, labels=None))
    assert table.schema.field("label").type == pa.int64()
    assert table["label"].to_pylist() == [None] * 5


def test_parquet_comes_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("vaekit.output.parquet.GROUP_BYTES", 1000)
    path = send(Target(tmp_path / "z", "parquet"), z=np.zeros((5, 400), np.float32))
    assert pa.parquet.ParquetFile(path).num_row_groups == 2


@pytest.mark.parametrize("form", RECORDS)
def test_no_records_make_a_valid_empty_file(write, form):
    path = write(form, z=Z[:0], names=[], labels=[], logvar=Z[:0])
    if form == "csv":
        assert path.read_text() == "path,label,z0,z1,logvar0,logvar1\n"
    elif form == "jsonl":
        assert path.read_bytes() == b""
    elif form == "parquet":
        assert pa.parquet.read_table(path).num_rows == 0
    else:
        loaded = np.load(path)
        assert (loaded if form == "npy" else loaded["z"]).shape == (0, 2)
        if form == "npz":
            assert loaded["path"].shape == loaded["label"].shape == (0,)
            loaded.close()


@pytest.mark.parametrize("form", RECORDS)
def test_the_same_records_are_the_same_bytes(tmp_path, form):
    paths = [send(Target(tmp_path / name, form), logvar=SPREAD) for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("form", RECORDS)
def test_stdout_carries_what_a_file_would(write, piped, form):
    with piped(form) as (target, taken):
        send(target)
    if form == "npz":  # a pipe's zip notes its sizes after each member, not before
        with np.load(taken) as there, np.load(write(form)) as here:
            assert all(np.array_equal(there[name], here[name]) for name in here)
    else:
        assert taken.getvalue() == write(form).read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_json_refuses_numbers_that_are_not_finite(tmp_path, bad):
    z = Z.copy()
    z[3, 1] = bad
    with pytest.raises(VaekitError, match=r"record 4 \(.*\.png\).*NaN or infinite"):
        send(Target(tmp_path / "z", "jsonl"), z=z)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VaekitError, match="record 4"):
        send(Target(tmp_path / "z", "jsonl"), logvar=z)
    send(Target(tmp_path / "z", "csv"), z=z)
    assert f",{bad}\n" in (tmp_path / "z").read_text(errors="replace")


def test_latents_of_another_width_are_refused(tmp_path):
    with (
        open_record_writer(Target(tmp_path / "z", "csv"), width=3) as out,
        pytest.raises(VaekitError, match=r"\(5, 3\), not \(5, 2\)"),
    ):
        out.write(NAMES, Z)


@pytest.mark.parametrize("form", RECORDS)
def test_a_failure_leaves_no_file(tmp_path, form):
    def stop() -> None:
        with open_record_writer(Target(tmp_path / "z", form), width=2) as out:
            out.write(NAMES, Z)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_half_a_file_down_a_pipe_never_opens_as_a_whole_one(piped, form):
    def stop(target) -> None:
        with open_record_writer(target, width=2) as out:
            out.write(NAMES, Z)
            raise KeyboardInterrupt

    with piped(form) as (target, taken), pytest.raises(KeyboardInterrupt):
        stop(target)
    opens = zipfile.ZipFile if form == "npz" else pa.parquet.ParquetFile
    with pytest.raises((zipfile.BadZipFile, pa.ArrowInvalid)):
        opens(taken)
    with piped(form) as (target, taken):
        send(target)
    opens(taken).close()


def test_without_pyarrow_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.compute", None)
    with pytest.raises(UsageError, match=r"pip install 'vaekit\[parquet\]'"):
        send(Target(tmp_path / "z", "parquet"))
    assert list(tmp_path.iterdir()) == []


def test_pyarrow_is_imported_for_parquet_alone():
    code = (
        "import sys, numpy as np; import vaekit.latents.reading;"
        "from vaekit.output import latent_records, formats;"
        "t = formats.Target(None, 'csv'); z = np.zeros((1, 2));"
        "exec('with latent_records.open_record_writer(t, width=2) as o: o.write([str()], z)');"
        "print({'torch', 'pyarrow', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200))
def test_every_finite_float_survives_decimals(patterns):
    """Read as any reader does: into 64 bits, and then rounded to 32."""
    values = np.array(patterns, np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    (texts,) = shortest(values[None])
    assert (
        np.array([float(text) for text in texts]).astype(np.float32).tobytes() == values.tobytes()
    )


def test_the_one_float_that_needs_another_digit_survives_too():
    value = np.uint32(0x15AE43FD).view(np.float32)
    assert np.float32(float(str(value))) != value  # what makes the exception needed
    for signed in (value, -value):
        ((text,),) = shortest(np.array([[signed]]))
        assert np.float32(float(text)) == signed


def test_decimals_are_as_short_as_they_can_be():
    assert shortest(np.array([[0.1, 2, 1e16, 1e-5]], np.float32)) == [
        ["0.1", "2.0", "1e+16", "1e-05"]
    ]


def test_a_quoted_field_is_quoted_for_every_reader(tmp_path):
    names = ["a\rb", "", '"', ",", "x"]
    path = send(Target(tmp_path / "z", "csv"), names=names)
    content = path.read_bytes().decode()
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert [row[0] for row in rows[1:]] == names


def test_a_class_name_that_arrives_late_is_not_cut(tmp_path: Path) -> None:
    classes: list[str] = []
    target = choose_format(str(tmp_path / "z.npz"), None, RECORDS, "npy", "z.npz")
    with open_record_writer(target, width=1, classes=classes) as out:
        classes.append("a")
        out.write(["1.png"], np.zeros((1, 1), np.float32), labels=[0])
        classes.append("a name of more than twenty letters")
        out.write(["2.png"], np.zeros((1, 1), np.float32), labels=[1])
    with np.load(tmp_path / "z.npz") as archive:
        assert archive["label"].tolist() == ["a", "a name of more than twenty letters"]
