"""Checks of a functional game: what it declares, its purity, its worlds near and far, its answers.

What a game with tables owes besides is in `stackelberg_envs.testing.table_checks`, and what one without in
`stackelberg_envs.testing.sampled_checks`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from typing import Any

import numpy as np

from ..commitments import CommitmentError
from ..followers.exact import Hard, Soft
from ..game import Layout, StackelbergGame, skip_checks
from .report import Report, require, unpicklable
from .sampled_checks import check_functions
from .table_checks import check_tables

SUM_TOLERANCE = 1e-9
FAR = 1e4
"""How far from 0 the components of a commitment are at which worlds still have to be some: `commit` takes any finite vector."""


def check_game(game: StackelbergGame, *, seed: int = 0, endless: bool = False) -> Report:
    """Check a functional game.

    A game that would be refused when it is played, because its worlds are none, is looked at all the same.

    Args:
        game: the game.
        seed: of the commitments that are tried.
        endless: whether no episode ends by itself; then a row of transitions that sums to less than 1 is an error.  Else it is the
            probability of the end, and the report notes where there are any.

    Raises:
        ConformanceError: with everything that was found.
    """
    rng = np.random.default_rng(seed)
    tried = [np.zeros(game.dimension), *(np.clip(s * rng.normal(size=(2, game.dimension)), -10, 10) for s in (0.1, 3.0))]
    points = np.clip(np.concatenate([np.atleast_2d(x) for x in tried]), game.leader_space.low, game.leader_space.high)
    report, game = Report(f"game {game.name}"), skip_checks(game)
    report.check("declarations", _declarations, game)
    report.check("commit is a pure function", _purity, game, points)  # first: the others lend it their points
    report.check("worlds are what they should be", _worlds, game, points)
    report.check("far commitments induce worlds, too", _far_worlds, game)
    report.check("a commitment changes tables or functions, and nothing else", _only_numbers_change, game, points)
    report.check("contexts differ, and so do commitments", _differences, game, points)
    report.check("a pickled game is the same game", _pickles, game, points)
    report.check("bad commitments are refused", _refusals, game)
    report.check("the default follower answers", _answers, game, points)
    report.check("the objective is what leader_reward adds up to", _objective, game, points)
    report.check("the layout has a place for each state", _layout, game)
    report.check("shading is one number a place", _shading, game, points)
    kinds: list[str] = []
    with suppress(Exception):  # that nothing is induced has been said
        kinds += dict.fromkeys(world.kind for world in game.null_worlds)
    for kind in kinds:
        _CHECKS_BY_KIND.get(kind, lambda *_: None)(report, game, points, endless)
    return report.conclude()


_CHECKS_BY_KIND: dict[str, Callable[[Report, StackelbergGame, np.ndarray, bool], None]] = {
    "tables": check_tables,
    "vectors": lambda report, game, points, endless: check_functions(report, game, points),
}


def _declarations(game: StackelbergGame) -> None:
    space = game.leader_space
    require(space.dtype == np.float64 and len(space.shape) == 1, f"leader_space is a flat float64 Box, got {space}")
    require(bool(np.isfinite(space.low).all() and np.isfinite(space.high).all()), "leader_space is bounded by finite numbers")
    require(bool(np.zeros(game.dimension) in space), "leader_space contains 0, the null commitment")
    probabilities = np.asarray(game.context_probabilities)
    require(probabilities.shape == (len(game.contexts),), "one probability a context")
    require(bool((probabilities >= 0).all()) and abs(probabilities.sum() - 1) < SUM_TOLERANCE, "context probabilities sum to 1")
    require(game.max_cycles >= 1, "max_cycles is at least 1")
    discounts = {mdp.leader_discount for context in game.contexts for mdp in game.problems(np.zeros(game.dimension), context)}
    require(len(discounts) == 1, f"the leader has one discount in all contexts, not {sorted(discounts)}")
    require(len(game.spaces) == game.followers, f"commit returns processes of {len(game.spaces)} followers, and declares {game.followers}")


def _worlds(game: StackelbergGame, points: np.ndarray) -> None:
    for x in points:
        for context in game.contexts:
            wrong = [said for world in game.problems(x, context) for said in world.violations()]
            require(not wrong, f"in context {context}: {'; '.join(wrong)}")


def _far_worlds(game: StackelbergGame) -> None:
    """At the corners of the leader's space, and far beyond them: softmax and exp overflow first."""
    wave = np.cos(np.arange(1.0, game.dimension + 1))
    far = {
        "the lower corner of leader_space": game.leader_space.low,
        "its upper corner": game.leader_space.high,
        f"{FAR:g} cos(1, 2, ...)": FAR * wave,
        f"{-FAR:g} cos(1, 2, ...)": -FAR * wave,
    }
    for where, x in far.items():
        for context in game.contexts:
            with np.errstate(all="ignore"):  # 1 / (1 + exp(1000)) overflows on its way, and is right
                wrong = [said for world in game.problems(x, context) for said in world.violations()]
            require(not wrong, f"at {where}, in context {context}: {'; '.join(wrong)}")


def _purity(game: StackelbergGame, points: np.ndarray) -> None:
    kept = []
    for x in points:
        lent = x.copy()
        kept.append(game.problems(lent))
        require(np.array_equal(x, lent), "commit changed its argument")
    for x, first in zip(points, kept, strict=True):
        require(_same(first, game.problems(x)), "commit is not a function of x")


