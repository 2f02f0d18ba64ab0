"""Code of others in a benchmark: where a configuration names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import solvers.registry
import stackelberg_envs.registry
from stackelberg_envs import references
from stackelberg_envs.plugins import Registry

from .source import SUITE


def make_absolute(data: dict[str, Any], folder: Path) -> None:
    """Give every reference to a file, of a configuration that lies in ``folder``, its whole path; see `references.absolute`."""
    for table, key, _ in _mentions(data):
        table[key] = references.absolute(table[key], folder)


def sources(data: dict[str, Any]) -> list[str]:
    """The files, packages and distributions of others whose code a configuration runs; nothing is imported."""
    found = {_source(table[key], registry) for table, key, registry in _mentions(data)}
    return sorted(found - {None, *SUITE})  # type: ignore[type-var]


def _source(name: str, registry: Registry | None) -> str | None:
    """Where the code behind a name or reference comes from; None for names that are not known, which are reported later."""
    if registry is not None and name in registry:
        registration = registry.find(name)
        if registration.distribution:
            return registration.distribution
        name = registration.place
    place, _, _ = name.rpartition(":")
    if place.endswith(".py"):
        path = os.path.relpath(place)
        return place if path.startswith("..") else f"./{path}"
    return place.partition(".")[0] or None


def _mentions(data: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Registry | None]]:
    """Every place in a configuration that names code: table, key, and the registry of names (None for followers)."""
    games, methods = stackelberg_envs.registry.REGISTRY, solvers.registry.REGISTRY
    entries = _tables(data.get("games"))
    worlds = [*entries, *_tables([entry.get("referee") for entry in entries])]
    places: list[tuple[dict[str, Any], str, Registry | None]] = [(world, "id", games) for world in worlds]
    places += [(follower, "kind", None) for follower in _tables([world.get("follower") for world in worlds])]
    places += [(run, "name", methods) for owner in (data, *entries) for run in _tables(owner.get("solvers"))]
    return ((table, key, registry) for table, key, registry in places if isinstance(table.get(key), str))


def _tables(entries: Any) -> list[dict[str, Any]]:
    """Those of a list that are tables; what is none is reported where it is read."""
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
