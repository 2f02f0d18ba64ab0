"""The report: one self-contained HTML page from results on disk, and the same table for the terminal."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from rich.markup import escape
from rich.table import Table

from stackelberg_envs.leader.access import Access

from . import best as best_known
from . import failures, figures, results_file, telemetry_curves
from .audit import audit, split
from .configuration import Config, Section
from .descent import descent_note
from .jobs import Job
from .printing import fitting_table
from .quantities import share
from .stats import Interval, summary
from .story import as_html


@dataclass(frozen=True)
class Row:
    """One solver on one game."""

    label: str
    solver: str
    access: Access
    """What it was granted: results are compared within a level."""
    knows: str
    """Level and permissions, as `Job.access_label` says them."""
    score: Interval
    highest: float
    gap: float | None
    """Best known less the interquartile mean."""
    commitments: int
    work: str
    seconds: float
    optimism: float | None = None
    """Mean of what solvers with followers of their own claim beyond the referee's score, at the end; None where none does."""

    @property
    def gap_text(self) -> str:
        """The gap with three decimals, and no -0.000."""
        return "-" if self.gap is None else f"{round(self.gap, 3) + 0.0:.3f}"


@dataclass(frozen=True)
class Part:
    """One game of the report."""

    section: Section
    rows: list[Row]
    best: best_known.Best | None
    groups: dict[str, list[dict[str, Any]]]
    only_ours: bool = False
    """Whether the committed record has no value of this world, and ``best`` is the end of one of these runs."""
    others: bool = False
    """Whether the committed record has no such value of this world, and ``best`` is the end of none of these runs."""
    remarks: tuple[str, ...] = ()
    """What is not shown, and what is kept apart, each in words."""
    record: str = ""
    """The name of the configuration's own record, where ``best`` comes from it; empty elsewhere."""

    @property
    def best_name(self) -> str:
        """What ``best`` is the best of."""
        return "best of these runs" if self.only_ours else "best of other runs" if self.others else "best known"

    @property
    def heading(self) -> str:
        """The title, and what gaps are to: whose record says so, if it is not the common one."""
        if self.best is None:
            return self.section.title
        source = f", {self.record}: {self.best.found_by}" if self.record else ""
        return f"{self.section.title}   ({self.best_name} {self.best.leader_return:.4f}{source})"

    @property
    def statistics(self) -> str:
        """What the table's numbers are, and which results are not among them, in words."""
        said = ["F: interquartile mean over seeds of the score at the last report, with its 95 % bootstrap interval."]
        if self.only_ours:
            said.append(
                "This world has no recorded value: the gap is to the best of these runs; stackelberg best makes it a record of your own, "
                "and stackelberg polish searches on from every end point."
            )
        if self.others and self.best:
            said.append(
                f"The best of other runs is in best_known.jsonl beside the results ({self.best.found_by}): of other code, of another "
                "configuration, or of stackelberg polish."
            )
        return " ".join([*said, *(f"Note: {remark}." for remark in (*self.remarks, *self.descents))])

    @property
    def descents(self) -> list[str]:
        """Which solvers ended with less than they began with, and how often."""
        fell = {label: sum(descent_note(run["history"], {}) is not None for run in group) for label, group in self.groups.items()}
        return [f"F fell in {share(count, len(self.groups[label]), 'run')} of {label}" for label, count in fell.items() if count]

    @property
    def has_claims(self) -> bool:
        """Whether any solver scores itself too."""
        return any(row.optimism is not None for row in self.rows)

    @property
    def settings(self) -> str:
        """The game's arguments and followers, as one line."""
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.section.world.arguments.items())
        follower = self.section.world.answerer() or self.section.world.game().default_follower
        judged = f"; scored in {self.section.referee.label} {self.section.referee.arguments}" if self.section.referee else ""
        score = f"; {self.section.score!r}" if self.section.score else ""
        return f"{self.section.world.label}({arguments}), follower {follower!r}{judged}{score}"


