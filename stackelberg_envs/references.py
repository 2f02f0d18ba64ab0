"""Code that lives elsewhere, by name: ``package.module:Name``, or ``path/to/file.py:Name``.

A module is imported as Python imports it.  A file is imported by its name without ``.py``, from its folder, which goes to the end of
``sys.path``: what is defined in it can then be pickled, and worker processes find it, because they inherit the path.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from .arguments import nearest


class ReferenceNotFoundError(ValueError):
    """A reference that leads nowhere, to code that cannot be imported, or to something of the wrong kind; the message says what to do."""


def is_reference(name: Any) -> bool:
    """Whether ``name`` is a place in code, with a colon, and not an id."""
    return isinstance(name, str) and ":" in name


def load(reference: str) -> Any:
    """The object behind ``package.module:Name`` or ``path/to/file.py:Name``; imports the module or the file.

    Raises:
        ReferenceNotFoundError: if there is no such module, file or name, if the file's name is taken by another module, or from what the
            module itself raises while it is imported.
    """
    place, _, attribute = reference.rpartition(":")
    file = place.endswith(".py")
    if not place or not attribute or (place.startswith(".") and not file):
        raise ReferenceNotFoundError(f"{reference!r} is not of the form package.module:Name or path/to/file.py:Name")
    module = _from_file(Path(place), reference) if file else _from_module(place, reference)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)]
            own = [name for name in names if getattr(vars(module)[name], "__module__", module.__name__) == module.__name__]
            raise ReferenceNotFoundError(f"{place} defines no {attribute!r}; {nearest(attribute, own)}")
        found = getattr(found, part)
    return found


def absolute(reference: str, folder: Path | None = None) -> str:
    """A reference that means the same in every working directory: one to a file with its whole path, any other as it is.

    A relative path starts in ``folder``, or, if there is no such file, in the working directory.
    """
    place, _, attribute = reference.rpartition(":")
    if not place.endswith(".py"):
        return reference
    path = Path(place).expanduser()
    beside = path if folder is None else folder / path
    return f"{(path if path.is_file() and not beside.is_file() else beside).resolve()}:{attribute}"


def portable(reference: str) -> str:
    """A reference that is the same on every machine: of one to a file, ``file:Name``."""
    place, _, attribute = reference.rpartition(":")
    return f"{Path(place).stem}:{attribute}" if place.endswith(".py") else reference


def reference_to(entry: Any) -> str | None:
    """``module:Name`` of a class or function that another process could import; None where none could."""
    module, name = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
    if module in (None, "__main__") or name is None or "<" in name:
        return None
    return f"{module}:{name}"


def checked_class(found: Any, base: type | tuple[type, ...], reference: str) -> type:
    """``found`` as a class that derives from ``base``, or from one of several, and can be instantiated.

    Raises:
        ReferenceNotFoundError: if it is none; the message names what is missing.
    """
    bases = base if isinstance(base, tuple) else (base,)
    if not (inspect.isclass(found) and issubclass(found, bases)):
        wanted = " or ".join(f"{base.__module__.split('.')[0]}.{base.__name__}" for base in bases)
        raise ReferenceNotFoundError(f"{reference} is {describe(found)}, and not a class that derives from {wanted}")
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))  # type: ignore[attr-defined]
        (parent, *_) = (base for base in bases if issubclass(found, base))
        raise ReferenceNotFoundError(f"{reference} cannot be used yet: it does not define {lacking} (see {parent.__name__})")
    return found


def describe(found: Any) -> str:
    """What an object is, in a few words."""
    if inspect.ismodule(found):
        return "a module"
    return f"the class {found.__name__}" if inspect.isclass(found) else f"an object of type {type(found).__name__}"


def _from_module(name: str, reference: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ReferenceNotFoundError(
                f"{reference}: there is no module {error.name!r}; install the package that has it, run from the folder that holds it, or "
                "give the path of a file, as in path/to/file.py:Name"
            ) from error
        raise ReferenceNotFoundError(f"{reference}: importing {name} fails ({_failure(error)}); repair it, and try again") from error


def _failure(error: Exception) -> str:
    """What went wrong in an import, and in which line."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):  # which says itself where
        return said
    *_, last = (frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<"))  # of the importer
    return f"{said}, {Path(last.filename).name} line {last.lineno}"


def _from_file(path: Path, reference: str) -> ModuleType:
    file = path.expanduser().resolve()
    if not file.is_file():
        raise ReferenceNotFoundError(f"{reference}: there is no file {file}; check the path, or run from the folder where it starts")
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
    return _from_module(name, reference)
