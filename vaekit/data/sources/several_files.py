"""Several archives, folders, images or arrays as one data set, in the order of their names.

shards/0.tar  shards/1.tar               the paths inside the archives give splits and classes
shards/train/0.tar  shards/test/0.tar    so do the folders of the archives where they differ
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vaekit.configuration.dataset_names import fixed_folder, short_name
from vaekit.data.source import Listing, Request, Source, file_identity
from vaekit.data.sources import detect
from vaekit.data.sources.first_bytes import Kind
from vaekit.data.sources.folder import in_folder, listed_folder
from vaekit.data.sources.folder_layout import is_hidden, is_image
from vaekit.data.sources.joined_arrays import joined_arrays
from vaekit.data.sources.joined_reading import joined_reading
from vaekit.data.sources.listed_files import Container, listed_source
from vaekit.data.sources.patterns import expand
from vaekit.data.sources.tar_files import list_tar
from vaekit.data.sources.zip_files import list_zip
from vaekit.errors import DataError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

_ARRAYS = ("npy", "npz")
_DIGITS = str.maketrans("123456789", "0" * 9)
_Found = Sequence[tuple[Path, Kind]]


def open_pattern(pattern: str, request: Request) -> Source:
    """The source of all that a pattern matches."""
    name, where, note = short_name(pattern), one_line(pattern), request.reporter.note
    found = [(path, _kind(path)) for path in map(Path, expand(pattern))]
    if all(kind in _ARRAYS for _, kind in found):
        sources = [detect.open_source_at(path, request) for path, _ in found]
        return joined_arrays(name, where, sources)
    _refuse_mixture(found, where)
    places = _listed(found, fixed_folder(pattern), request.reporter)
    containers = _without_numbered_wrappers([place.container for place in places])
    identity = "\0".join(("several", *(place.identity for place in places)))
    return listed_source(name, where, containers, note, identity, joined_reading)


def _kind(path: Path) -> Kind:
    """What is at a path; a file with an image's ending is not opened, as there may be many."""
    return "image" if is_image(path.name) and not path.is_dir() else detect.kind_of(path)


def _refuse_mixture(found: _Found, where: str) -> None:
    arrays = [path for path, kind in found if kind in _ARRAYS]
    if arrays:
        other = next(path for path, kind in found if kind not in _ARRAYS)
        raise DataError(
            f"{where}: matches arrays ({one_line(arrays[0].name)}) and other files "
            f"({one_line(other.name)}): a data set is one or the other (--dataset)"
        )


class _Place(NamedTuple):
    container: Container
    identity: str


def _listed(found: _Found, base: Path, reporter: Reporter) -> list[_Place]:
    """Every archive and folder as a container of its own, after one for all single images."""
    images = [path for path, kind in found if kind == "image"]
    places = [_images(images, base)] if images else []
    with reporter.task("Listing", len(found), "files") as task:
        for path, kind in found:
            if kind != "image":
                places.append(_place(path, kind, base, reporter))
            task.advance()
    return places


def _images(paths: Sequence[Path], base: Path) -> _Place:
    names = [path.absolute().relative_to(base).as_posix() for path in paths]
    states = "\0".join(f"{n}\0{_state(p)}" for n, p in zip(names, paths, strict=True))
    return _Place(Container(Listing(names, lambda some: in_folder(base, some))), states)


def _state(image: Path) -> str:
    try:
        return file_identity(image)
    except OSError:  # reading it will say why
        return "missing"


def _place(path: Path, kind: Kind, base: Path, reporter: Reporter) -> _Place:
    inside = path.absolute().relative_to(base)
    prefix = f"{inside.as_posix()}/"
    if kind == "folder":
        listing, identity = listed_folder(path, reporter)
        return _Place(Container(listing, prefix, folder=prefix), f"{prefix}\0{identity}")
    if kind not in ("tar", "zip"):
        raise detect.not_a_data_set(path, kind)
    listing = list_tar(path, reporter) if kind == "tar" else list_zip(path)
    above = "" if inside.parent == Path() else f"{inside.parent.as_posix()}/"
    return _Place(Container(listing, prefix, folder=above), f"{prefix}\0{file_identity(path)}")


def _without_numbered_wrappers(containers: list[Container]) -> list[Container]:
    """Look through `s-01/` in `s-01.tar`, where every archive has such a folder around it all.

    Names that differ in more than their digits are classes: `cat/` in `cat.tar`.
    """
    wrappers = [_wrapper(container) for container in containers]
    forms = {name.translate(_DIGITS) for name in wrappers}
    numbered = len(forms) == 1 and all("0" in form and form.strip("0/") for form in forms)
    if not numbered:
        return containers
    return [
        Container(each.listing, each.prefix, each.folder, wrapper)
        for each, wrapper in zip(containers, wrappers, strict=True)
    ]


def _wrapper(container: Container) -> str:
    """The folder around all files of an archive, where it has the archive's name; else nothing."""
    stem = container.prefix.rstrip("/").rpartition("/")[2].split(".")[0]
    names = (name for name in container.listing.names if not is_hidden(name))
    return f"{stem}/" if all(name.startswith(f"{stem}/") for name in names) else ""
