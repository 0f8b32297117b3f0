"""Names with newlines and escape sequences, which must not reach a terminal as they are."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.errors import DataError

ODD = "x\ny\x1b[31mz"


def of_values(root, picture):
    np.save(root / f"{ODD}.npy", np.full((3, 8, 8), 2.0))
    return root / f"{ODD}.npy"


def of_other_arrays(root, picture):
    np.savez(root / f"{ODD}.npz", **{ODD: np.zeros(3)})
    return root / f"{ODD}.npz"


def of_no_image(root, picture):
    (root / ODD).mkdir()
    return root / ODD


def of_a_new_class(root, picture):
    for name in ("train/a/1.png", f"test/{ODD}/2.png"):
        path = root / ODD / name
        path.parent.mkdir(parents=True)
        path.write_bytes(picture())
    return root / ODD


def of_a_member_outside(root, picture):
    with zipfile.ZipFile(root / f"{ODD}.zip", "w") as archive:
        archive.writestr(f"../{ODD}.png", picture())
    return root / f"{ODD}.zip"


def of_a_link_outside(root, picture):
    with tarfile.open(root / f"{ODD}.tar", "w") as archive:
        member = tarfile.TarInfo(f"{ODD}.png")
        member.type, member.linkname = tarfile.SYMTYPE, f"../{ODD}"
        archive.addfile(member)
    return root / f"{ODD}.tar"


def of_junk(ending):
    def make(root, picture):
        (root / f"{ODD}{ending}").write_bytes(ODD.encode() * 200)
        return root / f"{ODD}{ending}"

    return make


BAD = {
    **{f"junk {ending}": of_junk(ending) for ending in (".zip", ".tar", ".npy", ".npz", ".x")},
    "values": of_values,
    "other arrays": of_other_arrays,
    "no image": of_no_image,
    "a new class": of_a_new_class,
    "a member outside": of_a_member_outside,
    "a link outside": of_a_link_outside,
}


@pytest.mark.parametrize("kind", BAD)
def test_fault_83_an_error_about_a_data_set_is_one_printable_line(tmp_path, picture, kind):
    path = BAD[kind](tmp_path, picture)
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert r"x\ny\x1b[31mz" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_fault_83_notes_and_skipped_images_are_printable_lines(tmp_path, picture, kind, heard):
    files = {f"{n}{ODD}.png": picture(n) for n in range(20)}
    files |= {f"bad{ODD}.png": b"no image", f"{ODD}.txt": b"no image"}
    path = tmp_path / ODD
    if kind == "folder":
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
        (path / "link.png").symlink_to("nowhere")
    else:
        path = tmp_path / f"{ODD}.tar"
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo("link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
            archive.addfile(link)
    data = load_dataset(path, "all", reporter=heard)
    told = [*heard.notes, *heard.warnings, *data.skipped]
    assert len(told) >= 3
    assert all(line.isprintable() for line in told), told
