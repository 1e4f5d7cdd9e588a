"""Pooling: against naive loops, ties, edges, adjoints, and what they refuse."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.ops import pooling

MAX = {1: tg.max_pool1d, 2: tg.max_pool2d, 3: tg.max_pool3d}
AVG = {1: tg.avg_pool1d, 2: tg.avg_pool2d, 3: tg.avg_pool3d}
SIZE = (5, 7, 4)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def tied(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, size=shape).astype(float)


def gradient(f: Callable[[Any], Any], x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(drawn(*y.shape, seed=9) if g is None else g)
    return t.grad


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> Any:
    """The indices in each window along an axis, those outside too."""
    reach = dilation * (kernel - 1) + 1
    start = -padding
    end = start  # of what the windows before have seen
    while start + reach <= size + padding or (ceil and end < size + padding and start < size):
        yield [start + dilation * k for k in range(kernel)]
        end = start + reach
        start += stride


def naive_max(
    x: np.ndarray, g: Any, axes: int, kernel: int, *options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, places and gradient of a maximum pooling, one window at a time."""
    size = x.shape[-axes:]
    per_axis = [list(windows(n, kernel, *options)) for n in size]
    shape = (*x.shape[:-axes], *map(len, per_axis))
    values, places, grad = np.zeros(shape), np.zeros(shape, int), np.zeros_like(x)
    for lead in np.ndindex(*x.shape[:-axes]):
        for at in np.ndindex(*shape[len(lead) :]):
            inside = [
                where
                for where in product(*(per_axis[a][i] for a, i in enumerate(at)))
                if all(0 <= i < n for i, n in zip(where, size, strict=True))
            ]
            best = max(inside, key=lambda where, lead=lead: x[(*lead, *where)])  # the first
            values[(*lead, *at)] = x[(*lead, *best)]
            places[(*lead, *at)] = np.ravel_multi_index(best, size)
            grad[(*lead, *best)] += g[(*lead, *at)]
    return values, places, grad


CASES = [
    (axes, *rest)
    for axes in (1, 2, 3)
    for rest in [
        (2, 2, 0, 1, False), (3, 1, 1, 1, False), (2, 3, 1, 1, True), (2, 1, 1, 2, False),
        (3, 2, 0, 1, True),
    ]
]  # fmt: skip


@pytest.mark.parametrize("make", [drawn, tied])
@pytest.mark.parametrize(("axes", "kernel", "stride", "padding", "dilation", "ceil"), CASES)
def test_max_pooling_is_that_of_naive_loops(
    make: Any, axes: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
) -> None:
    x = make(2, 1, *SIZE[:axes])
    options = stride, padding, dilation, ceil
    y, places = MAX[axes](x, kernel, *options, return_indices=True)
    g = drawn(*y.shape, seed=3)
    values, expected, grad = naive_max(x, g, axes, kernel, *options)
    np.testing.assert_array_equal(y, values)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(
        gradient(lambda t: MAX[axes](t, kernel, *options), x, g), grad, atol=1e-14
    )


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(
    ("axes", "kernel", "stride", "padding", "dilation", "ceil"),
    [case for case in CASES if case[4] == 1],
)
def test_average_pooling_is_that_of_naive_loops(
    axes: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool, include: bool
) -> None:
    x = drawn(1, 2, *SIZE[:axes])
    expected = x
    for axis in range(-axes, 0):  # the mean of a box is the mean of means, where counts agree
        n = x.shape[axis]
        sums = []
        for window in windows(n, kernel, stride, padding, 1, ceil):
            inside = [i for i in window if 0 <= i < n]
            edge = padding if include else 0
            count = len([i for i in window if -edge <= i < n + edge])
            sums.append(np.take(expected, inside, axis=axis).sum(axis=axis) / count)
        expected = np.stack(sums, axis=axis)
    options = kernel, stride, padding, ceil, include
    y = AVG[axes](x, *options)
    np.testing.assert_allclose(y, expected, atol=1e-14)
    h = drawn(*y.shape, seed=2)
    back = gradient(lambda t: AVG[axes](t, *options), x, h)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(h, y), rtol=1e-12)


