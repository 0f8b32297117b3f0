"""The documentation as a site, by Sphinx: `sphinx-build --fail-on-warning docs site`."""

from vaekit import __version__

project = "vaekit"
author = "the authors of vaekit"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns: list[str] = []
myst_heading_anchors = 4  # links to headings, with the anchors that a forge makes
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = "vaekit"
html_show_copyright = False
html_copy_source = False
