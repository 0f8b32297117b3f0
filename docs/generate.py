"""Write the pages that follow from the code, or check that they are up to date.

python docs/generate.py           writes docs/options.md, and the map in docs/design.md
python docs/generate.py --check   fails if one of them differs from what it would write
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from vaekit.cli.run_options import ALIASES, described, shown_default
from vaekit.config import RunConfig, facts, flag, recipe_names, recipe_path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "vaekit"
OPTIONS = DOCS / "options.md"
DESIGN = DOCS / "design.md"
MAP_START = "<!-- map -->"
MAP_END = "<!-- /map -->"

HEAD = """# Options of `vaekit train`

*Made from the code by `python docs/generate.py`; do not edit.*

Each option is a flag (`--latent-dim 32`, or `--latent_dim 32`), a key in a YAML file for `--config`
(`latent_dim: 32`), an environment variable (`VAEKIT_LATENT_DIM=32`) and a keyword of
`vaekit.train(latent_dim=32)`. A flag beats the environment, which beats `--config`, which beats
`--recipe`, which beats the default.
"""


def options_page() -> str:
    """All of docs/options.md."""
    groups: dict[str, list[str]] = {}
    for name, field in RunConfig.model_fields.items():
        groups.setdefault(facts(field)["group"], []).append(_row(name, field))
    tables = [_table(group, rows) for group, rows in groups.items()]
    return "\n".join([HEAD, *tables, _recipes()])


def _table(group: str, rows: list[str]) -> str:
    return "\n".join(
        [f"## {group}\n", "| option | what it does | default |", "|---|---|---|", *rows, ""]
    )


def _row(name: str, field: Any) -> str:
    names = ", ".join(f"`{spelling}`" for spelling in ALIASES.get(name, (flag(name),)))
    text = described(field).replace("|", chr(92) + "|")
    return f"| {names} | {text} | {shown_default(field)} |"


def _recipes() -> str:
    lines = [
        "## Recipes\n",
        "`vaekit train --recipe NAME`; `vaekit recipes --show NAME` prints one.\n",
    ]
    for name in recipe_names():
        lines += [f"### {name}\n", "```yaml", recipe_path(name).read_text().strip(), "```", ""]
    return "\n".join(lines)


def caption(module: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].removesuffix(".")


def tree(folder: Path, indent: str = "") -> list[str]:
    """A line for the folder, one for each of its files, then the same for the folders in it."""
    modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    width = max((len(path.name) for path in modules), default=0)
    lines = [f"{indent}{folder.name}/  {caption(folder / '__init__.py')}"]
    lines += [f"{indent}  {path.name:<{width}}  {caption(path)}" for path in modules]
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        lines += ["", *tree(inner, indent + "  ")]
    return lines


def design_page(page: str) -> str:
    """docs/design.md with its map, between the two markers, drawn again."""
    before, start, rest = page.partition(MAP_START)
    _, end, after = rest.partition(MAP_END)
    if not (start and end):
        sys.exit(f"{DESIGN.name} has no {MAP_START} followed by {MAP_END}")
    drawn = "\n".join(["```", *tree(PACKAGE), "```"])
    return f"{before}{start}\n{drawn}\n{end}{after}"


def main() -> int:
    """Write, or check."""
    pages = {OPTIONS: options_page(), DESIGN: design_page(DESIGN.read_text(encoding="utf-8"))}
    if "--check" not in sys.argv:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
        return 0
    old = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    if old:
        print(f"out of date: {', '.join(old)}; run python docs/generate.py", file=sys.stderr)
    return bool(old)


if __name__ == "__main__":
    sys.exit(main())
