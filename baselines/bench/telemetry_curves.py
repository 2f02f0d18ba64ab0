"""Curves of what telemetry measured along runs (`solvers.telemetry`), for the report."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from .figures import Groups, finish, legend_below
from .palette import plain_text, style
from .stats import curve

QUANTITIES = {
    "online_return": "J online",
    "learned_gap": "follower's gap",
    "follower_kl": "KL from the best response, nats",
    "bellman_residual": "Bellman residual",
    "cosine": "cosine with the exact gradient",
    "direct_norm": "norm of the direct part",
    "response_norm": "norm of the response",
    "exact_norm": "norm of the exact gradient",
}
"""Field of a report to the name of its panel."""
LINEAR = ("online_return", "cosine")
LEAST = 1e-8
"""On logarithmic axes numbers below, and 0, are drawn here."""
CAPTION = (
    "Measured after each report, and seen by no solver. Line: interquartile mean over seeds; band: its 95 % bootstrap interval. "
    "J online is the leader's return from the last answer, to the commitment that it answered. Logarithmic axes show 0 as 1e-8."
)


def measured(groups: Groups) -> dict[str, list[str]]:
    """Quantity to the solvers all of whose runs have it in two reports at least; quantities that no solver has are left out."""
    found = {
        quantity: [label for label, runs in groups.items() if all(sum(quantity in row for row in run["history"]) > 1 for run in runs)]
        for quantity in QUANTITIES
    }
    return {quantity: labels for quantity, labels in found.items() if labels}


def telemetry_curves(groups: Groups, *, stacked: bool = False) -> Figure | None:
    """A panel a quantity against commitments; None if no run has telemetry.

    Args:
        groups: runs by label.
        stacked: panels one below the other, for narrow screens, and not three a row.
    """
    there = measured(groups)
    if not there:
        return None
    columns = 1 if stacked else min(3, len(there))
    rows = -(-len(there) // columns)
    figure = Figure(figsize=(4.3 * columns, 3.0 * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    order, drawn = list(groups), {}
    for axis, (quantity, labels) in zip(panels, there.items(), strict=False):
        for label in labels:
            reports = [[row for row in run["history"] if quantity in row] for run in groups[label]]
            at = [np.array([row["commitments"] for row in run], dtype=float) for run in reports]
            values = [np.array([row[quantity] for row in run], dtype=float) for run in reports]
            if quantity not in LINEAR:
                values = [np.maximum(each, LEAST) for each in values]
            grid, middle, low, high = curve(at, values)
            line = style(order.index(label))
            (drawn[label],) = axis.plot(grid, middle, **line, label=plain_text(label), lw=1.6, drawstyle="steps-post")
            axis.fill_between(grid, low, high, color=line["color"], alpha=0.18, lw=0, step="post")
        finish(axis, "commitments", integers=True)
        axis.set_title(QUANTITIES[quantity], fontsize=10)
        if quantity not in LINEAR:
            axis.set_yscale("log")
        if quantity == "cosine":
            axis.axhline(0, color="black", lw=0.8)
    for axis in panels[len(there) :]:
        axis.set_visible(False)
    figure.tight_layout()
    legend_below(figure, panels[-1], tuple(drawn.values()), columns=1 if stacked else 2)
    return figure
