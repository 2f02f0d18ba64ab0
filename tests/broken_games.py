"""Healthy games with one defect each, and what each does to who uses it; ``python tests/broken_games.py`` writes the table of them.

Those whose optional pieces are wrong are in `broken_pieces`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from broken_commits import (
    Detached,
    DrawsAnew,
    Lenient,
    NumPyInside,
    Overwrites,
    PaysMore,
    Single,
    Stale,
    Stateful,
    Thresholds,
    Transposed,
    Uniform,
    absorbing,
    bursting,
    drifting_start,
    fewer_actions,
    growing,
    negative,
    overflowing,
    patient,
    single_table,
    softplus,
    swapped_discounts,
)
from broken_pieces import BROKEN_PIECES, BROKEN_STEPS, Broken, Steered, With
from broken_worlds import (
    Changed,
    NeverEnds,
    OtherSlip,
    OverlooksMasks,
    PaysOtherwise,
    PaysTheOther,
    SlipsInPlay,
    StartsElsewhere,
    StepsPayLate,
    bonuses,
    masked,
    of,
)
from gymnasium.spaces import Box
from small_games import Doors, Umpired

import stackelberg_envs as se

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "check-a-game.md"


class Defect(NamedTuple):
    """A broken game, the check that must fail, what it says, and what the defect does to a user."""

    build: Callable[[], Any]
    check: str
    said: str
    harm: str


WORLDS, PURE, TORCH = "worlds are what they should be", "commit is a pure function", "torch agrees and differentiates"
EPISODES, ANSWERS, DECLARED = "episodes follow the tables", "the default follower answers", "declarations"
ONLY_NUMBERS, DIFFER = "a commitment changes tables or functions, and nothing else", "contexts differ, and so do commitments"
PLACES = "the layout has a place for each state"
BROKEN_GAMES: dict[str, Defect] = {
    "planner with another slip than its rows": Defect(
        lambda: Changed(bonuses(), lambda world, x, context: replace(world, transition=OtherSlip(world.transition))),
        "operations of a transition agree with its rows",
        "OtherSlip.expect is not that of its own rows",
        "Followers answer to another world than they walk in: the published bug of Four Rooms.",
    ),
    "simulator with another slip than the planner": Defect(
        lambda: Changed(bonuses(), of(SlipsInPlay)),
        EPISODES,
        "do not follow the tables",
        "Sampled methods learn another game than the one that is scored.",
    ),
    "simulator pays other rewards": Defect(
        lambda: Changed(bonuses(), of(PaysOtherwise)),
        EPISODES,
        "the leader is not paid by the tables",
        "Returns of episodes do not come to the score.",
    ),
    "single steps pay a step late": Defect(
        lambda: Changed(bonuses(), of(StepsPayLate)),
        EPISODES,
        "the leader, in single steps, is not paid by the tables",
        "Environments show the rewards of the step before; a critic learns them for the wrong state.",
    ),
    "reward of the wrong follower": Defect(
        lambda: Changed(Umpired(follower_sees="action"), of(PaysTheOther)),
        EPISODES,
        "follower 0 is not paid by the tables",
        "Followers who learn from episodes learn to please their opponent.",
    ),
    "episodes begin elsewhere": Defect(
        lambda: Changed(bonuses(), of(StartsElsewhere)),
        EPISODES,
        "first states of episodes do not follow the tables",
        "Sampled returns are those of another start.",
    ),
    "end states that do not end": Defect(
        lambda: Changed(Changed(bonuses(), absorbing), of(NeverEnds)),
        EPISODES,
        "next states of episodes do not follow the tables",
        "Episodes collect reward after their end.",
    ),
    "simulator ignores masks": Defect(
        lambda: Changed(masked(), of(OverlooksMasks)),
        EPISODES,
        "where it is not available",
        "Followers do in episodes what they cannot do.",
    ),
    "planner ignores masks": Defect(
        lambda: Changed(masked(), default_follower=Uniform(0.1)),
        "followers keep to the actions that they have",
        "and it is not available there",
        "The answer by which commitments are scored is impossible.",
    ),
    "mask under some commitments alone": Defect(
        lambda: Changed(bonuses(), fewer_actions),
        "followers keep to the actions that they have",
        "none under the null commitment",
        "Views decide by the null commitment whether they show masks, and show none.",
    ),
    "negative probabilities away from 0": Defect(
        lambda: Changed(bonuses(), negative), WORLDS, "probabilities are not negative", "Values are finite, plausible, and of no process."
    ),
    "rows that sum to more than 1 away from 0": Defect(
        lambda: Changed(bonuses(), bursting), WORLDS, "sums to", "Returns grow without bound along the direction that the ascent likes."
    ),
    "start distribution that sums to 1 at 0 alone": Defect(
        lambda: Changed(bonuses(), drifting_start), WORLDS, "initial sums to", "The leader is paid for creating probability."
    ),
    "NaN far out": Defect(
        lambda: Changed(bonuses(), overflowing, leader_cost=lambda x, context=0: bonuses().leader_cost(x) + softplus(x)),
        "far commitments induce worlds, too",
        "leader_reward is -inf",
        "A run dies after hours, when a component first exceeds 700.",
    ),
    "softmax that overflows": Defect(
        Doors, "far commitments induce worlds, too", "of transition", "Probabilities become NaN, of which every comparison is false."
    ),
    "single precision inside": Defect(
        lambda: Single(bonuses()), TORCH, "central difference", "Gradients are right to three digits; line searches stop early."
    ),
    "tables in single precision": Defect(
        lambda: Changed(bonuses(), single_table), "tables keep double precision", "is float32", "Exact scores are exact to seven digits."
    ),
    "detached from the commitment": Defect(
        lambda: Detached(bonuses()), TORCH, "central difference", "Exact gradients are zero: the leader stands still, and nothing says why."
    ),
    "NumPy inside": Defect(lambda: NumPyInside(bonuses()), TORCH, "raised", "Methods that differentiate stop with an error of torch's."),
    "jumps, and says that it is smooth": Defect(
        lambda: Thresholds(bonuses(), incentive=None, leader_cost=None),
        TORCH,
        "moves with x and has no slope",
        "Methods that differentiate accept the game, and do not move.",
    ),
    "context ignored": Defect(
        lambda: Changed(Steered(), lambda world, x, context: world, induced=lambda x, context: Steered().induced(x, 0)),
        DIFFER,
        "contexts 'calm' and 'busy' induce the same worlds",
        "The mean over contexts is the score of one.",
    ),
    "commitment ignored": Defect(
        lambda: Changed(bonuses(), induced=lambda x, context: bonuses().induced(0 * x, context), incentive=None, leader_cost=None),
        DIFFER,
        "the leader moves nothing",
        "Every method seems to reach the optimum.",
    ),
    "worlds cached by context": Defect(
        lambda: Stale(bonuses()), DIFFER, "the leader moves nothing", "The first commitment that anybody makes is scored ever after."
    ),
    "commit counts its calls": Defect(
        lambda: Stateful(bonuses()), PURE, "commit is not a function of x", "No run can be repeated, and no gradient is one."
    ),
    "commit changes its argument": Defect(
        lambda: Overwrites(bonuses()), PURE, "commit changed its argument", "The solver's iterate moves behind its back."
    ),
    "unpickled to another game": Defect(
        lambda: DrawsAnew(discount=0.5, price=1.0),
        "a pickled game is the same game",
        "a pickled game differs",
        "Each worker of a benchmark plays a game of its own.",
    ),
    "NaN accepted": Defect(
        lambda: Lenient(bonuses()), "bad commitments are refused", "commit accepted NaN", "A diverged run is scored as the null commitment."
    ),
    "a batch read the wrong way round": Defect(
        lambda: Transposed(discount=0.5, price=1.0),
        "a batch equals a loop",
        "of a batch differs from the same commitment alone",
        "Methods that score many commitments at once score mixtures of them.",
    ),
    "components in another order in incentive than in commit": Defect(
        lambda: With(bonuses(), incentive=lambda x, context=0: bonuses().incentive(array_namespace(x).flip(x, axis=-1))),
        "incentive and cost are what the leader sets",
        "still depends on the commitment",
        "Solvers that know the instrument pay in the wrong places.",
    ),
    "discounts swapped in one context": Defect(
        lambda: Changed(Steered(), swapped_discounts),
        DECLARED,
        "the leader has one discount",
        "The mean over contexts adds unlike things.",
    ),
    "discount that moves with the commitment": Defect(
        lambda: Changed(bonuses(), patient),
        ONLY_NUMBERS,
        "follower_discount is 0.5",
        "Solvers read the discount once, and their gradients leave it out.",
    ),
    "actions that come and go": Defect(
        lambda: Changed(bonuses(), growing, incentive=None, leader_cost=None),
        ONLY_NUMBERS,
        "sizes is (4, 1, 3)",
        "Spaces of environments are those of the null commitment.",
    ),
    "a place too few": Defect(
        lambda: Changed(_rooms(), layout=replace(_rooms().layout, cells=_rooms().layout.cells[:-1])),
        PLACES,
        "has 103 places, and there are 104 states",
        "Pictures fail, or show each state a cell too early.",
    ),
    "places on walls": Defect(
        lambda: Changed(_rooms(), layout=replace(_rooms().layout, cells=tuple((col, row) for row, col in _rooms().layout.cells))),
        PLACES,
        "there is a wall",
        "Rows and columns are swapped in every picture.",
    ),
    "objective that is no sum": Defect(
        lambda: PaysMore(bonuses()),
        "the objective is what leader_reward adds up to",
        "say additive = False",
        "Estimators that add up rewards ascend another function.",
    ),
    "default follower that does not answer best": Defect(
        lambda: Changed(bonuses(), default_follower=Uniform(0.5)),
        ANSWERS,
        "leaves a follower gap",
        "Scores are those of a follower who errs.",
    ),
    "zero-sum, and it is not": Defect(
        lambda: Changed(
            Umpired(follower_sees="action"), lambda world, x, context: replace(world, follower_rewards=world.follower_rewards + 0.1)
        ),
        ANSWERS,
        "do not sum to 0",
        "The saddle point that is found is of another game.",
    ),
    "hidden actions that are paid for": Defect(
        lambda: Changed(bonuses(), follower_actions_public=False),
        "the leader is paid for outcomes where actions are hidden",
        "which is hidden",
        "The leader reads hidden actions off its rewards.",
    ),
    "context probabilities that do not sum to 1": Defect(
        lambda: Changed(Steered(), context_probabilities=np.array([0.5, 0.6])),
        DECLARED,
        "context probabilities sum to 1",
        "Scores are no means, and some contexts are drawn too often.",
    ),
    "no null commitment": Defect(
        lambda: Changed(bonuses(), leader_space=Box(0.5, 1.0, (12,), np.float64)),
        DECLARED,
        "leader_space contains 0",
        "What is read off the null commitment is of one that no leader may make.",
    ),
}
"""Name to defect."""
PIECES_HARM = {
    "incentive": "Solvers that know the instrument ascend a wrong gradient.",
    "leader_cost": "Solvers climb the wrong way, or pay too much.",
    "log_kernel": "Sampled gradients through the dynamics are wrong.",
    "log_leader_policy": "Policy gradients are of another policy.",
    "an acting leader": "Estimators leave out what it sets.",
    "shading": "Pictures fail or show other states.",
    "leader_cost of steps": "The same as for tables.",
    "incentive_at": "The same as of `incentive`.",
}
"""Of groups of `broken_pieces`, by the first words of their names."""


def _rooms() -> Any:
    return se.game("four_rooms-v0")


def table() -> str:
    """The defects as a table in Markdown, those of pieces one line a piece."""
    lines = ["| defect | what it does to a user | the check that fails |", "|---|---|---|"]
    lines += [f"| {name} | {defect.harm} | {defect.check} |" for name, defect in BROKEN_GAMES.items()]
    pieces: dict[str, Broken] = {**BROKEN_PIECES, **BROKEN_STEPS}
    for (group, check), entries in itertools.groupby(pieces.items(), lambda item: (_group(item[0]), item[1][1])):
        faults = ", ".join(name.removeprefix(group).lstrip(", ") for name, _ in entries)
        shown = group if " " in group else f"`{group}`"
        lines.append(f"| {shown}: {faults} | {PIECES_HARM[group]} | {check} |")
    return "\n".join(lines)


def _group(name: str) -> str:
    return max((group for group in PIECES_HARM if name.startswith(group)), key=len)


def main() -> None:
    """Write the table into the page, between its marks."""
    head, _, rest = PAGE.read_text().partition("<!-- defects: python tests/broken_games.py -->\n")
    _, _, tail = rest.partition("<!-- end of defects -->")
    PAGE.write_text(f"{head}<!-- defects: python tests/broken_games.py -->\n{table()}\n<!-- end of defects -->{tail}")


if __name__ == "__main__":
    main()
