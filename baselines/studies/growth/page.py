"""The page that `baselines.studies.growth` writes of a record: exponents fitted to it, a table of them, and what follows in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats as distributions

from stackelberg_envs.processes.chains import DIRECT

from .timing import LEAST, Point
from .works import DISCOUNT, SERIES, TITLES, Series

HEARD = 2.0
"""Megabytes below which growth of memory is not fitted: a page here and there is noise."""


class Fit(NamedTuple):
    """An exponent, or a factor, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def fit_exponent(sizes: Sequence[float], values: Sequence[float], *, factor: bool = False) -> Fit | None:
    """The exponent of least squares in logarithms over the upper half of the sizes, of four at least; None if there are fewer than three.

    The interval is that of the slope's standard error, by Student's t: it says how straight the line is, not how far it goes on.
    """
    count = max(4, math.ceil(len(sizes) / 2))
    x = np.asarray(sizes[-count:], dtype=float)
    if len(x) < 3:
        return None
    found: Any = distributions.linregress(x if factor else np.log(x), np.log(values[-count:]))
    margin = float(distributions.t.ppf(0.975, len(x) - 2) * found.stderr)
    ends = (found.slope, found.slope - margin, found.slope + margin)
    return Fit(*(math.exp(end) for end in ends)) if factor else Fit(*map(float, ends))


def points_of(record: dict[str, Any], study: str, name: str) -> list[Point]:
    """A series, by size."""
    mine = [point for point in record["points"] if (point["study"], point["series"]) == (study, name)]
    return sorted(mine, key=lambda point: point["size"])


def time_fit(record: dict[str, Any], line: Series) -> Fit | None:
    """How the time of a series grows."""
    points = points_of(record, line.study, line.name)
    return fit_exponent([point["size"] for point in points], [point["ratio"] for point in points], factor=line.factor)


def memory_fit(record: dict[str, Any], line: Series) -> Fit | None:
    """How its memory grows, where enough of it can be heard above the noise."""
    loud = [point for point in points_of(record, line.study, line.name) if point["megabytes"] >= HEARD]
    return (
        fit_exponent([point["size"] for point in loud], [point["megabytes"] for point in loud], factor=line.factor)
        if len(loud) > 3
        else None
    )


def times_longer(one: list[Point], other: list[Point], size: float) -> float:
    """How many times as long ``one`` takes as ``other`` at a size within both ranges, by straight lines between logarithms."""
    first, second = (
        np.interp(math.log(size), np.log([point["size"] for point in points]), np.log([point["seconds"] for point in points]))
        for points in (one, other)
    )
    return math.exp(first - second)


def format_seconds(seconds: float) -> str:
    """Seconds in the unit that people would use."""
    unit, scale = next(((unit, scale) for unit, scale in (("s", 1.0), ("ms", 1e-3)) if seconds >= scale), ("us", 1e-6))
    return f"{seconds / scale:.3g} {unit}"


def table(record: dict[str, Any]) -> list[str]:
    """Exponents of all series that a record has."""
    rows = [
        "| series | sizes | time grows as size to the | theory, for large sizes | memory as size to the | one run at the largest |",
        "|---|---|---|---|---|---|",
    ]
    for line in SERIES:
        points = points_of(record, line.study, line.name)
        if points:
            time_grows, memory_grows, last = time_fit(record, line), memory_fit(record, line), points[-1]
            times = "x " if line.factor else ""
            cells = [f"{times}{fit}" if fit else "-" for fit in (time_grows, memory_grows)]
            grown = f"{last['megabytes']:.3g} MB" if last["megabytes"] >= HEARD else f"below {HEARD:g} MB"
            name = f"{TITLES[line.study]}: {line.name}"
            sizes = f"{points[0]['size']:,} to {last['size']:,}"
            rows.append(f"| {name} | {sizes} | {cells[0]} | {line.theory} | {cells[1]} | {format_seconds(last['seconds'])}, {grown} |")
    return rows


