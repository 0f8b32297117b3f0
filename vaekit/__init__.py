"""Train variational autoencoders on any images, and use them, from the shell or Python.

    import vaekit
    path = vaekit.train(dataset="digits", epochs=5)
    model = vaekit.load(path)
    images = model.sample(64)

The names are resolved when they are first used, so that `import vaekit` itself costs nothing.
"""

from __future__ import annotations

import importlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

from vaekit.errors import with_keyword_names

__version__ = "0.1.0"

__all__ = ["ImageSet", "Model", "VaekitError", "load", "load_dataset", "train"]

if TYPE_CHECKING:
    from vaekit.api import train
    from vaekit.data import ImageSet, load_dataset
    from vaekit.errors import VaekitError
    from vaekit.inference import Model, load

_HOMES = {
    "ImageSet": "vaekit.data",
    "Model": "vaekit.inference",
    "VaekitError": "vaekit.errors",
    "load": "vaekit.inference",
    "load_dataset": "vaekit.data",
    "train": "vaekit.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vaekit' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    if isinstance(value, FunctionType):
        value = with_keyword_names(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
