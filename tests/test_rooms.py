"""Which room may import which, that nothing points up, and that no files import each other in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("stackelberg_envs", "solvers", "baselines")

MAY_IMPORT: dict[str, str] = {
    "annotations": "",
    "arguments": "annotations",
    "extras": "",
    "processes": "",
    "references": "arguments",
    "plugins": "arguments references",
    "commitments": "processes",
    "planning": "processes",
    "play": "arguments processes",
    "response": "processes",
    "optional": "processes",
    "worlds": "planning play processes response",
    "game": "arguments commitments optional processes response worlds",
    "bounds": "game planning processes",
    "modified_game": "game optional processes",
    "piece_errors": "game processes",
    "drawing": "game",
    "evaluation": "game processes response",
    "followers": "arguments game planning play processes response worlds",
    "transfer_bound": "bounds followers game planning processes",
    "policy_bound": "arguments bounds game planning processes",
    "mixing_bound": "bounds game planning policy_bound",
    "upper_bounds": "bounds game mixing_bound policy_bound transfer_bound",
    "registry": "arguments game plugins references",
    "deadlines": "arguments game modified_game processes registry",
    "formats": "arguments commitments deadlines followers game optional processes worlds",
    "games": "arguments commitments followers formats game optional planning processes worlds",
    "leader": "arguments commitments game optional play processes response worlds",
    "views": "arguments commitments drawing game play processes references registry worlds",
    "testing": "commitments evaluation followers game modified_game piece_errors planning play processes references registry views worlds",
}
"""Each room of `stackelberg_envs`, folder or file, from the ground up: what it may know of the others."""


@cache
def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """The modules of this repository that a module imports anywhere in its text, in functions and for type checkers too."""
    path, found = modules()[name], set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                found |= (
                    {f"{base}.{alias.name}", base} & set(modules()) if f"{base}.{alias.name}" not in modules() else {f"{base}.{alias.name}"}
                )
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(modules())
    return frozenset(found - {name})


def room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def circle(arrows: dict[str, frozenset[str]]) -> list[str] | None:
    """Names that lead back to the first of them, or None."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        found = next((way for other in sorted(arrows.get(name, ())) if (way := visit(other, [*path, name]))), None)
        done.add(name)
        return found

    return next((way for name in sorted(arrows) if (way := visit(name, []))), None)


def test_no_files_import_each_other() -> None:
    assert circle({name: imports(name) for name in modules()}) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rooms_import_each_other(package: str) -> None:
    """Room by room: a folder is one; the package's face, which hands names on, is above all."""
    arrows: dict[str, frozenset[str]] = {}
    for name in modules():
        if name.startswith(f"{package}."):
            others = {room(other) for other in imports(name) if other.startswith(f"{package}.")} - {room(name)}
            arrows[room(name)] = arrows.get(room(name), frozenset()) | others
    assert circle(arrows) is None


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("stackelberg_envs.")])
def test_a_module_knows_no_more_than_its_room_needs(name: str) -> None:
    own = room(name).removeprefix("stackelberg_envs.")
    assert own in MAY_IMPORT, f"{own} is a new room: say in MAY_IMPORT what it may import"
    allowed = {own, *MAY_IMPORT[own].split()}
    known = {room(other).removeprefix("stackelberg_envs.") for other in imports(name)}
    assert known <= allowed, f"{name} imports {', '.join(sorted(known - allowed))}"


def test_what_a_room_may_import_lies_below() -> None:
    """The table itself goes from the ground up, and permits nothing that nobody uses."""
    above = list(MAY_IMPORT)
    for own, others in MAY_IMPORT.items():
        assert all(above.index(other) < above.index(own) for other in others.split()), own
        used = {
            room(other).removeprefix("stackelberg_envs.")
            for name in modules()
            if room(name) == f"stackelberg_envs.{own}"
            for other in imports(name)
        }
        assert set(others.split()) <= used, f"{own} may import {', '.join(sorted(set(others.split()) - used))}, and does not"


def test_the_page_lists_the_rooms() -> None:
    page = (ROOT / "docs/reference/conventions.md").read_text()
    for own, others in MAY_IMPORT.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{own}` |"))
        assert row.endswith(f"| {', '.join(f'`{other}`' for other in others.split()) or '-'} |"), own


def test_the_bench_does_not_know_the_studies() -> None:
    assert not any(other.startswith("baselines.studies") for name in modules() if "baselines.bench" in name for other in imports(name))


def test_circles_are_found() -> None:
    assert circle({"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a"})}) == ["a", "b", "c", "a"]
    assert circle({"a": frozenset({"b", "c"}), "b": frozenset({"c"}), "c": frozenset()}) is None
