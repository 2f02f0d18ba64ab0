"""Steps of one follower, fast: what a step needs is looked up once per commitment.

`stackelberg_envs.views.episode.Episode` defines what a step does.  `FastSteps` does the same, to the bit and with the same noise, for the
common case: one follower that has all its actions always, and sees the leader's action or only its policy.  All views of such games use
it.  Whoever asks a view for its episode or its generator makes `FastSteps` write back what has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..play.sampled_rollouts import SampledStepper
from ..play.steps import TabularStepper
from .episode import Episode
from .lookups import IndexLookup, SlotLookup, VectorLookup
from .sampled_steps import SingleDraws, sampled_steps
from .tabular_steps import CUT, ENDED, UniformBlocks, tabular_steps

INTEGERS = frozenset({int, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64})
LONGEST = 100_000
"""Steps of an episode up to which the powers of the discount are kept."""
KINDS: dict[type, tuple[Any, Any, Any]] = {
    TabularStepper: (tabular_steps, UniformBlocks, VectorLookup),
    SampledStepper: (sampled_steps, SingleDraws, SlotLookup),
}
"""By what takes single steps: the functions that play an episode, what they draw from, and how vectors are seen."""


class FastSteps:
    """An episode that has a commitment, until it ends or somebody asks for it.

    Args:
        episode: an episode for which `applies` holds.
        noise: what the episode draws from; its generator may be ahead of what has been used.
        lookups: how leader and follower see the process; none if nobody looks.

    Attributes:
        advance: takes a step; see `stackelberg_envs.views.tabular_steps.Advance`.
        take_lead: see `stackelberg_envs.views.tabular_steps.StepFunctions`.
        now: likewise.
        choices: how many actions the follower has; 0 where they are vectors.
        leader_view: gives the leader's observation, of the state and the follower's last action.
        follower_view: gives the follower's observation, of the state and the leader's action.
        leader_rows: the leader's index observations by state and action; None for vectors.
        follower_rows: the follower's.
    """

    __slots__ = (
        "_account",
        "_episode",
        "_follower",
        "advance",
        "choices",
        "follower_rows",
        "follower_view",
        "leader_rows",
        "leader_view",
        "now",
        "take_lead",
    )

    def __init__(self, episode: Episode, noise: Any, lookups: Sequence[Any] = ()) -> None:
        self._episode, self._follower = episode, episode.followers[0]
        self.choices = int(getattr(episode.action_spaces[self._follower], "n", 0))
        if lookups:
            leader, follower = lookups
            self.leader_view, self.follower_view = leader.observe, follower.observe
            self.leader_rows, self.follower_rows = leader.rows, follower.rows
        functions, _, _ = KINDS[type(episode.steppers[0])]
        self.advance, self.take_lead, self.now, self._account = functions(episode, noise)

    @staticmethod
    def applies(episode: Episode) -> bool:
        """Whether an episode that has a commitment can be played so."""
        return (
            episode.game.followers == 1
            and type(episode.steppers[0]) in KINDS
            and not episode.game.masked
            and episode.game.visibility[0] in ("action", "policy")
            and episode.max_cycles <= LONGEST
        )

    def leader_observation(self) -> np.ndarray | np.int64:
        """What the leader sees now."""
        state, _, action = self.now()
        return self.leader_view(state, action)

    def follower_observation(self) -> np.ndarray | np.int64:
        """What the follower sees now."""
        state, lead, _ = self.now()
        return self.follower_view(state, lead)

    def info(self, agent: str) -> dict[str, Any]:
        """See `Episode.info`."""
        account = self._account()
        return {"time": float(account.time), "discounted_return": account.returns[agent == self._follower]}

    def legal(self, action: Any) -> Any:
        """A legal action of the follower's, an index or a vector; raises ActionError."""
        if action.__class__ in INTEGERS and 0 <= action < self.choices:
            return int(action)
        return self._episode.legal_action(self._follower, action)

    def write_back(self) -> None:
        """Bring the episode to where it would be without this class; the noise is given back by whoever has made it."""
        episode, agents = self._episode, self._episode.agents
        state, lead, action, episode.time, rewards, returns, progress = self._account()
        episode.states, episode.follower_actions = [state], [action]
        episode.leader_actions, episode.signals = [lead], [lead]  # the action itself: `applies` has left out noisy signals
        episode.rewards, episode.returns = dict(zip(agents, rewards, strict=True)), dict(zip(agents, returns, strict=True))
        episode.terminated, episode.truncated = progress == ENDED, progress == CUT


class EpisodeHolder:
    """A mixin for views that hold one `Episode`, and play it fast until somebody asks for it.

    A class that has fast steps says so by ``has_fast_steps``.  Its subclasses do not inherit that: they may override any part of a step.
    """

    _episode: Episode
    _np_random: Any
    _steps: FastSteps | None = None
    _noise: Any = None
    """Where fast steps draw from; nothing is left of it when the generator is used otherwise."""
    _lent = False
    """Whether somebody else may have the generator: then nothing is drawn ahead from one episode to the next."""
    _lookups: dict[int, tuple[Any, Sequence[Any]]]

    @property
    def episode(self) -> Episode:
        """The episode, which may be looked at and changed; it stands still when the environment steps on, so ask again after a step."""
        self._write_back()
        return self._episode

    @episode.setter
    def episode(self, episode: Episode) -> None:
        self._write_back()
        self._episode = episode

    def __getstate__(self) -> dict[str, Any]:
        """The episode says all; fast steps are begun anew, here and in the copy."""
        playing = self._steps is not None
        self._write_back()
        state = {key: value for key, value in self.__dict__.items() if key not in ("_noise", "_lookups")}
        if playing:
            self._prepare()
        return {**state, "_steps": playing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _steps=None, _lookups={})
        if state["_steps"]:
            self._prepare()

    def _write_back(self) -> None:
        """End fast steps, if there are any: episode and generator are up to date again."""
        if self._steps is not None:
            self._steps.write_back()
            self._steps = None
        if self._noise is not None:
            self._noise.give_back()

    def _end(self) -> None:
        """The episode is over: `_write_back`, but the next one goes on with the noise that has been drawn."""
        assert self._steps is not None
        self._steps.write_back()
        self._steps = None
        if self._lent and self._noise is not None:
            self._noise.give_back()

    def _reseed(self, generator: np.random.Generator | None, *, lent: bool) -> None:
        """Draw from another generator."""
        self._np_random, self._noise, self._lent = generator, None, lent

    @property
    def _uniforms(self) -> Any:
        """What an episode begins with: the noise of fast steps or, where there are none, the generator."""
        return self._np_random if self._noise is None else self._noise

    def _prepare(self) -> None:
        """Begin fast steps where there are any; the episode has a commitment.  Where there are none, the generator is up to date."""
        if vars(type(self)).get("has_fast_steps", False) and FastSteps.applies(self._episode):
            if self._noise is None:
                _, draws, _ = KINDS[type(self._episode.steppers[0])]
                self._noise = draws(self._np_random)
            self._steps = FastSteps(self._episode, self._noise, self._find_lookups())
        elif self._noise is not None:
            self._noise.give_back()

    def _find_lookups(self) -> Sequence[Any]:
        """How leader and follower see the process that is played, for fast steps."""
        episode, (stepper,) = self._episode, self._episode.steppers
        kept = self._lookups.get(episode.context)
        if kept is None or kept[0] is not stepper:
            lookup = IndexLookup if episode.observations == "index" else KINDS[type(stepper)][2]
            kept = self._lookups[episode.context] = stepper, [lookup(episode, agent) for agent in episode.agents]
        return kept[1]
