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
    told_worlds = f"Worlds have a discount of {settings['discount']:g} and a temperature of {settings['temperature']:g}, Four Rooms"
    lines = [
        "# How time and memory grow",
        "",
        "One exact outer iteration, cold: the follower's soft response, to 1e-9 in log-probabilities, and the hypergradient by one",
        "adjoint solve and one vector-Jacobian product ({py:class}`solvers.estimators.implicit.Implicit`). In each row one size grows.",
        f"{told_worlds} its own of {settings['rooms']:g}. Regenerated by",
        "",
        "```sh",
        "python -m baselines.studies.growth --compile   # results/growth.json, compared/growth.md and .svg; ten minutes; resumes",
        "```",
        "",
        *table(record),
        "",
        "*Slopes of least squares in logarithms over the upper half of the sizes (four at least), with 95 % intervals from their standard",
        "errors: how straight the line is, not how far it goes on. For followers who interact it is the factor of one more of them.*",
        "",
        "![Time, memory and products against size](growth.svg)",
        "",
        "**What follows**",
        "",
        *[f"- {fact}" for fact in facts(record)],
        "",
        "**How it is measured.** Each point has a process of its own, with one thread. Seconds are CPU time of that process: the median",
        f"of {samples[0]} to {samples[-1]} samples after a warm-up (bars in the figure: the least and the most), of {LEAST:g} s or longer.",
        "Samples alternate with samples of the smallest size of the row, and exponents are fitted to the median ratios: a neighbour on",
        "the machine slows both alike. Memory is the resident high-water mark (`ru_maxrss`) after one iteration less that before it, in",
        "a fork of the process in which a small iteration has run and the world's tables lie ready: it is what an iteration needs on",
        "top of its tables. (`tracemalloc` would see NumPy's arrays and none of torch's.)",
        f"Below {HEARD:g} MB it is noise, and growth is not fitted.",
        "",
        f"*{where['cpu']}; {where['system']}; Python {where['python']}; {versions}; {record['date']}. Products are counted and the same",
        "everywhere, up to rounding; seconds are those of a shared machine. To draw ours:",
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
            f"**More actions and longer lists also mix faster.** Products fall {fall}, which pays for a part of the longer tables: an "
            "exponent below 1 in this range, and no more than 1 beyond."
        )
    if batches := recorded_points("batch", "Newton", "one sweep, eager"):
        newton, eager = batches
        found.append(_about_sweeps(newton, eager, points_of(record, "batch", "one sweep, compiled")))
    if ways := recorded_points("dimension", "adjoint", "adjoint, solve alone", "forward sensitivities"):
        ours, alone, forward = ways
        ratios, last = [point["ratio"] for point in alone], forward[-1]
        found.append(
            f"**dim x costs nothing but its reading.** From {alone[0]['size']:,} to {alone[-1]['size']:,} the solve alone varies by "
            f"{100 * (max(ratios) / min(ratios) - 1):.0f} %. With the vector-Jacobian product of dense rewards, which reads all of dR/dx, "
            f"an iteration takes {ours[-1]['ratio']:.2f} times as long at the largest as at the smallest. Forward sensitivities take "
            f"{last['ratio']:.1f} times as long, {last['seconds'] / ours[-1]['seconds']:.1f} times ours at the largest, and "
            f"{last['megabytes']:.0f} MB for a Jacobian that the adjoint has no need of."
        )
    return found


def _about_states(dense: list[Point], lists: list[Point], dense_grid: list[Point], grid: list[Point]) -> list[str]:
    last, largest, kernel = lists[-1], grid[-1], 32 * lists[-1]["size"] ** 2 / 1e9
    compared = []
    for where, slow, fast in (("in random worlds", dense, lists), ("on grids", dense_grid, grid)):
        sizes = [point["size"] for point in fast if DIRECT < point["size"] <= slow[-1]["size"]]
        if sizes:
            ends = sorted({sizes[0], sizes[-1]})
            factors = " and ".join(f"{times_longer(slow, fast, size):.2g} times as long at S = {size:,}" for size in ends)
            compared.append(f"{where} {factors}")
    beyond = f" Beyond, dense tables take {'; '.join(compared)}." if compared else ""
    found = [
        f"**Dense or lists.** Lists of up to {DIRECT} states are written out and factorised, and take as long as dense tables.{beyond} "
        f"At S = {last['size']:,} an iteration by lists takes {format_seconds(last['seconds'])} in a random world, and "
        f"{format_seconds(largest['seconds'])} on a grid of {largest['size']:,} cells; a dense kernel of {last['size']:,} states and four "
        f"actions would be {kernel:,.3g} GB."
    ]
    products = [point["work"]["products"] for point in lists if point["size"] > DIRECT]
    iterated = [point for point in grid if point["size"] > DIRECT]
    if products and iterated:
        chosen = [iterated[i] for i in sorted({0, len(iterated) // 2, len(iterated) - 1})]
        counts = ", ".join(f"{point['work']['products']:,} at {point['size']:,}" for point in chosen)
        found.append(
            f"**Distance makes lists slow, and not size.** An iteration multiplies with the chain {min(products)} to {max(products)} times "
            f"in random worlds of any size. On grids it is {counts} cells: more where walks are longer, until a discount of "
            f"{DISCOUNT:g} does not see to the other end."
        )
    return found


def _about_sweeps(newton: list[Point], eager: list[Point], compiled: list[Point]) -> str:
    """How many sweeps fit into an iteration by Newton's method, against how many are needed."""
    needed, whole = eager[0]["work"]["sweeps"], {point["size"]: point["seconds"] for point in newton}
    told_of = []
    for name, points in (("array by array", eager), ("compiled", compiled)):
        if points:
            (few, small), (many, large) = ((whole[point["size"]] / point["seconds"], point["size"]) for point in (points[0], points[-1]))
            told_of.append(f"{few:,.0f} at a batch of {small:,} and {many:,.0f} at {large:,} {name}")
    return (
        f"**Newton or sweeps.** In Four Rooms, at its temperature, {needed} sweeps are as sure as Newton's method. A whole iteration by "
        f"Newton's method takes as long as {'; '.join(told_of)}. Where that is well above {needed}, sweeping first "
        '(`inner="sweeps"`) is for you. Nearer a discount of 1 it takes more sweeps, and no more Newton steps.'
    )