def test_pooling_by_hand() -> None:
    x = np.array([[[1.0, 2, 0, 5], [3, 4, 1, 1]]])
    assert tg.max_pool2d(x, 2).tolist() == [[[4, 5]]]
    assert tg.avg_pool2d(x, 2).tolist() == [[[2.5, 1.75]]]
    assert tg.avg_pool2d(x, 2, divisor_override=2).tolist() == [[[5, 3.5]]]
    assert tg.max_pool2d(x, (1, 2)).tolist() == [[[2, 5], [4, 1]]]
    assert gradient(lambda t: tg.max_pool2d(t, 2), x, [[[7.0, 8.0]]]).tolist() == [
        [[0, 0, 0, 8], [0, 7, 0, 0]]
    ]
    assert gradient(lambda t: tg.avg_pool2d(t, 2), x, [[[4.0, 8.0]]]).tolist() == [
        [[1, 1, 2, 2], [1, 1, 2, 2]]
    ]


def test_of_equal_maxima_the_first_row_by_row_gets_the_gradient() -> None:
    x = np.array([[[0.0, 1, 1], [1, 1, 1], [1, 1, 1]]])
    found = gradient(lambda t: tg.max_pool2d(t, 2, 1), x, [[[1.0, 10], [100, 1000]]])
    assert found.tolist() == [[[0, 11, 0], [100, 1000, 0], [0, 0, 0]]]


def test_padding_is_never_a_maximum() -> None:
    x = np.full((1, 3), -math.inf)
    y, places = tg.max_pool1d(x, 2, padding=1, return_indices=True)
    assert y.tolist() == [[-math.inf, -math.inf]]
    assert places.tolist() == [[0, 1]]
    assert gradient(lambda t: tg.max_pool1d(t, 2, padding=1), x, [[2.0, 3.0]]).tolist() == [
        [2, 3, 0]
    ]
    assert tg.max_pool1d(np.array([[-7, -5]]), 2, 1, 1).tolist() == [[-7, -5, -5]]


