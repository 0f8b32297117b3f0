"""Images come in here: a name or a path becomes one uint8 array, with labels and factors.

Importing this package costs nothing; its public names are found when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.data.imageset import ImageSet
    from vaekit.data.load import load_dataset

__all__ = ["ImageSet", "load_dataset"]


def __getattr__(name: str) -> Any:
    """Find a public name in the module that holds it."""
    if name == "ImageSet":
        from vaekit.data.imageset import ImageSet

        return ImageSet
    if name == "load_dataset":
        from vaekit.data.load import load_dataset

        return load_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
