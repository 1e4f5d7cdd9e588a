"""Words for the tables: what an op is called with, and what its gradients are by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.workloads import Array


@dataclass(frozen=True)
class Draw:
    """Stands for an array of uniform random numbers, from which `then` makes others."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    then: Callable[[Array], Array] = np.asarray

    def draw(self, rng: np.random.Generator) -> Array:
        return self.then(rng.uniform(self.low, self.high, self.shape))


@dataclass(frozen=True)
class Case:
    """A call of an op, and its backward pass by hand.

    Attributes:
        function: of the registry.
        hand: (g, out, *args) -> the gradient of what is drawn in `args`, a tuple if several are.
        args: of the call; Draws, lists of Draws, and what gets no gradient.
        options: of the call.
        note: tells this call from others of the same function.
    """

    function: Any
    hand: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.function.__name__} {self.note}".strip()


def N(*shape: int) -> Draw:  # any numbers
    return Draw(shape)


def P(*shape: int) -> Draw:  # positive ones, below 1
    return Draw(shape, 0.05, 0.95)


def call(
    function: Any, hand: Callable[..., Any], *args: Any, note: str = "", **options: Any
) -> Case:
    return Case(function, hand, args, options, note)


def rows(g: Array, n: int) -> Array:
    """Each element n times: what was reduced along the last axis gets it back."""
    return np.repeat(g, n).reshape(*g.shape, n)


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def shares(g: Array, w: Array) -> tuple[Array, Array]:
    """`g` divided in two parts, of which the first has the weight w."""
    share = g * w
    return share, g - share
