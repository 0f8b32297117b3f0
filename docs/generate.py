"""Write the pages that follow from the code, or check that they are up to date.

python docs/generate.py           writes docs/options.md, the map in docs/design.md and the
                                  metrics in docs/evaluation.md
python docs/generate.py --check   fails if one of them differs from what it would write
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from vaekit.cli.run_options import ALIASES, described, shown_default
from vaekit.configuration.config import RunConfig, facts, flag, recipe_names, recipe_path
from vaekit.evaluation.metrics import METRICS, Metric

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "vaekit"
OPTIONS = DOCS / "options.md"
DESIGN = DOCS / "design.md"
EVALUATION = DOCS / "evaluation.md"

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
        gap = [] if indent else [""]
        lines += [*gap, *tree(inner, indent + "  ")]
    return lines


def metric_table() -> str:
    """A row for each number of `evaluate`."""
    head = ["| name | meaning | unit | better | computed |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_metric_row, METRICS)])


def _metric_row(metric: Metric) -> str:
    meaning = metric.meaning.replace("|", chr(92) + "|")
    asked = "`--metrics`" if metric.optional else ""
    when = "; ".join(filter(None, (asked, metric.needs))) or "always"
    return f"| `{metric.name}` | {meaning} | {metric.unit} | {metric.better or ''} | {when} |"


def filled(page: Path, name: str, text: str) -> str:
    """The page with new text between its markers `<!-- name -->` and `<!-- /name -->`."""
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        sys.exit(f"{page.name}: the markers of `{name}` are missing")
    return before + start + text + end + after


def main() -> int:
    """Write, or check."""
    pages = {
        OPTIONS: options_page(),
        DESIGN: filled(DESIGN, "map", "\n".join(["```", *tree(PACKAGE), "```"])),
        EVALUATION: filled(EVALUATION, "metrics", metric_table()),
    }
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
