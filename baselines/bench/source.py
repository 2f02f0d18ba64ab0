"""Which source a result depends on: the files behind code of others, and one digest over the suite's own.

Code of others is the file that defines a class or function, and every file of the same folder or package that this one imports, in
functions too, and so on.  Packages that are installed are followed no further than themselves.  What is read without an import (data,
modules by computed names) is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SUITE = ("stackelberg_envs", "solvers", "baselines")
INSTALLED = {"site-packages", "dist-packages"}
PROCESS = uuid.uuid4().hex[:16]
"""The digest of code that has no source: no other process has the same, so that its runs are repeated."""


def foreign(entry: Any) -> bool:
    """Whether a class or function is defined outside the suite."""
    return entry.__module__.partition(".")[0] not in SUITE


def digests(*entries: Any) -> dict[str, str]:
    """``module:Name`` to a hash, 16 digits, of the source behind it, for those of these classes and functions that are not the suite's.

    Equal on all machines with equal files, wherever they lie.
    """
    return {f"{entry.__module__}:{entry.__qualname__}": _digest(entry) for entry in entries if foreign(entry)}


@cache
def suite_digest() -> str:
    """Hash of the suite's own source that results depend on, `stackelberg_envs` and `solvers`, as it was when first asked for."""
    root = Path(__file__).parents[2]
    return _hash((path.relative_to(root).as_posix(), path) for name in SUITE[:2] for path in sorted((root / name).rglob("*.py")))


def _digest(entry: Any) -> str:
    """Of one class, with the bases that are not the suite's either, or of one function."""
    bases = getattr(entry, "__mro__", (entry,))
    parts = [part for part in bases if foreign(part) and part.__module__.partition(".")[0] not in sys.stdlib_module_names]
    files: dict[str, Path] = {}
    for part in parts:
        file = getattr(sys.modules.get(part.__module__), "__file__", None)
        if file is None or not Path(file).is_file():
            return _notebook_digest(parts)
        files |= local_files(part.__module__, Path(file))
    return _hash(sorted(files.items()))


def _notebook_digest(parts: list[Any]) -> str:
    """Hash of what was typed into a notebook; of a shell that keeps no source, `PROCESS`."""
    values = [value for part in parts for value in (vars(part).values() if inspect.isclass(part) else [part])]
    functions = [value for value in values if inspect.isfunction(value)]
    try:
        return hashlib.sha256("".join(map(inspect.getsource, functions)).encode()).hexdigest()[:16]
    except OSError:
        return PROCESS


def local_files(module: str, file: Path) -> dict[str, Path]:
    """A module's file, and those of the same folder or package that it imports, directly or not, by their place below that folder."""
    parts = module.split(".")
    root = file.resolve().parents[len(parts) - (file.name != "__init__.py")]
    top = parts[0] if INSTALLED & set(root.parts) else None
    name = module if len(parts) > 1 or file.name == "__init__.py" else file.stem  # a script calls itself __main__
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name.partition(".")[0] in SUITE or (top is not None and name.partition(".")[0] != top):
            continue
        path = next((path for path in _places(root, name) if path.is_file()), None)
        if path is None or (place := path.relative_to(root).as_posix()) in found:
            continue
        found[place] = path
        state = path.stat()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [*_imports(path, (state.st_mtime_ns, state.st_size), package), name.rpartition(".")[0]]
    return found


def _places(root: Path, name: str) -> tuple[Path, ...]:
    """Where a module of this name would lie; nowhere for an empty name."""
    if not name:
        return ()
    base = root.joinpath(*name.split("."))
    return base / "__init__.py", base.with_name(f"{base.name}.py")


@cache
def _imports(path: Path, stamp: tuple[int, int], package: str) -> tuple[str, ...]:
    """Names that the import statements of a file may mean, its own package being ``package``; ``stamp`` tells its versions apart."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # of a file that is never imported
        return ()
    return tuple(name for node in ast.walk(tree) for name in _names(node, package.split(".") if package else []))


def _names(node: ast.AST, package: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        base = [*start, *([node.module] if node.module else [])]
        yield from (".".join(parts) for parts in (base, *([*base, alias.name] for alias in node.names)) if parts)


def _hash(files: Any) -> str:
    """Of (name, path) pairs; line ends do not count."""
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
