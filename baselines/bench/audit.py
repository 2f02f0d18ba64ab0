"""Which lines of a results file count, and what is said of the others: edited, repeated, of other code, of other versions.

Nothing here trusts a line.  One that contradicts itself, its checksum or the job that its id stands for is named by its number and left
out; what its commitment is worth to the referee is said beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import solvers.registry
from solvers.versions import version_changes, versions
from stackelberg_envs.game import judge_of

from . import results_file
from .flaws import flaw
from .jobs import Job
from .quantities import be, quantity
from .results_file import Line
from .source import suite_digest

PLAIN = ("seed", "budget", "solver", "start_scale")
"""Fields of a job that are spelt in one way only."""


@dataclass(frozen=True)
class Audit:
    """The results of some jobs that count, and what there is to say of the file's other lines."""

    results: list[dict[str, Any]]
    """Each with its job as it is here: where code lies is another place on another machine."""
    remarks: list[str]
    flawed: frozenset[str]
    """Ids of the jobs whose last line is not a result."""


def audit(jobs: Sequence[Job], lines: Sequence[Line]) -> Audit:
    """Sort the lines of a results file into results of ``jobs`` and remarks."""
    ids = {job.id for job in jobs}
    found = results_file.by_id(line for line in lines if line[1]["id"] in ids)
    results, remarks, flawed = [], list(_repetitions(lines, found)), set()
    for job in jobs:
        if job.id not in found:
            continue
        number, result = found[job.id][-1]
        wrong = flaw(result) or disagreement(result, job)
        if wrong is None:
            results.append({**result, "job": job.as_dict()})
        else:
            flawed.add(job.id)
            remarks.append(f"line {number} is not shown ({job.title}): {wrong}{_second_opinion(result, job)}")
    return Audit(results, [*remarks, *_of_other_code(jobs, lines)], frozenset(flawed))


def disagreement(result: dict[str, Any], job: Job) -> str | None:
    """How a line that is whole contradicts the job that its id stands for; None if it does not."""
    said, wanted = portable(result["job"]), portable(job.as_dict())
    for name in PLAIN:
        if said.get(name) != wanted[name]:
            return f"job.{name} is {said.get(name)!r}, and its id is of a run with {wanted[name]!r}"
    if said != wanted and not _same_id(result["job"], job):  # a world may be spelt in several ways
        names = [name for name in wanted if said.get(name) != wanted[name]]
        return f"its id is of a job with another {', '.join(names) or 'content'}"
    shape = job.world.commitment_shape
    return None if np.shape(result["x"]) == shape else f"its x has shape {np.shape(result['x'])}, and commitments here {shape}"


def portable(job: dict[str, Any]) -> dict[str, Any]:
    """`results_file.portable_job`, with a solver of the suite by its name, however it was named."""
    return {**results_file.portable_job(job), "solver": solvers.registry.REGISTRY.label(job["solver"])}


def _same_id(said: dict[str, Any], job: Job) -> bool:
    """Whether a job spelt otherwise is this one; only code that this one runs is asked."""
    here = job.as_dict()
    worlds = {name: said[name] and {**said[name], "id": (here[name] or here["world"])["id"]} for name in ("world", "referee")}
    for name, world in worlds.items():
        if world and world.get("follower") and (here[name] or {}).get("follower"):
            worlds[name] = {**world, "follower": {**world["follower"], "kind": here[name]["follower"]["kind"]}}
    try:
        return Job.from_dict({**said, **worlds, "solver": here["solver"]}).id == job.id
    except (KeyError, TypeError, ValueError):
        return False


def _second_opinion(result: dict[str, Any], job: Job) -> str:
    """What the referee says of a doubtful line's commitment: one evaluation."""
    try:
        return f"; the referee scores its x at {rescore(result, job):.6g}, and the line says {result['leader_return']!r}"
    except (KeyError, TypeError, ValueError):
        return ""


def rescore(result: dict[str, Any], job: Job) -> float:
    """The referee's score of a result's commitment, now.

    Raises:
        ValueError: if it is none of the game's.
    """
    game = job.score_world.game()
    judge = judge_of(job.score_world.answerer() or game.default_follower)
    return float((job.score or solvers.Score()).of(game, np.asarray(result["x"]), judge).leader_return)