def page(record: dict[str, Any]) -> str:
    """The page of the documentation."""
    settings, where = record["settings"], record["machine"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("stackelberg-envs", "torch", "numpy", "scipy"))
    samples = sorted({point["rounds"] for point in record["points"]})
    told_worlds = f"Worlds have a discount of {settings['discount']:g} and a temperature of {settings['temperature']:g}. Four Rooms"
    lines = [
        "# How time and memory grow",
        "",
        "This page measures how the time and the memory of one exact outer iteration grow with the size of a world. It is for readers",
        "who plan runs on large worlds or large batches. After reading it you can estimate the cost of a run. You can also choose between",
        "dense tables and lists, and between Newton steps and sweeps.",
        "",
        "The iteration starts cold. It computes the follower's soft response to 1e-9 in log-probabilities. It then computes the",
        "hypergradient with one adjoint solve and one vector-Jacobian product ({py:class}`solvers.estimators.implicit.Implicit`). In each",
        f"row one size grows. {told_worlds} has its own",
        f"temperature of {settings['rooms']:g}. The following command measures everything again:",
        "",
        "```sh",
        "python -m baselines.studies.growth --compile   # results/growth.json, compared/growth.md and .svg; ten minutes; resumes",
        "```",
        "",
        *table(record),
        "",
        "*The exponents are slopes of a least-squares fit in logarithms over the upper half of the sizes (at least four). The 95 %",
        "intervals come from the standard errors of the slopes. They show how straight the line is in this range, and say nothing about",
        "larger sizes. For followers who interact the number is the factor for one more follower.*",
        "",
        "![Time, memory and products against size](growth.svg)",
        "",
        "## Results",
        "",
        *[f"- {fact}" for fact in facts(record)],
        "",
        "## How it is measured",
        "",
        "**Time.** Each point has its own process with one thread. Seconds are CPU time of that process. They are the median of",
        f"{samples[0]} to {samples[-1]} samples after a warm-up; the bars in the figure show the smallest and the largest. A sample lasts",
        f"{LEAST:g} s or longer. Samples alternate with samples of the smallest size of the row, and exponents are fitted to the median",
        "ratios. Other work on the machine therefore slows both alike.",
        "",
        "**Memory.** The number is the increase of the resident high-water mark (`ru_maxrss`) during one iteration. It is measured in a",
        "fork of the process, after a small iteration and with the tables of the world already in memory. It is therefore what an",
        "iteration needs in addition to its tables. (`tracemalloc` would see the arrays of NumPy and none of torch.)",
        f"Below {HEARD:g} MB the number is noise, and no growth is fitted.",
        "",
        f"*{where['cpu']}; {where['system']}; Python {where['python']}; {versions}; {record['date']}. Products are counted and are the",
        "same on every machine, up to rounding. Seconds are those of a shared machine. The following command draws our record:",
        "`python -m baselines.studies.growth --record docs/reproductions/recorded/growth.json`.*",
    ]
    return "\n".join(lines) + "\n"


def facts(record: dict[str, Any]) -> list[str]:
    """What users can take from it, in sentences, as far as the record has it."""

    def recorded_points(study: str, *names: str) -> list[list[Point]] | None:
        found = [points_of(record, study, name) for name in names]
        return found if all(found) else None

    found = []
    if states := recorded_points("states", "dense, random", "lists, random", "dense, grid", "lists, grid"):
        found += _about_states(*states)
    mixing = (recorded_points("actions", "B, follower actions") or []) + (recorded_points("successors", "K, successors") or [])
    if len(mixing) == 2:
        fall = " and ".join(
            f"from {points[0]['work']['products']} to {points[-1]['work']['products']} over the range of {what}"
            for what, points in zip("BK", mixing, strict=True)
        )
        found.append(
            f"**Worlds with more actions or longer lists also mix faster.** The number of products falls {fall}. This compensates for a "
            "part of the larger tables. The exponent is therefore below 1 in this range. For larger sizes it is at most 1."
        )
    if batches := recorded_points("batch", "Newton", "one sweep, eager"):
        newton, eager = batches
        found.append(_about_sweeps(newton, eager, points_of(record, "batch", "one sweep, compiled")))
    if ways := recorded_points("dimension", "adjoint", "adjoint, solve alone", "forward sensitivities"):
        ours, alone, forward = ways
        ratios, last = [point["ratio"] for point in alone], forward[-1]
        found.append(
            f"**The solve does not grow with dim x.** From dim x = {alone[0]['size']:,} to {alone[-1]['size']:,} its time varies by "
            f"{100 * (max(ratios) / min(ratios) - 1):.0f} %. The vector-Jacobian product of dense rewards reads all of dR/dx. With it an "
            f"iteration takes {ours[-1]['ratio']:.2f} times as long at the largest size as at the smallest. For forward sensitivities this "
            f"factor is {last['ratio']:.1f}. At the largest size they take {last['seconds'] / ours[-1]['seconds']:.1f} times as long as "
            f"the adjoint. They also need {last['megabytes']:.0f} MB for a Jacobian that the adjoint does not use."
        )
    return found


