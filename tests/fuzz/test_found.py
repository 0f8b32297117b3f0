"""What fuzzing found, each as the smallest file that showed it: all are refused, or read, since."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.fuzz.judge import Judge
from tests.fuzz.kinds import KINDS, Samples
from tests.fuzz.made_arrays import saved, with_header
from tests.fuzz.made_images import chunks, joined, picture
from tests.fuzz.made_tensors import joined as tensors_joined
from tests.fuzz.made_tensors import taken_apart
from tests.fuzz.made_zips import zipped

X = np.zeros((4, 8, 8), np.uint8)


def shared_members(count: int) -> bytes:
    """A zip of one image, whose directory names it again and again."""
    data = zipped({"0.png": picture("RGB", "PNG")})
    at = data.index(b"PK\1\2")
    entry, end = data[at : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    names = (b"%5d" % number for number in range(count))
    many = b"".join(entry[:46].replace(entry[28:30], b"\5\0", 1) + name for name in names)
    size = struct.pack("<HHI", min(count, 65_535), min(count, 65_535), len(many))
    return data[:at] + many + end[:8] + size + end[16:]


def texts() -> bytes:
    """A PNG whose texts unpack to 1 MB each, with a character that makes them 4 MB in memory."""
    body = zlib.compress("\U0001f600".encode() + b"a" * 1_000_000)
    added = [(b"iTXt", b"k%d\0\1\0\0\0" % number + body) for number in range(62)]
    parts = chunks(picture("RGB", "PNG"))
    return joined([*parts[:1], *added, *parts[1:]])


def hollow() -> bytes:
    """A PNG of 64 pixels whose header claims sixteen million."""
    parts = chunks(picture("LA", "PNG"))
    exclusive_use = struct.pack(">II", 8, 2_097_160) + parts[0][1][8:]
    return joined([(b"IHDR", exclusive_use), *parts[1:]])


def rows_of_one_pixel() -> bytes:
    """An .npz of many images that are as small as can be."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2000000, 1, 1), }"
    return zipped({"x.npy": with_header(header, bytes(2_000_000), 2)})


FOUND: dict[str, tuple[str, bytes]] = {
    "x is one number": ("npz", zipped({"x.npy": saved(np.uint8(1)), "y.npy": saved(np.zeros(4))})),
    "labels of NaN": (
        "npz", zipped({"x.npy": saved(X), "y.npy": saved(np.array([0, 1, np.nan, np.inf]))})),
    "labels beyond 64 bits": (
        "npz", zipped({"x.npy": saved(X), "y.npy": saved(np.array([0, 1, 2, 1e38]))})),
    "values of no bytes": (
        "npy", with_header("{'descr': '|V0', 'fortran_order': False, 'shape': (4, 8), }", b"", 1)),
    "values that are arrays": (
        "npy", with_header("{'descr': ('<i4', (2, 3)), 'fortran_order': True, 'shape': (2, 2), }",
                           bytes(96), 1)),
    "millions of rows": ("npz", rows_of_one_pixel()),
    "a member without a name": ("zip", zipped({"": b"", "a.png": picture("L", "PNG")})),
    "members that share their bytes": ("zip", shared_members(300)),
    "texts in a PNG": ("png", texts()),
    "a PNG that claims what is not there": ("png", hollow()),
    "a number of 5,000 digits": ("config", b"lr: 0x" + b"f" * 5000),
    "a seed of 5,000 digits": ("config", b"seed: 0x" + b"f" * 5000),
    "a config of 400 kB": ("config", b"hidden: [" + b"1," * 200_000 + b"1]"),
    "column z9999999": ("latents-csv", b"z0,z9999999\n0,1\n"),
    "200,000 columns": (
        "latents-csv", b",".join(b"z%d" % number for number in range(200_000)) + b"\n"),
    "a row of millions": ("latents-csv", b"0," * 4_000_000 + b"0\n"),
    "a record of millions": ("latents-jsonl", b"[" + b"0," * 4_000_000 + b"0]\n"),
    "empty lists by the million": ("latents-jsonl", b"[" + b"[]," * 1_500_000 + b"[]]\n"),
    "a string without an end": ("latents-jsonl", b'[["' + b"[\n" * 400_000),
    "a bracket a line": ("latents-jsonl", b"[\n" * 3_000_000),
    "quotes that never close": ("latents-jsonl", b'["' + b'\\"' * 500_000),
    "a header of empty lists": (
        "model", tensors_joined('{"__metadata__":{"a":[' + "[]," * 5_000_000 + "1]}}", b"")),
}  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    with Judge(tmp_path_factory.mktemp("judged")) as judge:
        yield judge


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_stays_mended(what: str, judge: Judge) -> None:
    name, data = FOUND[what]
    for door in KINDS[name].doors:
        judge.check(data, KINDS[name].file, door)


def odd_progress(header: dict[str, Any]) -> None:
    header["progress"]["epoch_seconds"] = [0.5]


def odd_place(header: dict[str, Any]) -> None:
    header["progress"]["step"] = 10**6


def wide_network(header: dict[str, Any]) -> None:
    header["config"]["hidden"] = [10**5, 10**5]


def large_images(header: dict[str, Any]) -> None:
    header["config"]["image_size"] = [8192, 8192]


def many_threads(header: dict[str, Any]) -> None:
    header["config"]["threads"] = 2**64


@pytest.mark.parametrize(
    "change", [odd_progress, odd_place, wide_network, large_images, many_threads]
)
def test_what_a_checkpoint_says_is_checked(change: Any, judge: Judge, samples: Samples) -> None:
    valid = samples.checkpoints()[0]
    judge.warm(valid, "c.safetensors", "resume")
    entries, content = taken_apart(valid)
    header = json.loads(entries["__metadata__"]["vaekit-checkpoint"])
    change(header)
    entries["__metadata__"]["vaekit-checkpoint"] = json.dumps(header)
    judge.check(tensors_joined(json.dumps(entries), content), "c.safetensors", "resume")


@pytest.mark.parametrize("name", ["optimizer.x", "best.x", "x"])
def test_a_tensor_under_another_name_is_refused(name: str, judge: Judge, samples: Samples) -> None:
    entries, content = taken_apart(samples.checkpoints()[0])
    entries[name] = entries.pop("optimizer.exp_avg.output.weight")
    told = judge.told(tensors_joined(json.dumps(entries), content), "c.safetensors", "resume")
    assert "does not fit its config" in told["refused"]


def test_the_judge_can_fail(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that finds nothing wrong with anything would prove nothing."""
    data = saved(np.zeros((4, 2), np.float32))
    monkeypatch.setattr("tests.fuzz.judge.SECONDS", -1.0)
    with pytest.raises(AssertionError, match="took"):
        judge.check(data, "z.npy", "latents")
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="another exception"):
        judge.check(data, "z.npy", "no such door")
