"""What a sure answer costs: ``python -m baselines.studies.margins`` draws the leader's best value against the margin.

The margin is by how much the answer beats the follower's other actions.  At 0 it is the weak value, a supremum; where the curve falls
steeply, a leader that is a little mistaken loses much.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stackelberg_envs.games.bimatrix_presets import PRESETS
from stackelberg_envs.planning.matrix_games import margin_commitment, weak_commitment

from ..bench import figures, results_file

SHOWN = ("conitzer", "maintain", "escape", "chicken", "battle")


def curve(preset: str, points: int = 101) -> tuple[np.ndarray, np.ndarray]:
    """(margins as shares of the range of the follower's payoffs, values as shares of the weak value), as far as there is an answer."""
    leader, follower = (np.asarray(payoff, dtype=np.float64) for payoff in PRESETS[preset])
    span, weak = np.ptp(follower), weak_commitment(leader, follower).value
    shares, values = [0.0], [1.0]
    for share in np.linspace(0, 1, points)[1:]:
        best = margin_commitment(leader, follower, float(share * span))
        if best is None:
            break
        shares.append(float(share))
        values.append(best.value / weak)
    return np.array(shares), np.array(values)


def draw() -> Figure:
    """One curve a game."""
    figure = Figure(figsize=(6.5, 3.6))
    axis = figure.subplots()
    for colour, preset in zip(figures.COLOURS, SHOWN, strict=False):
        margins, values = curve(preset)
        axis.plot(margins, values, color=colour, lw=1.8, label=preset)
        axis.plot(margins[-1], values[-1], color=colour, marker="o", ms=4)
    axis.set_xlabel("margin, as a share of the range of the follower's payoffs")
    axis.set_ylabel("leader's value / weak value")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    return figure


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, default=Path("compared/bimatrix-margins.svg"), help="the figure to write")
    arguments = parser.parse_args()
    results_file.replace(arguments.figure, figures.svg(draw()))
    print(f"drawn in {arguments.figure}")


if __name__ == "__main__":
    main()