def collect_parts(config: Config, results: Path, *best_files: Path) -> list[Part]:
    """What the results say of a configuration; runs that are not there yet are left out."""
    lines, everything = results_file.read_lines(results), {job.id for job in config.jobs}
    own_record = best_known.read_best(*([config.record] if config.record else []))
    record = best_known.read_best(best_known.COMMITTED, *([config.record] if config.record else []))
    best = dict(record)
    for key, entry in best_known.read_best(*best_files).items():
        best[key] = max(entry, best.get(key, entry), key=lambda each: each.leader_return)
    parts, failed = [], failures.read(results)
    for section in config.sections:
        groups: dict[str, list[dict[str, Any]]] = {}
        own = {job.id for job in section.jobs}
        checked = audit(section.jobs, [line for line in lines if line[1]["id"] in own or line[1]["id"] not in everything])
        for result in checked.results:
            groups.setdefault(result["job"]["label"], []).append(result)
        groups, mixed = split(groups)
        key = (section.referee or section.world).key
        top = best.get(key) if section.score is None else None  # the record has one kind of score
        missing = config.record is not None and section.score is None and key not in record
        if section.score is None and top is None and groups:
            top = _best_end(groups)
        ours = top is not None and key not in record and _is_end(top, groups)
        others = top is not None and key not in record and not ours
        away = failures.missing_runs(section.jobs, {result["id"] for result in checked.results}, failed)
        remarks = (*away, *checked.remarks, *mixed, *([_no_entry(config.record, own_record, section)] if missing and config.record else []))
        source = config.record.name if config.record and top is not None and own_record.get(key) == top else ""
        rows = [_row(label, group, top) for label, group in groups.items()]
        rows.sort(key=lambda row: (-row.access, -row.score.centre))
        parts.append(Part(section, rows, top, groups, ours, others, remarks, source))
    return parts


def _best_end(groups: dict[str, list[dict[str, Any]]]) -> best_known.Best:
    """The best commitment that a run ended with."""
    run = max((run for group in groups.values() for run in group), key=lambda run: run["leader_return"])
    return best_known.of_run(run, Job.from_dict(run["job"]))


def _no_entry(record: Path, entries: dict[str, best_known.Best], section: Section) -> str:
    """That a configuration's own record has nothing for a world, and why where that can be told."""
    world = section.referee or section.world
    older = any(entry.world == world for entry in entries.values())
    return f"{record.name} has nothing for this world" + (f" (an entry of {world.label} is of other code)" if older else "")


