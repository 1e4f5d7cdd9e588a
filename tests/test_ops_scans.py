"""Scans: against loops and difference quotients, at zeros, ties and infinities."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

inf, nan = math.inf, math.nan


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(8).normal(size=shape)


def gradient(f: Callable[[Any], Any], x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(np.ones(y.shape) if g is None else g)
    return t.grad


OURS: list[Any] = [tg.cummax, tg.cummin, tg.logcumsumexp]
NUMPYS: list[Any] = [np.cumsum, np.cumprod, np.nancumsum, np.nancumprod]


@pytest.mark.parametrize("axis", [0, 1, -1, -3])
@pytest.mark.parametrize("f", [*OURS, *NUMPYS], ids=lambda f: f.__name__)
def test_along_every_axis(f: Any, axis: int) -> None:
    tg.check_gradients(lambda x: f(x, axis=axis), drawn(3, 4, 2), order=2)


@pytest.mark.parametrize("f", NUMPYS, ids=lambda f: f.__name__)
def test_without_an_axis_the_array_is_flattened(f: Any) -> None:
    tg.check_gradients(f, drawn(2, 3), order=2)
    assert f(Tensor(drawn(2, 3))).shape == (6,)
    tg.check_gradients(f, np.array(1.5))


@pytest.mark.parametrize("f", [*OURS, *NUMPYS], ids=lambda f: f.__name__)
def test_float32_stays_and_empty_works(f: Any) -> None:
    t = Tensor(drawn(5), dtype=np.float32, requires_grad=True)
    y = f(t, axis=0)
    assert y.dtype == np.float32
    np.testing.assert_allclose(gradient(lambda x: f(x, axis=0), t.data), gradient(f, t.data))
    assert gradient(lambda x: f(x, axis=0), t.data).dtype == np.float32
    for axis in (0, 1):
        assert gradient(lambda x, axis=axis: f(x, axis=axis), np.zeros((0, 3))).shape == (0, 3)
        assert gradient(lambda x, axis=axis: f(x, axis=axis), np.zeros((3, 0))).shape == (3, 0)


# -- the recurrence ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 100])
def test_linear_recurrence_is_the_loop(n: int) -> None:
    x, carry = drawn(2, n), drawn(3, n)[1:]
    y, before = np.zeros((2, n)), np.zeros(2)
    for i in range(n):
        before = y[:, i] = x[:, i] + carry[:, i] * before
    np.testing.assert_allclose(tg.linear_recurrence(x, carry), y, rtol=1e-9)
    tg.check_gradients(tg.linear_recurrence, x[:, :9], carry[:, :9], order=2)


@pytest.mark.parametrize("shape", [(9,), (4, 9), (9, 500)])
def test_linear_recurrence_keeps_its_inputs(shape: tuple[int, ...]) -> None:
    x, carry = drawn(*shape).T, drawn(*shape).T
    copies = x.copy(), carry.copy()
    tg.linear_recurrence(x, carry)
    np.testing.assert_array_equal((x, carry), copies)


@pytest.mark.parametrize("special", [0.5, inf, nan])
def test_rows_side_by_side_are_the_same_recurrence(special: float) -> None:
    for back in (1, -1):
        x, carry = (np.moveaxis(drawn(9, 20, 25)[::back], 0, -1) for _ in range(2))
        x[1, :, :5], carry[1, :, 2:5] = 0, special
        rows = np.ascontiguousarray(x), np.ascontiguousarray(carry)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(
                tg.linear_recurrence(x, carry), tg.linear_recurrence(*rows), rtol=1e-9
            )


def test_linear_recurrence_takes_zero_times_infinity_as_zero() -> None:
    with np.errstate(all="ignore"):
        assert tg.linear_recurrence(np.zeros(4), np.full(4, inf)).tolist() == [0] * 4
        assert tg.linear_recurrence(np.array([0.0, 0, 1]), np.array([nan, nan, nan])).tolist() == [
            0, 0, 1,
        ]  # fmt: skip


# -- products --------------------------------------------------------------------------------------


def naive_cumprod_gradient(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    n = len(x)
    return np.array(
        [
            sum(g[j] * np.prod([x[k] for k in range(j + 1) if k != i]) for j in range(i, n))
            for i in range(n)
        ]
    )


@pytest.mark.parametrize(
    "x",
    [
        [2.0, 0, 3, 4], [0.0, 0, 3], [0.0], [2.0, 3, 0], [1e-200, 1e-200, 1e100, 1e200],
        [-1.0, 0, 2, 0, 5, 0], [1.0, 2, 3, 4, 5, 6, 7],
    ],
)  # fmt: skip
def test_cumprod_at_zeros_and_far_out(x: list[float]) -> None:
    g = drawn(len(x))
    expected = naive_cumprod_gradient(np.array(x), g)
    np.testing.assert_allclose(gradient(np.cumprod, x, g), expected, rtol=1e-12)


def test_second_derivative_of_cumprod_at_zeros() -> None:
    tg.check_gradients(np.cumprod, np.array([2.0, 0, 3, 0, 4]), order=2)
    hessian = tg.hessian(lambda x: np.cumprod(x)[-1])(np.array([0.0, 2, 3]))
    assert hessian.tolist() == [[0, 3, 2], [3, 0, 0], [2, 0, 0]]


def test_cumprod_of_many() -> None:
    x = 1 + 0.001 * drawn(1003)
    y = np.cumprod(x)
    expected = np.cumsum(y[::-1])[::-1] / x
    np.testing.assert_allclose(gradient(np.cumprod, x), expected, rtol=1e-11)


def test_dtype() -> None:
    for f in (np.cumsum, np.cumprod):
        t = Tensor(drawn(4), dtype=np.float32, requires_grad=True)
        y = f(t, dtype=np.float64)
        assert y.dtype == np.float64
        y.backward(np.ones(4))
        assert t.grad.dtype == np.float32
        with pytest.raises(tg.UnsupportedError, match=f"{f.__name__}: option 'out'"):
            f(t, out=np.zeros(4))


# -- NumPy 2.1's names, NaN ------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="NumPy 2.0 lacks it")
@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_cumulative(name: str) -> None:
    f = getattr(np, name)
    x = drawn(2, 3)
    for options in ({"axis": 1}, {"axis": -2, "include_initial": True}):
        np.testing.assert_array_equal(f(Tensor(x), **options).data, f(x, **options))
        tg.check_gradients(lambda t, options=options: f(t, **options), x, order=2)
    assert f(Tensor(2.0)).tolist() == [2]
    with pytest.raises(tg.InputError, match=r"expected an axis for shape \(2, 3\)"):
        f(Tensor(x))


def test_nan_is_skipped() -> None:
    x, g = [nan, 2.0, nan, 3.0], np.array([1.0, 2, 3, 4])
    assert gradient(np.nancumsum, x, g).tolist() == [0, 9, 0, 4]
    assert gradient(np.nancumprod, x, g).tolist() == [0, 2 + 3 + 3 * 4, 0, 2 * 4]
    np.testing.assert_array_equal(np.nancumprod(Tensor(x)).data, np.nancumprod(x))


# -- extrema ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (tg.cummax, [1.0, 3, 2, 4], [1, 2, 0, 1]),
        (tg.cummin, [3.0, 1, 2, 0], [1, 2, 0, 1]),
        (tg.cummax, [1.0, 1, 0, 1], [1, 2, 0, 1]),  # of equal ones the latest
        (tg.cummin, [1.0, 1, 2, 1], [1, 2, 0, 1]),
        (tg.cummax, [-inf, -inf, inf, 0], [1, 1, 2, 0]),
        (tg.cummax, [1.0, nan, 2], [1, 2, 0]),  # NaN stays once it is there
        (tg.cummin, [nan, 1.0], [2, 0]),
    ],
)
def test_running_extrema(f: Any, x: list[float], expected: list[float]) -> None:
    assert gradient(f, x).tolist() == expected
    scan = np.maximum if f is tg.cummax else np.minimum
    np.testing.assert_array_equal(f(np.array(x)), scan.accumulate(x))


def test_logcumsumexp_is_logsumexp_of_each_beginning() -> None:
    x, g = 5 * drawn(6), np.arange(1.0, 7)
    np.testing.assert_allclose(
        tg.logcumsumexp(x), [tg.logsumexp(x[: i + 1]) for i in range(6)], rtol=1e-14
    )
    expected = gradient(lambda t: sum(g[i] * tg.logsumexp(t[: i + 1]) for i in range(6)), x, 1.0)
    np.testing.assert_allclose(gradient(tg.logcumsumexp, x, g), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([-inf, 1.0], [0, 1]),
        ([-inf, -inf], [0.5, 0.5]),  # as logaddexp
        ([-inf, -inf, -inf], [0.25, 0.25, 0.5]),
        ([inf, 1.0], [1, 0]),
        ([1.0, inf], [0, 1]),
        ([inf, inf], [0.5, 0.5]),
        ([-1e4, 1e4], [0, 1]),
        ([1e4, -1e4], [1, 0]),
        ([1e4, 1e4], [0.5, 0.5]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logcumsumexp_far_out(x: list[float], expected: list[float], dtype: Any) -> None:
    found = gradient(lambda t: tg.logcumsumexp(t)[-1], np.array(x, dtype), dtype(1))
    assert found.tolist() == expected
    assert np.isfinite(tg.hessian(lambda t: tg.logcumsumexp(t)[-1])(np.array(x, dtype))).all()


def test_a_program_of_scans_can_be_read() -> None:
    x = drawn(4)
    program = tg.trace(lambda x: np.sum(np.cumprod(x) + tg.cummax(x)), x)
    assert "tg.linear_recurrence" in str(program)
    np.testing.assert_allclose(program(x)[1][0], gradient(np.cumprod, x) + gradient(tg.cummax, x))
