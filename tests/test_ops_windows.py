"""Windows: by hand, adjoints, convolution as a product with them, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_edu as tg
from tinygrad_edu import Tensor


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def test_unfold_by_hand() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    columns = tg.unfold(x, 2)
    assert columns[0].T.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    counts = tg.fold(np.ones((1, 4, 4)), 3, 2)
    assert counts[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert tg.unfold(x[0], 2).shape == (4, 4)
    assert tg.fold(columns[0], (3, 3), 2).shape == (1, 3, 3)


def test_convolution_is_a_product_with_unfolded_images() -> None:
    x, w = drawn(2, 3, 5, 6), drawn(4, 3, 2, 3, seed=1)
    options: Any = {"stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}
    y = tg.conv2d(x, w, **options)
    columns = tg.unfold(x, (2, 3), **options)
    np.testing.assert_allclose((w.reshape(4, -1) @ columns).reshape(y.shape), y, atol=1e-13)
    h = drawn(*columns.shape, seed=2)
    back = tg.fold(h, (5, 6), (2, 3), **options)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(h, columns), rtol=1e-11)


@pytest.mark.parametrize(
    ("window", "axis"), [(2, 1), ((2, 3), None), ((3,), -1), ((2, 2), (0, 0)), ((1, 2), (1, 0))]
)
def test_sliding_windows(window: Any, axis: Any) -> None:
    x = drawn(4, 5)
    t = Tensor(x, requires_grad=True)
    y = sliding_window_view(t, window, axis=axis)
    expected = sliding_window_view(x, window, axis=axis)
    np.testing.assert_array_equal(y.numpy(), expected)
    g = drawn(*y.shape, seed=1)
    y.backward(g)
    numbers = sliding_window_view(np.arange(20).reshape(4, 5), window, axis=axis)
    sums = np.bincount(numbers.ravel(), weights=g.ravel(), minlength=20)
    np.testing.assert_allclose(t.grad, sums.reshape(4, 5), atol=1e-14)


def test_a_moving_average_of_sliding_windows() -> None:
    t = Tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    y = np.mean(sliding_window_view(t, 2), axis=-1)
    y.backward(np.array([2.0, 4.0, 8.0]))
    assert y.tolist() == [1.5, 3, 6]
    assert t.grad.tolist() == [1, 3, 6, 4]


X = np.ones((2, 4, 5, 6))


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("f", "args", "message"),
    [
        (tg.unfold, (X[0, 0], 2), r"unfold: expected x \(N, C, H, W\) or"),
        (tg.unfold, (X, 7), r"unfold: .* kernel of \(7, 7\)"),
        (tg.fold, (np.ones((2, 8, 5)), 3, 2), r"x \(N, C · 4, 4\) for windows .* got \(2, 8, 5\)"),
    ],
)
def test_refused(wrap: Any, f: Any, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        f(*(wrap(a) if isinstance(a, np.ndarray) else a for a in args))


def test_sliding_windows_cannot_be_written_into() -> None:
    t = Tensor(np.ones(4), requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match="sliding_window_view: options 'subok' and"):
        sliding_window_view(t, 2, writeable=True)
    with pytest.raises(tg.InputError, match="sliding_window_view"):
        sliding_window_view(t, 5)
