"""Which solvers each optional piece of a game opens: ``python -m baselines.bench.pieces`` prints the table.

With ``--write`` it goes into docs/how-to/add-a-game.md.

Nobody writes that down: a piece opens a solver if, in some game of the suite that has it, the solver plays the game and declines it once
the piece is taken away; it closes one where that is the other way round.  See `stackelberg_envs.optional`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stackelberg_envs as se
from solvers import SOLVERS, Solver, build
from stackelberg_envs.game import Follower, StackelbergGame
from stackelberg_envs.leader.access import GRANTS, Access, Oracle
from stackelberg_envs.leader.repeated_game import RepeatedGame
from stackelberg_envs.optional import PIECES
from stackelberg_envs.piece_errors import piece_errors
from stackelberg_envs.registry import GAMES
from stackelberg_envs.testing.modified_games import ModifiedGame

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-game.md"
BEGIN, END = "<!-- optional: begin -->", "<!-- optional: end -->"

VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "tax_design-v0": ({"grid": 21, "hours": 3, "spendings": 2},),  # smaller, so that no solver declines it for its size
    "tax_economy-v0": ({"grid": 21, "hours": 3, "spendings": 2},),
    "sentinel_intruder-v0": ({"size": 2},),
    "toy3-v0": ({}, {"follower_sees": "policy"}),
    "bimatrix-v0": ({}, {"visibility": "after"}),
    "continuous_toy-v0": ({}, {"leader_sd": 0.1}),
    "contract_tree-v0": ({}, {"commitment": "step"}),
    "warehouse-v0": ({}, {"variant": "relaxed"}),
    "four_rooms-v0": ({}, {"walkers": 2}),
}
"""Arguments of the games that are tried, the defaults where there are none."""

FOLLOWERS: tuple[Follower | None, ...] = (None, se.Hard("strong"), se.SoftQLearning(0.1, 100))
"""Who answers, where a solver asks for one kind: None is the game's own."""

SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "penalty": ({"form": "sampled"},),
    "first_order": ({"form": "sampled"},),
    "slac": ({"form": "sampled"},),
    "rtq": ({"form": "sampled"},),
    "bchg": ({"level": "value"}, {"level": "outcome"}),
    "inverse_planning": ({"access": Access.INCENTIVE},),
}
"""Settings, beside the defaults, on which the needs of solvers depend, and access that is granted beyond what they ask for."""


class Without(ModifiedGame):
    """``game`` with one optional piece taken away."""

    def __init__(self, game: StackelbergGame, piece: str) -> None:
        super().__init__(game)
        setattr(self, piece, None)

    def modify(self, process: Any) -> Any:
        return process


def suite() -> Iterator[StackelbergGame]:
    """The games that are tried."""
    for id in GAMES:
        for arguments in VARIANTS.get(id, ({},)):
            yield se.game(id, **arguments)


def methods() -> dict[str, tuple[Solver, Access]]:
    """Each solver in its settings, and the access that it is granted, by the call that says so: ``penalty(form=sampled)``."""
    built = {}
    for name in SOLVERS:
        for settings in ({}, *SETTINGS.get(name, ())):
            solver = build(name, **{key: value for key, value in settings.items() if key != "access"})
            said = ", ".join(f"{key}={getattr(value, 'name', value)}" for key, value in settings.items())
            built[f"{name}({said})" if said else name] = solver, settings.get("access", solver.access)
    return built


def plays(solver: Solver, oracle: Oracle, errors: list[str]) -> bool:
    """Whether a solver does not decline a game; ``errors`` are those of its pieces, which whoever must trust them heeds."""
    trusts = Access.RETURN < solver.access < Access.MODEL
    return (oracle.tabular or not solver.tabular) and solver.declines(oracle) is None and not (trusts and errors)


def effects() -> dict[str, dict[str, list[str]]]:
    """What each piece ``opens`` and ``closes``: names from `methods`, and settings only where a solver's defaults do not."""
    tried, found = methods(), {piece: {"opens": set(), "closes": set()} for piece in PIECES}
    for game in suite():
        whole = piece_errors(game, private=False)
        for piece in (name for name in PIECES if getattr(game, name) is not None):
            errors = piece_errors(Without(game, piece), private=False), whole
            for follower in FOLLOWERS:
                with_it, without = (RepeatedGame(one, follower) for one in (game, Without(game, piece)))
                for method, (solver, access) in tried.items():
                    had, has = (
                        plays(solver, rounds.oracle(access, solver.permissions), wrong)
                        for rounds, wrong in zip((without, with_it), errors, strict=True)
                    )
                    if had != has:
                        found[piece]["opens" if has else "closes"].add(method)

    def in_order(names: set[str]) -> list[str]:
        return [name for name in tried if name in names and (name in SOLVERS or name.partition("(")[0] not in names)]

    return {piece: {effect: in_order(names) for effect, names in of.items()} for piece, of in found.items()}


def table() -> str:
    """The table of all optional pieces, in Markdown."""
    lines = ["| piece | what it says | a solver sees it with access | and it opens |", "|---|---|---|---|"]
    for (piece, protocol), effect in zip(PIECES.items(), effects().values(), strict=True):
        parameters = [name for name in inspect.signature(getattr(protocol, piece)).parameters if name != "self"]
        says = " ".join((inspect.getdoc(protocol) or "").split()).replace("``", "`").replace("|", "\\|")
        sees = ", ".join(f"`{level.name}`" for level in GRANTS.get(piece, ())) or "no access: it is for people"
        words = {key: ", ".join(f"`{name}`" for name in names) for key, names in effect.items() if names}
        opens = words.get("opens", "none") + (f"; it closes {words['closes']}" if "closes" in words else "")
        lines.append(f"| `{piece}({', '.join(parameters)})` | {says} | {sees} | {opens} |")
    return "\n".join(lines)


def write(page: Path) -> None:
    """Put the table between the markers of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write(PAGE)
    else:
        print(table())
