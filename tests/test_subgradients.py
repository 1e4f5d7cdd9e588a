"""The table of sub-gradients in docs/design.md, line by line."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

INF = np.inf
ZERO, ONE = np.zeros((2, 2)), np.eye(2)
TABLE: list[tuple[str, Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
    ("abs", np.abs, (0.0,), (0.0,)),
    ("relu", tg.relu, (0.0,), (0.0,)),
    ("leaky_relu", tg.leaky_relu, (0.0,), (0.01,)),
    ("elu", tg.elu, (0.0,), (1.0,)),
    ("selu", tg.selu, (0.0,), (1.0507009873554805 * 1.6732632423543772,)),
    ("prelu", tg.prelu, (0.0, 0.25), (0.25, 0.0)),
    ("hardtanh", lambda x: tg.hardtanh(x).sum(), ([-1.0, 1.0],), ([0.0, 0.0],)),
    ("relu6", lambda x: tg.relu6(x).sum(), ([0.0, 6.0],), ([0.0, 0.0],)),
    ("hardsigmoid", lambda x: tg.hardsigmoid(x).sum(), ([-3.0, 3.0],), ([0.0, 0.0],)),
    ("hardswish", lambda x: tg.hardswish(x).sum(), ([-3.0, 3.0],), ([0.0, 1.0],)),
    ("threshold", lambda x: tg.threshold(x, 1.0, 5.0), (1.0,), (0.0,)),
    ("hardshrink", lambda x: tg.hardshrink(x).sum(), ([-0.5, 0.5],), ([0.0, 0.0],)),
    ("softshrink", lambda x: tg.softshrink(x).sum(), ([-0.5, 0.5],), ([0.0, 0.0],)),
    ("maximum", np.maximum, (1.0, 1.0), (0.5, 0.5)),
    ("minimum", np.minimum, (1.0, 1.0), (0.5, 0.5)),
    ("fmax", np.fmax, (1.0, 1.0), (0.5, 0.5)),
    ("fmin", np.fmin, (1.0, 1.0), (0.5, 0.5)),
    ("max", np.max, ([2.0, 2.0, 1.0],), ([0.5, 0.5, 0.0],)),
    ("min", np.min, ([2.0, 1.0, 1.0, 1.0],), ([0.0, 1 / 3, 1 / 3, 1 / 3],)),
    ("max_pool2d", lambda x: tg.max_pool2d(x, 2), ([[[1.0, 2], [2, 2]]],), ([[[0.0, 1], [0, 0]]],)),
    ("normalize", lambda x: tg.normalize(x, axis=0, eps=0.5)[0], ([0.0, 0.0],), ([2.0, 0.0],)),
    ("clip, lower", np.clip, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    ("clip, upper", np.clip, (1.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
    ("hypot", np.hypot, (0.0, 0.0), (0.0, 0.0)),
    ("std", np.std, ([3.0, 3.0],), ([0.0, 0.0],)),
    (
        "interp",
        lambda x: np.interp(x, [0, 1, 2], [0, 1, 5.0]).sum(),
        ([0.0, 1, 2],),
        ([1.0, 4, 4],),
    ),
    ("l1_loss", tg.l1_loss, (1.0, 1.0), (0.0, 0.0)),
    ("margin_ranking_loss", lambda x: tg.margin_ranking_loss(x, 0 * x, 1, 1.0), (1.0,), (0.0,)),
    ("hinge_embedding_loss", lambda x: tg.hinge_embedding_loss(x, -1), (1.0,), (0.0,)),
    (
        "multi_margin_loss",
        lambda x: tg.multi_margin_loss(x, np.r_[0]),
        ([[1.0, 0]],),
        ([[0.0, 0]],),
    ),
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
    ("max, initial", lambda x: np.max(x, initial=2.0), ([2.0, 2.0, 1.0],), ([1 / 3, 1 / 3, 0.0],)),
    ("max, NaN", np.max, ([np.nan, 2.0],), ([1.0, 0.0],)),
    ("nansum, NaN", np.nansum, ([np.nan, np.nan],), ([0.0, 0.0],)),
    ("sort", lambda x: np.sort(x)[0], ([2.0, 2.0, 2.0],), ([1.0, 0.0, 0.0],)),
    ("partition", lambda x: np.partition(x, 1)[1], ([2.0, 2.0],), ([0.0, 1.0],)),
    ("topk", lambda x: tg.topk(x, 1)[0].sum(), ([2.0, 2.0],), ([1.0, 0.0],)),
    ("unique", lambda x: np.unique(x).sum(), ([2.0, 2.0],), ([1.0, 0.0],)),
    ("median, odd", np.median, ([2.0, 2.0, 2.0],), ([0.0, 1.0, 0.0],)),
    ("median, even", np.median, ([2.0, 2.0, 2.0, 2.0],), ([0.0, 0.5, 0.5, 0.0],)),
    ("quantile", lambda x: np.quantile(x, 0.75), ([2.0, 2.0, 2.0],), ([0.0, 0.5, 0.5],)),
    ("cummax", lambda x: tg.cummax(x)[-1], ([2.0, 2.0, 1.0],), ([0.0, 1.0, 0.0],)),
    ("cummin", lambda x: tg.cummin(x)[-1], ([2.0, 2.0, 3.0],), ([0.0, 1.0, 0.0],)),
    ("logcumsumexp", lambda x: tg.logcumsumexp(x)[-1], ([-INF] * 3,), ([0.25, 0.25, 0.5],)),
    ("arctan2", np.arctan2, (0.0, 0.0), (np.nan, np.nan)),
    ("xlogy", tg.xlogy, (0.0, 0.0), (0.0, 0.0)),
    ("norm", np.linalg.norm, ([0.0, 0.0],), ([0.0, 0.0],)),
    ("norm 1", lambda x: np.linalg.norm(x, 1), ([0.0, 2.0],), ([0.0, 1.0],)),
    ("norm ½", lambda x: np.linalg.norm(x, 0.5), ([0.0, 2.0],), ([0.0, 1.0],)),
    ("norm nuc", lambda x: np.linalg.norm(x, "nuc"), (ZERO,), (ZERO,)),
    ("norm inf, tie", lambda x: np.linalg.norm(x, INF), ([2.0, -2.0],), ([0.5, -0.5],)),
    ("norm 2, tie", lambda x: np.linalg.norm(x, 2), (ONE,), (ONE / 2,)),
    ("norm 1, tie", lambda x: np.linalg.norm(x, 1), (ONE,), (ONE / 2,)),
    ("det", np.linalg.det, ([[1.0, 0.0], [0.0, 0.0]],), ([[0.0, 0.0], [0.0, 1.0]],)),
    ("slogdet", lambda x: np.linalg.slogdet(x)[1], (ZERO,), (ZERO + INF,)),
    ("eigvalsh", lambda x: np.sum(np.linalg.eigvalsh(x)), (ONE,), (ONE,)),
    ("svdvals", lambda x: np.sum(np.linalg.svdvals(x) ** 2), (ONE,), (2 * ONE,)),
    ("median, NaN", np.median, ([1.0, np.nan, 3.0, 2.0],), ([0.0, 1.0, 0.0, 0.0],)),
    ("ptp, NaN", np.ptp, ([1.0, np.nan, 3.0],), ([0.0, 0.0, 0.0],)),
    ("eigh, a vector", lambda x: np.linalg.eigh(x)[1][1, 0], (ONE,), (ZERO + np.nan,)),
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