def _about_states(dense: list[Point], lists: list[Point], dense_grid: list[Point], grid: list[Point]) -> list[str]:
    last, largest, kernel = lists[-1], grid[-1], 32 * lists[-1]["size"] ** 2 / 1e9
    compared = []
    for where, slow, fast in (("In random worlds", dense, lists), ("On grids", dense_grid, grid)):
        sizes = [point["size"] for point in fast if DIRECT < point["size"] <= slow[-1]["size"]]
        if sizes:
            ends = sorted({sizes[0], sizes[-1]})
            factors = " and ".join(f"{times_longer(slow, fast, size):.2g} times as long as lists at S = {size:,}" for size in ends)
            compared.append(f" {where} dense tables take {factors}.")
    beyond = "".join(compared)
    found = [
        f"**Dense tables or lists.** With up to {DIRECT} states, lists are converted to a dense matrix and factorised. They then take as "
        f"long as dense tables.{beyond} With lists, an iteration takes {format_seconds(last['seconds'])} in a random world of "
        f"{last['size']:,} states and {format_seconds(largest['seconds'])} on a grid of {largest['size']:,} cells. A dense kernel of "
        f"{last['size']:,} states and four actions would need {kernel:,.3g} GB."
    ]
    products = [point["work"]["products"] for point in lists if point["size"] > DIRECT]
    iterated = [point for point in grid if point["size"] > DIRECT]
    if products and iterated:
        chosen = [iterated[i] for i in sorted({0, len(iterated) // 2, len(iterated) - 1})]
        counts = ", ".join(f"{point['work']['products']:,} at {point['size']:,}" for point in chosen)
        found.append(
            "**With lists, long paths cost more than many states.** In random worlds of any size an iteration takes "
            f"{min(products)} to {max(products)} products with the Markov chain. On grids it takes {counts} cells. The number grows with "
            f"the length of the paths, until the far end no longer matters at a discount of {DISCOUNT:g}."
        )
    return found


def _about_sweeps(newton: list[Point], eager: list[Point], compiled: list[Point]) -> str:
    """How many sweeps fit into an iteration by Newton's method, against how many are needed."""
    needed, whole = eager[0]["work"]["sweeps"], {point["size"]: point["seconds"] for point in newton}
    told_of = []
    for name, points in (("uncompiled", eager), ("compiled", compiled)):
        if points:
            (few, small), (many, large) = ((whole[point["size"]] / point["seconds"], point["size"]) for point in (points[0], points[-1]))
            told_of.append(
                f"It takes as long as {few:,.0f} {name} sweeps at a batch of {small:,}, and {many:,.0f} at a batch of {large:,}."
            )
    return (
        f"**Newton's method or sweeps.** In Four Rooms, at its temperature, {needed} sweeps reach the accuracy of Newton's method. Now "
        f"measure a whole iteration by Newton's method in sweeps. {' '.join(told_of)} If this number is well above {needed}, start "
        'with sweeps (`inner="sweeps"`). With a discount closer to 1 more sweeps are needed, but not more Newton steps.'
    )
