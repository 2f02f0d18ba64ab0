"""Sphinx configuration; `make docs` builds with warnings as errors."""

project = "stackelberg-envs"
author = "The stackelberg-envs authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
html_theme = "furo"
html_title = "stackelberg-envs"
myst_enable_extensions = ["dollarmath", "amsmath"]
exclude_patterns = ["_build", "reproductions/hpgd-*.md", "reproductions/*-reach.md", "reproductions/toy.md"]  # included by pages
exclude_patterns += ["reproductions/bchg-*.md", "reproductions/inverse-large.md", "reproductions/preferences.md"]
exclude_patterns += ["reproductions/preference-control*.md", "reproductions/*-claims.md", "reproductions/selection.md"]
exclude_patterns += [
    "reproductions/warehouse.md",
    "reproductions/tax-*.md",
    "reproductions/thermal*.md",
    "reproductions/lq-gain.md",
    "reproductions/rtq-cost.md",
]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
napoleon_use_ivar = True
