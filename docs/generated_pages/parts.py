"""What pages of games and of solvers have in common: the notes of a page, and the code that it documents."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

from sphinx.pycode import ModuleAnalyzer

from .markdown import rst

NOTES = Path(__file__).parents[1] / "reference" / "notes"
MARKER = "<!-- examples -->"


def notes(name: str) -> tuple[str, str]:
    """Directives that include the known values and the examples of a page; empty where there are none."""
    path = NOTES / f"{name}.md"
    if not path.exists():
        return "", ""
    values = MARKER in path.read_text(encoding="utf-8")
    include = f"```{{include}} ../notes/{name}.md\n"
    return f"{include}:end-before: '{MARKER}'\n```" if values else "", include + (f":start-after: '{MARKER}'\n" if values else "") + "```"


def code_section(module: ModuleType, without: frozenset[str] = frozenset()) -> str:
    """What a module defines and documents, but for names ``without``, in the order of its source."""
    analyzer = ModuleAnalyzer.for_module(module.__name__)
    analyzer.analyze()
    documented = {name for owner, name in analyzer.attr_docs if not owner}
    lines = []
    for name in sorted(analyzer.tagorder, key=lambda name: analyzer.tagorder[name]):
        value = vars(module).get(name)
        imported = getattr(value, "__module__", module.__name__) != module.__name__ and (
            inspect.isclass(value) or inspect.isfunction(value)
        )
        if name.startswith("_") or name in without or "." in name or imported:
            continue
        if inspect.isclass(value) and value.__doc__:
            lines += [f".. autoclass:: {module.__name__}.{name}", "   :members:", *_excluded(value), ""]
        elif inspect.isfunction(value) and value.__doc__:
            lines += [f".. autofunction:: {module.__name__}.{name}", ""]
        elif name in documented:
            lines += [f".. autodata:: {module.__name__}.{name}", "   :no-value:", ""]
    return rst(*lines)


def _excluded(cls: type) -> list[str]:
    """Methods that only implement a documented protocol are not repeated."""
    hidden = [name for name, value in vars(cls).items() if (inspect.isfunction(value) or isinstance(value, property)) and not value.__doc__]
    return [f"   :exclude-members: {', '.join(hidden)}"] if hidden else []