def _is_end(top: best_known.Best, groups: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether a run ended at this commitment, as far as the 9 digits that slim records keep tell."""
    return any(np.allclose(run["x"], top.x, rtol=1e-7, atol=1e-12) for group in groups.values() for run in group)


def _row(label: str, group: list[dict[str, Any]], top: best_known.Best | None) -> Row:
    job = Job.from_dict(group[0]["job"])
    values = [result["leader_return"] for result in group]
    cost = {key: float(np.mean([result["cost"].get(key, 0) for result in group])) for key in group[0]["cost"]}
    work = ", ".join(
        f"{cost[key]:,.0f} {name}"
        for key, name in (
            ("outcome_steps", "outcome steps"),
            ("training_steps", "training steps"),
            ("queries", "queries"),
            ("model_calls", "model calls"),
            ("newton_evaluations", "Newton evaluations"),
            ("linear_solves", "linear solves"),
        )
        if cost.get(key)  # records of older versions know fewer
    )
    score = summary(values)
    seconds = float(np.mean([result["timing"]["seconds"] for result in group]))
    gap = None if top is None else top.leader_return - score.centre
    claims = [row["optimism_gap"] for result in group if "optimism_gap" in (row := result["history"][-1])]
    optimism = float(np.mean(claims)) if claims else None
    return Row(
        label,
        job.solver,
        job.granted_access,
        job.access_label,
        score,
        max(values),
        gap,
        round(cost["commitments"]),
        work,
        seconds,
        optimism,
    )


UNITS = {2: "seeds", 4: "best seed", 7: "s", 8: "optimism"}
"""What follows the numbers of `table` that stand below others."""


def table(part: Part, width: int = 400) -> Table:
    """The table for a terminal of so many characters, by access level."""
    claims = ("optimism",) if part.has_claims else ()
    gap_name = f"gap to\n{part.best_name}" if width < 110 else f"gap to {part.best_name}"
    header = ("access", "solver", "seeds", "F: IQM [95 %]", "best seed", gap_name, "commitments", "solver seconds", *claims)
    cells: list[tuple[str, ...]] = []
    for row in part.rows:
        numbers = (
            str(row.score.seeds),
            escape(str(row.score)),
            f"{row.highest:.3f}",
            row.gap_text,
            f"{row.commitments:,}",
            f"{row.seconds:.1f}",
        )
        extra = ("-" if row.optimism is None else f"{row.optimism:+.3f}",) if part.has_claims else ()
        cells.append((row.knows, escape(row.label), *numbers, *extra))
    for entry in part.section.published:
        error = f" ± {entry['error']:.3f}" if "error" in entry else ""
        gap = f"[dim]{part.best.leader_return - entry['value']:.2f}[/]" if part.best else ""
        label = f"[dim]{escape('published: ' + entry['label'])}[/]"
        cells.append(("", label, "", f"[dim]{entry['value']:.2f}{error}[/]", "", gap, "", "", *([""] if part.has_claims else [])))
    stacks = ((1, 0), (3, 4), *(((5, 8), (6, 7, 2)) if part.has_claims else ((5, 2), (6, 7))))
    caption = escape(f"{part.settings}\n{part.statistics}")
    return fitting_table(header, cells, stacks, width=width, title=escape(part.heading), caption=caption, units=UNITS)


def write(
    config: Config, parts: list[Part], path: Path, *, command: list[str], results: Path | None = None, figure_folder: Path | None = None
) -> None:
    """Write the page and, if there is a folder for them, its figures as SVG files.

    Args:
        config: what was run.
        parts: what the results say of it.
        path: the page to write.
        command: what made it, as the page says.
        results: the folder of the results, for the command that scores the best commitments again; None for the default one.
        figure_folder: for the figures.
    """
    shown = []
    for part in parts:
        if not part.rows:
            continue
        drawn = draw(part)
        if figure_folder is not None:
            for name, text in drawn.items():
                game = re.sub(r"[^\w-]+", "_", part.section.world.label.removesuffix("-v0"))
                results_file.replace(figure_folder / f"{game}-{name}.svg", text)
        story = sys.modules[type(part.section.world.game()).__module__].__doc__ or ""
        shown.append(
            {
                "part": part,
                "story": as_html(story.split("\n\nSource:")[0]),
                "figures": {name: figures.data_uri(text) for name, text in {**drawn, **_narrow(part)}.items()},
                "telemetry_caption": telemetry_curves.CAPTION,
                "curves_caption": figures.curves_caption(part.groups),
                "jobs": len(part.section.jobs),
                "map": part.section.world.game().layout is not None,
                "caption": figures.caption(part.section.world.game()),
                "done": sum(len(group) for group in part.groups.values()),
            }
        )
    made_by = [result["versions"] for part in parts for group in part.groups.values() for result in group]
    versions = {name: said for name, said in next(iter(made_by), {}).items() if all(other.get(name) == said for other in made_by)}
    told = {line for entry in shown for line in entry["part"].section.refused}
    page = template("report.html.jinja").render(
        config=config,
        shown=shown,
        refused=[line for line in config.refused if line not in told],
        command=shlex.join(command),
        check=shlex.join(["stackelberg", "check", "--best", *([] if results is None else ["--results", str(results)])]),
        versions=versions,
    )
    results_file.replace(path, page)


def template(name: str) -> Template:
    """The template of a page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return environment.get_template(name)


def draw(part: Part) -> dict[str, str]:
    """The figures of one game by name, as SVG."""
    learned = {label: np.array(_median(group)["x"]) for label, group in part.groups.items()}
    if part.best is not None and not any(np.array_equal(x, part.best.x) for x in learned.values()):
        learned[part.best_name] = np.array(part.best.x)
    judged = part.section.referee or part.section.world
    return {
        "curves": _curves(part),
        **_telemetry(part),
        "learned": figures.svg(figures.learned_figure(judged.game(), learned, judged.answerer(), part.section.score)),
    }


def _curves(part: Part, *, stacked: bool = False) -> str:
    top = part.best.leader_return if part.best else None
    return figures.svg(figures.curves(part.groups, top, list(part.section.published), part.best_name, stacked=stacked))


def _telemetry(part: Part, *, stacked: bool = False) -> dict[str, str]:
    """What was measured along the runs, if anything was."""
    figure = telemetry_curves.telemetry_curves(part.groups, stacked=stacked)
    return {} if figure is None else {"telemetry": figures.svg(figure)}


def _narrow(part: Part) -> dict[str, str]:
    """Curves for narrow screens, by name."""
    return {"narrow": _curves(part, stacked=True), **{f"narrow_{name}": text for name, text in _telemetry(part, stacked=True).items()}}


def _median(group: list[dict[str, Any]]) -> dict[str, Any]:
    """The run whose score is the (lower) median."""
    return sorted(group, key=lambda result: result["leader_return"])[(len(group) - 1) // 2]
