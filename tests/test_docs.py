"""What a reader would lose: a link that works, an example that runs, a map that is true."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vaekit

ROOT = Path(__file__).parent.parent
LONGEST_CAPTION = 90
LAUNCHER_FLAGS = {
    *("--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id"),
    *("--max-restarts", "--module"),
    *("--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--signal"),
}
"""Of torchrun, accelerate and Slurm."""
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "tests" / "faults" / "README.md",
]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_docs_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_repository_that_the_docs_name_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\b(?:vaekit|tests|docs)/[\w./-]+\.(?:py|md|png|yaml)\b", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_the_docs_name_exists(page: Path) -> None:
    """docs/reliability.md names the test of each guarantee."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^ *def {name}\(", source, flags=re.MULTILINE), f"{path}::{name}"
    assert named or page.name != "reliability.md"


def test_every_page_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme


def test_every_page_is_in_a_table_of_contents_of_the_site() -> None:
    """Or Sphinx warns, and so does not build it."""
    docs = ROOT / "docs"
    listed = {docs / "index.md"}
    for index in (docs / "index.md", docs / "tutorials" / "index.md"):
        tables = re.findall(
            r"^```\{toctree\}\n(.+?)^```", index.read_text(encoding="utf-8"), re.M | re.S
        )
        lines = "".join(tables).splitlines()
        listed |= {index.parent / f"{line}.md" for line in lines if line and line[0] != ":"}
    assert listed == {*docs.rglob("*.md")}


def test_the_options_the_map_and_the_metrics_are_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="__main__")
    assert ended.value.code == 0


def test_the_map_has_a_short_caption_for_every_module() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    drawn = design.partition("<!-- map -->")[2].partition("<!-- /map -->")[0]
    captions = dict(re.findall(r"^ *(\S+(?:\.py|/))  +(\S.*)$", drawn, flags=re.MULTILINE))
    modules = [path for path in (ROOT / "vaekit").rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in modules if path.name not in captions] == []
    packages = [path.parent for path in (ROOT / "vaekit").rglob("__init__.py")]
    assert [path.name for path in packages if f"{path.name}/" not in captions] == []
    assert [caption for caption in captions.values() if len(caption) > LONGEST_CAPTION] == []


def test_the_python_of_the_readme_runs() -> None:
    quick = {"limit": 40, "epochs": 1, "hidden": [4], "pictures_every": "off", "threads": 1}
    assert vaekit.train(**quick).path == Path("runs/glyphs-mlp/model.safetensors")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.+?)```", readme, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["images"].shape == (64, 1, 32, 32)  # type: ignore[attr-defined]
    assert names["z"].shape == (200, 16)  # type: ignore[attr-defined]
    assert names["path"].shape == (10, 1, 32, 32)  # type: ignore[attr-defined]


def test_every_example_of_the_python_page_runs() -> None:
    """In one program and in order, as a reader would try them."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for number, example in enumerate(re.findall(r"```python\n(.+?)```", page, flags=re.DOTALL)):
        exec(compile(example, f"docs/python.md, example {number}", "exec"), names)
    assert names["z"].shape == (len(names["digits"]), 16)
    assert len(names["losses"]) == 2
    assert Path("samples.png").exists()


def test_every_command_of_the_docs_is_one() -> None:
    from vaekit.cli.app import COMMANDS

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = "".join(re.findall(r"^```[^\n]*\n(.+?)^```", text, flags=re.MULTILINE | re.DOTALL))
    named = {*re.findall(r"(?:^|\| |\"\$\()vaekit ([a-z]+)", blocks, flags=re.MULTILINE)}
    named |= {*re.findall(r"`vaekit ([a-z]+)", text)}
    assert named == set(COMMANDS)


def test_every_flag_of_the_docs_is_one() -> None:
    """docs/benchmarks.md is left out: `python -m tests.benchmarks` has flags of its own."""
    from vaekit.cli.app import COMMANDS, load_command

    flags = {"--help", "--install-completion", *LAUNCHER_FLAGS}
    flags |= {"--dist", "--fail-on-warning", "--to"}  # of pytest, Sphinx and jupytext
    for name in COMMANDS:
        command = load_command(name)
        for each in (command, *getattr(command, "commands", {}).values()):
            flags |= {
                flag for option in each.params for flag in option.opts + option.secondary_opts
            }
    for page in PAGES:
        named = re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]+", page.read_text(encoding="utf-8"))
        wrong = {flag for flag in named if flag.replace("_", "-") not in flags}
        assert page.name == "benchmarks.md" or wrong == set(), page.name


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.skipif(shutil.which("jq") is None, reason="one of the pipes uses jq")
def test_the_commands_of_the_readme_run_in_order_as_they_stand() -> None:
    """With small runs; .ci/run tries the first steps at full length, in a fresh clone."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.+?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    commands = "".join(block for block in blocks if "pytest" not in block)
    small = {"VAEKIT_LIMIT": "150", "VAEKIT_EPOCHS": "1", "VAEKIT_PICTURES_EVERY": "off"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands.replace("pip install . && ", "")],
        env={**os.environ, **small, "PATH": path},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    for made in ("samples.png", "report.html", "morph.gif", "z.csv", "letters.png", "d.png"):
        assert Path(made).stat().st_size > 100
    assert len(list(Path("photos").iterdir())) == 300
