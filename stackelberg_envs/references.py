"""Code that lives elsewhere, by name: ``package.module:Name``, or ``path/to/file.py:Name``.

A module is imported as Python imports it.  A file is imported by its name without ``.py``, from its folder, which goes to the end of
``sys.path``: what is defined in it can then be pickled, and worker processes find it, because they inherit the path.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .arguments import nearest


class ReferenceNotFoundError(ValueError):
    """A reference that leads nowhere, or to something of the wrong kind; the message says what to write instead."""


def is_reference(name: Any) -> bool:
    """Whether ``name`` is a place in code, with a colon, and not an id."""
    return isinstance(name, str) and ":" in name


def load(reference: str) -> Any:
    """The object behind ``package.module:Name`` or ``path/to/file.py:Name``; imports the module or the file.

    Raises:
        ReferenceNotFoundError: if there is no such module, file or name, or the file's name is taken by another module.
        Exception: what the module itself raises while it is imported.
    """
    place, _, attribute = reference.rpartition(":")
    if not place or not attribute:
        raise ReferenceNotFoundError(f"{reference!r} is not of the form package.module:Name or path/to/file.py:Name")
    module = _from_file(Path(place), reference) if place.endswith(".py") else _from_module(place, reference)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)]
            own = [name for name in names if getattr(vars(module)[name], "__module__", module.__name__) == module.__name__]
            raise ReferenceNotFoundError(f"{place} defines no {attribute!r}; {nearest(attribute, own)}")
        found = getattr(found, part)
    return found


def reference_to(entry: Any) -> str | None:
    """``module:Name`` of a class or function that another process could import; None where none could."""
    module, name = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
    if module in (None, "__main__") or name is None or "<" in name:
        return None
    return f"{module}:{name}"


def checked_class(found: Any, base: type, reference: str) -> type:
    """``found`` as a class that derives from ``base`` and can be instantiated.

    Raises:
        ReferenceNotFoundError: if it is none; the message names what is missing.
    """
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ReferenceNotFoundError(
            f"{reference} is {_describe(found)}, and not a class that derives from {base.__module__.split('.')[0]}.{base.__name__}"
        )
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))  # type: ignore[attr-defined]
        raise ReferenceNotFoundError(f"{reference} cannot be used yet: it does not define {lacking} (see {base.__name__})")
    return found


def _describe(found: Any) -> str:
    """What an object is, in a few words."""
    if inspect.ismodule(found):
        return "a module"
    return f"the class {found.__name__}" if inspect.isclass(found) else f"an object of type {type(found).__name__}"


def _from_module(name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, and something that it imports is not
        raise ReferenceNotFoundError(
            f"{reference}: there is no module {error.name!r}; install the package that has it, run from the folder that holds it, or give "
            "the path of a file, as in path/to/file.py:Name"
        ) from error


def _from_file(path: Path, reference: str) -> ModuleType:
    file = path.expanduser().resolve()
    if not file.is_file():
        raise ReferenceNotFoundError(f"{reference}: there is no file {file}")
    name, folder = file.stem, str(file.parent)
    if not name.isidentifier():
        raise ReferenceNotFoundError(f"{reference}: Python cannot import a file called {file.name}; use letters, digits and _ only")
    if folder not in sys.path:
        sys.path.append(folder)
        importlib.invalidate_caches()
    known = sys.modules.get(name)
    spec = known.__spec__ if known is not None else importlib.util.find_spec(name)
    origin = getattr(known, "__file__", None) or (spec.origin if spec is not None else None)
    if origin is None or Path(origin).resolve() != file:
        raise ReferenceNotFoundError(f"{reference}: the name {name!r} is taken by {origin or 'a module of Python'}; rename the file")
    return importlib.import_module(name)
