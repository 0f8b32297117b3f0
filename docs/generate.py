"""Write the pages that follow from the code, or check that they are what the code says.

python docs/generate.py           writes docs/options.md
python docs/generate.py --check   fails if it is not what it would write
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vaekit.cli.run_options import ALIASES, described, shown_default
from vaekit.config import RunConfig, facts, flag, recipe_names, recipe_path

PAGE = Path(__file__).parent / "options.md"

HEAD = """# Options of `vaekit train`

*Made from the code by `python docs/generate.py`; do not edit.*

Each option is a flag (`--latent-dim 32`, or `--latent_dim 32`), a key in a YAML file for `--config`
(`latent_dim: 32`), an environment variable (`VAEKIT_LATENT_DIM=32`) and a keyword of
`vaekit.train(latent_dim=32)`. A flag beats the environment, which beats `--config`, which beats
`--recipe`, which beats the default.
"""


def page() -> str:
    """The whole page."""
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


def main() -> int:
    """Write, or check."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is out of date: run python docs/generate.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
