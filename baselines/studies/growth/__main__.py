"""How do time and memory grow?  ``python -m baselines.studies.growth`` measures an exact outer iteration at growing sizes, fits exponents.

An outer iteration is what exact ascent does at one commitment, cold: the follower's soft response (to 1e-9 in log-probabilities) and the
hypergradient by one adjoint solve and one vector-Jacobian product.  It is measured against

* S, states: dense tables with LU, and lists with Krylov solves, on random worlds and on slippery grids
* B, follower actions, and K, successors of each (lists, S = 1,000)
* processes solved as one batch, at Four Rooms' size: Newton's method, and a soft sweep (eager; with --compile, compiled as well)
* dim x (S = 208, dense rewards linear in x): the adjoint, the same without the vector-Jacobian product, and forward sensitivities in
  their strongest form, one solve of all right sides with the same LU
* followers: independent ones in Four Rooms, and n who interact (the contraction of their joint tables for all players)

Each point has a process of its own, on one thread.  Seconds are CPU time of that process, medians after a warm-up.  Samples alternate with
samples of the smallest size of the same series, and exponents are fitted to the ratios: a neighbour on the machine slows both.  Memory is
measured in a fork of that process: the resident high-water mark (ru_maxrss) after one iteration less that before, the tables of the world
being there already.  tracemalloc would see NumPy's arrays alone, and none of torch's.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stackelberg_envs.planning.policy_iteration import POLICY_TOLERANCE

from ...bench import figures, results_file
from ...bench.printing import problems as screen
from .figure import draw
from .page import page, points_of, table
from .timing import MeasurementFailed, Point, machine, measure, serving
from .works import DISCOUNT, ROOMS, SERIES, TEMPERATURE, Series


def open_record(path: Path, settings: dict[str, Any], *, complete: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The record at ``path``, or an empty one.

    Args:
        path: of the record.
        settings: what it must have been measured with.
        complete: whether nothing is left to measure; only then may it be another machine's.

    Raises:
        ValueError: if it cannot be gone on with.
    """
    here = {"settings": settings, "machine": machine(), "date": datetime.date.today().isoformat(), "points": []}
    if not path.exists():
        return here
    otherwise = "move it away, or name another with --record"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        points_of(record, "", "")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no record of growth ({error}): {otherwise}") from None
    if record["settings"] != settings:
        raise ValueError(f"{path} was measured with {record['settings']}, and now it would be {settings}: {otherwise}")
    if not complete(record) and record["machine"] != here["machine"]:
        raise ValueError(f"{path} was begun on another machine or with other versions ({record['machine']}): {otherwise}")
    return record


def missing_points(record: dict[str, Any], series: Sequence[Series]) -> list[tuple[Series, int]]:
    """Points that are not in a record yet."""
    there = {(point["study"], point["series"], point["size"]) for point in record["points"]}
    return [(line, size) for line in series for size in line.sizes if (line.study, line.name, size) not in there]


def fill(record: dict[str, Any], todo: list[tuple[Series, int]], path: Path, rounds: int | None) -> None:
    """Measure points, and write the record after each."""
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        TextColumn("{task.fields[done]} of {task.fields[points]} points"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with serving() as process, Progress(*columns, console=screen, transient=True, speed_estimate_period=600) as progress:
        task = progress.add_task("", total=sum(line.seconds(size) for line, size in todo), done=0, points=len(todo))
        for i, (line, size) in enumerate(todo):
            progress.update(task, description=f"{line.name}, {size:,}", done=i)
            record["points"].append(measure(process, line, size, rounds))
            results_file.replace(path, json.dumps({**record, "points": None})[:-5] + _rows(record["points"]) + "}\n")
            progress.advance(task, line.seconds(size))


def _rows(points: list[Point]) -> str:
    """JSON, a line a point."""
    return "[\n" + ",\n".join(f" {json.dumps(point)}" for point in points) + "\n]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing in the record, and draw it."""
    studies = list(dict.fromkeys(line.study for line in SERIES))
    parser = argparse.ArgumentParser(
        prog="python -m baselines.studies.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Every point is written to the record when it is done.  Ctrl-C keeps them, and the same command goes on; a record that is\n"
        "complete is only drawn.\n\n"
        "  python -m baselines.studies.growth --quick              is everything in place?  (ten seconds)\n"
        "  python -m baselines.studies.growth --only states        dense tables and lists alone\n"
        "  python -m baselines.studies.growth --record docs/reproductions/recorded/growth.json      draw what we measured",
    )
    parser.add_argument("--only", choices=studies, action="append", metavar="STUDY", help=f"one of {', '.join(studies)}; may be repeated")
    parser.add_argument("--compile", action="store_true", help="sweeps by torch.compile as well, half a minute a point")
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes and three samples: a test, not a measurement")
    parser.add_argument("--record", type=Path, help="where points are kept (results/growth.json, or growth-quick.json)")
    parser.add_argument("--output", type=Path, default=Path("compared"), help="folder for growth.md and growth.svg (compared)")
    options = parser.parse_args(arguments)
    path = options.record or Path("results") / ("growth-quick.json" if options.quick else "growth.json")
    series = [line for line in SERIES if (options.compile or not line.optional) and (not options.only or line.study in options.only)]
    if options.quick:
        series = [line.quick() for line in series]
    settings = {"discount": DISCOUNT, "temperature": TEMPERATURE, "rooms": ROOMS, "policy_tolerance": POLICY_TOLERANCE}
    try:
        record = open_record(path, settings | {"quick": options.quick}, complete=lambda record: not missing_points(record, series))
    except ValueError as error:
        parser.error(str(error))
    todo = missing_points(record, series)
    if todo:
        if sys.platform != "linux":
            parser.error("memory is measured by what Linux counts; elsewhere a complete record can be drawn")
        minutes = sum(line.seconds(size) for line, size in todo) / 60
        screen.print(
            f"{len(todo)} points to measure, about {max(minutes, 0.2):.1f} minutes of one core; Ctrl-C keeps what is done, in {path}"
        )
    try:
        fill(record, todo, path, 3 if options.quick else None)
    except KeyboardInterrupt:
        screen.print(f"stopped; {len(record['points'])} points are kept in {path}, and the same command goes on")
        return 130
    except MeasurementFailed as error:
        screen.print(f"{error}\nThe points before it are kept in {path}, and the same command tries again", markup=False)
        return 1
    results_file.replace(options.output / "growth.svg", figures.svg(draw(record)))
    results_file.replace(options.output / "growth.md", page(record))
    print("\n".join(table(record)))
    print(f"{path} is drawn in {options.output / 'growth.md'} and growth.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
