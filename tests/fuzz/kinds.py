"""The kinds of files: how each is made, and through which doors it goes in."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import strategies as st

from tests.fuzz import (
    made_arrays,
    made_images,
    made_latents,
    made_runs,
    made_tars,
    made_tensors,
    made_tiffs,
    made_yaml,
    made_zips,
)
from tests.fuzz.damage import Draw, damaged
from tests.fuzz.kept_doors import RUN, picture_folder


@dataclass(frozen=True)
class Kind:
    """Valid files of one kind, and files made from them."""

    file: str
    """The name that the files are given: its ending is what users would have."""
    doors: tuple[str, ...]
    samples: Callable[[Samples], list[bytes]]
    changed: Callable[[list[bytes]], st.SearchStrategy[bytes]]


class Samples:
    """Valid files: small, and of every form there is of their kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _runs(self) -> list[Path]:
        import vaekit

        other = {**RUN, "hidden": None, "ema": None}
        made = {"mlp": RUN,
                "conv": {**other, "model": "conv", "channels": (4,), "sigma": 0.5,
                         "likelihood": "gaussian"},
                "ladder": {**other, "model": "ladder", "channels": (8,), "latent_dim": None,
                           "latent_groups": (1, 0, 1, 0)}}  # fmt: skip
        for name, options in made.items():
            vaekit.train(**options, output=self.folder / name)
        return [self.folder / name for name in made]

    def models(self) -> list[bytes]:
        """Model files of three networks."""
        return [(run / "model.safetensors").read_bytes() for run in self._runs]

    def checkpoints(self) -> list[bytes]:
        """Checkpoints in mid-epoch, of the same."""
        return [min((run / "checkpoint").iterdir()).read_bytes() for run in self._runs]

    def checkpoint(self) -> list[bytes]:
        """The one of the first network."""
        return self.checkpoints()[:1]

    def metrics(self) -> list[bytes]:
        """The metrics of its two epochs."""
        return [(self._runs[0] / "metrics.jsonl").read_bytes()]

    def manifests(self) -> list[bytes]:
        """The list of its files."""
        return [(self._runs[0] / ".vaekit-run.json").read_bytes()]

    def cached_images(self) -> list[bytes]:
        """An array of images in the cache."""
        return [(self._cache_entry / "images.npy").read_bytes()]

    def cached_facts(self) -> list[bytes]:
        """What the cache says of them."""
        return [(self._cache_entry / "meta.json").read_bytes()]

    @cached_property
    def _cache_entry(self) -> Path:
        import vaekit

        with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache")):
            vaekit.load_dataset(picture_folder(self.folder), "all")
        (entry,) = (self.folder / "cache" / "vaekit" / "decoded").glob("?" * 64)
        return entry

    def configs(self) -> list[bytes]:
        """A config that names every option."""
        from vaekit.configuration.config import RunConfig, as_yaml

        config = RunConfig(
            data_dir="data", image_size=(8, 8), limit=100, model="mlp", latent_dim=4,
            hidden=(8, 8), channels=(4,), depth=1, activation="relu", norm="none",
            likelihood="gaussian", sigma="learned", binarize="dynamic", epochs=3, micro_batch=8,
            grad_clip=1.0, ema=0.9, early_stop=2, threads=1, pictures_every=1, output="out",
        )  # fmt: skip
        return [as_yaml(config, "every option").encode()]

    def arrays(self) -> list[bytes]:
        """Images as bytes, as floats, in colour."""
        grey = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
        colour = np.zeros((2, 8, 8, 3), np.uint8)
        return [made_arrays.saved(values) for values in (grey, (grey / 255).astype("<f4"), colour)]

    def archives(self) -> list[bytes]:
        """An .npz with all that it can hold."""
        return [made_zips.zipped({f"{k}.npy": v for k, v in self.members().items()})]

    def members(self) -> dict[str, bytes]:
        """The arrays of an .npz."""
        arrays = {
            "x": np.arange(256, dtype=np.uint8).reshape(4, 8, 8),
            "y": np.array([0, 1, 1, 0]),
            "factors": np.array([[0, 1], [1, 0], [1, 1], [0, 0]]),
            "classes": np.array(["cat", "dog"]),
            "factor_names": np.array(["shape", "hue"]),
        }
        return {name: made_arrays.saved(values) for name, values in arrays.items()}

    def pngs(self) -> list[bytes]:
        """PNGs of every mode."""
        modes = ("L", "RGB", "RGBA", "LA", "P", "1", "I;16")
        return [made_images.picture(mode, "PNG") for mode in modes]

    def pictures(self) -> list[bytes]:
        """JPEG, GIF, WebP, BMP, TIFF and PPM."""
        ways = (("RGB", "JPEG", {}), ("L", "JPEG", {"progressive": True}), ("P", "GIF", {}),
                ("RGB", "WEBP", {}), ("RGB", "BMP", {}), ("RGB", "TIFF", {}), ("L", "PPM", {}),
                ("L", "TIFF", {"compression": "tiff_deflate"}), ("CMYK", "JPEG", {}))  # fmt: skip
        return [made_images.picture(mode, form, **more) for mode, form, more in ways]

    def zips(self) -> list[bytes]:
        """A zip of images in class folders."""
        return [made_zips.zipped(self.pictured())]

    def tars(self) -> list[bytes]:
        """The same as a tar."""
        return [made_tars.tarred(self.pictured())]

    def tiffs(self) -> list[bytes]:
        """TIFFs of bytes, of 16 and 32 bits and of floats, packed in every way."""
        return made_tiffs.tiffs()

    def pictured(self) -> dict[str, bytes]:
        """Its members."""
        png, jpeg = made_images.picture("RGB", "PNG"), made_images.picture("L", "JPEG")
        return {"cat/1.png": png, "dog/1.jpg": jpeg, "dog/2.png": png, "cat/2.png": png}

    def latent_arrays(self) -> list[bytes]:
        """Latents as .npy."""
        return [made_arrays.saved(np.zeros((4, 2), kind)) for kind in ("<f4", "<f8")]

    def latent_archives(self) -> list[bytes]:
        """Latents as .npz."""
        return [made_zips.zipped({"z.npy": data}) for data in self.latent_arrays()]

    def tables(self) -> list[bytes]:
        """Latents as CSV."""
        return [b"path,label,z0,z1\n" + b'"a.png",cat,0.5,-1.5\n' * 3, b"0.5,1.5\n1,2\n"]

    def records(self) -> list[bytes]:
        """Latents as JSON lines."""
        return [b'{"path": "a.png", "label": "cat", "z": [0.5, -1.5]}\n' * 3, b"[0.5, 1]\n" * 2]

    def parquet(self) -> list[bytes]:
        """Latents as Parquet."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = io.BytesIO()
        pq.write_table(pa.table({"z": [[0.5, 1.5], [0.0, 1.0]], "path": ["a", "b"]}), file)
        return [file.getvalue()]


class Files(list[bytes]):
    """Valid files, which a failure's report shall not print."""

    def __repr__(self) -> str:
        return f"<{len(self)} files>"


