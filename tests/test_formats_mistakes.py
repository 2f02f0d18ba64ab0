"""What is wrong with a table is said, and where: by the indices of the table as it was given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from small_tables import as_table, world

import stackelberg_envs as se
from stackelberg_envs.game import Layout

LAYOUTS: dict[str, tuple[Callable[[np.ndarray], Any], Callable[..., str]]] = {
    "dense": (lambda table: table, lambda name, s, b, *t: f"{name}{[s, b, *t]}"),
    "by action": (lambda table: [sparse.csr_array(table[:, b]) for b in range(3)], lambda name, s, b, *t: f"{name}[{b}]{[s, *t]}"),
    "stacked": (lambda table: sparse.coo_array(table.reshape(12, 4)), lambda name, s, b, *t: f"{name}{[3 * s + b, *t]}"),
    "lists": (lambda table: se.SuccessorLists.of(table[:, None]), lambda name, s, b, *t: f"{name}.probabilities[{s}, 0, {b}"),
    "shared rows": (lambda table: se.SharedRows(table[:, None], np.arange(3)), lambda name, s, b, *t: f"{name}.rows{[s, 0, b, *t]}"),
}
"""How a table (S, B, S) is laid out, and how an entry or, without a next state, a row of it is called."""


@given(st.integers(0, 10_000), st.data())
@settings(deadline=None, max_examples=80)
def test_a_broken_entry_is_named(seed: int, data: st.DataObject) -> None:
    """NaN, infinity, a negative probability, a row above 1: in any table and layout, by its own indices."""
    tables = world(seed)
    which = data.draw(st.sampled_from(["transition", "follower_reward", "leader_reward"]))
    place = s, b, t = tuple(data.draw(st.integers(0, size - 1)) for size in (4, 3, 4))
    bad = data.draw(st.sampled_from([np.nan, np.inf, -0.25, 1.5] if which == "transition" else [np.nan, -np.inf]))
    tables[which][place] = bad
    lay, called = LAYOUTS[data.draw(st.sampled_from([*LAYOUTS][: 5 if which == "transition" else 3]))]
    name = called(which, s, b) if bad == 1.5 else called(which, s, b, t)
    with pytest.raises(ValueError, match=re.escape(name)):
        se.from_arrays(**{**tables, which: lay(tables[which])})
    if which == "transition":
        table = as_table(tables["transition"], tables["follower_reward"], [])
        with pytest.raises(ValueError, match=re.escape(f"P[{s}][{b}]")):
            se.from_gymnasium(table, 0, initial=0, follower_discount=0.9, instrument=se.Subsidies())


def built_with(**changes: Any) -> Callable[[], Any]:
    return lambda: se.from_arrays(**{**world(0), **changes})


def table_with(step: Any, **changes: Any) -> Callable[[], Any]:
    table = {s: {b: [(1.0, 0, 0.0, False)] for b in range(2)} for s in range(2)}
    table[1][0] = step
    return lambda: se.from_gymnasium(table, 0, **{"initial": 0, "follower_discount": 0.9, "instrument": se.Subsidies(), **changes})


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a matrix": (built_with(transition=np.eye(4)), r"transition has shape \(4, 4\): it is \(S, B, S\)"),
    "actions first": (built_with(transition=np.ones((3, 4, 4)) / 4), r"np.moveaxis\(transition, 0, 1\)"),
    "words": (built_with(transition=[["a"]]), r"transition is a table of real numbers, got dtype <U1"),
    "a path": (built_with(transition="p.npz"), r"got the path 'p.npz'; read the file first: numpy.load\('p.npz'\)\['P'\]"),
    "a path of text": (
        built_with(initial=Path("i.csv")),
        r"got the path 'i.csv'; .*: numpy.loadtxt\('i.csv', delimiter=','\)",
    ),
    "several arrays": (
        built_with(follower_reward={"P": 1, "R": 2}),
        r"several by name \('P', 'R'\); .*: numpy.load\(path\)\['P'\]",
    ),
    "complex": (built_with(leader_reward=1j), r"leader_reward is a table of real numbers, got dtype complex128"),
    "ragged": (built_with(follower_reward=[[1, 2], [3]]), r"follower_reward is no table of numbers"),
    "empty": (built_with(transition=np.zeros((0, 3, 0))), r"transition is empty"),
    "a reward of another world": (built_with(leader_reward=np.zeros((3, 4))), r"leader_reward has shape \(3, 4\): .* \(S, B\) = \(4, 3\)"),
    "a list of unlike matrices": (
        built_with(transition=[sparse.eye_array(4), sparse.eye_array(3)]),
        r"transition\[1\] is a sparse matrix of shape \(3, 3\)",
    ),
    "a list half sparse": (built_with(transition=[sparse.eye_array(4), np.eye(4)]), r"transition\[1\] is a ndarray"),
    "a stack of no world": (
        built_with(transition=sparse.csr_array(np.ones((5, 4)))),
        r"transition has shape \(5, 4\): one sparse matrix .* \(S\*B, S\)",
    ),
    "a batch": (built_with(transition=se.SuccessorLists.of(np.ones((2, 4, 1, 3, 4)) / 4)), r"transition has shape \(2, 4, 1, 3, 4\)"),
    "sparse rewards of another world": (
        built_with(follower_reward=[sparse.eye_array(4)]),
        r"follower_reward is sparse, for 1 follower actions in 4 states",
    ),
    "a start that is no distribution": (built_with(initial=[0.5, 0.2, 0, 0]), r"initial sums to 0.7"),
    "a start of another world": (built_with(initial=[0.5, 0.5]), r"initial is one of 4 states, or a distribution"),
    "a start out of range": (built_with(initial=7), r"initial\[0\] is 7: .* 0 to 3"),
    "a start at the end": (built_with(initial=3), r"initial begins in state 3, which is terminal"),
    "everything ends": (built_with(terminal=[0, 1, 2, 3], follower_reward=0, leader_reward=0), r"terminal are all 4 states"),
    "an end out of range": (built_with(terminal=[1, 9]), r"terminal\[1\] is 9"),
    "an end twice": (built_with(terminal=[1, 1]), r"terminal lists 1 2 times"),
    "half an end": (built_with(terminal=[0.5]), r"terminal is a boolean mask of shape \(4,\) or a list of states"),
    "nobody earns it": (built_with(leader_reward=[0, 0, 0, 1]), r"leader_reward\[3, 0\] is 1, and state 3 is terminal"),
    "a discount above 1": (built_with(follower_discount=1.1), r"follower_discount is a finite number"),
    "no discount": (built_with(leader_discount=np.nan), r"leader_discount is a finite number"),
    "no end in sight": (
        built_with(transition=np.eye(4)[:, None].repeat(3, 1), follower_discount=1),
        r"follower_discount is 1, and from state 0 no",
    ),
    "nothing to set": (built_with(instrument=None), r"instrument says what the leader sets"),
    "a class": (built_with(instrument=se.Subsidies), r"instrument is Subsidies\(...\)"),
    "nobody acts": (built_with(instrument=se.MixedActions()), r"give transition as \(S, A, B, S\)"),
    "a pair out of range": (
        built_with(instrument=se.Subsidies([(0, 1), (2, 3)])),
        r"Subsidies.where\[1\] is \(2, 3\): indices of axis 1 are 0 to 2",
    ),
    "a pair below range": (built_with(instrument=se.Subsidies([(-1, 0)])), r"Subsidies.where\[0\] is \(-1, 0\): indices of axis 0"),
    "a pair twice": (built_with(instrument=se.Subsidies([(0, 1), (1, 1), (0, 1)])), r"lists \(0, 1\) 2 times"),
    "uneven pairs": (built_with(instrument=se.Subsidies([(0, 1), (1,)])), r"Subsidies.where is a mask of shape"),
    "a mask of another world": (
        built_with(instrument=se.Penalties(np.ones(5, bool))),
        r"Penalties.where is a boolean mask of shape \(4,\) or a list of states, got dtype bool, shape \(5,\)$",
    ),
    "no pairs": (built_with(instrument=se.Subsidies(np.zeros((4, 3), bool))), r"Subsidies.where is empty"),
    "a slip of the pen": (built_with(instrument=se.Subsidies("pair")), r"did you mean 'pairs'"),
    "no budget": (lambda: se.Subsidies(budget=0.0), r"budget is a finite number above 0"),
    "a budget with a scale": (lambda: se.Penalties(budget=1.0, scale=2.0), r"leave scale out"),
    "a follower's temperature": (built_with(follower=0.1), r"follower is one that answers, such as Soft\(0.1\)"),
    "what it sees": (built_with(follower_sees="actions"), r"follower_sees is not 'actions'; did you mean 'action'"),
    "when it is seen": (built_with(context_visibility="now"), r"context_visibility is not 'now'"),
    "no name": (built_with(name=""), r"name is a word"),
    "no steps": (built_with(max_cycles=0), r"max_cycles is a whole number from 1"),
    "a small map": (built_with(layout=Layout(("..",), ((0, 0), (0, 1)))), r"layout has 2 cells, and there are 4 states"),
    "no contexts": (built_with(contexts={}), r"contexts are tables by the name"),
    "an unknown table": (
        built_with(contexts={"a": {"transitions": 0}}),
        r"contexts\['a'\] has a table 'transitions'; did you mean 'transition'",
    ),
    "a context without tables": (built_with(contexts={"a": 3}), r"contexts\['a'\] is 3, and not tables by name"),
    "a broken context": (
        built_with(contexts={"a": {}, "b": {"leader_reward": [1, 2]}}),
        r"contexts\['b'\]\['leader_reward'\] has shape \(2,\)",
    ),
    "contexts of two worlds": (
        built_with(follower_reward=0, leader_reward=0, contexts={"a": {}, "b": {"transition": np.ones((5, 3, 5)) / 5}}),
        r"sizes",
    ),
    "chances of contexts": (
        built_with(contexts={"a": {}, "b": {}}, context_probabilities=[1.0]),
        r"context_probabilities is one of 2 contexts",
    ),
    "a step of three": (table_with([(1.0, 0, 0.0)]), r"P\[1\]\[0\]\[0\] is \(1.0, 0, 0.0\), and not \(probability"),
    "a step to nowhere": (table_with([(1.0, 2, 0.0, False)]), r"P\[1\]\[0\]\[0\] .* a next state of 0 to 1"),
    "a step that pays nothing known": (table_with([(1.0, 0, np.nan, True)]), r"P\[1\]\[0\]\[0\] .* a finite reward"),
    "an action that leads nowhere": (table_with([]), r"P\[1\]\[0\] sums to 0"),
    "no start": (table_with([(1.0, 0, 0.0, False)], initial=None), r"initial is missing"),
    "a state without actions": (
        lambda: se.from_gymnasium({0: {0: [(1.0, 1, 0.0, False)]}, 1: {}}, 0, initial=0, follower_discount=0.9, instrument=se.Subsidies()),
        r"state 1 has no available action: give it one in available or",
    ),
    "actions from 1": (
        lambda: se.from_gymnasium({0: {1: [(1.0, 0, 0.0, False)]}}, 0, initial=0),
        r"no state of P has an action 0: actions are numbered from 0",
    ),
    "actions by name": (lambda: se.from_gymnasium({0: {"left": []}}, 0, initial=0), r"P\[0\] has the actions \['left'\]"),
    "a mask of other sizes": (built_with(available=np.ones((3, 4), bool)), r"available is booleans \(S, B\) = \(4, 3\)"),
    "a mask of numbers": (built_with(available=np.ones((4, 3))), r"got dtype float64"),
    "nothing to do": (built_with(available=np.arange(4)[:, None] * np.ones(3) != 2), r"state 2 has no available action: .* in terminal"),
    "nothing to do in a context": (
        built_with(contexts={"a": {}, "b": {"available": np.zeros((4, 3), bool)}}),
        r"state 0 has no available action: give it one in contexts\['b'\]\['available'\]",
    ),
    "a row that is nearly 1": (
        built_with(transition=np.full((4, 3, 4), 0.2500002)),
        r"transition\[0, 0\] sums to 1.0000008: .*; normalise=True divides rows by such sums",
    ),
    "a start that is nearly 1": (built_with(initial=[0.3333, 0.3333, 0.3333, 0]), r"initial sums to 0.9999: .*; normalise=True"),
    "a row that is far from 1": (built_with(transition=np.full((4, 3, 4), 0.251), normalise=True), r"\[0, 0\] sums to 1.004: [^;]*$"),
    "a row that was said to sum to 1": (
        built_with(transition=np.full((4, 3, 4), 0.245), stochastic=True),
        r"transition\[0, 0\] sums to 0.98, and rows were said to be stochastic: name the states where an episode ends in terminal",
    ),
    "numbered from 1": (lambda: se.from_gymnasium({1: {0: []}}, 0, initial=0), r"P has no entry 0"),
    "no table": (lambda: se.from_gymnasium(gymnasium.make("CartPole-v1"), 0, follower_discount=0.9), r"this environment has none"),
}


@pytest.mark.parametrize(("build", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_only_rows_that_are_taken_need_to_sum_to_one() -> None:
    transition = np.full((4, 3, 4), 0.25)
    transition[3] = transition[0, 1] = 0.0
    available = np.ones((4, 3), bool)
    available[0, 1] = False
    game = se.from_arrays(**{**world(0), "transition": transition, "available": available, "terminal": [3], "stochastic": True})
    assert game.sizes == ((4, 1, 3),)
