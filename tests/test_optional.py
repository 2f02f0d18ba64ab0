"""What a game may also say: pieces, their protocols, and the table of the solvers that they open."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import stackelberg_envs as se
from baselines.bench.pieces import BEGIN, END, PAGE, VARIANTS, Without, methods, plays, table
from solvers import Declined, solve
from stackelberg_envs.leader.repeated_game import RepeatedGame
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


def test_who_solves_independent_followers_is_what_the_page_says() -> None:
    """docs/explanation/interacting-followers.md: rows of followers, and each solver, in its defaults or else as it is written there."""
    text = (Path(__file__).parents[1] / "docs" / "explanation" / "interacting-followers.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (`.*`) \|$", text.partition("walkers=2")[2], flags=re.MULTILINE))
    followers = {
        "Soft": se.Soft(0.1),
        "Hard": se.Hard("strong"),
        "Quantal": se.Quantal(0.1),
        "EpsilonOptimal": se.EpsilonOptimal(0.1),
        "Truncated": se.Truncated(0.1, 5),
        "MirrorDescent": se.MirrorDescent(0.1),
        "SoftQLearning": se.SoftQLearning(0.1, 100),
        "NaturalPolicyGradient": se.NaturalPolicyGradient(0.1, 10),
    }
    two = se.game("four_rooms-v0", walkers=2)
    for names, said in rows.items():
        for name in re.findall(r"\w+", names):
            rounds = RepeatedGame(two, followers.pop(name))
            play = [
                method for method, (solver, access) in methods().items() if plays(solver, rounds.oracle(access, solver.permissions), [])
            ]
            due = {method for method in play if "(" not in method or method.partition("(")[0] not in play}
            assert set(re.findall(r"`([^`]+)`", said.replace('"', ""))) == due, name
    assert not followers
