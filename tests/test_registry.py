"""Each name in a table leads to code, a wrong one to a suggestion, and none imports too much."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from vaekit import registry
from vaekit.errors import UsageError

KINDS = {
    "model": registry.MODELS,
    "likelihood": registry.LIKELIHOODS,
    "objective": registry.OBJECTIVES,
    "dataset": registry.DATASETS,
}
ENTRIES = [(kind, name) for kind, table in KINDS.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_name_leads_to_something_that_can_be_called(kind: str, name: str) -> None:
    assert callable(registry.resolve(kind, name))
    assert registry.resolve(kind, name).__module__.startswith("vaekit.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_leads_somewhere_else(kind: str) -> None:
    """A line copied and changed by half gives one network under two names."""
    names = registry.names(kind)
    assert len({registry.resolve(kind, name) for name in names}) == len(names) > 0


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_name_can_be_typed_without_quotes(kind: str, name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert name in registry.names(kind)


@pytest.mark.parametrize("name", ["os.system", "os:system", "vaekit.models.mlp:MLP", "", "MLP"])
def test_a_name_outside_the_table_imports_nothing(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UsageError, match="unknown model"):
        registry.resolve("model", name)
    assert set(sys.modules) == before


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from vaekit import registry\n"
        "assert registry.names('model') and registry.suggest('dataset', 'mnits')\n"
        "print(sorted({'torch', 'numpy', 'vaekit.models', 'vaekit.data'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "meant"), [("cifar-10", "cifar10"), ("fashion_mnist", "fashion-mnist"), ("SVHN", "")]
)
def test_a_near_miss_is_answered_with_the_nearest(name: str, meant: str) -> None:
    message = registry.suggest("dataset", name)
    assert message.startswith(f"unknown dataset {name!r}: ")
    assert (f"did you mean {meant!r}?" in message) == bool(meant)
    assert "shapes" in message, "all names are listed too"
