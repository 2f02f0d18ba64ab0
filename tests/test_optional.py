"""What a game may also say: pieces, their protocols, and the table of the solvers that they open."""

from __future__ import annotations

import inspect

import pytest

import stackelberg_envs as se
from baselines.bench.pieces import BEGIN, END, PAGE, VARIANTS, Without, table
from solvers import Declined, solve
from stackelberg_envs.optional import PIECES
from stackelberg_envs.registry import GAMES


def test_page_has_the_table() -> None:
    """The printed table is what the code and the solvers say today."""
    printed = PAGE.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert printed == table(), "run `python -m baselines.bench.pieces --write`"


@pytest.mark.parametrize("id", GAMES)
def test_games_keep_the_signatures(id: str) -> None:
    """Whoever calls a piece by the protocol's parameters is understood by every game that has it."""
    for arguments in VARIANTS.get(id, ({},)):
        game = se.game(id, **arguments)
        for piece, protocol in PIECES.items():
            if (method := getattr(game, piece)) is not None:
                declared = [name for name in inspect.signature(getattr(protocol, piece)).parameters if name != "self"]
                assert list(inspect.signature(method).parameters) == declared, f"{id}: {piece}"


@pytest.mark.parametrize("piece", PIECES)
def test_suite_has_each_piece(piece: str) -> None:
    """The table would say of a piece that no game has that it opens nothing."""
    assert any(getattr(se.game(id, **arguments), piece) is not None for id in GAMES for arguments in VARIANTS.get(id, ({},)))


@pytest.mark.parametrize("name", ["inverse_planning", "bchg"])
def test_who_follows_the_leader_declines_a_game_without_its_policy(name: str) -> None:
    """A reason, and no TypeError in the middle of a run."""
    settings = {"level": "outcome"} if name == "bchg" else {}
    with pytest.raises(Declined, match="log_leader_policy"):
        solve(Without(se.game("toy3-v0"), "log_leader_policy"), name, budget=2, **settings)
