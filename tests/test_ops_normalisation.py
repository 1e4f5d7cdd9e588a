"""Normalisation: moments of the result, gradients by their properties, running statistics."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(2.0, 3.0, size=shape))


def gradient(f: Callable[[Any], Any], x: Any, g: Any) -> Any:
    t = Tensor(x, requires_grad=True)
    f(t).backward(g)
    return t.grad


# Function, shape of its input, the axes that it averages over.
CENTRED: list[Any] = [
    (lambda x: tg.batch_norm(x, None, None, training=True, eps=0.0), (4, 3, 2, 5), (0, 2, 3)),
    (lambda x: tg.batch_norm(x, None, None, training=True, eps=0.0), (6, 3), (0,)),
    (lambda x: tg.layer_norm(x, 5, eps=0.0), (4, 3, 5), (2,)),
    (lambda x: tg.layer_norm(x, (3, 5), eps=0.0), (4, 3, 5), (1, 2)),
    (lambda x: tg.instance_norm(x, eps=0.0), (4, 3, 6), (2,)),
]


@pytest.mark.parametrize(("f", "shape", "axes"), CENTRED)
def test_the_result_has_mean_0_and_variance_1(f: Any, shape: Any, axes: Any) -> None:
    y = f(drawn(*shape))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-13)


@pytest.mark.parametrize(("f", "shape", "axes"), CENTRED)
def test_the_gradient_is_left_by_a_shift_and_a_scale(f: Any, shape: Any, axes: Any) -> None:
    # f(a x + b) = f(x), so the gradient is orthogonal to 1 and to x, and shrinks by a
    x, g = drawn(*shape), drawn(*shape, seed=1)
    found = gradient(f, x, g)
    np.testing.assert_allclose(found.sum(axis=axes), 0, atol=1e-13)
    np.testing.assert_allclose((found * x).sum(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(gradient(f, 4 * x + 8, g), found / 4, atol=1e-13)
    np.testing.assert_allclose(f(4 * x + 8), f(x), atol=1e-12)


def test_two_numbers_by_hand() -> None:
    # of (a, b) with a < b only the order counts, but for eps
    x = np.array([[1.0, 5.0]])  # deviations ∓2, variance 4; with eps 5: divided by 3
    np.testing.assert_allclose(tg.layer_norm(x, 2, eps=5.0), [[-2 / 3, 2 / 3]])
    # d/dd of d/√(d²+5) = 5/27 at d = 2, where d = (b - a)/2
    found = gradient(lambda t: tg.layer_norm(t, 2, eps=5.0), x, [[0.0, 1.0]])
    np.testing.assert_allclose(found, [[-5 / 54, 5 / 54]], rtol=1e-14)
    # rms: √((1 + 25)/2 + 3) = 4
    np.testing.assert_allclose(tg.rms_norm(x, 2, eps=3.0), [[1 / 4, 5 / 4]])
    found = gradient(lambda t: tg.rms_norm(t, 2, eps=3.0), x, [[1.0, 0.0]])
    np.testing.assert_allclose(found, [[1 / 4 - 1 / 128, -5 / 128]], rtol=1e-14)


def composed(x: Any, w: Any, b: Any, axes: Any, eps: float) -> Any:
    """The same from ops that have rules of their own."""
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred / np.sqrt(np.var(x, axis=axes, keepdims=True) + eps) * w + b


@pytest.mark.parametrize(
    ("f", "parameters", "axes"),
    [
        (lambda x, w, b: tg.batch_norm(x, None, None, w, b, True, 0.1, 0.5), (3, 1), (0, 2)),
        (lambda x, w, b: tg.instance_norm(x, weight=w, bias=b, eps=0.5), (3, 1), (2,)),
        (lambda x, w, b: tg.group_norm(x, 3, w, b, 0.5), (3, 1), (2,)),
        (lambda x, w, b: tg.group_norm(x, 1, w, b, 0.5), (3, 1), (1, 2)),
        (lambda x, w, b: tg.layer_norm(x, 4, w, b, 0.5), (4,), (2,)),
    ],
)
def test_fused_equals_composed(f: Any, parameters: Any, axes: Any) -> None:
    x, w, b = drawn(2, 3, 4), drawn(math.prod(parameters)), drawn(math.prod(parameters), seed=2)
    g = drawn(2, 3, 4, seed=3)
    fused = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    apart = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    y = f(*fused)
    z = composed(apart[0], apart[1].reshape(parameters), apart[2].reshape(parameters), axes, 0.5)
    np.testing.assert_allclose(y.numpy(), z.numpy(), atol=1e-13)
    y.backward(g)
    z.backward(g)
    for one, other in zip(fused, apart, strict=True):
        np.testing.assert_allclose(one.grad, other.grad, atol=1e-13)


def test_groups_of_channels_are_normalised_together() -> None:
    x = drawn(2, 6, 3)
    y = tg.group_norm(x, 2, eps=0.0)
    for half in (y[:, :3], y[:, 3:]):
        np.testing.assert_allclose(half.mean(axis=(1, 2)), 0, atol=1e-14)
        np.testing.assert_allclose(half.var(axis=(1, 2)), 1, rtol=1e-13)
    np.testing.assert_allclose(tg.group_norm(x, 6), tg.instance_norm(x), atol=1e-14)


# -- running statistics --------------------------------------------------------------------------


def test_training_moves_the_running_statistics_in_place() -> None:
    x = drawn(4, 3, 5)
    mean, variance = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])
    tg.batch_norm(Tensor(x, requires_grad=True), mean, variance, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.75 * np.array([1, 2, 3]) + 0.25 * x.mean(axis=(0, 2)))
    unbiased = x.var(axis=(0, 2), ddof=1)
    np.testing.assert_allclose(variance, 0.75 * np.array([4, 5, 6]) + 0.25 * unbiased)


def test_without_training_they_are_constants() -> None:
    x, w, b = drawn(4, 3, 5), drawn(3), drawn(3, seed=2)
    mean, variance = np.array([1.0, 2, 3]), np.array([4.0, 9, 16])
    y = tg.batch_norm(x, mean, variance, w, b, eps=0.0)
    column = [a.reshape(-1, 1) for a in (mean, np.sqrt(variance), w, b)]
    np.testing.assert_allclose(y, (x - column[0]) / column[1] * column[2] + column[3])
    found = gradient(lambda t: tg.batch_norm(t, mean, variance, eps=0.0), x, np.ones(x.shape))
    np.testing.assert_allclose(found, np.broadcast_to(1 / column[1], x.shape))
    assert mean.tolist() == [1, 2, 3]
    assert variance.tolist() == [4, 9, 16]


def test_running_statistics_do_not_widen_float32() -> None:
    x = drawn(2, 3).astype("f")
    assert tg.batch_norm(x, np.zeros(3), np.ones(3)).dtype == np.float32
    mean = np.zeros(3, "f")
    tg.batch_norm(x, mean, np.ones(3, "f"), training=True)
    assert mean.dtype == np.float32


def test_one_of_the_statistics_may_be_kept_alone() -> None:
    x, mean = drawn(4, 3), np.zeros(3)
    tg.batch_norm(x, mean, None, training=True, momentum=1.0)
    np.testing.assert_allclose(mean, x.mean(axis=0))


# -- other scales --------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("axis", [0, -1, (0, 1)])
def test_normalize_makes_the_norm_1(p: float, axis: Any) -> None:
    x = drawn(3, 4)
    y = tg.normalize(x, p, axis)
    sizes = abs(y)
    norm = sizes.max(axis=axis) if p == math.inf else (sizes**p).sum(axis=axis) ** (1 / p)
    np.testing.assert_allclose(norm, 1, rtol=1e-13)
    g = drawn(3, 4, seed=1)  # the length does not count, so the gradient is orthogonal to x
    found = gradient(lambda t: tg.normalize(t, p, axis), x, g)
    np.testing.assert_allclose((found * x).sum(axis=axis), 0, atol=1e-13)


def test_normalize_of_zeros_is_zero() -> None:
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert tg.normalize(x).tolist() == [[0, 0], [0.6, 0.8]]
    for p in (0.5, 1, 2, 3, math.inf):
        found = gradient(lambda t, p=p: tg.normalize(t, p, eps=0.5), x, np.array([[1.0, 0]] * 2))
        assert found[0].tolist() == [2, 0]
        assert np.isfinite(found).all()


def test_local_response_by_hand() -> None:
    x = np.array([[1.0, 2.0, 3.0]])
    # neighbours: one before, none after for size 2; one on both sides for size 3
    y = tg.local_response_norm(x, 2, alpha=2.0, beta=1.0, k=1.0)
    np.testing.assert_allclose(y, [[1 / 2, 2 / 6, 3 / 14]])
    y = tg.local_response_norm(x, 3, alpha=3.0, beta=0.5, k=2.0)
    np.testing.assert_allclose(y, [[1 / 7**0.5, 2 / 16**0.5, 3 / 15**0.5]])


# -- numbers far out, dtype, empty, readings -------------------------------------------------------

FUNCTIONS: list[Any] = [
    lambda x: tg.batch_norm(x, None, None, training=True),
    lambda x: tg.layer_norm(x, 4),
    lambda x: tg.rms_norm(x, 4),
    lambda x: tg.group_norm(x, 1),
    lambda x: tg.instance_norm(x),
    lambda x: tg.normalize(x),
    lambda x: tg.local_response_norm(x, 2),
]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_float32_stays_and_agrees_with_float64(f: Any) -> None:
    x, g = drawn(3, 2, 4).astype("f"), drawn(3, 2, 4, seed=1).astype("f")
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(g)
    assert y.dtype == t.grad.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), f(x.astype(float)), rtol=1e-4, atol=1e-5)
    exact = gradient(f, x.astype(float), g.astype(float))
    np.testing.assert_allclose(t.grad, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_a_traced_program_gives_the_same(f: Any) -> None:
    x = drawn(2, 2, 4)
    value, (found,) = tg.trace(lambda x: np.sum(f(x) ** 3), x)(x)
    np.testing.assert_allclose(value, np.sum(f(x) ** 3), atol=1e-12)
    np.testing.assert_allclose(found, tg.grad(lambda x: np.sum(f(x) ** 3))(x), atol=1e-12)


@pytest.mark.parametrize("f", FUNCTIONS[1:])
def test_an_empty_batch(f: Any) -> None:
    assert gradient(f, np.zeros((0, 2, 4)), np.zeros((0, 2, 4))).shape == (0, 2, 4)


@pytest.mark.parametrize("f", [FUNCTIONS[1], FUNCTIONS[2]])
def test_a_row_that_was_not_selected_sends_nothing_back(f: Any) -> None:
    x = drawn(2, 4)
    x[0] = math.nan
    selected = np.array([[False], [True]])
    found = gradient(lambda t: np.where(selected, f(t), 0.0), x, np.ones((2, 4)))
    assert found[0].tolist() == [0, 0, 0, 0]
    assert np.isfinite(found).all()


def test_a_constant_row_becomes_the_bias() -> None:
    x = np.full((1, 3), 7.0)
    assert tg.layer_norm(x, 3, bias=np.array([1.0, 2.0, 3.0])).tolist() == [[1, 2, 3]]
    found = gradient(lambda t: tg.layer_norm(t, 3, eps=0.25), x, [[3.0, 0.0, 0.0]])
    np.testing.assert_allclose(found, [[4, -2, -2]])


# -- refusals ------------------------------------------------------------------------------------

X = np.ones((2, 4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.batch_norm(x, np.ones(3), np.ones(4)), r"running_mean of shape \(4,\)"),
        (lambda x: tg.batch_norm(x, None, None), "running_mean and running_var, of which"),
        (lambda x: tg.batch_norm(x, None, None, np.ones(3), None, True), r"weight of shape \(4,\)"),
        (lambda x: tg.batch_norm(x[0, 0], None, None, training=True), r"x \(N, C, ...\), got \(3,"),
        (lambda x: tg.batch_norm(x[:1, :, 0], None, None, training=True), "more than one number"),
        (lambda x: tg.layer_norm(x, 4), r"to end with normalized_shape \(4,\), got \(2, 4, 3\)"),
        (lambda x: tg.layer_norm(x, (2, 2, 4, 3)), r"normalized_shape \(2, 2, 4, 3\), got \(2, 4"),
        (lambda x: tg.layer_norm(x, 3, np.ones(4)), r"weight and bias of normalized_shape \(3,\)"),
        (lambda x: tg.rms_norm(x, (4, 3), np.ones(3)), r"normalized_shape \(4, 3\), got \(3,\)"),
        (lambda x: tg.group_norm(x, 3), "num_groups to divide the 4 channels of x .* got 3"),
        (lambda x: tg.group_norm(x, 2, np.ones(2)), r"group_norm: expected weight of shape \(4,\)"),
        (lambda x: tg.instance_norm(x[0]), r"instance_norm: expected x \(N, C, L, ...\), got \(4,"),
        (lambda x: tg.instance_norm(x, bias=np.ones(2)), r"bias of shape \(4,\)"),
        (lambda x: tg.normalize(x, 0), "normalize: expected p > 0, got 0"),
        (lambda x: tg.local_response_norm(x, 0), "size to be an integer of at least 1"),
    ],
)
@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
def test_refused(wrap: Any, call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call(wrap(X))


@pytest.mark.parametrize(
    "statistic", [Tensor(np.zeros(4), requires_grad=True), [0.0] * 4, np.zeros(4, int)]
)
def test_running_statistics_must_be_arrays_that_can_be_updated(statistic: Any) -> None:
    with pytest.raises(tg.DtypeError, match="running_var to be a float ndarray"):
        tg.batch_norm(X, None, statistic, training=True)


def test_statistics_are_not_rounded_to_the_integers_of_the_input() -> None:
    x, mean, var = np.array([[1, 2], [3, 4]]), np.array([0.5, 0.5]), np.array([2.5, 2.5])
    expected = tg.batch_norm(x.astype(float), mean, var)
    assert np.array_equal(tg.batch_norm(x, mean, var), expected)
