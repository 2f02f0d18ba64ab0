"""A package that is imported when something in it is first used."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands in ``sys.modules`` for a package, and becomes it.

    `importlib.util.LazyLoader` is of no use here: a second ``import`` statement asks such a module for its ``__spec__``, and so loads it.
    """

    def __getattr__(self, name: str) -> Any:
        module: Any = self
        module.__class__ = ModuleType
        module.__path__ = module.__spec__.submodule_search_locations
        module.__spec__.loader.exec_module(module)
        return getattr(module, name)


def defer(package: str) -> None:
    """From now on ``import package`` costs nothing until something in it is asked for, such as a module of it.

    For programs of one command: a library leaves its users' modules alone.  A package that is imported already, or is not there, is as
    ever.
    """
    spec = None if package in sys.modules else find_spec(package)
    if spec is not None:
        module = sys.modules[package] = module_from_spec(spec)
        del module.__path__  # which the import of ``package.module`` asks for
        module.__class__ = _Deferred