def _repetitions(lines: Iterable[Line], found: dict[str, list[Line]]) -> Iterator[str]:
    """Lines with the id of another that neither say the same nor that their run was made anew."""
    kept = {number for group in found.values() for number, _ in group}
    for number, result in lines:
        if result["id"] not in found:
            continue
        first, original = found[result["id"]][0]
        if number not in kept and results_file.comparable(result) != results_file.comparable(original):
            yield f"line {number} is not shown: it has the id of line {first}, and says something else"


def _of_other_code(jobs: Sequence[Job], lines: Iterable[Line]) -> Iterator[str]:
    """Runs with the settings of one of the jobs and another id: of code that has changed since."""
    ids, wanted = {job.id for job in jobs}, {_settings(job.as_dict()): job for job in jobs}
    groups: dict[tuple[str, str], list[str]] = {}
    for _, result in {result["id"]: (number, result) for number, result in lines}.values():  # a run that came back has several lines
        try:
            job = None if result["id"] in ids else wanted.get(_settings(result["job"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        if job is not None:
            groups.setdefault((job.label or job.solver, _difference(result, job)), []).append(
                result.get("timing", {}).get("finished") or ""
            )
    for (label, why), finished in groups.items():
        days = sorted({when[:10] for when in finished if when})
        made = f", made {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
        runs = quantity(len(finished), "run")
        yield f"{runs} of {label} by other code {be(len(finished))} not shown{made}: {why}"


def _settings(job: dict[str, Any]) -> str:
    return results_file.canonical(portable(job))


def _difference(result: dict[str, Any], job: Job) -> str:
    """Which code a run was made by, beside that of today."""
    code, now = result.get("code", {}), job.foreign_code
    names = [name for name in now if code.get(name) != now[name]]
    told = f"{' and '.join(names)} had another source" if names else ""
    suite = version_changes({"stackelberg-envs": result.get("versions", {}).get("stackelberg-envs")}, _suite_version())
    return told or suite or "the game's tables, or what the follower or solver say of themselves, have changed"


def _suite_version() -> dict[str, str]:
    return {"stackelberg-envs": versions()["stackelberg-envs"]}


def provenance(result: dict[str, Any]) -> dict[str, str]:
    """What computed a result: versions of packages and the digest of the suite's code, where the line says it."""
    suite = result.get("code", {}).get("suite")
    return {**result["versions"], **({} if suite is None else {"suite code": suite})}


def current_provenance() -> dict[str, str]:
    """`provenance` of what would be run now."""
    return {**versions(), "suite code": suite_digest()}


def split(groups: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Groups of results by label, each cut where what computed them differs, and a remark on each that was cut.

    The parts are called after what tells them apart, as in ``exact (numpy 2.3.1)``.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    remarks = []
    for label, group in groups.items():
        made = [provenance(result) for result in group]
        names = [name for name in dict.fromkeys(name for each in made for name in each) if len({each.get(name) for each in made}) > 1]
        tags = [", ".join(f"{name} {each.get(name, 'not recorded')}" for name in names) for each in made]
        for result, tag in zip(group, tags, strict=True):
            parts.setdefault(f"{label} ({tag})" if names else label, []).append(result)
        if names:
            counted = "; ".join(f"{count} with {tag}" for tag, count in Counter(tags).items())
            remarks.append(f"runs of {label} are kept apart, for they were made by different code ({counted}); --again makes them anew")
    everything = [provenance(result) for group in groups.values() for result in group]
    several = {name: {each.get(name, "not recorded") for each in everything} for name in dict.fromkeys(n for e in everything for n in e)}
    if mixed := [f"{name} {' and '.join(sorted(found))}" for name, found in several.items() if len(found) > 1]:
        remarks.append(f"the runs of this table were made by different code: {', '.join(mixed)}")
    return parts, remarks


def version_differences(results: Iterable[dict[str, Any]]) -> str:
    """How what computed these results differs from what is installed now, as far as their lines say it; empty if it does not."""
    now = current_provenance()
    made = [provenance(result) for result in results]
    changes = Counter(version_changes(each, {name: now[name] for name in each if name in now}) for each in made)
    return "; ".join(f"{count} of them with {said}" for said, count in changes.items() if said)
