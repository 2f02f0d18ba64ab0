"""What ``stackelberg list NAME`` tells of one game or solver, from its docstrings, as plain text."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable
from typing import Any

import gymnasium
from rich.console import Group
from rich.markup import escape
from rich.table import Table

import stackelberg_envs as se
from stackelberg_envs.leader.access import access_words
from stackelberg_envs.plugins import Registry
from stackelberg_envs.registry import REGISTRY


def listing(title: str, rows: list[tuple[str, ...]]) -> Table:
    """Names and what they are, without lines: every row is one line where its sentence is short."""
    table = Table(title=title or None, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for i in range(len(rows[0])):
        table.add_column(no_wrap=i < len(rows[0]) - 1, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def game_details(id: str) -> Group:
    """One game: what is committed to, its sizes, contexts, followers, its story, and its arguments."""
    game, cls = se.game(id), REGISTRY.load(id)
    rows = {
        "commitment": f"R^{game.dimension}",
        "states": _sizes(game),
        "contexts": ", ".join(game.contexts),
        "followers": str(game.followers),
        "default follower": repr(game.default_follower),
        "about": "\n\n".join(story(type(game))) + bringer(REGISTRY, id),
    }
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    use = f"arguments, as in  stackelberg solve {id} SOLVER --game NAME=VALUE"
    return Group(listing(escape(id), list(rows.items())), *_settings(use, defaults, inspect.getmro(cls) if inspect.isclass(cls) else [cls]))


def _sizes(game: se.StackelbergGame) -> str:
    """S, A and B of each world, B_i where followers interact."""
    if not game.tabular:
        return f"R^{gymnasium.spaces.flatdim(game.spaces[0].state)}"
    said, worlds = list[str](), list[Any](game.null_worlds)
    for world in worlds:
        single = tuple(getattr(world, "actions", ()))
        joint = f", B joint actions of B_i = {single}" if len(single) > 1 else ""
        said.append(f"(S, A, B) = {tuple(world.sizes)}{joint}")
    return "\n".join(dict.fromkeys(said))


def solver_details(name: str) -> Group:
    """One solver: its access, what it does, and its hyperparameters with their defaults and meaning."""
    import solvers
    from solvers.ascent import Ascent
    from solvers.registry import REGISTRY

    cls, solver = solvers.solver_class(name), solvers.build(name)
    rows = {
        "access": access_words(solver.access, solver.permissions),
        "about": plain((inspect.getdoc(cls) or "").split("\n\n")[0]) + bringer(REGISTRY, name),
    }
    use = f"hyperparameters, as in  stackelberg solve GAME {name} --set NAME=VALUE"
    settings = _settings(use, solvers.registry.hyperparameters(name), [*inspect.getmro(cls), Ascent])
    return Group(listing(escape(name), list(rows.items())), *settings)


def _settings(title: str, defaults: dict[str, Any], sources: Iterable[Any]) -> list[Any]:
    """A table of names, defaults and meanings, below an empty line; none where there is nothing to set."""
    if not defaults:
        return []
    meanings = [argument_meanings(source) for source in sources]
    rows = []
    for name, default in defaults.items():
        shown = name if default is inspect.Parameter.empty or default is dataclasses.MISSING else f"{name} = {default!r}"
        rows.append((f"  {shown}", next((found[name] for found in meanings if name in found), "")))
    return ["", escape(title), listing("", rows)]


def argument_meanings(source: Any) -> dict[str, str]:
    """The first sentence that the section ``Args:`` of a docstring, or of the class's ``__init__``, has for each argument."""
    found: dict[str, str] = {}
    for said in (source.__dict__.get("__doc__"), getattr(source.__dict__.get("__init__"), "__doc__", None)):
        section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(said or ""), re.DOTALL | re.MULTILINE)
        entries = section[1] if section else ""
        for name, meaning in re.findall(r"^ {4}(\w+)(?: \([^)]*\))?: (.*?)(?=^ {4}\w|\Z)", entries, re.DOTALL | re.MULTILINE):
            found.setdefault(name, re.split(r"(?<=\.)(?<!e\.g\.)(?<!i\.e\.)\s", plain(meaning))[0])
    return found


def story(cls: type[se.StackelbergGame]) -> list[str]:
    """The first sentence of a game's story without its name, and the paragraph that follows it, each as plain text."""
    said = sys.modules[cls.__module__].__doc__ or f"{cls.__name__}: {cls.__doc__ or ''}"
    first, _, rest = said.partition("\n")
    about = first.partition(": ")[2] or first
    return [plain(about[:1].upper() + about[1:]), *[plain(part) for part in rest.strip().split("\n\n")[:1] if part]]


def plain(text: str) -> str:
    """A paragraph without markup on one line; items of a list are lines of their own."""
    items = re.split(r"(?:^|\n)\s*(?:[*-]|\d+\.) ", text.strip())
    bare = (re.sub(r"\*\*(.+?)\*\*|``(.+?)``|`~?\.?([^`]+)`", lambda found: next(filter(None, found.groups())), item) for item in items)
    return "\n".join(" ".join(item.split()) for item in bare if item.strip())


def bringer(registry: Registry, name: str) -> str:
    """Which distribution brings a game or solver, if it is not the suite."""
    distribution = registry.find(name).distribution
    return f" (from {distribution})" if distribution else ""
