"""What a user would lose: the latents they stored, to the bit, or a word on what is wrong."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.errors import DataError, UsageError
from vaekit.latents.reading import read_latents
from vaekit.output.formats import RECORDS, Target
from vaekit.output.latent_records import open_record_writer
from vaekit.output.projector import open_projector

rng = np.random.default_rng(0)
Z = rng.normal(size=(2500, 12)).astype(np.float32)
FEW = Z[:3]


def store(path, z=Z, form=None, **options):
    with open_record_writer(
        Target(path, form or path.suffix[1:]), width=z.shape[1], classes=("cat",), **options
    ) as out:
        for start in range(0, len(z), 700):
            part = z[start : start + 700]
            names = [f"a\n{start + i},\udcff.png" for i in range(len(part))]
            spread = -part if options.get("logvar") else None
            out.write(names, part, labels=[i % 3 - 1 for i in range(len(part))], logvar=spread)
    return path


def chunks(source, **options) -> list[np.ndarray]:
    if isinstance(source, bytes | str):
        source = io.BytesIO(source.encode() if isinstance(source, str) else source)
    with read_latents(source, **options) as latents:
        return list(latents)


def everything(source, **options) -> np.ndarray:
    return np.concatenate(chunks(source, **options))


def piped(content: bytes):
    """A real pipe, which knows no going back, fed in odd pieces."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for start in range(0, len(content), 4999):
                file.write(content[start : start + 4999])

    threading.Thread(target=feed).start()
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize("stats", [False, True])
@pytest.mark.parametrize("form", RECORDS)
def test_what_was_written_comes_back_to_the_bit(tmp_path, form, stats):
    path = store(tmp_path / f"z.{form}", logvar=stats)
    for source in (path, piped(path.read_bytes())):
        with read_latents(source, widths=[12]) as latents:
            assert (latents.form, latents.width) == (form, 12)
            assert latents.count == (None if form in ("csv", "jsonl") else 2500)
            found = list(latents)
        assert [len(chunk) for chunk in found] == [1024, 1024, 452]
        assert all(chunk.dtype == np.float32 and chunk.flags.writeable for chunk in found)
        assert np.concatenate(found).tobytes() == Z.tobytes()
        if not isinstance(source, os.PathLike):
            source.close()


@pytest.mark.parametrize("form", RECORDS)
def test_from_one_pipe_into_another(tmp_path, form):
    program = (
        "import sys; from vaekit.latents.reading import read_latents\n"
        "for z in read_latents(sys.stdin.buffer): sys.stdout.buffer.write(z.tobytes())"
    )
    content = store(tmp_path / f"z.{form}").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", program], input=content, capture_output=True, check=True
    )
    assert done.stdout == Z.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=60))
def test_every_finite_float_comes_back_from_text(tmp_path_factory, patterns):
    values = np.array(patterns, np.uint32).view(np.float32)[:, None]
    values = np.where(np.isfinite(values), values, np.float32(0))
    for form in ("csv", "jsonl"):
        path = store(tmp_path_factory.mktemp("z") / f"z.{form}", values)
        assert everything(path).tobytes() == values.tobytes()


def test_the_name_does_not_matter(tmp_path):
    path = store(tmp_path / "z.csv", FEW, "parquet")
    assert np.array_equal(everything(path), FEW)


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4", "<i4", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_numbers_in_any_order(tmp_path, kind, order):
    array = np.asarray(np.arange(5000).reshape(2500, 2) % 200, kind, order=order)
    np.save(tmp_path / "z.npy", array)
    np.savez_compressed(tmp_path / "z.npz", anything=array)
    for name in ("z.npy", "z.npz"):
        assert np.array_equal(everything(tmp_path / name), array.astype(np.float32))


