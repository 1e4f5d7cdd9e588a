"""Words for writing samples. Parts made by `A` are drawn anew for every case."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT, REAL, Domain
from tinygrad_edu.testing import Strategy, values

UNIT = Domain(0.0, 1.0)
STEP = Domain(0.5, 1.5)  # what is rounded to 1
SMALL = Domain(-1.0, 1.0)
LABELS = np.array([2, 0, 1])
TWO = np.array([[True, False, True], [False, False, True]])


def A(*shape: int, domain: Domain = REAL) -> Strategy:  # stands for an array
    return values(domain, shape)


def D(*shape: int) -> Strategy:  # without ties
    return values(DISTINCT, shape)


def call(*args: Any, **options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, options


def over_axes(make: Any, *more: Any) -> list[Any]:
    """What every reduction is asked: all axes, one, several, kept, none of length 0."""
    return [
        call(make(2, 3)), call(make()), call(make(2, 3), axis=0), call(make(3, 1, 2), axis=(0, -1)),
        call(make(2, 3), axis=-1, keepdims=True), call(make(4), keepdims=True), *more,
    ]  # fmt: skip