def _from_one(make: Callable[[bytes], st.SearchStrategy[bytes]]) -> Callable[
    [list[bytes]], st.SearchStrategy[bytes]]:  # fmt: skip
    @st.composite
    def changed(draw: Draw, samples: list[bytes]) -> bytes:
        return draw(make(draw(st.sampled_from(samples))))

    return changed


@st.composite
def _damaged(draw: Draw, samples: list[bytes]) -> bytes:
    return damaged(draw, draw(st.sampled_from(samples)))


def _members(data: bytes) -> dict[str, bytes]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _tar_members(data: bytes) -> dict[str, bytes]:
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        opened = ((member.name, archive.extractfile(member)) for member in archive)
        return {name: file.read() for name, file in opened if file is not None}


def _plain(data: bytes) -> dict[str, bytes]:
    return {name.removesuffix(".npy"): content for name, content in _members(data).items()}


IMAGES, ALL = ("dataset", "embed"), ("dataset", "embed", "pipe")
KINDS = {
    "model": Kind("m.safetensors", ("model", "info"), Samples.models, made_tensors.safetensors),
    "checkpoint": Kind("c.safetensors", ("resume",), Samples.checkpoints, made_tensors.safetensors),
    "flipped": Kind("f.safetensors", ("flipped",), Samples.checkpoint, made_tensors.safetensors),
    "metrics": Kind("metrics.jsonl", ("metrics",), Samples.metrics, made_runs.metrics),
    "manifest": Kind("list.json", ("manifest",), Samples.manifests, made_runs.manifest),
    "cache-images": Kind("images.npy", ("cached_images",), Samples.cached_images, made_arrays.npy),
    "cache-facts": Kind("meta.json", ("cached_facts",), Samples.cached_facts,
                        made_runs.cached_facts),
    "config": Kind("c.yaml", ("config",), Samples.configs, _from_one(made_yaml.yaml)),
    "npy": Kind("x.npy", ALL, Samples.arrays, made_arrays.npy),
    "npz": Kind("x.npz", ALL, Samples.archives, _from_one(lambda d: made_arrays.npz(_plain(d)))),
    "zip": Kind("i.zip", ALL, Samples.zips, _from_one(lambda d: made_zips.lying(_members(d)))),
    "tar": Kind("i.tar", ALL, Samples.tars, _from_one(lambda d: made_tars.lying(_tar_members(d)))),
    "tiff": Kind("t.tif", ("embed", "pipe"), Samples.tiffs, made_tiffs.tiff),
    "png": Kind("p.png", ("embed", "pipe"), Samples.pngs, made_images.png),
    "picture": Kind("p.jpg", ("embed",), Samples.pictures, made_images.other),
    "latents-npy": Kind("z.npy", ("latents",), Samples.latent_arrays, made_arrays.npy),
    "latents-npz": Kind("z.npz", ("latents",), Samples.latent_archives,
                        _from_one(lambda d: made_arrays.npz(_plain(d)))),
    "latents-csv": Kind("z.csv", ("latents",), Samples.tables, _from_one(made_latents.csv)),
    "latents-jsonl": Kind("z.jsonl", ("latents",), Samples.records,
                          _from_one(made_latents.jsonl)),
    "latents-parquet": Kind("z.parquet", ("latents",), Samples.parquet, _damaged),
}  # fmt: skip
