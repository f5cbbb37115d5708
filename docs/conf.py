"""Sphinx: Markdown pages, nothing generated from docstrings."""

project = "dilm"
copyright = "dilm contributors"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "dilm"
