"""Command lines of the modules that measure something, or that make a page and a figure of a configuration's results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from . import configuration as jobs
from . import figures, results_file
from .configuration import Config, ConfigError
from .progress import progress
from .report import Part, collect_parts

Rows = list[dict[str, Any]]


def main(
    story: str | None,
    measure: Callable[[int], Rows],
    draw: Callable[[Rows], Figure],
    *,
    page: Callable[[Rows], str] | None = None,
    name: str,
    option: str,
    count: int,
    words: str,
) -> None:
    """Measure, or read what was measured, and draw.

    Args:
        story: what ``--help`` says.
        measure: rows, from so many repetitions, at least two.
        draw: the figure of rows.
        page: their tables in Markdown, written beside the figure.
        name: of results/NAME.json and compared/NAME.svg.
        option: what a repetition is called, e.g. ``"draws"``.
        count: how many, if nothing is said.
        words: what ``--help`` says of it.
    """
    parser = argparse.ArgumentParser(description=story, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(f"--{option}", dest="count", metavar="N", type=int, default=count, help=f"{words} ({count})")
    parser.add_argument("--record", type=Path, default=Path(f"results/{name}.json"), help="where measurements are kept; drawn if there")
    parser.add_argument("--figure", type=Path, default=Path(f"compared/{name}.svg"), help="the figure to write")
    arguments = parser.parse_args()
    if arguments.count < 2:
        parser.error(f"a mean has an error from two {option} on")
    if arguments.record.exists():
        print(f"{arguments.record} is there already and is drawn as it is; delete it to measure again")
        rows = json.loads(arguments.record.read_text(encoding="utf-8"))
    else:
        rows = measure(arguments.count)
        results_file.replace(arguments.record, json.dumps(rows, indent=1) + "\n")
    results_file.replace(arguments.figure, figures.svg(draw(rows)))
    if page is not None:
        results_file.replace(arguments.figure.with_suffix(".md"), page(rows))
    print(f"{arguments.record} drawn in {arguments.figure}")


def from_results(
    story: str | None, kind: str, page: Callable[[Config, list[Part]], str], draw: Callable[[Config, list[Part]], Figure]
) -> None:
    """Write NAME-KIND.md and NAME-KIND.svg of a configuration's results.

    Args:
        story: what ``--help`` says.
        kind: of the page.
        page: its tables in Markdown.
        draw: its figure.
    """
    parser = argparse.ArgumentParser(description=story, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a configuration, by path or name, that has been run")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with the results (results)")
    parser.add_argument("--output", type=Path, default=Path("compared"), help=f"folder for NAME-{kind}.md and NAME-{kind}.svg (compared)")
    arguments = parser.parse_args()
    try:
        loaded = jobs.load(arguments.config, announce=lambda line: print(line, file=sys.stderr))
    except ConfigError as error:
        parser.error(str(error))
    parts = collect_parts(loaded, arguments.results / f"{loaded.name}.jsonl", arguments.results / "best_known.jsonl")
    if not any(part.groups for part in parts):
        parser.error(f"no results of {loaded.name} in {arguments.results}; run  stackelberg bench {arguments.config}  first")
    text = page(loaded, parts)
    results_file.replace(arguments.output / f"{loaded.name}-{kind}.md", text)
    results_file.replace(arguments.output / f"{loaded.name}-{kind}.svg", figures.svg(draw(loaded, parts)))
    print(text)


Measurement = tuple[dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]
"""What a row is about, and what measures the rest of it, with its arguments."""


def record_rows(story: str | None, wanted: Iterable[Measurement], page: Callable[[Rows], str], *, name: str) -> None:
    """Measure the rows that a record does not have yet, each kept as soon as it is there, and write the page of all.

    Args:
        story: what ``--help`` says.
        wanted: the rows, in the order in which they are measured.
        page: tables of rows in Markdown.
        name: of NAME.jsonl and NAME.md in the folder that ``--output`` names.
    """
    parser = argparse.ArgumentParser(description=story, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("compared"), help=f"folder for {name}.jsonl and {name}.md")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    record = output / f"{name}.jsonl"
    try:
        rows = _record_missing(record, list(wanted))
    except KeyboardInterrupt:
        print(f"stopped; what was measured is in {record}, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    results_file.replace(output / f"{name}.md", page(rows))
    print(page(rows))


def _record_missing(record: Path, wanted: Sequence[Measurement]) -> Rows:
    """All rows of a record, those that it did not have measured and added; a last line that was cut off is measured again."""
    text = record.read_text(encoding="utf-8") if record.exists() else ""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        results_file.replace(record, "".join(lines[:-1]))
        lines = lines[:-1]
    rows = [json.loads(line) for line in lines]
    missing = [each for each in wanted if not any(each[0].items() <= row.items() for row in rows)]
    jobs = [SimpleNamespace(id=str(i), budget=1) for i in range(len(wanted))]
    todo = jobs[len(wanted) - len(missing) :]
    with record.open("a", encoding="utf-8") as file, progress(Console(stderr=True), jobs, todo, "rows") as (report, finished):
        for job, (about, measure, arguments) in zip(todo, missing, strict=True):
            rows.append({**about, **measure(*arguments)})
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            report(job.id, 1)
            finished()
    return rows
