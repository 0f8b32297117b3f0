"""Train variational autoencoders on any images, and use them, from the shell or Python.

    import vaekit
    run = vaekit.train(dataset="digits", epochs=5)
    images = run.model.sample(64)
    model = vaekit.load("runs/digits-mlp")

The names are resolved when they are first used, so that `import vaekit` itself costs nothing.
"""

from __future__ import annotations

import importlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

from vaekit.errors import with_keyword_names

__version__ = "0.1.0"

__all__ = [
    "ImageSet",
    "Model",
    "Run",
    "VaekitError",
    "Watcher",
    "compare",
    "evaluate",
    "load",
    "load_dataset",
    "train",
]

if TYPE_CHECKING:
    from vaekit.api import compare_on_images as compare
    from vaekit.api import evaluate_model as evaluate
    from vaekit.api import train
    from vaekit.data import ImageSet, load_dataset
    from vaekit.errors import VaekitError
    from vaekit.python.run_result import Run
    from vaekit.python.trained_model import TrainedModel as Model
    from vaekit.python.trained_model import load_model as load
    from vaekit.training.watcher import SilentWatcher as Watcher

_HOMES = {
    "ImageSet": "vaekit.data:ImageSet",
    "Model": "vaekit.python.trained_model:TrainedModel",
    "Run": "vaekit.python.run_result:Run",
    "VaekitError": "vaekit.errors:VaekitError",
    "Watcher": "vaekit.training.watcher:SilentWatcher",
    "compare": "vaekit.api:compare_on_images",
    "evaluate": "vaekit.api:evaluate_model",
    "load": "vaekit.python.trained_model:load_model",
    "load_dataset": "vaekit.data:load_dataset",
    "train": "vaekit.api:train",
}
"""Where each public name is defined, and what it is called there."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vaekit' has no attribute {name!r}")
    module, _, own_name = home.partition(":")
    value = getattr(importlib.import_module(module), own_name)
    if isinstance(value, FunctionType):
        value = with_keyword_names(value)
        value.__name__ = value.__qualname__ = name
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
