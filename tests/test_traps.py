"""Traps that other engines fell into, each a regression test from the first day."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor


def leaf(data: Any) -> Tensor:
    return Tensor(data, requires_grad=True)


def gradient(f: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        return tg.grad(f)(np.array(x, float)).tolist()


# --- gradients at special points --------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0.0, 2.0, 3.0], [6, 0, 0]),
        ([2.0, 3.0, 0.0], [0, 0, 6]),
        ([0.0, 0.0, 3.0], [0, 0, 0]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([2.0, 3.0, 4.0], [12, 8, 6]),
        ([0.0], [1]),
    ],
)
def test_prod_with_zeros(x: list[float], expected: list[float]) -> None:
    assert gradient(np.prod, x) == expected


def test_prod_with_zeros_at_second_order() -> None:
    hessian = tg.hessian(np.prod)(np.array([0.0, 2.0, 3.0]))
    assert hessian.tolist() == [[0, 3, 2], [3, 0, 0], [2, 0, 0]]


@pytest.mark.parametrize(("order", "expected"), [(1, 0.0), (2, -(math.pi**2) / 3), (3, 0.0)])
def test_sinc_at_zero(order: int, expected: float) -> None:
    f: Any = np.sinc
    for _ in range(order):
        f = tg.grad(f)
    np.testing.assert_allclose(f(0.0), expected, atol=1e-12)


def test_norm_at_zero_has_the_subgradient_zero() -> None:
    assert gradient(lambda x: np.linalg.norm(x), [0.0, 0.0]) == [0, 0]
    np.testing.assert_allclose(gradient(lambda x: np.linalg.norm(x), [3.0, 4.0]), [0.6, 0.8])


def test_the_corner_of_a_norm_does_not_bend() -> None:
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    hessian = tg.hessian(lambda x: np.sum(np.linalg.norm(x, axis=1)))(x)
    assert not hessian[0].any()
    assert not hessian[1, :, 0].any()
    np.testing.assert_allclose(125 * hessian[1, :, 1], [[16, -12], [-12, 9]], atol=1e-13)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e9, -7.3])
@pytest.mark.parametrize("options", [{}, {"ddof": 1}, {"axis": 0}])
def test_std_of_a_constant_has_the_subgradient_zero(value: float, options: Any) -> None:
    assert gradient(lambda x: np.std(x, **options), [value] * 7) == [0] * 7


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: np.where(x > 0, np.sqrt(x), x), [-1.0, 4.0], [1, 0.25]),
        (lambda x: np.where(x > 0, np.sqrt(x), 0.0), [0.0, 4.0], [0, 0.25]),
        (lambda x: np.where(x > 0, np.log(x), 0.0), [0.0, 2.0], [0, 0.5]),
        (lambda x: np.where(x > 0, 1 / x, x), [0.0, 2.0], [1, -0.25]),
        (lambda x: np.where(x < 1, x, np.exp(x)), [0.5, 1000.0], [1, math.inf]),
        (lambda x: np.where(x < 1, x, np.exp(np.exp(x))), [-1.0, 0.5], [1, 1]),
        (lambda x: np.where(x == 0, 1.0, np.sin(x) / x), [0.0], [0]),
        (lambda x: np.where(x > 0, x**0.5, 0.0), [0.0, 4.0], [0, 0.25]),
        (lambda x: np.where(np.abs(x) < 1, np.arcsin(x), x), [2.0, 0.0], [1, 1]),
        (lambda x: np.where(x > 0, np.sqrt(x * x), 3 * x), [0.0, 2.0], [3, 1]),
    ],
)
def test_the_branch_that_where_did_not_select_sends_nothing_back(
    f: Any, x: list[float], expected: list[float]
) -> None:
    np.testing.assert_allclose(gradient(lambda x: np.sum(f(x)), x), expected, rtol=1e-12)


def test_the_branch_that_where_did_not_select_is_dead_at_second_order_and_forward_too() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.where(x > 0, np.sqrt(x), x * x))

    x, v = np.array([0.0, 4.0]), np.array([3.0, 5.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(tg.hvp(f, x, v), [2 * 3, -0.25 * 4**-1.5 * 5])
        np.testing.assert_allclose(tg.jvp(f, x, v)[1], 0 + 0.25 * 5)


def test_forward_mode_where_the_dummy_cotangent_cancels() -> None:
    y, dy = tg.jvp(lambda x: np.stack([x**2, -(x**2)]), 3.0, 1.0)
    assert y.tolist() == [9, -9]
    assert dy.tolist() == [6, -6]


@pytest.mark.parametrize("f", [np.logaddexp, np.logaddexp2])
@pytest.mark.parametrize("value", [-np.inf, 0.0, 1000.0, -1000.0])
def test_logaddexp_of_equal_arguments_shares_equally(f: Any, value: float) -> None:
    with np.errstate(all="ignore"):
        assert tg.grad(f, (0, 1))(value, value) == (0.5, 0.5)


@pytest.mark.parametrize("value", [-np.inf, np.inf])
def test_logsumexp_of_infinities(value: float) -> None:
    assert gradient(tg.logsumexp, [value, value]) == [0.5, 0.5]


@pytest.mark.parametrize("f", [np.max, np.min])
def test_a_tie_shares_and_is_counted_once(f: Any) -> None:
    assert gradient(f, [2.0, 2.0]) == [0.5, 0.5]
    assert sum(gradient(f, [1.0, 1.0, 1.0])) == pytest.approx(1)


@pytest.mark.parametrize("f", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_a_tie_of_two_arguments_shares(f: Any) -> None:
    assert tg.grad(f, (0, 1))(2.0, 2.0) == (0.5, 0.5)


@pytest.mark.parametrize(("x", "expected"), [(-3.0, (0, 1, 0)), (0.5, (1, 0, 0)), (3.0, (0, 0, 1))])
def test_clip_is_differentiable_by_its_bounds(x: float, expected: Any) -> None:
    assert tg.grad(np.clip, (0, 1, 2))(x, -1.0, 1.0) == expected


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (3, 3), (1, 4)])
@pytest.mark.parametrize("k", [-1, 0, 1])
def test_diag_of_any_matrix_gives_a_gradient_of_its_shape(shape: Any, k: int) -> None:
    x = leaf(np.ones(shape))
    np.sum(np.diag(x, k)).backward()
    np.testing.assert_array_equal(x.grad, np.eye(*shape, k=k))


# --- what would drop the graph silently -------------------------------------------------------


def test_full_like_a_tensor_passes_the_gradient_on() -> None:
    assert tg.grad(lambda a: np.sum(np.full_like(a * np.zeros(3), a)))(2.0) == 3


def test_full_like_an_array_is_refused() -> None:
    with pytest.raises(tg.AutogradError):
        np.full_like(np.zeros(3), leaf(2.0))


def test_a_function_of_the_math_module_is_refused() -> None:
    t = leaf(1.0)
    with pytest.raises(tg.GraphError, match=r"detach\(\)"):
        math.exp(t) * t
    (np.exp(t) * t).backward()
    np.testing.assert_allclose(t.grad, 2 * math.e)


def test_a_list_of_tensors_does_not_become_an_array() -> None:
    t = leaf(1.0)
    with pytest.raises(tg.GraphError, match=r"np\.stack"):
        np.array([t, t])
    np.sum(np.stack([t, t])).backward()
    assert t.grad == 2


def test_a_function_that_is_not_differentiable_is_no_silent_zero() -> None:
    with pytest.raises(tg.UnsupportedError):
        np.frexp(leaf([1.0, 2.0]))


# --- graphs -----------------------------------------------------------------------------------


def test_an_array_changed_between_forward_and_backward() -> None:
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    y = np.sum(x * array)
    array[...] = 0
    y.backward()
    assert x.grad.tolist() == [3, 4]


def test_backward_twice_is_an_error_that_says_so() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(tg.GraphError, match="freed"):
        y.backward()
    assert x.grad == 4


def test_backward_twice_adds_up_when_asked_for() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 8


def test_a_batched_product_is_a_batched_product() -> None:
    x, W = leaf(np.ones((2, 3, 4))), leaf(np.ones((4, 5)))
    y = x @ W
    assert y.shape == (2, 3, 5)
    np.sum(y).backward()
    assert x.grad.shape == (2, 3, 4)
    assert W.grad.tolist() == np.full((4, 5), 6.0).tolist()


def test_an_exponent_can_be_differentiated_by() -> None:
    x = leaf(3.0)
    (2.0**x).backward()
    np.testing.assert_allclose(x.grad, 8 * math.log(2))
    assert tg.grad(np.power, (0, 1))(0.0, 0.0) == (0, 0)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [int, float, np.float64, np.array])
def test_powers_at_zero(n: int, kind: Any) -> None:
    exponent = kind(n) if kind is not np.array else np.array(float(n))
    assert gradient(lambda x: x**exponent, 0.0) == (1.0 if n == 1 else 0.0)
