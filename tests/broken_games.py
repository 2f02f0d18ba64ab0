"""Healthy games with one defect each, and what each does to who uses it; ``python tests/broken_games.py`` writes the table of them.

Those whose optional pieces are wrong are in `broken_pieces`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from broken_pieces import BROKEN_PIECES, BROKEN_STEPS, Broken, Steered, With
from gymnasium.spaces import Box
from small_games import Bonuses, Doors, Masked, Umpired

import stackelberg_envs as se
from stackelberg_envs.modified_game import ModifiedGame
from stackelberg_envs.processes.transitions import DenseTransition
from stackelberg_envs.worlds.markov_game import InducedMarkovGame
from stackelberg_envs.worlds.mdp import InducedMDP

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "check-a-game.md"


def bonuses() -> Any:
    return Bonuses(discount=0.5, price=1.0)


def masked() -> Any:
    return Masked(se.game("random_markov_game-v0", states=4, follower_actions=3, max_cycles=20))


class Changed(ModifiedGame):
    """``game``, whose worlds are ``change(world, x, context)``; and attributes by name."""

    def __init__(self, game: Any, change: Callable[[Any, Any, int], Any] | None = None, **declared: Any) -> None:
        super().__init__(game)
        self.layout, self.change = game.layout, change
        vars(self).update(declared)

    def modify(self, process: Any) -> Any:
        return process

    def induced(self, x: Any, context: int) -> Any:
        induced = super().induced(x, context)
        if self.change is None:
            return induced
        changed = tuple(self.change(one, x, context) for one in (induced if isinstance(induced, tuple) else (induced,)))
        return changed if isinstance(induced, tuple) else changed[0]


# -- worlds and transitions of one's own


class OtherSlip(DenseTransition):
    """Planners see more slip than there is in its rows, by which episodes are played."""

    def map(self, f: Callable[[Any], Any]) -> OtherSlip:
        return OtherSlip(f(self.table))

    def as_given(self) -> Any:
        return self

    def expect(self, values: Any) -> Any:
        mean = array_namespace(values).mean(values, axis=-1)[..., None, None, None]
        return 0.8 * super().expect(values) + 0.2 * mean


class Simulated(InducedMDP):
    """Episodes of another process than the one that is planned in."""

    def instead(self) -> InducedMDP:
        return InducedMDP(**{field.name: getattr(self, field.name) for field in fields(InducedMDP)})

    def play(self, policies: Any, *args: Any, **kwargs: Any) -> Any:
        return self.instead().play(policies, *args, **kwargs)


class SlipsInPlay(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), transition=0.6 * self.transition + 0.4 * np.full_like(self.transition, 0.25))


class PaysOtherwise(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), leader_reward=self.leader_reward + 0.01)


class StartsElsewhere(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), initial=np.eye(4)[0])


class NeverEnds(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), transition=self.transition / self.transition.sum(-1, keepdims=True))


class OverlooksMasks(Simulated):
    def instead(self) -> InducedMDP:
        return replace(super().instead(), available=None)

    def play(self, policies: Any, *args: Any, **kwargs: Any) -> Any:
        return super().play([np.full_like(policy, 1 / policy.shape[-1]) for policy in policies], *args, **kwargs)


class StepsPayLate(InducedMDP):
    """Its single steps pay what the step before earned."""

    def stepper(self) -> Any:
        inner, earned = super().stepper(), [0.0]

        class Late:
            initial, leader_action = inner.initial, inner.leader_action

            def step(self, *args: Any) -> Any:
                arrived, paid, led = inner.step(*args)
                earned.append(led)
                return arrived, paid, earned[-2]

        return Late()


class PaysTheOther(InducedMarkovGame):
    """In episodes each follower gets the other's reward."""

    def play(self, *args: Any, **kwargs: Any) -> Any:
        one, other = super().play(*args, **kwargs)
        return replace(one, follower_rewards=other.follower_rewards), replace(other, follower_rewards=one.follower_rewards)


def of(cls: type) -> Callable[..., Any]:
    """The same world as an object of ``cls``, where it is in NumPy."""

    def change(world: Any, x: Any, context: int) -> Any:
        return (cls if isinstance(x, np.ndarray) else type(world))(**{field.name: getattr(world, field.name) for field in fields(world)})

    return change


# -- commit


class Stale(Changed):
    """Keeps what it induced first in each context."""

    def induced(self, x: Any, context: int) -> Any:
        kept = vars(self).setdefault("kept", {})
        key = (context, x.ndim, type(x))
        return kept.setdefault(key, super().induced(x, context))


class Stateful(Changed):
    """What a commitment induces depends on how often it was asked."""

    def induced(self, x: Any, context: int) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return super().induced(x + 1e-3 * self.calls, context)


class Overwrites(Changed):
    def induced(self, x: Any, context: int) -> Any:
        if isinstance(x, np.ndarray) and x.flags.writeable:
            np.clip(x, -0.1, 0.1, out=x)
        return super().induced(x, context)


class Lenient(Changed):
    """Takes what is not finite for zero."""

    def check_commitment(self, commitment: Any) -> Any:
        return super().check_commitment(np.nan_to_num(np.asarray(commitment, dtype=np.float64)))


