"""Activations with corners: values and slopes by hand, to the far ends, and at the corners."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772

# name, function, its value and its slope at x; the corners
TABLE: list[tuple[str, Any, Callable[[float], float], Callable[[float], float]]] = [
    ("relu6", tg.relu6, lambda x: min(max(x, 0.0), 6.0), lambda x: float(0 < x < 6)),
    (
        "clipped_relu",
        lambda x: tg.clipped_relu(x, z=2.0),
        lambda x: min(max(x, 0.0), 2.0),
        lambda x: float(0 < x < 2),
    ),
    ("hardtanh", tg.hardtanh, lambda x: min(max(x, -1.0), 1.0), lambda x: float(-1 < x < 1)),
    (
        "hardtanh, its ends",
        lambda x: tg.hardtanh(x, -2.0, 0.5),
        lambda x: min(max(x, -2.0), 0.5),
        lambda x: float(-2 < x < 0.5),
    ),
    (
        "hardsigmoid",
        tg.hardsigmoid,
        lambda x: min(max(x + 3, 0.0), 6.0) / 6,
        lambda x: (-3 < x < 3) / 6,
    ),
    (
        "hardswish",
        tg.hardswish,
        lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
        lambda x: 0.0 if x <= -3 else 1.0 if x >= 3 else x / 3 + 0.5,
    ),
    (
        "selu",
        tg.selu,
        lambda x: SCALE * (x if x > 0 else ALPHA * math.expm1(x)),
        lambda x: SCALE * (1 if x > 0 else ALPHA * math.exp(x)),
    ),
    (
        "celu",
        lambda x: tg.celu(x, alpha=2.0),
        lambda x: x if x > 0 else 2 * math.expm1(x / 2),
        lambda x: 1.0 if x > 0 else math.exp(x / 2),
    ),
    (
        "threshold",
        lambda x: tg.threshold(x, 1.0, -4.0),
        lambda x: x if x > 1 else -4.0,
        lambda x: float(x > 1),
    ),
    ("hardshrink", tg.hardshrink, lambda x: x * (abs(x) > 0.5), lambda x: float(abs(x) > 0.5)),
    (
        "softshrink",
        lambda x: tg.softshrink(x, lambd=1.0),
        lambda x: x - 1 if x > 1 else x + 1 if x < -1 else 0.0,
        lambda x: float(abs(x) > 1),
    ),
    (
        "prelu",
        lambda x: tg.prelu(x, np.array(0.25, x.dtype)),
        lambda x: x if x > 0 else x / 4,
        lambda x: 1.0 if x > 0 else 0.25,
    ),
]
AT = [-1e4, -1e3, -80.0, -3.5, -3.0, -2.0, -1.0, -0.5, -1e-6, 0.0]
AT += [-x for x in reversed(AT[:-1])] + [2.5, 6.0, 6.5]


def gradient(f: Any, x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(np.ones(y.shape) if g is None else g)
    return t.grad


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("f", "value", "slope"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_values_and_slopes_everywhere(f: Any, value: Any, slope: Any, dtype: Any) -> None:
    x = np.array(AT, dtype)
    rtol = 8 * np.finfo(dtype).eps
    y, g = f(x), gradient(f, x)
    assert (y.dtype, g.dtype) == (dtype, dtype)
    np.testing.assert_allclose(y, [value(float(v)) for v in x], rtol=rtol, atol=1e-37)
    np.testing.assert_allclose(g, [slope(float(v)) for v in x], rtol=20 * rtol, atol=1e-37)


@pytest.mark.parametrize("f", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_shape(f: Any) -> None:
    x = np.linspace(-5.2, 7.3, 12)
    expected, slopes = f(x), gradient(f, x)
    for shape in [(3, 4), (2, 3, 2), (12, 1)]:
        np.testing.assert_array_equal(f(x.reshape(shape)), expected.reshape(shape))
        np.testing.assert_array_equal(gradient(f, x.reshape(shape)), slopes.reshape(shape))
    assert gradient(f, np.zeros((0, 3))).shape == (0, 3)
    assert gradient(f, x[0]) == slopes[0]


@pytest.mark.parametrize("f", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_same_on_dask_arrays(f: Any) -> None:
    da = pytest.importorskip("dask.array")
    x, g = np.linspace(-5.2, 7.3, 12), np.arange(1.0, 13.0)
    chunked = gradient(f, da.from_array(x, chunks=5), da.from_array(g, chunks=5))
    assert isinstance(chunked, da.Array)
    np.testing.assert_allclose(chunked.compute(), gradient(f, x, g), rtol=1e-14)


def test_an_infinite_branch_stays_silent() -> None:
    x = [-1.0, 0.0, 2.0]
    found = gradient(lambda t: tg.relu6(t) * np.where(t > 0, 1 / np.where(t > 0, t, 1), 0.0), x)
    assert found.tolist() == [0, 0, 0]


# -- prelu's weights -----------------------------------------------------------------------------


def test_prelu_learns_one_weight_or_one_for_each_channel() -> None:
    x = np.array([[[1.0, -2.0], [-3.0, 4.0]], [[-5.0, 6.0], [7.0, -8.0]]])  # (2, channels, 2)
    for weight, expected in (([0.5], [-2 - 3 - 5 - 8]), ([0.5, 0.25], [-2 - 5, -3 - 8])):
        w = Tensor(weight, requires_grad=True)
        y = tg.prelu(x, w)
        per_channel = np.reshape(weight, (-1, 1))
        np.testing.assert_array_equal(y.detach().numpy(), np.where(x > 0, x, per_channel * x))
        np.sum(y).backward()
        assert w.grad.tolist() == expected
    assert tg.prelu(np.array([-2.0, 4.0]), np.array([0.5])).tolist() == [-1, 4]


# -- several at once -------------------------------------------------------------------------------


def test_maxout_by_hand() -> None:
    x = np.array([[1.0, 5.0, 3.0, 3.0, -1.0, -2.0]])
    assert tg.maxout(x, 2).tolist() == [[5, 3, -1]]
    assert tg.maxout(x, k=3).tolist() == [[5, 3]]
    found = gradient(lambda t: tg.maxout(t, 2), x, np.array([[1.0, 2.0, 4.0]]))
    assert found.tolist() == [[0, 1, 1, 1, 4, 0]]
    assert tg.maxout(x.T, 2, axis=0).tolist() == [[5], [3], [-1]]
    assert tg.maxout(np.ones((2, 4, 3)), 2, axis=-2).shape == (2, 2, 3)


def test_crelu_by_hand() -> None:
    x = np.array([[1.0, -2.0]])
    assert tg.crelu(x).tolist() == [[1, 0, 0, 2]]
    assert tg.crelu(x, axis=0).tolist() == [[1, 0], [0, 2]]
    assert gradient(tg.crelu, x, np.array([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[1, -4]]


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (
            lambda x: tg.prelu(x, np.ones(2)),
            tg.InputError,
            r"one weight or 3 for x .*\(2, 3\), got",
        ),
        (lambda x: tg.prelu(x, np.ones((3, 1))), tg.InputError, r"got shape \(3, 1\)"),
        (
            lambda x: tg.celu(x, alpha=-1.0),
            tg.InputError,
            "celu: expected a positive alpha, got -1",
        ),
        (lambda x: tg.maxout(x, 2), tg.InputError, r"axis -?\d of shape \(2, 3\) cannot become"),
        (lambda x: tg.maxout(x, 2, axis=2), tg.IndexingError, "axis 2 is out of bounds"),
    ],
)
def test_refused(f: Any, error: Any, message: str) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(error, match=message):
            f(x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_is_the_same_by_the_short_way_and_the_general_one(dtype: Any) -> None:
    x = np.array([[-2.0, -0.0, np.nan], [np.inf, -np.inf, 3.0]], dtype)
    for array in (x, x.T, x[:, ::-1], x[:0], x[0, 0]):
        found, expected = tg.relu(array), np.maximum(array, 0.0)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == dtype
    assert tg.relu(np.array([-1, 2])).tolist() == np.maximum(np.array([-1, 2]), 0.0).tolist()
    assert x[0, 0] == -2


@pytest.mark.parametrize("f", [lambda x: tg.threshold(x, 0.1, 20.0), tg.hardshrink, tg.softshrink])
def test_nan_stays_nan(f: Any) -> None:
    assert np.isnan(f(np.array(math.nan)))