def _only_numbers_change(game: StackelbergGame, points: np.ndarray) -> None:
    """Sizes, discounts and what followers see are declarations: views and solvers read them once, from the null commitment."""
    for context in game.contexts:
        null, *others = (game.problems(x, context) for x in points)
        for worlds in others:
            require(len(worlds) == len(null), f"some commitment induces {len(worlds)} worlds in place of {len(null)}")
            for one, other in zip(null, worlds, strict=True):
                for name in ("sizes", "actions", "follower_discount", "leader_discount", "follower_sees"):
                    was, now = getattr(one, name, None), getattr(other, name, None)
                    require(was == now, f"{name} is {was} under the null commitment and {now} under another")


def _differences(game: StackelbergGame, points: np.ndarray) -> None:
    """Of contexts, because a method that ignores its argument ``context`` raises no error; and of commitments likewise."""
    tried = [[game.problems(x, context) for x in points] for context in game.contexts]
    require(
        any(not _same(worlds[0], other) for worlds in tried for other in worlds[1:]),
        f"{len(points)} commitments induce the same worlds: the leader moves nothing",
    )
    for i, j in combinations(range(len(tried)), 2):
        same = all(_same(one, other) for one, other in zip(tried[i], tried[j], strict=True))
        require(not same, f"contexts {game.contexts[i]!r} and {game.contexts[j]!r} induce the same worlds: is the context ignored?")


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(one) == len(other) and all(mine.same_as(theirs) for mine, theirs in zip(one, other, strict=True))


def _pickles(game: StackelbergGame, points: np.ndarray) -> str | None:
    reason = unpicklable(game)
    if reason is None:
        twin = pickle.loads(pickle.dumps(game))
        for x in points:
            require(_same(game.problems(x), twin.problems(x)), "a pickled game differs")
    return reason


def _refusals(game: StackelbergGame) -> None:
    n = game.dimension
    for bad, what in ((np.full(n, np.nan), "NaN"), (np.full(n, np.inf), "infinity"), (np.zeros(n + 1), "a wrong shape"), ("x", "text")):
        try:
            game.commit(bad)
        except CommitmentError:
            continue
        require(False, f"commit accepted {what}")


def _objective(game: StackelbergGame, points: np.ndarray) -> str | None:
    if not game.additive:
        return "the objective is no sum over steps"
    if type(game).objective is StackelbergGame.objective:
        return "the objective is not overridden"
    for context in range(len(game.contexts)):
        x = points[-1]
        problems, policies = game.problems(x, context), game.default_follower.respond(game, x, context).policies
        own, due = (float(objective(game, problems, policies)) for objective in (type(game).objective, StackelbergGame.objective))
        require(
            abs(own - due) <= SUM_TOLERANCE * (1 + abs(due)), f"objective is {own:.6g}, rewards add up to {due:.6g}; say additive = False"
        )
    return None


def _layout(game: StackelbergGame) -> str | None:
    layout: Layout | None = game.layout
    if layout is None or not game.tabular:
        return "the game has no layout of states"
    if layout.places is None:
        cells = [layout.cells]
        for s, *_ in game.sizes:
            require(len(layout.cells) == s, f"layout.cells has {len(layout.cells)} places, and there are {s} states")
    else:
        cells = list(layout.places)
        require(len(cells) == game.followers, f"layout.places is of {len(cells)} followers, and there are {game.followers}")
        for i, (own, (s, *_)) in enumerate(zip(cells, game.sizes, strict=True)):
            require(len(own) == s, f"layout.places of follower {i} has {len(own)} places, and there are {s} states")
    for row, column in {place for own in cells for place in own}:
        inside = 0 <= row < len(layout.map) and 0 <= column < len(layout.map[row])
        require(inside, f"layout puts a state at {(row, column)}, which is not on the map of {len(layout.map)} rows")
        require(layout.map[row][column] != "#", f"layout puts a state at {(row, column)}, and there is a wall")
    return None


def _shading(game: StackelbergGame, points: np.ndarray) -> str | None:
    if game.shading is None or game.layout is None:
        return "the game has no shading, or no layout to shade"
    for x, name in ((points[0], "one commitment"), (points, f"{len(points)} commitments")):
        shape, expected = np.shape(np.asarray(game.shading(x))), (*x.shape[:-1], len(game.layout.cells))
        require(shape == expected, f"shading of {name} has shape {shape}, and with one number for each cell of layout it is {expected}")
    require(bool(np.isfinite(np.asarray(game.shading(points))).all()), "shading is not finite")
    return None


def _answers(game: StackelbergGame, points: np.ndarray) -> None:
    from ..evaluation import evaluate

    for x in points:
        result = evaluate(game, np.broadcast_to(x, game.commitment_shape))
        require(bool(np.isfinite(result.leader_return)), "the score is not finite")
        if isinstance(game.default_follower, (Soft, Hard)) and (game.tabular or game.closed_forms):  # elsewhere the gap is an estimate
            require(
                not float(result.follower_gap) >= 1e-7, f"the default follower leaves a follower gap of {float(result.follower_gap):.3g}"
            )
