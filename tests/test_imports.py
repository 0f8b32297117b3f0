"""What an import pulls in: help, completion and `info` answer at once, and rooms stay apart."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vaekit

ROOT = Path(vaekit.__file__).parent
HEAVY = {"torch", "torchvision", "sklearn", "matplotlib", "numpy", "PIL", "safetensors", "scipy"}
PROJECT = ROOT.parent / "pyproject.toml"


def imported(code: str) -> set[str]:
    """The heavy packages that a piece of Python has imported by its end."""
    watch = f"import sys\ntry:\n {code}\nexcept SystemExit:\n pass\n"
    watch += "print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "vaekit" in modules
    return modules & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["--version"], ["train", "--help"], ["info", "--help"], ["models"],
     ["models", "--json"], ["recipes"], ["recipes", "--show", "mlp-config"], ["datasets"],
     ["nonsense"], ["train", "--lr", "nan"], ["train", "--recipe", "nonsense"]],
    ids=" ".join,
)  # fmt: skip
def test_what_answers_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported(f"from vaekit.cli import run; run({arguments!r})") == set()


def test_the_list_of_commands_imports_none_of_them() -> None:
    """Each would bring its flags, and they what checks their values: twice the time to answer."""
    code = (
        "import sys; from vaekit.cli import run; run(['--help']); "
        "rooms = {name for name in sys.modules if name.startswith('vaekit.')}; "
        "print(rooms | {'pydantic', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    assert found == {"vaekit.errors", "vaekit.cli", "vaekit.cli.app", "vaekit.registry"}


def test_info_imports_nothing_heavy(tiny_model: Path) -> None:
    for options in ([], ["--json"]):
        arguments = ["info", str(tiny_model), *options]
        assert imported(f"from vaekit.cli import run; run({arguments!r})") == set()


@pytest.mark.parametrize("words", ["vaekit ", "vaekit train --model ", "vaekit train --recipe "])
def test_completion_imports_nothing_heavy(words: str) -> None:
    code = (
        "import os; os.environ.update(_VAEKIT_COMPLETE='complete_bash', "
        f"COMP_WORDS={words!r}, COMP_CWORD={str(len(words.split()))!r}); "
        "from vaekit.cli import run; run([])"
    )
    assert imported(code) == set()


def test_importing_the_package_imports_nothing() -> None:
    assert imported("import vaekit; dir(vaekit); vaekit.VaekitError") == set()
    code = "import sys; before = set(sys.modules); import vaekit; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = {name.split(".")[0] for name in ast.literal_eval(done.stdout)}
    assert added <= {"vaekit", *sys.stdlib_module_names}


# The public surface.


def test_the_public_names_are_these() -> None:
    """Taking one away breaks programs; adding one is a promise, made here on purpose."""
    assert vaekit.__all__ == ["ImageSet", "Model", "VaekitError", "load", "load_dataset", "train"]


@pytest.mark.parametrize("name", vaekit.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    value = getattr(vaekit, name)
    assert callable(value)
    assert value.__doc__
    assert value.__module__.startswith("vaekit.")
    assert name in dir(vaekit)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        vaekit.trian  # noqa: B018
    assert not hasattr(vaekit, "torch")


def test_the_version_has_one_source() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vaekit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"vaekit {vaekit.__version__}\n"


# The rooms: imports point down only. The same rule as import-linter's, which may not be installed.

CONTRACTS = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [[room.strip() for room in line.split("|")] for line in CONTRACTS[0]["layers"]]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def modules() -> list[tuple[str, Path]]:
    """Every module of the package, without the package's name."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def uses(path: Path) -> set[str]:
    """All that a module imports by name, wherever in it; not what is for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(name: str) -> str:
    return name.removeprefix("vaekit.").split(".")[0]


@pytest.mark.parametrize(("name", "path"), [(n, p) for n, p in modules() if room_of(n) in LEVEL])
def test_imports_point_down_only(name: str, path: Path) -> None:
    here = room_of(name)
    for used in uses(path):
        room = room_of(used) if used.startswith("vaekit.") else ""
        if room in LEVEL and room != here:
            assert LEVEL[room] > LEVEL[here], f"{name} imports {used}"


def test_every_room_has_its_place_in_the_rule() -> None:
    """Else a new room would be bound by nothing."""
    rooms = {room_of(name) for name, _ in modules()} - {"", "__main__"}
    assert rooms == set(LEVEL)


@pytest.mark.parametrize(("name", "path"), [(n, p) for n, p in modules() if room_of(n) != "cli"])
def test_only_the_command_line_knows_the_terminal(name: str, path: Path) -> None:
    assert not {used.split(".")[0] for used in uses(path)} & {"typer", "rich", "click"}
