"""Which equilibrium is played, and what is that worth?  ``python -m baselines.studies.selection`` pays for the escape room under four.

In each game `escape_room` (N followers, M of whom are needed at the lever; ``steps``) the leader pays a follower for going to the lever, to
the start and to the door, and its return is exact for followers who play `Nash` with each selection:

* curves: the lever alone is paid, from 0 to 2
* search: all payments out of `LEVELS`, then coordinate search from the best of them down to steps of 0.01, for each selection; only pure
  equilibria count, where the largest regret in any state is below `PURE`
* first step: 1.01 for the lever, at the start alone (``payments="states"``)
* promise: who is one of two at the lever after the first step is promised a payment for staying there (``payments="states"``)
* beside: the lever is paid beside `BESIDE` for the start and the door

In any equilibrium in which somebody gets out M followers have moved to the lever, which cost them 1 each, and they are no worse off than
if they had stayed: no leader earns more than the ceiling, `cooperative_value` - ``cost`` M.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

import stackelberg_envs as se
from stackelberg_envs.games.escape_room import LARGEST, LEVER, START, EscapeRoom
from stackelberg_envs.planning.hard_policy_iteration import TIE_TOLERANCE
from stackelberg_envs.planning.normal_form import regrets
from stackelberg_envs.response import Response

from ..bench import figures, measured

GAMES = ((2, 1, 5), (3, 2, 5), (3, 1, 5), (5, 3, 1))
"""(N, M, steps)."""
LEVELS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.02, 1.5)
"""Some are a little above what a move to the start or the lever costs, 0 and 1."""
APART = (0.0, 0.01, 0.03)
"""Added to the levels of the three places but to 0, so that followers are seldom indifferent."""
STEPS = (0.2, 0.1, 0.05, 0.02, 0.01)
PROMISED, WAITING = 1.4, 0.15
BESIDE = (0.15, 0.45)
PURE = 1e-6
SELECTIONS = ("best", "worst", "payoff", "risk")


class PureProfiles(se.Nash):
    """`Nash` that never mixes: where a stage game has no pure equilibrium, the profile with the least regret, which is no equilibrium."""

    def alternatives(self, q: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        least = regrets(q).max(axis=0)
        profile = np.unravel_index(int(least.argmin()), least.shape)
        return [tuple(np.eye(count)[b] for count, b in zip(least.shape, profile, strict=True))]


FOLLOWERS = {selection: PureProfiles(selection) for selection in SELECTIONS}


def logits(paid: Any) -> np.ndarray:
    """The commitment that pays this, in [0, 2]; its ends up to 4e-9."""
    share = np.asarray(paid, dtype=np.float64).ravel() / LARGEST
    with np.errstate(divide="ignore"):
        return np.clip(np.log(share) - np.log1p(-share), -20.0, 20.0)


def score_selection(game: EscapeRoom, paid: Any, selection: str) -> dict[str, float]:
    """The leader's return, the followers' largest regret in any state, and how many equilibria the start has, up to names."""
    x = logits(paid)
    result = se.evaluate(game, x, follower=FOLLOWERS[selection])
    (response,) = result.responses
    return {"return": float(result.leader_return), "regret": largest_regret(game, x, response), "rest": count_equilibria(game, x, response)}


def stage_payoffs(game: EscapeRoom, x: np.ndarray, response: Response, s: int) -> np.ndarray:
    """The followers' action values in a state, given what is played afterwards, (n, B_0, ..., B_{n-1})."""
    (process,) = game.problems(x)
    later = np.stack([process.transition[s, 0] @ answer.values for answer in response.answers])
    return (process.follower_rewards[:, s, 0] + process.follower_discount * later).reshape(-1, *process.actions)


def largest_regret(game: EscapeRoom, x: np.ndarray, response: Response) -> float:
    """What a follower would gain by another action in the state where that is most."""
    played = [tuple(int(policy[s, 0].argmax()) for policy in response.policies) for s in range(game.sizes[0][0])]
    return max(float(regrets(stage_payoffs(game, x, response, s))[(slice(None), *profile)].max()) for s, profile in enumerate(played))


