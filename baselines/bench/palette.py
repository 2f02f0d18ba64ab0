"""Colours, dashes and markers of the figures, and figures as SVG that is read on light and on dark pages."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#1f6ebe", "#00903c", "#cc78a8", "#e48400", "#546c60", "#6c60fc", "#d81824")
"""Any two are at least 20 apart in CIE76 with normal sight, protanopia and deuteranopia, and 12 with tritanopia; consecutive ones are at
least 25 in CIEDE2000 (not with tritanopia).  Each has a contrast of at least 2.6 with white and with `DARK`."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DARK, LIGHT, INK = "#16191e", "#e4e6ea", "#111111"
"""Paper and ink of figures on dark pages, and the ink of what is written on light colours, which stays dark there."""

# Matplotlib writes white paper and black ink as inline styles, and black text as no style at all.  Other colours are left as they are.
DARK_MODE = f"""<style>@media (prefers-color-scheme: dark) {{
[style*="fill: #ffffff"] {{ fill: {DARK} !important; }}
[style*="stroke: #000000"] {{ stroke: {LIGHT} !important; }}
[style*="fill: #000000"], g[id^="text_"] {{ fill: {LIGHT}; }}
}}</style>"""


def style(i: int) -> dict[str, Any]:
    """Colour, dashes and marker of the i-th line of a figure.

    Neighbours differ in all three, so that no reader depends on colour alone.  Markers stand far apart, and not where those of the next
    line do.
    """
    return {
        "color": COLOURS[i % len(COLOURS)],
        "ls": DASHES[i % len(DASHES)],
        "marker": MARKERS[i % len(MARKERS)],
        "ms": 5,
        "markevery": (0.03 + 0.02 * (i % len(MARKERS)), 0.2),
    }


def plain_text(label: str, width: int | None = None) -> str:
    """A label that matplotlib draws as it is, in lines of at most ``width`` characters if that is given.

    A dollar begins no formula, and a label that begins with "_" is in the legend too.
    """
    shown = f"{' ' if label.startswith('_') else ''}{label}".replace("$", r"\$")
    return shown if width is None else "\n".join(textwrap.wrap(shown, width, drop_whitespace=False)) or shown


COORDINATES = re.compile(r' (?:d|x|y|points)="[^"]*"')
"""Attributes that hold coordinates."""
FINE = re.compile(r"-?\d+\.\d{3,}")


def svg(figure: Figure) -> str:
    """The figure as SVG text, the same for the same figure; on a dark page its paper is dark and its ink light."""
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "stackelberg-envs"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    head, defs, rest = buffer.getvalue().partition(" <defs>")
    return f"{head} {DARK_MODE}\n{defs}{round_coordinates(rest)}"


def round_coordinates(text: str) -> str:
    """SVG text whose coordinates have two decimals, a hundredth of a point: figures with thousands of points are a third smaller so."""

    def of_attribute(attribute: re.Match[str]) -> str:
        return FINE.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), attribute[0])

    return COORDINATES.sub(of_attribute, text)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as what the path ends in: .svg as `svg` gives it, or a kind that matplotlib knows, such as .png."""
    kind = path.suffix.lower().removeprefix(".")
    if kind == "svg":
        path.write_text(svg(figure), encoding="utf-8")
    else:
        figure.savefig(path, format=kind, bbox_inches="tight", dpi=200)


def data_uri(text: str) -> str:
    """SVG text as the source of an ``<img>``."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()
