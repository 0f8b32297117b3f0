"""Images in: a name or a path becomes one uint8 array, with labels and factors.

Importing this package is cheap: its public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.data.imageset import ImageSet
    from vaekit.data.load import load_dataset

__all__ = ["ImageSet", "load_dataset"]


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name == "ImageSet":
        from vaekit.data.imageset import ImageSet

        return ImageSet
    if name == "load_dataset":
        from vaekit.data.load import load_dataset

        return load_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