def count_equilibria(game: EscapeRoom, x: np.ndarray, response: Response) -> int:
    """Pure equilibria of the first step, given what is played afterwards; those that differ only in who is who are one."""
    q = stage_payoffs(game, x, response, 0)
    at_rest = regrets(q).max(axis=0) <= TIE_TOLERANCE * (1 + np.abs(q).max())
    return len({tuple(sorted(profile)) for profile in np.argwhere(at_rest).tolist()})


def score_all_selections(game: EscapeRoom, paid: Any) -> dict[str, dict[str, float]]:
    """`score_selection` for every selection."""
    return {selection: score_selection(game, paid, selection) for selection in SELECTIONS}


def coordinate_search(game: EscapeRoom, selection: str, paid: tuple[float, ...], value: float) -> dict[str, Any]:
    """Coordinate search among payments with pure equilibria."""
    for step in STEPS:
        while True:
            moves = [s * step * axis for axis in np.eye(3) for s in (-1, 1)]
            near = [tuple(np.clip(np.round(paid + move, 2), 0, LARGEST).tolist()) for move in moves]
            tried = [(score_selection(game, at, selection), at) for at in near]
            best, at = max(((one["return"], at) for one, at in tried if one["regret"] <= PURE), default=(value, paid))
            if best <= value + PURE:
                break
            value, paid = best, at
    return {"paid": paid, "return": value}


