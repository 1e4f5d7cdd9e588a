"""The table of sub-gradients in docs/design.md, line by line."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

INF = np.inf
TABLE: list[tuple[str, Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
    ("abs", np.abs, (0.0,), (0.0,)),
    ("relu", tg.relu, (0.0,), (0.0,)),
    ("leaky_relu", tg.leaky_relu, (0.0,), (0.01,)),
    ("maximum", np.maximum, (1.0, 1.0), (0.5, 0.5)),
    ("minimum", np.minimum, (1.0, 1.0), (0.5, 0.5)),
    ("fmax", np.fmax, (1.0, 1.0), (0.5, 0.5)),
    ("fmin", np.fmin, (1.0, 1.0), (0.5, 0.5)),
    ("max", np.max, ([2.0, 2.0, 1.0],), ([0.5, 0.5, 0.0],)),
    ("min", np.min, ([2.0, 1.0, 1.0, 1.0],), ([0.0, 1 / 3, 1 / 3, 1 / 3],)),
    ("clip, lower", np.clip, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    ("clip, upper", np.clip, (1.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    ("hypot", np.hypot, (0.0, 0.0), (0.0, 0.0)),
    ("std", np.std, ([3.0, 3.0],), ([0.0, 0.0],)),
    ("sqrt", np.sqrt, (0.0,), (INF,)),
    ("cbrt", np.cbrt, (0.0,), (INF,)),
    ("sign", np.sign, (0.0,), (0.0,)),
    ("floor", np.floor, (1.0,), (0.0,)),
    ("ceil", np.ceil, (1.0,), (0.0,)),
    ("rint", np.rint, (0.5,), (0.0,)),
    ("trunc", np.trunc, (1.0,), (0.0,)),
    ("x**0", lambda x: x**0.0, (0.0,), (0.0,)),
    ("copysign", np.copysign, (0.0, 1.0), (1.0, 0.0)),
    ("logaddexp", np.logaddexp, (-INF, -INF), (0.5, 0.5)),
    ("logsumexp", tg.logsumexp, ([-INF, -INF],), ([0.5, 0.5],)),
    ("arctan2", np.arctan2, (0.0, 0.0), (np.nan, np.nan)),
]


@pytest.mark.parametrize(
    ("function", "at", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_subgradients_are_those_of_the_table(
    function: Callable[..., Any], at: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    xs = [np.array(x) for x in at]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tg.grad(function, argnums=tuple(range(len(xs))))(*xs)
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-15)
