"""Strategic games of two players as Gambit writes them (``.nfg``): the leader commits to a mixed strategy, and the follower answers.

After the players and their strategies, or the numbers of these, come payoffs, or outcomes and which outcome each profile has; the first
player's strategy changes fastest: https://gambitproject.readthedocs.io/en/latest/formats.html.
"""

from __future__ import annotations

import os

import numpy as np

from ..arguments import nearest
from .text import TextFile, Words
from .world_tables import WorldTables

WORD = r'(?P<word>"(?:[^"\\]|\\.)*"|[{}]|[^\s{},"]+)'


def read_nfg(path: str | os.PathLike[str], *, leader: str | int = 0) -> WorldTables:
    """The one state in which both players move once; ``game()`` needs no arguments, since the file says what both of them get.

    The leader commits to probabilities of its strategies, and the follower sees these, and not which one is played.

    Args:
        path: the file.
        leader: which player commits, by its name or its number from 0.

    Raises:
        ValueError: for what is no such file, naming the line; for games of more than two players; for a leader that does not play.
    """
    words = Words(TextFile(path), WORD)
    for known, expected in ((("NFG",), "NFG"), (("1",), "1, the version of the format"), (("R", "D"), "R, or D in old files")):
        words.take(expected, *known)
    title = _text(words, "the title, in quotes")
    line, players = words.line, _texts(words, "the names of players, in quotes")
    if len(players) != 2:
        raise words.file.error(line, f"expected two players, a leader and a follower, got {len(players)}")
    strategies = _strategies(words)
    if words.peek().startswith('"'):
        _text(words, "a comment")
    payoffs = (_by_outcome if words.peek() == "{" else _by_profile)(words, (len(strategies[0]), len(strategies[1])))
    if words.peek():
        raise words.error("the end of the file")
    if leader not in (0, 1) and leader not in players:
        raise ValueError(f"leader is not {leader!r}; {nearest(str(leader), players)}")
    first = leader if leader in (0, 1) else players.index(str(leader))
    mine, yours = (payoffs[:, :, 0], payoffs[:, :, 1]) if first == 0 else (payoffs[:, :, 1].T, payoffs[:, :, 0].T)
    a, b = mine.shape
    return WorldTables(
        np.zeros((1, a, b, 1)),
        yours[None],
        (title or "start",),
        (strategies[1 - int(first)],),
        initial=np.ones(1),
        terminal=np.zeros(1, dtype=bool),
        leader_reward=mine[None],
        arguments={"name": words.file.path.stem, "follower_discount": 1.0, "follower_sees": "policy", "max_cycles": 1},
    )


def _text(words: Words, expected: str) -> str:
    if not words.peek().startswith('"'):
        raise words.error(expected)
    return words.take(expected)[1:-1].replace('\\"', '"')


def _texts(words: Words, expected: str) -> tuple[str, ...]:
    """Quoted words in braces."""
    words.take(f"'{{' and {expected}", "{")
    found = []
    while words.peek() != "}":
        found.append(_text(words, f"{expected}, and '}}'"))
    words.take("'}'", "}")
    return tuple(found)


def _strategies(words: Words) -> list[tuple[str, ...]]:
    """The names of both players' strategies, from 1 where the file has their numbers alone."""
    words.take("'{' and the strategies of each player", "{")
    if words.peek() == "{":
        found = [_texts(words, "the names of strategies, in quotes") for _ in range(2)]
    else:
        found = [tuple(str(i + 1) for i in range(words.whole("how many strategies a player has", 1))) for _ in range(2)]
    if not all(found):
        raise words.error("a strategy for each player before this")
    words.take("'}' after the strategies of two players", "}")
    return found


def _by_profile(words: Words, sizes: tuple[int, int]) -> np.ndarray:
    """(A, B, 2) from two payoffs for each profile."""
    return (
        np.array([words.real(f"{2 * sizes[0] * sizes[1]} payoffs, 2 a profile") for _ in range(2 * sizes[0] * sizes[1])])
        .reshape(sizes[1], sizes[0], 2)
        .transpose(1, 0, 2)
    )


def _by_outcome(words: Words, sizes: tuple[int, int]) -> np.ndarray:
    """(A, B, 2) from outcomes, and the number of that of each profile; 0 is the outcome that pays nothing."""
    words.take("'{'", "{")
    outcomes = [[0.0, 0.0]]
    while words.peek() == "{":
        words.take("{")
        _text(words, "the name of an outcome, in quotes")
        outcomes.append([words.real("the payoffs of an outcome, one a player") for _ in range(2)])
        words.take("'}' after the payoffs of two players", "}")
    words.take("an outcome in braces, or '}' after the last of them", "}")
    count = sizes[0] * sizes[1]
    chosen = [
        words.whole(f"{count} numbers of outcomes, 0 to {len(outcomes) - 1}, one a profile", 0, len(outcomes) - 1) for _ in range(count)
    ]
    return np.array(outcomes)[chosen].reshape(sizes[1], sizes[0], 2).transpose(1, 0, 2)
