"""A measurement that is kept, and its figure: the command line of the modules that measure something."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from . import figures, store

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
        rows = json.loads(arguments.record.read_text())
    else:
        rows = measure(arguments.count)
        store.replace(arguments.record, json.dumps(rows, indent=1) + "\n")
    store.replace(arguments.figure, figures.svg(draw(rows)))
    if page is not None:
        store.replace(arguments.figure.with_suffix(".md"), page(rows))
    print(f"{arguments.record} drawn in {arguments.figure}")
