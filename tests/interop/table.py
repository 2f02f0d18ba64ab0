"""The table of docs/how-to/other-libraries.md, from what was run."""

from __future__ import annotations

import json
from pathlib import Path

from .libraries import LIBRARIES

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "how-to" / "other-libraries.md"
RESULTS = HERE / "results.json"


def table() -> str:
    """The table as Markdown."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = ["", "| library | version | what ran | result | how known |", "|---|---|---|---|---|"]
    for library in LIBRARIES:
        if not library.recipes:
            lines.append(f"| {library.name} | | nothing | {library.why} | read |")
        elif library.package in results:
            result = results[library.package]
            ran = ", ".join(f"`{recipe}.py`" for recipe in library.recipes)
            lines.append(
                f"| {library.name} | {result['version']} | {ran} | {result['result']} | run, Python {result['python']}, {result['date']} |"
            )
    return "\n".join(lines) + "\n\n"


def put(page: Path, text: str, writer: str) -> None:
    """Put a text into the page, between the marks of who writes it."""
    begin, end = f"<!-- written by {writer} -->\n", "<!-- end -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
