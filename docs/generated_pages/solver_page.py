"""The page of one solver."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from types import ModuleType

import solvers
from solvers import SOLVERS
from solvers.ascent import Ascent, Estimator
from stackelberg_envs.leader.access import GRANTS, Access
from stackelberg_envs.registry import GAMES

from .assumptions import assumption_table
from .markdown import code, first_sentence, plain, rst, table
from .parts import code_section, notes
from .recorded import won_and_lost
from .verdicts import access_words, methods, other_followers, verdict


def page(name: str) -> str:
    """The Markdown of a solver's page."""
    module, _ = _place(name)
    _, parts = notes(name)
    sections = {
        "Formula and algorithm": rst(f".. automodule:: {module.__name__}", "   :no-index:"),
        "Access": _access(name),
        "Assumptions": assumption_table(name),
        "Games": _games(name),
        "Won and lost": won_and_lost(name),
        "Hyperparameters": _hyperparameters(name),
        "Code": _code(name),
        "Examples and parts": parts,
    }
    head = f"# {name}\n\n`solvers.solve(game, {name!r}, budget=..., ...)`"
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)])


def summary(name: str) -> tuple[str, ...]:
    """The solver's row in the table of all solvers."""
    module, cls = _place(name)
    said = first_sentence(inspect.getdoc(cls) or inspect.getdoc(module) or "")
    plays = sum(verdict(name, game) is None or bool(other_followers(name, game)) for game in GAMES)
    return f"[{name}](solvers/{name}.md)", plain(said).replace("\\`", "`"), access_words(name), f"{plays} of {len(GAMES)}"


def _place(name: str) -> tuple[ModuleType, type]:
    """The module and the class of a solver."""
    cls = solvers.solver_class(name)
    return sys.modules[cls.__module__], cls


def _access(name: str) -> str:
    """What the leader may know, by setting, and what the oracle then holds."""
    rows = []
    for method, (solver, access) in methods().items():
        if method.partition("(")[0] == name:
            holds = [what for what, needs in GRANTS.items() if all(_granted(need, access, solver.permissions) for need in needs)]
            rows.append((code(method), access_words(method), ", ".join(map(code, holds))))
    said = "The solver's oracle contains this, and nothing else of the game and its followers ([access](../../explanation/access.md)):"
    return f"{said}\n\n{table(('settings', 'access', 'the oracle contains'), rows)}"


def _granted(need: object, access: Access, permissions: object) -> bool:
    return need <= access if isinstance(need, Access) else need in permissions  # type: ignore[operator]


def _games(name: str) -> str:
    rows = []
    for game in GAMES:
        reason = verdict(name, game)
        answer = (
            "plays" if reason is None else f"plays against {', '.join(others)}" if (others := other_followers(name, game)) else "declines"
        )
        rows.append((f"[{game}](../games/{game.rpartition('-v')[0]}.md)", answer, plain(reason or "")))
    rows.sort(key=lambda row: ("plays", "declines").index(row[1]) if row[1] in ("plays", "declines") else 0.5)
    said = (
        "With the defaults of the game and of the solver. If it declines the game's own follower but plays against another, the second "
        "column says so."
    )
    return f"{said}\n\n{table(('game', '', 'what it says of the defaults'), rows)}"


def _hyperparameters(name: str) -> str:
    """Names and defaults; those of the ascent, too, where the solver is an estimator."""
    _, cls = _place(name)
    fields = [(field, "the solver") for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    if issubclass(cls, Estimator):
        fields += [(field, "the ascent (`solvers.Ascent`)") for field in dataclasses.fields(Ascent) if field.name != "estimator"]
    rows = [(code(field.name), code(repr(field.default)), of) for field, of in fields]
    return table(("hyperparameter", "default", "belongs to"), rows) if rows else "It has none."


def _code(name: str) -> str:
    """The code of the module; where it has several solvers, each has its class on its own page, and the first one the rest."""
    module, cls = _place(name)
    together = [other for other in SOLVERS if _place(other)[0] is module]
    if len(together) == 1:
        return code_section(module)
    if together[0] != name:
        return rst(f".. autoclass:: {module.__name__}.{cls.__name__}")
    return code_section(module, frozenset(_place(other)[1].__name__ for other in together[1:]))