def leader_returns(each: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of `score_all_selections`."""
    return {selection: one["return"] for selection, one in each.items()}


def search_payments(game: EscapeRoom) -> dict[str, Any]:
    """What is found with all three payments, and what the grid says of selection."""
    places = [[level + apart * (level > 0) for level in LEVELS] for apart in APART]
    grid = {paid: score_all_selections(game, paid) for paid in product(*places)}
    certified = {paid: each for paid, each in grid.items() if all(one["regret"] <= PURE for one in each.values())}
    found = {}
    for selection in SELECTIONS:
        value, paid = max((each[selection]["return"], paid) for paid, each in certified.items())
        found[selection] = coordinate_search(game, selection, paid, value)
    spread = {paid: float(np.ptp([one["return"] for one in each.values()])) for paid, each in certified.items()}
    widest = max(spread, key=lambda at: spread[at])
    return {
        "found": found,
        "points": len(grid),
        "pure": len(certified),
        "differ": sum(value > PURE for value in spread.values()),
        "single": sum(all(one["rest"] == 1 for one in each.values()) for each in certified.values()),
        "widest": {"paid": widest, "returns": leader_returns(certified[widest])},
    }


def first_step(agents: int, needed: int, steps: int) -> dict[str, dict[str, float]]:
    """What 1.01 for the lever at the start earns."""
    game = EscapeRoom(agents=agents, needed=needed, steps=steps, payments="states")
    paid = np.zeros((game.sizes[0][0], 3))
    paid[0, LEVER] = 1.01
    return score_all_selections(game, paid)


def promise(promised: float = PROMISED) -> dict[str, dict[str, float]]:
    """Three followers and two steps: going to the lever pays only if another one goes too, and waiting for them pays the third."""
    game = EscapeRoom(agents=3, needed=2, steps=2, payments="states")
    paid = np.zeros((game.sizes[0][0], 3))
    paid[0, START] = WAITING
    paid[[t == 1 and where.count(LEVER) == 2 for t, where in game.state_names], LEVER] = promised
    return score_all_selections(game, paid)


def pay_all_places(lever: float) -> dict[str, dict[str, float]]:
    """The default game, where all three places are paid."""
    return score_all_selections(EscapeRoom(), (lever, *BESIDE))


def measure(points: int) -> measured.Rows:
    """One row a game, and one for the promise."""
    rows: measured.Rows = []
    lever = np.round((np.arange(points) + 0.5) * LARGEST / points, 6).tolist()
    for agents, needed, steps in track(GAMES, "games"):
        game = EscapeRoom(agents=agents, needed=needed, steps=steps)
        rows.append(
            {
                "game": [agents, needed, steps],
                "cooperative": se.cooperative_value(game),
                "unpaid": score_all_selections(game, (0, 0, 0)),
                "zero": score_all_selections(game, (1, 1, 1)),
                "lever": lever,
                "curves": [score_all_selections(game, (paid, 0, 0)) for paid in lever],
                "first_step": first_step(agents, needed, steps),
                **search_payments(game),
            }
        )
    curves = {"beside": [pay_all_places(paid) for paid in lever], "promised": [promise(paid) for paid in lever]}
    return [*rows, {"lever": lever, "promise": promise(), **curves}]


def draw(rows: measured.Rows) -> Figure:
    """The return against what the lever is paid; dots where a state has no pure equilibrium."""
    figure = Figure(figsize=(9, 5.6))
    *games, last = rows
    shown = [("{} followers, {} needed, {} steps".format(*row["game"]).replace("1 steps", "1 step"), row["curves"]) for row in games]
    shown += [("2, 1, 5, start and door paid too", last["beside"]), ("3, 2, 2, the lever promised to two", last["promised"])]
    panels = list(figure.subplots(2, 3).flat)
    for axis, (title, curve) in zip(panels, shown, strict=True):
        for i, selection in enumerate(SELECTIONS):
            y, regret = np.array([(point[selection]["return"], point[selection]["regret"]) for point in curve]).T
            line: dict[str, Any] = {"color": figures.COLOURS[i], "label": f"Nash({selection!r})"}
            axis.plot(last["lever"], np.where(regret <= PURE, y, np.nan), **line, lw=(9, 6, 3.5, 1.2)[i], solid_capstyle="butt")
            axis.plot(last["lever"], np.where(regret > PURE, y, np.nan), ".", color="black", ms=3, label="no pure equilibrium")
        axis.set_title(title, fontsize=9.5, loc="left")
        axis.set_xlabel("promised for the lever, once" if curve is last["promised"] else "paid for the lever, in each step")
        axis.set_ylabel("leader's return")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis, row in zip(panels, games, strict=False):
        axis.axhline(row["cooperative"], color="black", lw=1, ls="--", label="cooperative value")
        axis.axhline(row["cooperative"] - row["game"][1], color="black", lw=1, ls=":", label="ceiling: cooperative value - M")
    figure.tight_layout()
    legend = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(legend.values(), legend.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=4, frameon=False, fontsize=9)
    return figure


def page(rows: measured.Rows) -> str:
    """What is found, how often selection matters on the grid, and the promise."""

    def format_number(value: float) -> str:
        return f"{round(value, 2) + 0.0:.2f}"

    def format_selections(returns: dict[str, Any]) -> str:
        return " | ".join(format_number(returns[selection]) for selection in SELECTIONS)

    head = "| N, M, steps | " + "{} | " + " | ".join(SELECTIONS) + " |\n|---|---|" + "---|" * len(SELECTIONS)
    games = [(", ".join(map(str, row["game"])), row) for row in rows if "game" in row]
    found, grid, widest = [head.format("ceiling")], [], [head.format("paid for lever, start, door")]
    for name, row in games:
        cells = [
            f"{format_number(row['found'][s]['return'])} at ({', '.join(f'{p:g}' for p in row['found'][s]['paid'])})" for s in SELECTIONS
        ]
        found.append(f"| {name} | {row['cooperative'] - row['game'][1]:g} | " + " | ".join(cells) + " |")
        nothing, zero, once = (format_number(row[key]["worst"]["return"]) for key in ("unpaid", "zero", "first_step"))
        counts = f"{row['points']} | {row['pure']} | {row['single']} | {row['differ']}"
        grid.append(f"| {name} | {row['cooperative']:g} | {nothing} | {zero} | {once} | {counts} |")
        if row["differ"]:
            widest.append(
                f"| {name} | {', '.join(f'{p:g}' for p in row['widest']['paid'])} | {format_selections(row['widest']['returns'])} |"
            )
    widest.append(f"| 3, 2, 2 | promise | {format_selections(leader_returns(next(row['promise'] for row in rows if 'promise' in row)))} |")
    told = (
        "| N, M, steps | cooperative | nothing paid | x = 0 | 1.01 at the first step | searched | pure | single | returns differ |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    tables = ("\n".join(found), "\n".join([told, *grid]), "\n".join(widest))
    titles = ("Best found for each selection", "What is played on the grid", "Where selection matters most")
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in zip(titles, tables, strict=True)) + "\n"


if __name__ == "__main__":
    measured.main(__doc__, measure, draw, page=page, name="selection", option="points", count=50, words="points of a curve")