def npy(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def table(**columns) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_an_npz_of_many_arrays_gives_z():
    assert np.array_equal(everything(npz(a=Z[:5], z=FEW)), FEW)


@pytest.mark.parametrize(
    "text",
    [
        "path,label,z1,z0\na.png,cat,2,1\nb.png,,4,3\n",
        "z0,z1,logvar0,logvar1\n1,2,9,9\n3,4,9,9\n",
        "\ufeffz0,z1\r\n1,2\r\n3,4\r\n",
        '"z0","path","z1"\n1,"x\n,""y",2\n3,,4',
        "1,2\n3,4\n",
        "\n\n1,2\n\n3,4\n\n",
        " 1.0, 2e0\n+3,4.\n",
        "1\t2\n3\t4\n",
        "1.0 2.0\n3.0 4.0\n",
        "path\tz0\tz1\na b\t1\t2\nc\t3\t4\n",
        '{"z":[1,2]}\n{"z":[3,4]}\n',
        '{"path":"]}","z":[1,2],"label":null}\n\n{"z":[3.0,4e0]}',
        "[1,2]\n[3,4]\n",
        "[[1,2],[3,4]]",
        '[{"z":[1,2]},\n {"z":[3,4]}]\n',
        json.dumps([{"path": '[{\\"', "z": [1, 2]}, {"z": [3, 4]}], indent=2),
        "\n".join(json.dumps({"z": z}, indent=1) for z in ([1, 2], [3, 4])),
    ],
)
def test_text_as_other_programs_leave_it(text):
    assert everything(text).tolist() == [[1, 2], [3, 4]]


def test_more_than_ten_columns_are_in_the_order_of_their_numbers():
    names = [f"z{i}" for i in range(12)]
    shuffled = rng.permutation(12)
    text = ",".join(names[i] for i in shuffled) + "\n" + ",".join(str(i) for i in shuffled)
    assert everything(text).tolist() == [list(range(12))]


def test_the_projectors_own_vectors_can_be_decoded(tmp_path):
    with open_projector(tmp_path) as out:
        out.write(["a", "b", "c"], FEW)
    assert np.array_equal(everything(tmp_path / "tensors.tsv"), FEW)


@pytest.mark.parametrize(
    "columns",
    [
        {"z": pa.array(FEW.tolist())},
        {"z": pa.array(FEW.tolist(), pa.list_(pa.float64(), 12)), "path": ["a", "b", "c"]},
        {f"z{i}": FEW[:, i] for i in reversed(range(12))},
    ],
)
def test_tables_that_others_made(columns):
    assert np.array_equal(everything(table(**columns)), FEW)


def test_row_groups_of_any_size(tmp_path):
    rows = pa.table({"z": pa.array(Z.tolist(), pa.list_(pa.float32()))})
    pa.parquet.write_table(rows, tmp_path / "z", row_group_size=777)
    assert [len(chunk) for chunk in chunks(tmp_path / "z")] == [1024, 1024, 452]
    assert np.array_equal(everything(tmp_path / "z"), Z)


GOOD = npy(FEW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "stdin: is empty"),
        (b" \n\n", "stdin: is empty"),
        (b"path,label,z0,z1\n", "holds no latents"),
        (npy(Z[:0]), "holds no latents"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0", r"is none of \.npy, \.npz, \.csv, \.jsonl, \.parquet"),
        (b"\xff\xd8\xff\xe0JFIF", "is none of"),
        (npy(np.zeros((2, 3, 3, 1))), r"has the shape \(2, 3, 3, 1\), but latents are \(N, D\)"),
        (npy(np.zeros(3)), r"a single latent needs a first axis: z\[None\]"),
        (npy(np.zeros((3, 0))), "claims the shape"),
        (npy(np.array([[{}]]), allow_pickle=True), "Python objects.*refused"),
        (npy(np.array([["a"]])), "has the type <U1; latents are floats"),
        (npy(np.array([[1j]])), "has the type complex128"),
        (GOOD[:-1], "truncated: it ends after 2 of 3 rows"),
        (npy(np.asfortranarray(FEW))[:-1], "truncated"),
        (GOOD[:60], "is not an array that can be read"),
        (GOOD + GOOD, "continues after its 3 rows"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 10**15)}"), "not an array"),
        (
            header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (9, {10**15})}}"),
            "claims the shape",
        ),
        (
            header(f"{{'descr': '<f4', 'fortran_order': True, 'shape': ({10**15}, 9)}}"),
            "is truncated: it has 0 bytes",
        ),
        (
            header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**15}, 9)}}"),
            "it ends after 0 of 1,000,000,000,000,000 rows",
        ),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}"), "claims the shape"),
        (npz(x=FEW, y=FEW), "has no array z; its arrays: x, y"),
        (npz(z=FEW)[:-30], r"is not an \.npz that can be read"),
        (b"PK\x05\x06" + bytes(18), "has no array z; its arrays: none"),
        (npz(z=np.zeros(4)), r"stdin: z: has the shape \(4,\)"),
        (table(z=[[1.0, 2.0], [1.0]]), "row 2: has 1 numbers, where others have 2"),
        (table(z=[[1.0, 2.0], None]), "row 2: has 0 numbers"),
        (table(z=[[1.0, None]]), "missing values"),
        (table(z=[[]]), "has no numbers"),
        (table(z=[["a"]]), "latents of the type string"),
        (table(z=["a"]), "column z holds string, not lists"),
        (table(x=[1.0]), "has no columns z0, z1, …, but x"),
        (table(z=[[1.0]])[:-20], "is not Parquet that can be read"),
        (b"path,label\na,b\n", "has no columns z0, z1, …, but path, label"),
        (b"z0,z2\n1,2\n", "has columns z0 to z2, but z1 is missing"),
        (b"z0,z1,z0\n1,2,3\n", "but one occurs twice"),
        (b"z0,z1\n1,2\n3\n", "line 3: has 1 fields, where the first line has 2"),
        (b'path,z0\n"a\nb",1\nc,x\n', "line 4: z0 is 'x', not a number"),
        (b"\n\n1,2\n1,\n", "line 4: column 2 is '', not a number"),
        (b"z0\n1\n1e39\n", "row 2, z0 is inf, not a finite 32-bit number"),
        (b"z0\nnan\n", r"row 1, z0 is nan.*--allow-nonfinite"),
        (b'z0\n"1\n', r"line 2: is not CSV \(unexpected end of data\)"),
        (b'{"z":[1,2]}\n{"z":[1]}\n', "line 2: has 1 numbers, where the first has 2"),
        (b'{"z":[1,2]}\n{"z":[1,2}\n', "line 2: is not JSON"),
        (b'{"z":[1,2]}\n{"z":[1,2', "line 2: ends in the middle of a record"),
        (b'{"z":[1,2]}\n\n{"z":[1,null]}\n', r"line 3: z\[1\] is null, not a number"),
        (b'{"z":[true]}\n', r"z\[0\] is true, not a number"),
        (b'{"z":["1"]}\n', r'z\[0\] is "1", not a number'),
        (b'{"z":[NaN]}\n', "row 1, z0 is nan"),
        (b'{"z":[1' + b"0" * 400 + b"]}\n", "too large for any float"),
        (b'{"z":[1' + b"0" * 5000 + b"]}\n", "a number is too long"),
        (b"[" * 100_000 + b"]" * 100_000, "lists lie too deep"),
        (b'{"path":"a"}\n', "needs a list of numbers under 'z', but has 'path'"),
        (b'{"z":[]}\n', "has no numbers"),
        (b"[]\n", "has no numbers"),
        (b'{"z":[1]} {"z":[2]}\n', "line 1: is not JSON"),
    ],
)
def test_bad_latents_say_where_and_what(content, message):
    with pytest.raises(DataError, match=message) as caught:
        chunks(content)
    assert str(caught.value).startswith("stdin: ")
    assert "\n" not in str(caught.value)