def test_a_window_with_nan_is_nan_and_sends_its_cotangent_there() -> None:
    nan = math.nan
    x = np.array([[1.0, nan, 2.0, 3.0]])
    np.testing.assert_array_equal(tg.max_pool1d(x, 2), [[nan, 3]])
    assert gradient(lambda t: tg.max_pool1d(t, 2), x, [[2.0, 3.0]]).tolist() == [[0, 2, 0, 3]]
    x = np.array([[math.inf, nan, 2.0, nan, 3.0]])
    y, places = tg.max_pool1d(x, 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(y, [[nan, nan, nan]])
    assert places.tolist() == [[1, 1, 3]]
    found = gradient(lambda t: tg.max_pool1d(t, 3, 2, 1), x, [[1.0, 10, 100]])
    assert found.tolist() == [[0, 11, 0, 100, 0]]


@pytest.mark.parametrize("make", [drawn, tied])
@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(2, 2, 1), (3, 3, 1), (1, 1, 1), (3, 1, 1), (2, 3, 2)]
)
def test_windows_inside_are_pooled_as_those_over_the_edge(
    make: Any, nan: bool, kernel: int, stride: int, dilation: int, monkeypatch: Any
) -> None:
    x = make(2, 1, 6, 9)
    x[0, 0, 2:4, 3] = math.nan if nan else 7
    functions: list[Any] = [
        lambda t: tg.max_pool2d(t, kernel, stride, dilation=dilation),
        lambda t: tg.avg_pool2d(t, kernel, stride),
    ]

    def results() -> list[Any]:
        values = [f(x) for f in functions]
        places = tg.max_pool2d(x, kernel, stride, 0, dilation, return_indices=True)[1]
        return [*values, places, *(gradient(f, x) for f in functions)]

    quick = results()
    monkeypatch.setattr(pooling, "_all_inside", lambda shape, along: False)
    monkeypatch.setattr(pooling, "_overlap", lambda along: True)
    for found, expected in zip(quick, results(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", [2, 3])
def test_the_order_of_axes_in_memory_is_kept_and_changes_nothing(kernel: int) -> None:
    x = drawn(2, 3, 4, 6)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    t, u = (Tensor(a, requires_grad=True) * 1 for a in (x, last))
    y, z = (tg.max_pool2d(a, kernel) for a in (t, u))
    assert np.moveaxis(z.data, 0, -1).flags.c_contiguous
    g = drawn(*y.shape, seed=1)
    np.testing.assert_array_equal(tg.gradients(z, u, g=g), tg.gradients(y, t, g=g))
    along = (3, kernel, kernel, 0, 1, 6 // kernel)
    largest = pooling.max_along(last, along=along)
    place = pooling.first_largest(last, largest, along=along)
    share = pooling.to_places(np.ones(place.shape), place, shape=x.shape, along=along)
    assert np.moveaxis(share, 0, -1).flags.c_contiguous


def test_a_cotangent_that_is_infinite_stays_in_its_place() -> None:
    x = np.array([[1.0, 2.0, 4.0, 3.0]])
    found = gradient(lambda t: tg.max_pool1d(t, 2), x, [[math.inf, 3.0]])
    assert found.tolist() == [[0, math.inf, 3, 0]]


def test_second_order_goes_through_the_same_places() -> None:
    x = drawn(1, 1, 4, 4)
    hessian = tg.hessian(lambda x: np.sum(tg.max_pool2d(x, 3, 1, 1) ** 2))(x).reshape(16, 16)
    places = tg.max_pool2d(x, 3, 1, 1, return_indices=True)[1]
    np.testing.assert_allclose(hessian, np.diag(2.0 * np.bincount(places.ravel(), minlength=16)))


def test_windows_longer_than_a_byte() -> None:
    x = np.zeros((1, 300))
    x[0, 290] = 1
    found = gradient(lambda t: tg.max_pool1d(t, 300), x, [[2.0]])
    assert found[0, 290] == 2
    assert np.count_nonzero(found) == 1


# -- dtype, empty, readings ------------------------------------------------------------------------

FUNCTIONS: list[Any] = [
    lambda x: tg.max_pool2d(x, 2),
    lambda x: tg.avg_pool2d(x, 2, padding=1, count_include_pad=False),
]


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("batch", [2, 0])
def test_float32_and_empty_batches(f: Any, batch: int) -> None:
    x = Tensor(drawn(batch, 1, 4, 4).astype("f"), requires_grad=True)
    y = f(x)
    y.backward(np.ones(y.shape))
    assert (y.dtype, x.grad.dtype, x.grad.shape) == (np.float32, np.float32, x.shape)
    np.testing.assert_allclose(y.numpy(), f(x.data.astype(float)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_a_traced_program_gives_the_same(f: Any) -> None:
    x = drawn(1, 2, 4, 4)
    value, (found,) = tg.trace(lambda x: np.sum(f(x) ** 2), x)(x)
    np.testing.assert_allclose(value, np.sum(f(x) ** 2))
    np.testing.assert_allclose(found, tg.grad(lambda x: np.sum(f(x) ** 2))(x), rtol=1e-12)


def test_integers_pool_and_results_of_tensors_are_tensors() -> None:
    assert tg.max_pool1d([[1, 3, 2, 2]], 2).tolist() == [[3, 2]]
    assert tg.avg_pool1d([[1, 3, 2, 2]], 2).tolist() == [[2, 2]]
    y, places = tg.max_pool1d(Tensor([[1.0, 3.0]], requires_grad=True), 2, return_indices=True)
    assert y.requires_grad
    assert isinstance(places, Tensor)
    assert not places.requires_grad


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_same_on_dask_arrays(f: Any) -> None:
    da = pytest.importorskip("dask.array")
    x = drawn(2, 2, 4, 4)
    t = Tensor(da.from_array(x, chunks=1), requires_grad=True)
    y = f(t)
    y.backward(da.ones(y.shape))
    assert isinstance(t.grad, da.Array)
    np.testing.assert_allclose(t.grad.compute(), gradient(f, x, np.ones(y.shape)), atol=1e-14)


# -- refusals ------------------------------------------------------------------------------------

X = np.ones((2, 4, 5, 6))


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.max_pool2d(x, 7), r"max_pool2d: .* kernel of \(7, 7\).* input of \(5, 6\)"),
        (lambda x: tg.max_pool2d(x[0, 0], 2), r"expected x \(N, C, H, W\) or .* got \(5, 6\)"),
        (lambda x: tg.max_pool1d(x, 2), r"max_pool1d: expected x \(N, C, W\)"),
        (lambda x: tg.max_pool2d(x, 2, 1, 2), r"at most half .* \(2, 2\) for a kernel of \(2, 2\)"),
        (lambda x: tg.max_pool2d(x, 2, 0), "stride to be an integer of at least 1, .* got 0"),
        (lambda x: tg.max_pool2d(x, (2, 2, 2)), r"kernel_size .* or 2 of them, got \(2, 2, 2\)"),
        (lambda x: tg.avg_pool2d(x, 2, padding=-1), "padding .* at least 0, .* got -1"),
        (lambda x: tg.avg_pool2d(x, 2, divisor_override=0), "divisor_override other than 0"),
    ],
)  # fmt: skip
def test_refused(wrap: Any, call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call(wrap(X))
