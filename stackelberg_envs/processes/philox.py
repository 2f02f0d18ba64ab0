"""Counter-based noise: a uniform variate is a pure function of (seed, episode, step, draw).

The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011).  It maps a counter
of four words of 32 bits, under a key of two, to four such words.  There is no state, so any variate can be computed anywhere, in any order.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from .arrays import Array, array_namespace

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
"""What the two words of the key grow by from round to round."""
ROUNDS = 10
UNIT = 2.0**-32
STREAMS = 2**64
"""Seeds, and numbers of episodes, that there are."""


def philox4x32(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Philox4x32-10 of counters, element by element.

    Words are kept in signed integers of 64 bits, which every library has.  A product of two words wraps around at most once, and the mask
    takes the right 32 bits out of it.

    Args:
        counter: four arrays of one shape, words as int64 (0 to 2^32 - 1).
        key: two words.

    Returns:
        Four arrays of words as int64.
    """
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(ROUNDS):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = ((second >> 32) & WORD) ^ c1 ^ k0, second & WORD, ((first >> 32) & WORD) ^ c3 ^ k1, first & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Philox:
    """Noise of episodes for `stackelberg_envs.play.rollouts.simulate`: the same on every device, and in batches of every size.

    A variate is (w + 1/2) / 2^32, where w is a word of Philox4x32-10 under the seed as key, its low word first.  The last two words of the
    counter are the number of the episode, again its low word first.  No word is left unused:

    * the follower's action and the next state at step t: words 2 (t mod 2) and 2 (t mod 2) + 1 of the counter that begins 0, t // 2,
    * the leader's action at step t: word t mod 4 of the counter that begins 1, t // 4.

    Args:
        seed: which noise, 0 to 2^64 - 1.  Two seeds give unrelated noise.
        first_episode: the number of a batch's first episode.  Batches that begin where others end are parts of one large batch.

    Raises:
        TypeError: if either is no whole number.
        ValueError: if either is negative or too large.
    """

    seed: int = 0
    first_episode: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "first_episode"):
            if not 0 <= operator.index(getattr(self, name)) < STREAMS:
                raise ValueError(f"{name} is a whole number from 0 to 2^64 - 1, got {getattr(self, name)}")

    @property
    def key(self) -> tuple[int, int]:
        """The seed as two words, the low one first."""
        return self.seed & WORD, self.seed >> 32

    def __call__(self, t: int, rows: Array) -> Array:
        """The variates of one step of some episodes: for the leader's action, the follower's action, and the next state.

        Args:
            t: the step, from 0.
            rows: integers (n,), numbers of episodes counted from ``first_episode``.

        Returns:
            Doubles (n, 3) between 0 and 1, of 32 random bits each, in the library and on the device of ``rows``.
        """
        xp: Any = array_namespace(rows)
        low = (xp.astype(rows, xp.int64) & WORD) + (self.first_episode & WORD)
        episode = low & WORD, ((rows >> 32) + (self.first_episode >> 32) + (low >> 32)) & WORD
        leads, moves = (
            philox4x32((xp.full_like(low, kind), xp.full_like(low, t // steps), *episode), self.key) for kind, steps in ((1, 4), (0, 2))
        )
        words = leads[t % 4], *moves[2 * (t % 2) : 2 * (t % 2) + 2]
        return (xp.astype(xp.stack(words, axis=-1), xp.float64) + 0.5) * UNIT
