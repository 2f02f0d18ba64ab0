"""Published and independently computed values, each with its source."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackelberg_envs.followers import Hard, Soft

FOUR_ROOMS_AT_ZERO = [
    # (temperature, beta, F_G1, F_G2, F with slip .44, |dF/dw|, F with slip .33)
    # w = 0; computed with an independent exact solver for Thoma et al. 2024, whose code logs the same numbers
    (0.001, 1, -0.14746, 0.72378, 0.28816, 0.109916, 0.22599),
    (0.001, 3, -0.44405, 0.47059, 0.01327, 0.109838, -0.07882),
    (0.001, 5, -0.74064, 0.21740, -0.26162, 0.109824, -0.38363),
    (0.003, 1, -0.14427, 0.54429, 0.20001, 0.053192, 0.15122),
    (0.003, 3, -0.43505, 0.29931, -0.06787, 0.053161, -0.14979),
    (0.003, 5, -0.72582, 0.05433, -0.33574, 0.053263, -0.45080),
]
FOUR_ROOMS_WITHOUT_PENALTIES = [
    # (temperature, leader G1, leader G2, follower's soft value G1, G2), slip .44
    (0.001, 0.0008, 0.8189, 0.7528, 0.6474),
    (0.003, 0.0015, 0.6405, 0.7723, 0.6795),
]
TOY3_OPTIMA = [
    # (R, horizon, leader discount, optimum over p = P(leader plays 1 in A)); exact, correct follower
    (1, 150, None, 27.3156),
    (1, None, None, 34.9926),
    (2, 150, 1.0, 59.7501),
]
TOY3_GRADIENT = (np.array([0.3, -0.4, 0.2]), -41.4006)
"""State-wise logits of action 1 and dF along the key state's, R = 1, infinite horizon (central differences, independent code)."""
MATRIX_GAMES: dict[str, dict[str, Any]] = {
    # Conitzer and Sandholm 2006; Zhang et al. 2020; ordinal games by hand and, like the rest, by independent code (project notes, A1)
    "conitzer": {
        "strong": 2.5,
        "weak_supremum": 2.5,
        "weak_there": 0.5,
        "margin_.001": 2.4995,
        "pure": 2,
        "mixture": (0.5, 0.5),
        "pure_nash": (1,),
    },
    "escape": {"strong": 30, "weak_supremum": 30, "pure": 30, "pure_nash": (10, 15, 30)},
    "maintain": {
        "strong": 27.5,
        "weak_supremum": 27.5,
        "weak_there": 7.5,
        "margin_.001": 27.4995,
        "pure": 20,
        "mixture": (0.25, 0.75, 0),
        "pure_nash": (5, 10),
    },
    "prisoners_dilemma": {"strong": 2, "weak_supremum": 2, "pure": 2, "pure_nash": (2,)},
    "stag_hunt": {"strong": 4, "weak_supremum": 4, "pure": 4, "pure_nash": (2, 4)},
    "chicken": {"strong": 4, "weak_supremum": 4, "pure": 4, "pure_nash": (2, 4)},
    "battle": {"strong": 4, "weak_supremum": 4, "pure": 4, "pure_nash": (3, 4)},
}
"""``weak_there``: ties against the leader at the strong commitment; ``weak_supremum``: the most that a weak follower can be held to."""
TOY3_LINE_SEARCH = [
    # (R, follower, optimum, its precision, P(leader plays 0 in A) there, by a grid): infinite horizon, independent code (project notes, B1)
    (1, Soft(0.05), 34.9926, 1e-4, 0.8335),
    (1, Soft(0.01), 37.074, 6e-4, 0.7125),
    (1, Soft(0.2), 30.393, 6e-4, 1.0),
    (1, Hard("strong"), 37.846, 6e-4, 0.66555),
    (1, Hard("weak"), 37.846, 6e-4, 0.66555),  # the supremum: at the indifference point itself a weak follower leaves 0
    (2, Soft(0.05), 39.940, 6e-4, 0.4975),
    (2, Hard("strong"), 41.988, 6e-4, 0.39960),
]


def toy3_commitment(p: float) -> np.ndarray:
    """x with P(leader plays 1 in A) = p, other logits 0."""
    x = np.zeros(6)
    x[3] = np.log(p / (1 - p))
    return x
