"""How episodes end, and whether what was earned is paid."""

from __future__ import annotations

from typing import Any

from .driver import Driver, Snapshot
from .interface_checks import Episodes, agents_that_end
from .report import Advice, NotChecked, Report, Violation, require
from .subject import STEPS, Subject


def check_endings(report: Report, subject: Subject, episodes: Episodes) -> None:
    """Look at how ``episodes`` ended, and play some to their end."""
    report.check("episodes end", _episodes_end, subject, episodes)
    report.check("the end is the same for all", _same_end, subject, episodes, lenient=True)
    report.check("after the end nobody is left", _nobody_left, subject, episodes)
    report.check("a limit of time truncates", _truncation, subject, episodes)
    report.check("last() pays what was earned", _last_pays, subject)


def _has_ended(episode: list[Snapshot]) -> bool:
    return set(episode[-1].observations) <= agents_that_end(episode[-1])


def _episodes_end(subject: Subject, episodes: Episodes) -> None:
    if any(map(_has_ended, episodes)):
        return
    played, limit = max(len(episode) - 1 for episode in episodes), subject.limit()
    require(played > 0, "no move was made")
    turns = 2 * max(len(moment.observations) for episode in episodes for moment in episode) + 2
    if limit is not None and played > (limit[1] + 2) * turns:
        raise Violation(f"{limit[0]} is {limit[1]}, and after {played} moves no episode had ended")
    raise NotChecked(f"NO EPISODE ENDED in {played} moves, so nothing is known of ends; pass max_moves=, or a shorter limit")


def _same_end(subject: Subject, episodes: Episodes) -> str | None:
    ended = [episode for episode in episodes if agents_that_end(episode[-1])]
    if not ended:
        return "no episode ended"
    for episode in ended:
        for moment in episode:
            if not agents_that_end(moment):
                continue
            for kind, flags in (("termination", moment.terminations), ("truncation", moment.truncations)):
                if len(set(flags.values())) > 1:
                    raise Advice(f"a {kind} for some but not for all: {flags}; libraries then never end the episode")
    everybody = getattr(subject.env, "possible_agents", None) or list(episodes[0][0].observations)
    for episode in ended:
        here = set(episode[-1].observations) | agents_that_end(episode[-1])
        require(here == set(everybody), f"agents left before the end: {sorted(map(str, here))} remain")
    return None


def _nobody_left(subject: Subject, episodes: Episodes) -> str | None:
    if not any(map(_has_ended, episodes)):
        return "no episode ended"
    longest = min(len(episode) - 1 for episode in episodes if _has_ended(episode))
    seed = next(i for i, episode in enumerate(episodes) if _has_ended(episode) and len(episode) - 1 == longest)
    env = subject.env
    driver = Driver(env, subject.seed + seed, subject.roles)
    while not driver.is_over and driver.moves < max(STEPS, subject.max_moves):
        driver.advance()
    for _ in range(len(driver.snapshot().observations) if subject.aec else 0):
        if env.agents:
            env.step(None)
    require(not env.agents, f"everybody's episode has ended, and agents is still {list(env.agents)}")
    return None


def _truncation(subject: Subject, episodes: Episodes) -> str | None:
    """The same episode under half the limit: where it ends earlier, the limit has ended it, and that is a truncation."""
    limit = subject.limit()
    ended = [i for i, episode in enumerate(episodes) if _has_ended(episode)]
    if not ended:
        return "no episode ended"
    if limit is None:
        lengths = {len(episodes[i]) for i in ended}
        by_rule = all(any(episodes[i][-1].terminations.values()) for i in ended)
        fixed = f"; all of {len(ended)} ended after {lengths.pop() - 1} moves, by termination" if len(lengths) == 1 and by_rule else ""
        raise NotChecked(f"no attribute says how long an episode may be; give the environment a writable max_cycles{fixed}")
    name, value = limit
    shorter = max(1, min(value // 2, 25))
    env = subject.fresh()
    setattr(env.unwrapped, name, shorter)
    for i in ended[:3]:
        cut = subject.play(env, subject.max_moves, seed=subject.seed + i)
        if len(cut) < len(episodes[i]):
            last = cut[-1]
            require(
                not any(last.terminations.values()),
                f"with {name} = {shorter} the episode ends after {last.moves} moves instead of {episodes[i][-1].moves}, "
                f"and says terminated: {last.terminations}; learners then take the last state to be worth nothing",
            )
            return None
    return f"no episode reached {name}"


def _last_pays(subject: Subject) -> str | None:
    if not subject.aec:
        return "only AEC environments have last()"
    env: Any = subject.env
    driver = Driver(env, subject.seed, subject.roles, grouped=False)
    owed: dict[str, float] = dict.fromkeys(env.agents, 0.0)
    while env.agents and driver.moves < subject.max_moves:
        mover = env.agent_selection
        gone = env.terminations[mover] or env.truncations[mover]
        paid, due = float(env.last()[1]), owed[mover]
        require(abs(paid - due) < 1e-6 * (1 + abs(due)), f"last() pays {mover} {paid}, but it has earned {due} since it last acted")
        driver.advance()
        owed[mover] = 0.0
        for agent, reward in [] if gone else env.rewards.items():
            owed[agent] = owed.get(agent, 0.0) + float(reward)
    return None
