"""The backward pass of every op with a rule, next to its hand-written form, in interleaved rounds.

Everything is float64. What is timed is the pass from the op's results to its inputs, the graph
being there: the rules, and what the engine does around them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.hand_ops import LEFT_OUT, Case, Draw, cases, key
from benchmarks.workloads import Array
from tinygrad_edu import Tensor
from tinygrad_edu.backward import backpropagate
from tinygrad_edu.op import REGISTRY

SIDE = 1000  # arrays have about SIDE * SIDE elements
TOLERANCE = 1e-9  # how far a gradient may be from hand's, relative to its largest entry


class Ready(NamedTuple):
    """One op, called: its backward pass in two forms, each giving the gradients of the inputs."""

    ours: Any
    hand: Any


def without_hand_form() -> list[str]:
    """Name the ops with rules that the tables lack."""
    known = {key(case.function) for case in cases(SIDE)} | set(LEFT_OUT)
    with_rules = [function for function, op in REGISTRY.items() if op.rules]
    return [key(function) for function in with_rules if key(function) not in known]


def measure(rounds: int, side: int = SIDE) -> Iterator[tuple[str, Array, Array]]:
    """Give the name of each case with our (rounds,) seconds and those of the hand-written form.

    Raises:
        AssertionError: if an op has no hand-written form, or its gradients differ.
    """
    missing = without_hand_form()
    assert not missing, f"no line in benchmarks/hand_ops/ for {', '.join(missing)}"
    for case in cases(side):
        ready = set_up(case)
        check(case, ready)
        times = np.array([[_seconds(form) for form in ready] for _ in range(rounds)])
        yield case.name, times[:, 0], times[:, 1]


def set_up(case: Case) -> Ready:
    """Draw the inputs, and call the op on them."""
    rng = np.random.default_rng(0)
    leaves: list[Tensor] = []

    def tensors(arg: Any) -> Any:
        if isinstance(arg, list):
            return [tensors(part) for part in arg]
        if not isinstance(arg, Draw):
            return arg
        leaves.append(Tensor(arg.draw(rng), requires_grad=True))
        return leaves[-1]

    args = [tensors(arg) for arg in case.args]
    result = case.function(*args, **case.options)
    several = isinstance(result, (tuple, list))
    results = result if several else (result,)
    gs = tuple(np.array(rng.normal(size=r.shape)).astype(r.dtype) for r in results)
    outs = tuple(r.data for r in results)
    seeds = {r: g for r, g in zip(results, gs, strict=True) if r.requires_grad}
    given = (gs, outs) if several else (gs[0], outs[0])
    arrays = [_arrays(arg) for arg in args]

    def ours() -> list[Array]:
        found = backpropagate(seeds, retain_graph=True)
        return [found[leaf] for leaf in leaves]

    def hand() -> Any:
        found = case.hand(*given, *arrays)
        return found if isinstance(found, tuple) else (found,)

    return Ready(ours, hand)


def _arrays(arg: Any) -> Any:
    if isinstance(arg, list):
        return [_arrays(part) for part in arg]
    return arg.data if isinstance(arg, Tensor) else arg


def check(case: Case, ready: Ready) -> None:
    """Compare our gradients with the hand-written ones."""
    for i, (a, b) in enumerate(zip(ready.ours(), ready.hand(), strict=True)):
        assert a.shape == b.shape, f"{case.name}, input {i}: {a.shape}, by hand {b.shape}"
        error, largest = np.abs(a - b).max(), np.abs(b).max()
        assert error <= TOLERANCE * largest, (
            f"{case.name}, input {i}: {error:.1e} from the hand-written gradient, whose largest "
            f"entry is {largest:.1e}"
        )


def _seconds(form: Any) -> float:
    start = time.perf_counter()
    form()
    return time.perf_counter() - start
