"""Published and independently computed values, each with its source."""

from __future__ import annotations

import numpy as np

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
CONITZER = {"strong": 2.5, "weak": 0.5, "pure": 2.0, "nash": 1.0}


def toy3_commitment(p: float) -> np.ndarray:
    """x with P(leader plays 1 in A) = p, other logits 0."""
    x = np.zeros(6)
    x[3] = np.log(p / (1 - p))
    return x
