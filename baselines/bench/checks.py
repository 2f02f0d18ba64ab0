"""What ``stackelberg check`` and ``instances`` do: the conformance kit, stored best commitments, and the instance lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

import stackelberg_envs as se
from stackelberg_envs.references import ReferenceNotFoundError
from stackelberg_envs.registry import REGISTRY
from stackelberg_envs.testing import ConformanceError, Report, check_env, check_game
from stackelberg_envs.testing.report import ON_CHECK
from stackelberg_envs.testing.roles import RolesError

from . import audit, best, kinds, results_file, worlds_file
from . import instances as listing
from .configuration import Config
from .jobs import Job
from .printing import bar, console, fitting_table, problems
from .quantities import quantity


@dataclass(frozen=True)
class Given:
    """What the author of an environment says of it; None for nothing."""

    leader: str | None = None
    followers: tuple[str, ...] | None = None
    private: tuple[str, ...] | None = None
    hidden: tuple[str, ...] | None = None


PYTHON = "private= and hidden= are --private and --hidden here; twin=, model= and parallel= are arguments of check_env in Python"
"""Where to give what a report says would let it check more."""


def everything(
    names: list[str],
    arguments: Mapping[str, Any] | None = None,
    given: Given | None = None,
    *,
    endless: bool = False,
    verbose: bool = False,
) -> tuple[int, list[str]]:
    """Check games, environments and solvers, printing each verdict; how many checks failed, and which of the names are games.

    What is built is built with ``arguments``, if there are any; ``given`` is for environments, and ``endless`` for games.  What does not
    apply is named if ``verbose``, and else counted.
    """
    said = {key: value for key, value in vars(given or Given()).items() if value is not None}
    options: dict[Any, dict[str, Any]] = {check_env: said, check_game: {"endless": endless}}
    failed, of_games = 0, []
    with bar() as shown, _progress(shown):
        task = shown.add_task("checking", total=len(names))
        for done, name in enumerate(names):
            shown.update(task, completed=done, description=f"checking {escape(name)}")
            try:
                thing, kind = kinds.load(name, arguments)
            except ReferenceNotFoundError as error:
                failed += 1
                console.print(f"[red]{escape(str(error))}[/]", highlight=False)
                continue
            of_games += [name] if kind is kinds.KINDS[se.StackelbergGame] else []
            for check in kind.checks:
                try:
                    report = check(thing, **options.get(check, {}))
                    shown_less = "" if verbose or not report.skipped else f"\n  {len(report.skipped)} skipped (--verbose says why)"
                    console.print(escape(report.text(skipped=verbose) + shown_less + _where_to_say(report)), highlight=False)
                except (ConformanceError, ReferenceNotFoundError, RolesError) as error:
                    failed += 1
                    console.print(f"[red]{escape(str(error) + _where_to_say(getattr(error, 'report', None)))}[/]", highlight=False)
    return failed, of_games


def _where_to_say(report: Report | None) -> str:
    """A line about the arguments that a report asks for; empty if it asks for none."""
    asked = [] if report is None else report.unchecked.values()
    return f"\n  {PYTHON}" if any("private=" in why or "hidden=" in why or "model=" in why for why in asked) else ""


@contextmanager
def _progress(shown: Progress) -> Iterator[None]:
    """Show which check is running; where the bar is not shown, as in a file, a line for each subject."""
    told = set[str]()

    def began(subject: str, check: str) -> None:
        if problems.is_terminal:
            for task in shown.task_ids:
                shown.update(task, description=escape(f"{subject}: {check}"))
        elif subject not in told:
            told.add(subject)
            problems.print(f"checking {escape(subject)}", highlight=False, soft_wrap=True)

    token = ON_CHECK.set(began)
    try:
        yield
    finally:
        ON_CHECK.reset(token)


def best_known(own: Path, ids: list[str] | None, worlds: Path | None = None) -> int:
    """Score the common record and ``own`` again, of these games or all, and print a table; how many are not worth what they say.

    With a folder ``worlds``, what they induce is written there, see `baselines.bench.worlds_file`.
    """
    failed, wanted = 0, {REGISTRY.label(id) for id in ids or ()}
    for id in ids or ():
        REGISTRY.load(id)  # which raises if there is none
    header, rows = ("world", "found by", "stored", "scored now", "no commitment beats"), list[tuple[str, ...]]()
    for key, record in best.read_best(best.COMMITTED, own).items():
        if ids and record.world.label not in wanted:
            continue
        world = f"{key} {record.world.arguments or ''}"
        try:
            value, bounds = record.rescore(), best.upper_bounds(record).values()
        except (KeyError, ReferenceNotFoundError) as error:  # code of others that is not there any more
            failed += 1
            said = f"{escape(record.found_by)}\n[red]{escape(str(error.args[0]))}[/]"
            rows.append((escape(world), said, f"{record.leader_return:.6f}", "-", "-"))
            continue
        if worlds is not None:
            worlds_file.write_worlds(worlds, key, record)
        upper = min(bounds, default=None)
        agrees = abs(value - record.leader_return) < 1e-6 and (upper is None or value <= upper + 1e-6 * (1 + abs(upper)))
        failed += not agrees
        bound = "-" if upper is None else f"{upper:.4f}"
        now = f"{value:.6f}" if agrees else f"[red]{value:.6f}[/]"
        rows.append((escape(world), escape(record.found_by), f"{record.leader_return:.6f}", now, bound))
    if rows or not ids:
        units = {3: "scored now", 4: "at most"}
        title = "Best known commitments, scored again"
        console.print(fitting_table(header, rows, ((0, 1), (2, 3, 4)), width=console.width, title=title, units=units))
    return failed


def best_of(config: Config, own: Path) -> dict[str, best.Best]:
    """Print the best commitment known of each game of a configuration; those that the common record does not have, by world key."""
    common, found = best.read_best(best.COMMITTED), best.read_best(own, *([config.record] if config.record else []))
    table = Table("game", "best known", "found by", "where", title="Best commitments", title_justify="left")
    ours = {}
    for section in config.sections:
        key = (section.referee or section.world).key
        if section.score is not None:
            table.add_row(escape(section.title), "-", "scored over another horizon or discount than the record's", "-")
            continue
        here, there = found.get(key), common.get(key)
        if here is not None and (there is None or here.leader_return > there.leader_return):
            ours[key] = here
        top = ours.get(key) or there
        where = "" if top is None else "yours" if key in ours else "common record"
        cells = ("-", "-") if top is None else (f"{top.leader_return:.6f}", top.found_by)
        table.add_row(escape(section.title), *map(escape, cells), where)
    console.print(table)
    return ours


def score_again(jobs: Sequence[Job], path: Path) -> int:
    """Have the referee score every result again and print what differs; how many lines are wrong or are no results."""
    lines = results_file.read_lines(path)
    checked = audit.audit(jobs, lines)
    by_id, numbers = {job.id: job for job in jobs}, {id: group[-1][0] for id, group in results_file.by_id(lines).items()}
    wrong = list(checked.remarks)
    with bar() as shown:
        for result in shown.track(checked.results, description="scoring again"):
            job, said = by_id[result["id"]], result["leader_return"]
            score = audit.rescore(result, job)
            if abs(score - said) > 1e-5 * max(1.0, abs(said)):  # slim records keep 9 digits of a commitment
                wrong.append(f"line {numbers[result['id']]} ({job.title}): it says {said:.6g}, and its x scores {score:.6g}")
    for remark in wrong:
        problems.print(f"[red]{escape(remark)}[/]", highlight=False, soft_wrap=True)
    console.print(f"{quantity(len(checked.results), 'result')} scored again, {quantity(len(wrong), 'complaint')}")
    return len(wrong)


def instances(output: Path | None) -> int:
    """Make the instance lists and write them to ``output``, or measure the committed ones again; how many complaints there are."""
    wrong: list[str] = []
    with bar() as shown:
        if output is None:
            lists = listing.read_instances(listing.COMMITTED)
            wrong += listing.list_errors(lists)
            everything = [candidate for found in lists.values() for candidate in found]
            for candidate in shown.track(everything, description="measuring again"):
                wrong += listing.complaints(candidate)
        else:
            tasks = {name: shown.add_task(name, total=wanted) for name, (_, wanted) in listing.LISTS.items()}
            lists = listing.collect(lambda name, seed, full: shown.update(tasks[name], completed=full, description=f"{name}, seed {seed}"))
            listing.write(output, lists)
    for name, found in lists.items():
        listed = [candidate.seed for candidate in found if candidate.has_gap]
        console.print(f"{name}: {', '.join(map(str, listed))} (of {len(found)} measured)")
    for said in wrong:
        problems.print(f"[red]{escape(said)}[/]", highlight=False, soft_wrap=True)
    return len(wrong)
