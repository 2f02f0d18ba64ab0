"""Which extra of the package brings a module that is not there."""

from __future__ import annotations

EXTRAS = {
    "jinja2": "cli",
    "matplotlib": "plots",
    "numba": "fast",
    "pyarrow": "parquet",
    "ray": "ray",
    "rich": "cli",
    "stable_baselines3": "rl",
    "torch": "solvers",
    "triton": "gpu",
    "typer": "cli",
}
"""Modules, and the extras of pyproject.toml that install them."""


def missing_extra(what: str, error: ImportError) -> ImportError:
    """The error to raise in place of ``error``: it names the extra to install, where one brings the module; else ``error`` itself.

    Args:
        what: what needs the module, for the message.
        error: what importing it raised.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return error
    return ModuleNotFoundError(f"{what} needs {module}: pip install 'stackelberg-envs[{EXTRAS[module]}]'", name=module)
