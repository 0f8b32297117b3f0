"""What an import pulls in, which module may import which, and that a name is defined once."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import vaekit

ROOT = Path(vaekit.__file__).parent
HEAVY = {"torch", "torchvision", "sklearn", "matplotlib", "numpy", "PIL", "safetensors", "scipy"}
PROJECT = ROOT.parent / "pyproject.toml"


def imported(code: str) -> set[str]:
    """The heavy packages that a piece of Python imports."""
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
     ["cache", "--help"], ["nonsense"], ["train", "--lr", "nan"],
     ["train", "--recipe", "nonsense"]],
    ids=" ".join,
)  # fmt: skip
def test_what_answers_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    assert imported(f"from vaekit.cli import run; run({arguments!r})") == set()


def test_the_list_of_commands_imports_none_of_them() -> None:
    """Each would import its flags and what checks their values, doubling the time of --help."""
    code = (
        "import sys; from vaekit.cli import run; run(['--help']); "
        "rooms = {name for name in sys.modules if name.startswith('vaekit.')}; "
        "print(rooms | {'pydantic', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    assert found == {
        "vaekit.errors", "vaekit.cli", "vaekit.cli.app", "vaekit.cli.terminal",
        "vaekit.cli.terminal.lasting_stderr", "vaekit.cli.terminal.signal_handlers",
        "vaekit.registry", "vaekit.wording",
    }  # fmt: skip


def test_info_imports_nothing_heavy(tiny_model: Path) -> None:
    for options in ([], ["--json"], ["--verify"]):
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
    """Removing one breaks programs; adding one is a promise to keep."""
    assert vaekit.__all__ == [
        *("ImageSet", "Model", "Run", "VaekitError", "Watcher"),
        *("compare", "evaluate", "load", "load_dataset", "train"),
    ]


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


# Imports point down only: the same rule as import-linter's, which may not be installed.

PROJECT_SETTINGS = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
CONTRACTS = [
    (contract["containers"][0].removeprefix("vaekit").lstrip("."), contract["layers"])
    for contract in PROJECT_SETTINGS["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
]


def levels(layers: list[str]) -> dict[str, int]:
    """The level of each module or package in a container, 0 at the top."""
    rooms = enumerate(line.split("|") for line in layers)
    return {room.strip(): level for level, names in rooms for room in names}


def modules() -> list[tuple[str, Path]]:
    """Every module of the package, without the package's name."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def uses(path: Path) -> set[str]:
    """Every name that a module imports, in functions too, except for the type checker alone."""
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


def room_of(name: str, container: str = "") -> str:
    """The part of a container that a module belongs to; empty if it is outside."""
    inside = f"{container}." if container else ""
    name = name.removeprefix("vaekit.")
    return name.removeprefix(inside).split(".")[0] if name.startswith(inside) else ""


@pytest.mark.parametrize(
    ("container", "layers"), CONTRACTS, ids=[c or "vaekit" for c, _ in CONTRACTS]
)
def test_imports_point_down_only(container: str, layers: list[str]) -> None:
    level = levels(layers)
    for name, path in modules():
        here = room_of(name, container)
        for used in uses(path):
            room = room_of(used, container) if used.startswith("vaekit.") else ""
            if here in level and room in level and room != here:
                assert level[room] > level[here], f"{name} imports {used}"


@pytest.mark.parametrize(
    ("container", "layers"), CONTRACTS, ids=[c or "vaekit" for c, _ in CONTRACTS]
)
def test_every_module_has_its_place_in_the_rule(container: str, layers: list[str]) -> None:
    """A new module without a place could import anything."""
    rooms = {room_of(name, container) for name, _ in modules() if name != container}
    assert rooms - {"", "__main__"} == set(levels(layers))


PACKAGES_WITH_ROOMS = sorted(
    {".".join(path.relative_to(ROOT).parts[:-2]) for path in ROOT.glob("*/**/__init__.py")}
)


@pytest.mark.parametrize("package", PACKAGES_WITH_ROOMS, ids=lambda package: package or "vaekit")
def test_no_imports_between_rooms_and_modules_side_by_side_go_in_a_circle(package: str) -> None:
    """A room that imports what imports it cannot be read, tested or moved alone."""
    inside = [(room_of(name, package), path) for name, path in modules() if room_of(name, package)]
    graph: dict[str, set[str]] = {room: set() for room, _ in inside}
    for here, path in inside:
        used = {room_of(name, package) for name in uses(path) if name.startswith("vaekit.")}
        graph[here] |= used & graph.keys() - {here}
    TopologicalSorter(graph).prepare()  # its error names the circle


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither at their top nor in functions: each can be read after those that it uses."""
    paths = {f"vaekit.{name}" if name else "vaekit": path for name, path in modules()}

    def module_of(used: str) -> str:
        return used if used in paths else used.rpartition(".")[0]

    graph = {here: {module_of(name) for name in uses(path)} for here, path in paths.items()}
    inside = graph.keys() - {"vaekit"}  # which imports its public names when they are used
    TopologicalSorter({name: graph[name] & inside - {name} for name in inside}).prepare()


@pytest.mark.parametrize(("name", "path"), [(n, p) for n, p in modules() if room_of(n) != "cli"])
def test_only_the_command_line_knows_the_terminal(name: str, path: Path) -> None:
    assert not {used.split(".")[0] for used in uses(path)} & {"typer", "rich", "click"}


# A search for a name leads to one place.

SAME_BY_DESIGN = {"command", "TAKES"}
"""Every command module has a function `command`, and many a list of the formats they write."""


def public_names(path: Path) -> set[str]:
    """The public names that a module defines itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def test_a_public_name_is_defined_in_one_module() -> None:
    homes: dict[str, list[str]] = {}
    for name, path in modules():
        for public in public_names(path) - SAME_BY_DESIGN:
            homes.setdefault(public, []).append(name)
    assert {public: found for public, found in homes.items() if len(found) > 1} == {}


def test_a_file_name_is_used_once() -> None:
    names = [path.name for _, path in modules() if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
