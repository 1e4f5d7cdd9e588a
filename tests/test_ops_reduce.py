"""Reductions: against difference quotients, and by hand at zeros, ties, constants, infinities."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.ops.reduce import axes_back, axes_last, restore_axes

inf = math.inf


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape)


def gradient(f: Callable[[Any], Any], x: Any) -> Any:
    t = Tensor(x, requires_grad=True)
    f(t).backward()
    return t.grad


def hessian(f: Callable[[Any], Any], x: Any) -> Any:
    found = tg.hessian(f)(np.array(x))
    return found.numpy() if isinstance(found, Tensor) else found


REDUCTIONS: list[Any] = [
    np.sum, np.mean, np.prod, np.max, np.amax, np.min, np.amin, np.var, np.std, np.ptp,
    np.nansum, np.nanmean, np.nanprod, np.nanmax, np.nanmin, np.nanvar, np.nanstd, tg.logsumexp,
]  # fmt: skip
AXES: list[Any] = [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.__name__)
def test_reduction_over_every_axis(f: Any, axis: Any, keepdims: bool) -> None:
    tg.check_gradients(lambda x: f(x, axis=axis, keepdims=keepdims), drawn(3, 3, 4), order=2)


@pytest.mark.parametrize("f", [np.sum, np.prod], ids=lambda f: f.__name__)
def test_reduction_over_no_axis_is_the_identity(f: Any) -> None:
    tg.check_gradients(lambda x: f(x, axis=()), drawn(2, 3), order=2)


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.__name__)
def test_reduction_of_a_single_number(f: Any) -> None:
    expected = 0 if f in (np.var, np.std, np.ptp, np.nanvar, np.nanstd) else 1
    assert gradient(f, 1.5) == expected
    assert gradient(f, [1.5]).tolist() == [expected]


@pytest.mark.parametrize("f", [np.var, np.std], ids=lambda f: f.__name__)
@pytest.mark.parametrize("count", [1, 2.5])
def test_ddof(f: Any, count: float) -> None:
    tg.check_gradients(lambda x: f(x, axis=0, ddof=count), drawn(4, 2), order=2)
    tg.check_gradients(lambda x: f(x, ddof=count, keepdims=True), drawn(4, 2), order=2)


def test_methods_reach_the_same_ops() -> None:
    x = drawn(3, 4)
    for f in (np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std):
        expected = gradient(lambda t, f=f: f(t, axis=0).sum(), x)
        found = gradient(lambda t, f=f: getattr(t, f.__name__)(axis=0).sum(), x)
        assert (found == expected).all()


@pytest.mark.parametrize("f", REDUCTIONS, ids=lambda f: f.__name__)
def test_float32_stays(f: Any) -> None:
    for axis in (None, 0):
        t = Tensor(drawn(3, 4), dtype=np.float32, requires_grad=True)
        y = f(t, axis=axis)
        assert y.dtype == np.float32
        y.backward(np.ones(y.shape))
        assert t.grad.dtype == np.float32
        if REGISTRY[f].composed:
            continue
        rule, x = REGISTRY[f].vjps[0], t.data
        g = np.ones(y.shape, np.float32)
        for array in (g, x):
            array.flags.writeable = False
        assert rule(g, y.data, x, axis=axis).dtype == np.float32


@pytest.mark.parametrize("f", [np.sum, np.prod, np.nansum, np.nanprod], ids=lambda f: f.__name__)
def test_empty(f: Any) -> None:
    for axis in (None, 0, 1):
        t = Tensor(np.zeros((0, 3)), requires_grad=True)
        y = f(t, axis=axis)
        y.backward(np.ones(y.shape))
        assert t.grad.shape == (0, 3)


def test_mean_over_an_axis_of_an_empty_array() -> None:
    t = Tensor(np.zeros((0, 3)), requires_grad=True)
    y = np.mean(t, axis=1)
    y.backward(np.ones(y.shape))
    assert t.grad.shape == (0, 3)


def test_restore_axes() -> None:
    x = drawn(2, 3, 4)
    for axis in (0, -1, (0, 2), (-1, -3), (), (0, 1, 2)):
        expected = x.sum(axis=axis, keepdims=True)
        assert restore_axes(x.sum(axis=axis), axis, x.shape).shape == expected.shape
        assert restore_axes(expected, axis, x.shape, keepdims=True) is expected


# -- products with zeros -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0.0, 2, 3], [6, 0, 0]),
        ([2.0, 0, 3, 5], [0, 30, 0, 0]),
        ([0.0, 0, 3], [0, 0, 0]),
        ([0.0, 0, 0], [0, 0, 0]),
        ([2.0, 3, 5], [15, 10, 6]),
        ([0.0], [1]),
        ([1e-200, 1e-200, 4], [4e-200, 4e-200, 0]),
    ],
)
def test_prod_with_zeros(x: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(gradient(np.prod, x), expected, rtol=1e-15)


def test_second_derivative_of_prod_with_zeros() -> None:
    # d²/dx_i dx_j is the product of all others: only both zeros together leave something
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 15
    np.testing.assert_array_equal(hessian(np.prod, [0.0, 3, 0, 5]), expected)
    np.testing.assert_array_equal(hessian(np.prod, [0.0, 2, 3]), [[0, 3, 2], [3, 0, 0], [2, 0, 0]])


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1), (2, 0)])
def test_prod_with_zeros_over_every_axis(zeros: int, axis: Any) -> None:
    x = drawn(2, 3, 2)
    x.reshape(-1)[[0, 5, 7][:zeros]] = 0
    tg.check_gradients(lambda x: np.prod(x, axis=axis), x, order=2)


def test_prod_of_many() -> None:
    x = 1 + 0.01 * drawn(1001)
    np.testing.assert_allclose(gradient(np.prod, x), np.prod(x) / x, rtol=1e-12)


# -- ties, constants, infinities -----------------------------------------------------------------


@pytest.mark.parametrize("f", [np.max, np.amax], ids=lambda f: f.__name__)
def test_ties_share_equally(f: Any) -> None:
    assert gradient(f, [1.0, 3, 3, 0]).tolist() == [0, 0.5, 0.5, 0]
    x = [[1.0, 1, 1, 1], [2, 5, 5, 0]]
    shares = [[0.25] * 4, [0, 0.5, 0.5, 0]]
    assert gradient(lambda t: f(t, axis=1).sum(), x).tolist() == shares
    assert gradient(f, [-inf, -inf]).tolist() == [0.5, 0.5]


def test_ties_of_the_minimum_share_equally() -> None:
    assert gradient(np.min, [1.0, 3, 1, 2]).tolist() == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -3e5, 1e-200])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 10])
def test_std_of_a_constant_has_no_slope(constant: float, n: int) -> None:
    # 0.1 thrice has a mean of 0.10000000000000002 and a std of 1.4e-17: no reason for a slope of 1
    np.testing.assert_allclose(gradient(np.std, [constant] * n), np.zeros(n), atol=1e-12)
    np.testing.assert_allclose(gradient(np.var, [constant] * n), np.zeros(n), atol=1e-10)


def test_std_of_constant_rows_beside_others() -> None:
    found = gradient(lambda t: t.std(axis=1).sum(), [[2.0, 2, 2], [1, 2, 3]])
    np.testing.assert_allclose(found, [[0, 0, 0], [-(1.5**0.5) / 3, 0, 1.5**0.5 / 3]], atol=1e-15)


@pytest.mark.parametrize(
    ("x", "value", "expected"),
    [
        ([-inf, -inf], -inf, [0.5, 0.5]),
        ([-inf, 1.0], 1, [0, 1]),
        ([inf, 1.0], inf, [1, 0]),
        ([inf, inf, 2.0], inf, [0.5, 0.5, 0]),
        ([-1e4, 1e4], 1e4, [0, 1]),
        ([1e4, 1e4], 1e4 + math.log(2), [0.5, 0.5]),
        ([-1e4, -1e4], -1e4 + math.log(2), [0.5, 0.5]),
        ([3.0], 3, [1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logsumexp_far_out(x: Any, value: float, expected: Any, dtype: Any) -> None:
    x = np.array(x, dtype)
    assert tg.logsumexp(x) == dtype(value)
    assert gradient(tg.logsumexp, x).tolist() == expected
    rows = np.stack([x, np.zeros_like(x)])
    found = gradient(lambda t: tg.logsumexp(t, axis=1).sum(), rows)
    np.testing.assert_allclose(found, [expected, [1 / x.size] * x.size], rtol=1e-6)


def test_logsumexp_of_infinities_has_finite_second_derivatives() -> None:
    assert np.isfinite(hessian(tg.logsumexp, [-inf, -inf, -inf])).all()
    assert np.isfinite(hessian(tg.logsumexp, [-inf, 0.0, 1.0])).all()


def test_logsumexp_and_logaddexp_agree() -> None:
    x, y = drawn(2, 5)
    np.testing.assert_allclose(tg.logsumexp(np.stack([x, y]), axis=0), np.logaddexp(x, y))


def test_axes_last_and_back() -> None:
    x = drawn(2, 3, 4)
    for axis, shape in {None: (24,), 0: (3, 4, 2), (2, 0): (3, 8), (): (2, 3, 4, 1)}.items():
        flat = axes_last(x, axis)
        assert flat.shape == shape
        np.testing.assert_array_equal(axes_back(flat, axis, x.shape), x)
    np.testing.assert_array_equal(axes_last(x, (-1, 0))[1], x[:, 1].reshape(-1))


# -- where, initial, dtype -----------------------------------------------------------------------

MASK = ~np.eye(4, dtype=bool)
WITH_WHERE: list[tuple[Any, dict[str, Any]]] = [
    (np.sum, {}), (np.mean, {}), (np.prod, {}), (np.var, {}), (np.std, {}),
    (np.sum, {"initial": 3.0}), (np.prod, {"initial": -2.0}), (np.var, {"ddof": -0.5}),
    (np.std, {"correction": -0.5}), (np.max, {"initial": -9.0}), (np.min, {"initial": 9.0}),
    (np.nansum, {}), (np.nanmean, {}), (np.nanprod, {"initial": 0.5}), (np.nanvar, {"ddof": -1}),
    (np.nanmax, {"initial": -9.0}), (np.nanmin, {"initial": 9.0}),
]  # fmt: skip


@pytest.mark.parametrize(("f", "options"), WITH_WHERE)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_what_where_leaves_out_is_not_there(f: Any, options: Any, axis: Any) -> None:
    x = drawn(4, 4)
    options = {**options, "axis": axis, "where": MASK, "keepdims": True}
    tg.check_gradients(lambda t: f(t, **options), x, order=2)
    spoilt = np.where(MASK, x, math.inf)  # whatever it is
    found, expected = (gradient(lambda t: np.sum(f(t, **options)), y) for y in (spoilt, x))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not found[~MASK].any()


@pytest.mark.parametrize(("f", "options"), WITH_WHERE[:5])
def test_where_agrees_with_taking_the_others_out(f: Any, options: Any) -> None:
    x = drawn(4, 4)
    found = gradient(lambda t: f(t, where=MASK, **options), x)
    np.testing.assert_allclose(found[MASK], gradient(lambda t: f(t, **options), x[MASK]))


@pytest.mark.parametrize("mask", [MASK[2:3], MASK[:, :1], MASK.tolist(), Tensor(MASK), True])
def test_where_broadcasts_and_may_be_a_list_or_a_tensor(mask: Any) -> None:
    plain = np.broadcast_to(np.array(mask.data if isinstance(mask, Tensor) else mask), (4, 4))
    for f in (np.sum, np.mean):
        found = gradient(lambda t, f=f: f(t, where=mask), drawn(4, 4))
        share = 1 if f is np.sum else 1 / plain.sum()
        np.testing.assert_allclose(found, plain * share, rtol=1e-15)


def test_where_nothing_is_left() -> None:
    nothing = np.zeros((2, 3), bool)
    for f in (np.sum, np.prod):
        assert not gradient(lambda t, f=f: f(t, where=nothing), drawn(2, 3)).any()
    assert not gradient(lambda t: np.max(t, initial=0.0, where=nothing), drawn(2, 3)).any()


@pytest.mark.parametrize(
    ("f", "initial", "expected"),
    [
        (np.max, 2.0, [0, 0.5, 0.5]),
        (np.max, 3.0, [0, 1 / 3, 1 / 3]),  # a third place at the tie
        (np.max, 4.0, [0, 0, 0]),
        (np.min, 1.0, [0.5, 0, 0]),
        (np.nanmin, -1.0, [0, 0, 0]),
        (np.sum, 7.0, [1, 1, 1]),
        (np.prod, 2.0, [18, 6, 6]),
    ],
)
def test_initial(f: Any, initial: float, expected: list[float]) -> None:
    assert gradient(lambda t: f(t, initial=initial), [1.0, 3, 3]).tolist() == expected


@pytest.mark.parametrize("f", [np.sum, np.mean, np.prod, np.var, np.std], ids=lambda f: f.__name__)
def test_dtype(f: Any) -> None:
    t = Tensor(drawn(4), dtype=np.float32, requires_grad=True)
    y = f(t, dtype=np.float64)
    assert y.dtype == np.float64
    assert y.item() == f(t.data, dtype=np.float64)
    y.backward()
    assert t.grad.dtype == np.float32
    with pytest.raises(tg.DtypeError, match="real floats, but the result is int64"):
        np.sum(t, dtype=int)


# -- NaN -----------------------------------------------------------------------------------------

NAN_FUNCTIONS: dict[Any, Any] = {
    np.nansum: np.sum, np.nanmean: np.mean, np.nanprod: np.prod, np.nanmax: np.max,
    np.nanmin: np.min, np.nanvar: np.var, np.nanstd: np.std,
}  # fmt: skip


@pytest.mark.parametrize("f", NAN_FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_nan_functions_are_the_others_without_nan(f: Any, axis: Any) -> None:
    x = np.where(MASK, drawn(4, 4), math.nan)
    t = Tensor(x, requires_grad=True)
    y = f(t, axis=axis)
    np.testing.assert_allclose(y.data, f(x, axis=axis), rtol=1e-14)
    g = drawn(*y.shape)
    y.backward(g)
    lines = [...] if axis is None else [(slice(None), i) for i in range(4)]
    lines = [(i,) for i in range(4)] if axis == 1 else lines
    for line, weight in zip(lines, np.ravel(g), strict=True):
        mask, numbers = MASK[line], x[line]
        expected = weight * gradient(NAN_FUNCTIONS[f], numbers[mask])
        np.testing.assert_allclose(t.grad[line][mask], expected, rtol=1e-12, atol=1e-15)
    assert not t.grad[~MASK].any()


@pytest.mark.parametrize("f", NAN_FUNCTIONS, ids=lambda f: f.__name__)
def test_rows_of_nan(f: Any) -> None:
    x = np.array([[math.nan] * 3, [1.0, math.nan, 2.0]])
    with pytest.warns(RuntimeWarning) if f not in (np.nansum, np.nanprod) else nullcontext():
        expected = f(x, axis=1)
        t = Tensor(x, requires_grad=True)
        y = f(t, axis=1)
    np.testing.assert_array_equal(y.data, expected)
    y.backward(np.ones(2))  # and no further warning
    assert not t.grad[0].any()
    assert np.isfinite(t.grad).all()


def test_nanvar_of_too_few_numbers_is_nan_and_flat() -> None:
    x = [[math.nan, 1.0, 2.0], [3.0, math.nan, math.nan]]
    for option in ({"ddof": 1}, {"correction": 1}):
        t = Tensor(x, requires_grad=True)
        with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
            y = np.nanvar(t, axis=1, **option)
            expected = np.nanvar(t.data, axis=1, **option)
        np.testing.assert_array_equal(y.data, expected)
        y.backward(np.ones(2))
        assert not t.grad[np.isnan(expected)].any()


def test_a_nan_is_the_maximum_and_has_its_gradient() -> None:
    assert gradient(np.max, [1.0, math.nan, 3]).tolist() == [0, 1, 0]
    assert gradient(np.nanmax, [1.0, math.nan, 3]).tolist() == [0, 0, 1]


# -- no gradient, refusals -------------------------------------------------------------------------


def test_searches_and_counts_need_no_gradient() -> None:
    t = Tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)
    assert np.argmax(t).item() == 3
    assert np.argmin(t, axis=1).tolist() == [1, 0]
    assert not np.all(t)
    assert np.any(t)
    assert int(np.count_nonzero(t)) == 3


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: np.sum(t, where=t), "sum: no gradient is defined for argument 'where'"),
        (lambda t: np.prod(t, initial=t[0]), "prod: no gradient is defined for argument 'initial'"),
        (lambda t: np.var(t, mean=0.5), "var: option 'mean' .*supported.*correction"),
        (lambda t: np.nanstd(t, mean=0.5), "nanstd: option 'mean'"),
        (lambda t: np.mean(t, out=np.zeros(())), "mean: option 'out'"),
        (lambda t: np.nansum(t, out=np.zeros(())), "sum: option 'out'"),
        (lambda t: np.nanmax(t, out=np.zeros(())), "nanmax: option 'out'"),
    ],
)
def test_refused_by_name(f: Any, message: str) -> None:
    with pytest.raises(tg.UnsupportedError, match=message):
        f(Tensor([1.0, 2.0], requires_grad=True))


def test_defaults_spelled_out_are_accepted() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    assert np.sum(t, axis=None, dtype=None, out=None, keepdims=False).item() == 3
    assert np.var(t, None, None, None, 1).item() == 0.5


def test_a_wrong_axis_is_named() -> None:
    with pytest.raises(IndexError, match=r"sum\(.*axis=2\): axis 2 is out of bounds"):
        np.sum(Tensor([1.0], requires_grad=True), axis=2)


@pytest.mark.parametrize("f", [np.sum, np.prod], ids=lambda f: f.__name__)
def test_axis_0_of_a_0d_array_is_numpys(f: Any) -> None:
    x = tg.Tensor(2.0, requires_grad=True)
    f(x, axis=0).backward()
    assert x.grad == 1.0


@pytest.mark.parametrize("f", [np.prod, np.nanprod])
def test_a_product_without_an_initial_number(f: Any) -> None:
    assert tg.grad(lambda x: f(x, initial=None))(np.array([1.0, 2, 3])).tolist() == [6, 3, 2]
