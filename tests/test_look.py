"""What a person sees: terminals of 80 columns, pictures of every game, plots for eyes that tell few colours apart, and the page."""

from __future__ import annotations

import io
import itertools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from typer.testing import CliRunner

import solvers
import stackelberg_envs as se
from baselines.bench import best, cli, compare, configuration, figures, palette, printing, report, story, warm_up
from baselines.bench.execution import execute

LONG = "two-point, Adam, a radius of 0.3, and a label that is longer than any column of the table can be"
CONFIG = f"""
name = "wide"
[[solvers]]
name = "hpgd"
[[games]]
id = "toy3-v0"
title = "Toy3 with a title that is longer than the eighty columns of a terminal that nobody has made any wider"
published = [{{ label = "exact", value = -123456.789, error = 0.123, budget = 1_000_000 }}, {{ label = "theirs", value = 1.0 }}]
[[games.solvers]]
label = "exact"
name = "implicit"
budget = 4
seeds = 2
[[games.solvers]]
label = "{LONG}"
name = "zeroth_order"
budget = 6
seeds = 2
[[games.solvers]]
label = "penalty"
name = "penalty"
budget = 4
seeds = 2
"""
COMMANDS = tuple(each.name or each.callback.__name__ for each in cli.app.registered_commands if each.callback)
SMALL: dict[str, dict[str, Any]] = {
    "tax_design-v0": {"grid": 11, "hours": 2, "spendings": 2},
    "tax_economy-v0": {"grid": 11, "hours": 2, "spendings": 2, "max_cycles": 3},
    "sentinel_intruder-v0": {"size": 2},
    "escape_room-v0": {"steps": 2},
    "warehouse-v0": {"variant": "relaxed"},
    "platform-v0": {"prices": 3},
    "guided_cartpole-v0": {"max_cycles": 10},
    "guided_pendulum-v0": {"max_cycles": 10},
    "building-v0": {"max_cycles": 10},
    "continuous_toy-v0": {"max_cycles": 3},
}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A terminal of 80 columns, and a folder with a configuration of long names."""
    monkeypatch.setattr(printing.console, "width", 80)
    monkeypatch.setattr(printing.problems, "width", 80)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(best, "COMMITTED", tmp_path / "nothing.jsonl")  # which takes seconds to read
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide.toml").write_text(CONFIG)
    return tmp_path


def test_no_command_cuts_a_cell_at_80_columns(narrow: Path) -> None:
    """Every name and number is whole, in every command and every --help."""
    printed = {}
    for line in (
        "list",
        "list toy3-v0 implicit",
        "bench wide.toml --jobs 1",
        "report wide.toml --output page.html",
        "compare wide.toml",
        "check --best",
        "results wide",
        "solve bimatrix-v0 implicit --budget 3",
        "solve contract_tree-v0 implicit --budget 3 --figure tree.svg",
        "solve four_rooms-v0 implicit --budget 3 --figure rooms.png",
        "new solver mine",
        *(f"{command} --help" for command in ("", *COMMANDS)),
    ):
        said = CliRunner().invoke(cli.app, line.split())
        assert said.exit_code == 0, (line, said.output, said.exception)
        printed[line] = said.output
        assert "…" not in said.output, line
        rows = [row for row in said.output.splitlines() if "/" not in row and not row.startswith("Not run in")]
        assert all(len(row) <= 80 for row in rows), line  # places on a disk are not broken, and the terminal wraps what is not run
    assert "prefers-color-scheme: dark" in (narrow / "tree.svg").read_text()
    assert (narrow / "rooms.png").read_bytes().startswith(b"\x89PNG")
    page = (narrow / "page.html").read_text()
    assert "prefers-color-scheme: dark" in page
    assert "hpgd needs a leader that sets rewards" in page, "what is not run is on the page too"
    assert "<code>stackelberg check --best --results results</code>" in page
    assert "MODEL + TRAINING" in printed["list"]
    assert "optimiser = " in printed["list toy3-v0 implicit"]
    assert page.count('<div class="wide') == 3, "the table and the pictures scroll on a phone"
    assert "<!-- published, ± 2 standard errors" in (narrow / "compared" / "wide-curves.svg").read_text()
    table = printed["report wide.toml --output page.html"]
    for number in ("-123456.79", "± 0.123"):
        assert number in table
    squeezed = re.sub(r"\s+", " ", " ".join(row[:24] for row in table.splitlines()))
    assert LONG in squeezed or all(word in squeezed for word in LONG.split())
    games = printed["list"].split("\n\n")[0].splitlines()[1:]
    assert [row.split()[0] for row in games] == list(se.games()), "one line a game"
    assert all(row.rstrip().endswith(".") for row in games), "with one sentence"


def test_where_there_is_room_tables_have_a_column_each(narrow: Path) -> None:
    for width, stacked in ((80, True), (200, False)):
        header, cells = tuple(f"column {i}" for i in range(8)), [tuple(f"{i}.{'0' * 8}" for i in range(8))]
        table = printing.fitting_table(header, cells, ((0, 1), (2, 3), (4, 5), (6, 7)), width=width)
        assert (len(table.columns) < 8) == stacked
        shown = io.StringIO()
        Console(file=shown, width=width).print(table)
        assert all(cell in shown.getvalue() for cell in (*header, *cells[0]))


def test_rendered_frames_tell_commitments_apart() -> None:
    """Where a leader has no actions and no map, a frame shows what it committed to, and not a table of ones."""
    for id in ("contract_tree-v0", "zero_sum_incentive-v0", "security-v0", "preference-v0"):
        frames, texts = [], []
        for mode, seen in (("rgb_array", frames), ("ansi", texts)):
            for value in (-1.0, 1.0):
                env = se.make(id, render_mode=mode)
                env.reset(seed=0)
                blank: Any = env.render()
                env.step(np.full(se.game(id).dimension, value))
                seen.append(env.render())
                assert np.shape(blank) == np.shape(seen[-1]) or mode == "ansi"
        assert not np.array_equal(*frames), id
        assert texts[0] != texts[1], id


def draw(figure: Figure) -> FigureCanvasAgg:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def numbers(axis: Any) -> list[Any]:
    """What a panel shows: bars, lines and shades as numbers, and what is written in it."""
    return [
        *(round(bar.get_height(), 6) for bar in axis.patches),
        *(np.round(np.asarray(line.get_ydata(), dtype=float), 6).tolist() for line in axis.lines),
        *(np.round(np.ma.filled(image.get_array(), -1.0), 6).tolist() for image in axis.images),
        *(text.get_text() for text in axis.texts),
    ]


@pytest.mark.parametrize("id", se.games())
def test_pictures_tell_commitments_apart(id: str) -> None:
    """Two commitments have two pictures, ticks are integers and do not collide, and legends and captions lie on nothing."""
    game = se.game(id, **SMALL.get(id, {}))
    x = np.linspace(-1.0, 1.0, game.dimension)
    figure = figures.learned_figure(game, {"nothing": 0 * x, "a commitment whose name is longer than its panel is wide": x}, None)
    renderer = draw(figure).get_renderer()
    panels = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    half = len(panels) // 2
    assert [numbers(axis) for axis in panels[:half]] != [numbers(axis) for axis in panels[half:]]
    assert numbers(panels[0]) != numbers(panels[half]), "the commitment itself"
    boxes = [axis.get_window_extent(renderer) for axis in panels]
    for axis in panels:
        low, high = axis.get_xlim()
        labels = [label for label in axis.get_xticklabels() if label.get_text() and low <= label.get_position()[0] <= high]
        for one, other in itertools.pairwise(label.get_window_extent(renderer) for label in labels):
            assert not one.overlaps(other), [label.get_text() for label in labels]
        whole = all(re.fullmatch(r"-?\d+", label.get_text()) for label in labels)
        assert whole or game.instruments is not None or game.graph is not None
        if (legend := axis.get_legend()) is not None:
            assert not any(legend.get_window_extent(renderer).overlaps(box) for box in boxes)
    titles = [text.get_window_extent(renderer) for axis in panels for text in (vars(axis)["_left_title"], axis.title) if text.get_text()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2))


# Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency", IEEE TVCG 2009, severity 1.0.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS)
def test_lines_are_told_apart(sight: str) -> None:
    """Any two colours of the palette are at least 20 apart in Delta E (CIE76), and so adjacent lines are; dashes and markers differ too."""
    seen = [lab(np.asarray(SIGHTS[sight]) @ linear(colour)) for colour in palette.COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) >= 20
    for i in range(20):
        one, other = palette.style(i), palette.style(i + 1)
        assert all(one[what] != other[what] for what in ("color", "ls", "marker"))


def test_lines_are_seen_on_white_and_on_dark() -> None:
    """Contrast (WCAG) of at least 2.6 with both papers; dark pages get light ink, and words on light cells stay dark."""
    for paper, colour in itertools.product(("#ffffff", palette.DARK), palette.COLOURS):
        low, high = sorted(float((TO_XYZ @ linear(each))[1]) for each in (paper, colour))
        assert (high + 0.05) / (low + 0.05) >= 2.6, (paper, colour)
    text = figures.svg(figures.learned_figure(se.game("toy3-v0"), {"nothing": np.zeros(6)}, None))
    assert text.index("prefers-color-scheme: dark") < text.index("<defs>")
    assert f"fill: {palette.INK}" in text
    assert palette.INK != "#000000"


def test_coordinates_have_two_decimals() -> None:
    """They move by half a hundredth of a point at most, and what is no coordinate stays: the scale of a letter, a word."""
    text = '<path d="M 52.482813 -0.001 L 7 188.5" transform="scale(0.015625)"/><use x="1.005" y="2.339999"/><text>0.12345</text>'
    expected = '<path d="M 52.48 -0 L 7 188.5" transform="scale(0.015625)"/><use x="1" y="2.34"/><text>0.12345</text>'
    assert palette.round_coordinates(text) == expected
    drawn = figures.svg(figures.learned_figure(se.game("toy3-v0"), {"nothing": np.zeros(6)}, None))
    assert palette.round_coordinates(drawn) == drawn


def test_a_method_looks_alike_in_all_panels() -> None:
    """The legend is of all panels, whose games need not have the same methods; titles tell panels apart."""
    recorded = Path(__file__).parent.parent / "docs/reproductions/recorded/tariff.jsonl"
    figure = compare.curves(report.collect_parts(configuration.load("tariff"), recorded))
    looks: dict[str, set[tuple[Any, ...]]] = {}
    for axis in figure.axes:
        for line in axis.get_lines():
            if not str(line.get_label()).startswith("_"):
                looks.setdefault(str(line.get_label()), set()).add((line.get_color(), line.get_linestyle(), line.get_marker()))
    assert len(looks) > 8
    assert all(len(own) == 1 for own in looks.values()), looks
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert len({*titles}) == len(titles) == 4


def test_plots_are_read_by_people() -> None:
    """Published values with their errors in a legend of 10 points that lies on no panel, and ticks that do not collide."""
    history = [{"commitments": n, "outcome_steps": 10**n, "leader_return": float(n)} for n in range(6)]
    run = {"cost": {"outcome_steps": 10**5}, "history": history, "timing": {"history": [0.0313 * n for n in range(6)]}}
    published = [{"label": "exact", "value": -123456.789, "error": 0.123}, {"label": "theirs", "value": 1.0}]
    figure = figures.curves({"exact": [run], LONG: [run]}, 1.0, published)
    renderer = draw(figure).get_renderer()
    (legend,) = figure.legends
    assert {"exact", LONG, "published exact, -123456.79 ± 0.123"} <= {text.get_text() for text in legend.get_texts()}
    assert min(float(text.get_fontsize()) for text in legend.get_texts()) >= 10
    for axis in figure.axes:
        assert not legend.get_window_extent(renderer).overlaps(axis.get_window_extent(renderer))
        boxes = [label.get_window_extent(renderer) for label in axis.get_xticklabels() if label.get_text()]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_a_caption_says_what_lines_are_and_who_is_missing() -> None:
    """Runs of 10 and of 10,000 outcome steps share a logarithmic axis, where both are seen; a solver without such steps is named."""

    def run(steps: int) -> dict[str, Any]:
        history = [{"commitments": n, "outcome_steps": steps * n, "leader_return": float(n)} for n in range(6)]
        return {"cost": {"outcome_steps": 5 * steps}, "history": history, "timing": {"history": [0.1 * n for n in range(6)]}}

    groups = {"few": [run(2)] * 3, "many": [run(2000)] * 3, "none": [run(0)] * 3}
    for stacked in (False, True):
        figure = figures.curves(groups, None, [], stacked=stacked)
        draw(figure)
        assert [axis.get_xscale() for axis in figure.axes] == ["linear", "log", "linear"]
        few, many = (np.asarray(line.get_xdata(), dtype=float) for line in figure.axes[1].lines)
        assert (few[0], few[-1], many[0], many[-1]) == pytest.approx((2, 10, 2000, 10000))
    said = figures.curves_caption(groups)
    for words in ("interquartile mean over seeds", "95 % bootstrap interval", "outcome steps: none.", "logarithmic", "is the mean"):
        assert words in said
    assert "logarithmic" not in figures.curves_caption({"few": groups["few"]})


def test_stories_have_no_markup() -> None:
    modules = {type(se.game(id)).__module__ for id in se.games()}
    for module in modules:
        shown = str(story.as_html(sys.modules[module].__doc__ or ""))
        plain = re.sub(r"<pre>.*?</pre>", "", shown, flags=re.DOTALL)
        assert not re.search(r"`|\{py:|\*\*|::|^\* ", plain, flags=re.MULTILINE), module
    assert story.as_html("A {py:func}`se.evaluate`, ``x < 1`` and `a.b.C`::\n\n    x_1 * y\n\n* **One**: 1\n* two") == (
        "<p>A <code>evaluate</code>, <code>x &lt; 1</code> and <code>C</code>:</p>\n<pre>x_1 * y</pre>\n"
        "<ul><li><strong>One</strong>: 1</li><li>two</li></ul>"
    )


def test_warm_up_is_not_in_the_seconds_of_a_run(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver runs one step before its first run in a process, in a world of the kind that it is run in, and not again."""
    held: list[tuple[str, int]] = []
    original = solvers.solve

    def solve(game: se.StackelbergGame, name: str, **given: Any) -> solvers.Solution:
        held.append((name, given["budget"]))
        return original(game, name, **given)

    monkeypatch.setattr(warm_up.solvers, "solve", solve)
    warm_up._run_one_step.cache_clear()
    jobs = {job.solver: job for job in configuration.load("wide.toml").jobs}
    for solver in ("implicit", "implicit", "penalty"):
        execute(jobs[solver])
    assert [name for name, budget in held if budget == 1] == ["implicit", "penalty"]