def test_a_record_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("vaekit.latents.text.LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="line 1: record is too long"):
        chunks('{"z":[\n' + "1,\n" * 1000 + "1]}")
    with pytest.raises(DataError, match="line 1: record is too long"):
        chunks('{"z":[' + "1," * 2000 + "1]}")


def test_another_width_is_refused_before_anything_is_done():
    with pytest.raises(DataError, match="latents have 12 numbers, this model needs 16"):
        read_latents(io.BytesIO(GOOD), widths=[16])


def test_a_damaged_archive_is_found_while_reading(tmp_path):
    path = store(tmp_path / "z.npz")
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    with pytest.raises(DataError, match="is damaged"):
        chunks(bytes(content))
    np.savez_compressed(path, z=Z)
    content = bytearray(path.read_bytes())
    content[9000] ^= 255
    with pytest.raises(DataError, match=r"is damaged|finite"):
        chunks(bytes(content))


def test_an_npz_with_a_compression_that_python_lacks_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("z.npy", GOOD)
    content = (tmp_path / "z.npz").read_bytes()
    assert np.array_equal(everything(content), FEW), "LZMA is one that Python has"
    unknown = content.replace(b"\x0e\x00", b"\x63\x00")
    with pytest.raises(DataError, match=r"is not an \.npz that can be read \(That compression"):
        chunks(unknown)


def test_nonfinite_latents_pass_where_the_user_says_so():
    odd = np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)
    found = everything(npy(odd), allow_nonfinite=True)
    assert np.array_equal(found, odd, equal_nan=True)
    assert np.array_equal(everything("1,nan\ninf,2", allow_nonfinite=True), odd, equal_nan=True)


@pytest.mark.parametrize("name", ["missing.npy", "folder"])
def test_what_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        read_latents(tmp_path / name)


def test_names_on_one_line_whatever_they_are(tmp_path):
    path = tmp_path / "a\nb.csv"
    path.write_bytes(b"z0\nx\n")
    with pytest.raises(DataError, match=r"a\\nb\.csv: line 2"):
        chunks(path)


def test_without_pyarrow_the_error_says_how_to_install_it(monkeypatch):
    content = table(z=[[1.0]])
    monkeypatch.setitem(sys.modules, "pyarrow.compute", None)
    with pytest.raises(UsageError, match=r"pip install 'vaekit\[parquet\]'"):
        chunks(content)


def test_the_first_latents_are_there_before_the_last_are_written():
    """`| decode` works along with whatever makes the latents."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as out, os.fdopen(reading, "rb") as file:
        out.write(b"1,2\n" * 3000)
        assert len(next(iter(read_latents(file)))) == 1024


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "jsonl"])
def test_memory_does_not_grow_with_the_rows(tmp_path, form):
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from vaekit.latents.reading import read_latents\n"
        "n = sum(len(z) for z in read_latents(Path(sys.argv[1])))\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for rows in (2_000, 50_000):
        path = tmp_path / f"{rows}.{form}"
        big = itertools.islice(itertools.cycle([Z]), rows // 2500 or 1)
        store(path, np.concatenate(list(big))[:rows])
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
        count, peak = map(int, done.stdout.split())
        assert count == rows
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 4
