"""Published and independently computed values, each with its source."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackelberg_envs.followers.exact import Hard, Soft

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
    # (R, temperature, horizon, leader discount, optimum over p = P(leader plays 1 in A), its p); exact, correct follower
    (1, 0.05, 150, None, 27.3156, 0.1665),
    (1, 0.05, None, None, 34.9926, 0.1665),
    (1, 0.05, 150, 1.0, 52.324, 0.1665),
    (1, 0.01, None, None, 37.074, 0.2875),
    (1, 0.2, None, None, 30.393, 0.0),
    (2, 0.05, 150, 1.0, 59.7501, 0.5025),
    (2, 0.05, None, None, 39.940, 0.5025),
]
TOY3_PUBLISHED = [
    # (follower, R, p on a grid of .005, discounted 150 steps, undiscounted 150 steps, discounted for ever), by an independent solver
    # for the code of Kudo et al. 2026; "SoftInside" is that code's own follower
    ("SoftInside", 1, 0.160, 27.255, 52.21, 34.92),
    ("Soft", 1, 0.165, 27.315, 52.32, 34.99),
    ("SoftInside", 2, 0.490, 31.03, 59.48, 39.76),
    ("Soft", 2, 0.505, 31.16, 59.75, 39.94),
]
TOY3_CURVES = [
    # (R, leader discount, return over 150 steps by p)
    (1, None, {0: 26.2, 0.25: 26.1, 0.3: 22.5, 0.35: 14.9, 0.4: 6.4, 0.5: 0.48}),
    (2, 1.0, {0: 50, 0.3: 55.9, 0.5: 59.7, 0.55: 57.7, 0.6: 41.5, 0.65: 10.6}),
]
TOY3_HARD = [(1, 0.66555, 37.846), (2, 0.39960, 41.988)]
"""(R, 1 - p at which a hard follower is indifferent between A and B, the leader's return if it then chooses A; else 0)."""
TOY3_VARIANTS = {
    # (state in which the leader chooses, (follower, leader) return where it plays 0 there, and where it plays 1): undiscounted, hard
    # follower; from the docstrings of the source
    "1_1a": ("S", (50, -50), (50, 50)),
    "1_2a": ("S", (250, -50), (375, 75)),
    "2_1": ("S", (150, -50), (150, 50)),
    "2_2": ("A", (150, 0), (150, 50)),
    "3_1a": ("S", (75, -75), (-50, 50)),
    "3_2": ("A", (1500, 0), (75, 75)),
}
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
    "bagwell": {  # by hand: S is answered by S where it is played with probability 1/2 or more
        "strong": 5.5,
        "weak_supremum": 5.5,
        "weak_there": 3.5,
        "margin_.001": 5.4995,
        "pure": 5,
        "mixture": (0.5, 0.5),
        "pure_nash": (4,),
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


def toy3_commitment(p: float, state: str = "A") -> np.ndarray:
    """x with P(leader plays 1 in ``state``) = p (up to 1e-17), other logits 0."""
    x = np.zeros(6)
    x[1 + 2 * "SAB".index(state)] = 40.0 * np.sign(p - 0.5) if p in (0, 1) else np.log(p / (1 - p))
    return x