class DrawsAnew(Bonuses):
    """Its tables are drawn again where it is unpickled: in each worker process another game."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        transition, base, leader = self.tables
        self.tables = transition, base + np.random.default_rng().normal(size=base.shape), leader


class Thresholds(Changed):
    """A subsidy is granted from half on, which has no slope; and the game does not say so."""

    def induced(self, x: Any, context: int) -> Any:
        xp = array_namespace(x)
        return super().induced(xp.round(x), context)


class Single(Changed):
    """Computes in single precision, and converts back."""

    def induced(self, x: Any, context: int) -> Any:
        xp = array_namespace(x)
        return super().induced(xp.astype(xp.astype(x, xp.float32), x.dtype), context)


class Detached(Changed):
    def induced(self, x: Any, context: int) -> Any:
        return super().induced(x.detach() if hasattr(x, "detach") else x, context)


class NumPyInside(Changed):
    def induced(self, x: Any, context: int) -> Any:
        bonus = np.exp(-np.square(x))[..., :1]
        return replace(super().induced(x, context), leader_reward=super().induced(x, context).leader_reward + bonus[..., None, None])


class Transposed(Bonuses):
    """Reads a batch of commitments the wrong way round."""

    def incentive(self, x: Any, context: int = 0) -> Any:
        return super().incentive(array_namespace(x).reshape(x.T, x.shape) if x.ndim == 2 else x)


class PaysMore(Changed):
    """Its objective has a bonus that no step pays, and it does not say that it is no sum."""

    def objective(self, problems: Any, policies: Any, **kwargs: Any) -> Any:
        return super().objective(problems, policies, **kwargs) + 1.0


class Uniform(se.Soft):
    """Plays every action alike, whether it is there or not, and calls that a soft response."""

    def respond(self, game: Any, x: Any, context: Any = 0, **kwargs: Any) -> Any:
        response = super().respond(game, x, context)
        answers = tuple(replace(answer, policy=np.full_like(answer.policy, 1 / answer.policy.shape[-1])) for answer in response.answers)
        return replace(response, answers=answers)


def _negative(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    tilt = xp.tanh(x[..., :1])[..., None, None, None] * xp.asarray([1.0, -1.0, 0.0, 0.0], dtype=x.dtype)
    return replace(world, transition=world.transition + tilt)


def _bursting(world: Any, x: Any, context: int) -> Any:
    return replace(world, transition=world.transition * (1 + x[..., :1] ** 2 / (1 + x[..., :1] ** 2))[..., None, None, None])


def _drifting_start(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    return replace(world, initial=world.initial * xp.exp(0.1 * x[..., :1]))


def _softplus(x: Any) -> Any:
    xp = array_namespace(x)
    return xp.log(1 + xp.exp(x[..., :1]))[..., None, None]


def _overflowing(world: Any, x: Any, context: int) -> Any:
    return replace(world, leader_reward=world.leader_reward - _softplus(x))


def _swapped_discounts(world: Any, x: Any, context: int) -> Any:
    swapped = {"leader_discount": world.follower_discount, "follower_discount": world.leader_discount}
    return replace(world, **swapped) if context else world


def _patient(world: Any, x: Any, context: int) -> Any:
    return replace(world, follower_discount=0.4 if bool((x > 0).any()) else 0.5)


def _growing(world: Any, x: Any, context: int) -> Any:
    """The last follower action is only there where the first component is not positive."""
    if not bool((x[..., 0] > 0).any()):
        return world
    return replace(
        world, transition=world.transition[..., :2, :], **{n: getattr(world, n)[..., :2] for n in ("follower_reward", "leader_reward")}
    )


def _single_table(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    return replace(world, initial=xp.astype(world.initial, xp.float32))


def _fewer_actions(world: Any, x: Any, context: int) -> Any:
    xp = array_namespace(x)
    there = (xp.reshape(x, (*x.shape[:-1], 4, 1, 3)) <= 2) | (xp.arange(3) == 0)
    return replace(world, available=there) if bool(xp.any(x != 0)) else world


def _absorbing(world: Any, x: Any, context: int) -> Any:
    return replace(world, transition=0.8 * world.transition)


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
        lambda: Changed(Changed(bonuses(), _absorbing), of(NeverEnds)),
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
        lambda: Changed(bonuses(), _fewer_actions),
        "followers keep to the actions that they have",
        "none under the null commitment",
        "Views decide by the null commitment whether they show masks, and show none.",
    ),
    "negative probabilities away from 0": Defect(
        lambda: Changed(bonuses(), _negative), WORLDS, "probabilities are not negative", "Values are finite, plausible, and of no process."
    ),
    "rows that sum to more than 1 away from 0": Defect(
        lambda: Changed(bonuses(), _bursting), WORLDS, "sums to", "Returns grow without bound along the direction that the ascent likes."
    ),
    "start distribution that sums to 1 at 0 alone": Defect(
        lambda: Changed(bonuses(), _drifting_start), WORLDS, "initial sums to", "The leader is paid for creating probability."
    ),
    "NaN far out": Defect(
        lambda: Changed(bonuses(), _overflowing, leader_cost=lambda x, context=0: bonuses().leader_cost(x) + _softplus(x)),
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
        lambda: Changed(bonuses(), _single_table), "tables keep double precision", "is float32", "Exact scores are exact to seven digits."
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
        lambda: Changed(Steered(), _swapped_discounts),
        DECLARED,
        "the leader has one discount",
        "The mean over contexts adds unlike things.",
    ),
    "discount that moves with the commitment": Defect(
        lambda: Changed(bonuses(), _patient),
        ONLY_NUMBERS,
        "follower_discount is 0.5",
        "Solvers read the discount once, and their gradients leave it out.",
    ),
    "actions that come and go": Defect(
        lambda: Changed(bonuses(), _growing, incentive=None, leader_cost=None),
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
