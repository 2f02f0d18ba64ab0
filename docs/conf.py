"""Sphinx configuration; `make docs` builds with warnings as errors."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # for generated_pages

project = "stackelberg-envs"
author = "The stackelberg-envs authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
html_theme = "furo"
html_title = "stackelberg-envs"
highlight_language = "none"  # blocks that name no language are formulas
html_static_path = ["_static"]
html_css_files = ["pages.css"]
myst_enable_extensions = ["dollarmath", "amsmath"]
exclude_patterns = ["_build", "reproductions/hpgd-*.md", "reproductions/*-reach.md", "reproductions/toy.md"]  # included by pages
exclude_patterns += ["reproductions/bchg-*.md", "reproductions/inverse-large.md", "reproductions/preferences.md"]
exclude_patterns += [
    "reproductions/inverse-many.md",
    "reproductions/preference-control*.md",
    "reproductions/*-claims.md",
    "reproductions/selection.md",
]
exclude_patterns += [
    "reproductions/warehouse.md",
    "reproductions/tax-*.md",
    "reproductions/thermal*.md",
    "reproductions/lq-gain.md",
    "reproductions/rtq-cost.md",
    "reproductions/subsidy.md",
    "reproductions/rivals-outcomes.md",
    "reproductions/rivals-gradients*.md",
    "reproductions/brackets-table.md",
    "reproductions/blind-search-table.md",
    "reproductions/online-*.md",
    "reproductions/tariff.md",
    "reproductions/patrol.md",
    "reproductions/toll-scores.md",
    "reproductions/platform.md",
    "reproductions/platform-learners.md",
    "reproductions/tolls-networks.md",
    "reproductions/commons-scores.md",
    "reproductions/commons-closed-forms.md",
    "reproductions/confirmation.md",
    "reproductions/regret.md",
]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
napoleon_use_ivar = True
exclude_patterns += ["generated_pages", "reference/notes/*", "reference/*/_table.md"]  # included by pages


def setup(app: Any) -> None:
    """Write the pages of games and solvers before the documentation is read."""
    from generated_pages import write_pages

    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference"))
