"""Other sizes: against NumPy and by hand, adjoints, edges, and what they refuse."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

ADAPTIVE = {1: tg.adaptive_avg_pool1d, 2: tg.adaptive_avg_pool2d, 3: tg.adaptive_avg_pool3d}
SIZE = (5, 7, 4)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def gradient(f: Callable[[Any], Any], x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(drawn(*y.shape, seed=9) if g is None else g)
    return t.grad


def test_unpooling_puts_maxima_back() -> None:
    x = drawn(2, 3, 4, 6)
    y, places = tg.max_pool2d(x, 2, return_indices=True)
    back = tg.max_unpool2d(y, places, 2)
    assert back.shape == x.shape
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert np.count_nonzero(back) == y.size
    np.testing.assert_array_equal(tg.max_pool2d(np.where(back != 0, back, -9), 2), y)
    g = drawn(*x.shape, seed=1)
    expected = np.take_along_axis(g.reshape(2, 3, -1), places.reshape(2, 3, -1), axis=-1)
    np.testing.assert_array_equal(
        gradient(lambda t: tg.max_unpool2d(t, places, 2), y, g), expected.reshape(y.shape)
    )
    assert tg.max_unpool2d(y, places, 2, output_size=(5, 6)).shape == (2, 3, 5, 6)


# -- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_adaptive_pooling_averages_windows_that_cover_the_axis(axes: int, size: int) -> None:
    x = drawn(2, 1, *SIZE[:axes])
    expected = x
    for axis in range(-axes, 0):
        n = x.shape[axis]
        cuts = [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
        expected = np.stack(
            [np.take(expected, range(*cut), axis=axis).mean(axis=axis) for cut in cuts], axis=axis
        )
    y = ADAPTIVE[axes](x, size)
    np.testing.assert_allclose(y, expected, atol=1e-14)
    np.testing.assert_allclose(tg.interpolate(x, size, mode="area"), expected, atol=1e-14)
    h = drawn(*y.shape, seed=2)
    back = gradient(lambda t: ADAPTIVE[axes](t, size), x, h)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(h, y), rtol=1e-11)


def test_adaptive_pooling_keeps_the_size_of_an_axis() -> None:
    x = drawn(1, 3, 4)
    np.testing.assert_array_equal(tg.adaptive_avg_pool2d(x, None), x)
    np.testing.assert_allclose(
        tg.adaptive_avg_pool2d(x, (None, 1)), x.mean(axis=2, keepdims=True), rtol=1e-15
    )


@pytest.mark.parametrize(("size", "scale"), [(3, None), (10, None), (None, 2), (None, 1.5)])
def test_the_nearest_element(size: Any, scale: Any) -> None:
    x = drawn(1, 2, 5, 4)
    y = tg.interpolate(x, size, scale)
    rows, columns = (
        [math.floor(i * (n / size if size else 1 / scale)) for i in range(size or int(n * scale))]
        for n in (5, 4)
    )
    np.testing.assert_array_equal(y, x[:, :, rows][..., columns])
    h = drawn(*y.shape, seed=2)
    back = gradient(lambda t: tg.interpolate(t, size, scale), x, h)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(h, y), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 4, 11])
def test_linear_interpolation_is_that_of_numpy(size: int) -> None:
    x = drawn(2, 3, 4)

    def expected(at: np.ndarray) -> Any:
        return np.apply_along_axis(lambda row: np.interp(at, np.arange(4), row), -1, x)

    found = tg.interpolate(x, size, mode="linear")
    np.testing.assert_allclose(
        found, expected((np.arange(size) + 0.5) * 4 / size - 0.5), atol=1e-14
    )
    corners = tg.interpolate(x, size, mode="linear", align_corners=True)
    at = np.linspace(0, 3, size) if size > 1 else np.zeros(1)
    np.testing.assert_allclose(corners, expected(at), atol=1e-14)
    rows = tg.interpolate(x[:, :, None], (1, size), mode="bilinear")
    np.testing.assert_allclose(rows[:, :, 0], found, atol=1e-14)


def test_upsampling_by_hand() -> None:
    x = np.array([[[1.0, 3.0]]])
    assert tg.interpolate(x, scale_factor=2).tolist() == [[[1, 1, 3, 3]]]
    assert tg.interpolate(x, 4, mode="linear").tolist() == [[[1, 1.5, 2.5, 3]]]
    assert gradient(lambda t: tg.interpolate(t, 4), x, [[[1.0, 2, 3, 4]]]).tolist() == [[[3, 7]]]
    assert gradient(
        lambda t: tg.interpolate(t, 4, mode="linear"), x, [[[4.0, 4, 4, 8]]]
    ).tolist() == [[[8, 12]]]


def test_what_is_not_selected_gets_no_gradient() -> None:
    x = drawn(1, 1, 6)
    assert gradient(lambda t: tg.interpolate(t, 2), x, [[[1.0, 2]]]).tolist() == [
        [[1, 0, 0, 2, 0, 0]]
    ]


def test_one_infinite_pixel_stays_one() -> None:
    x = np.array([[[math.inf, 1.0, 3.0]]])
    assert tg.interpolate(x, 6).tolist() == [[[math.inf, math.inf, 1, 1, 3, 3]]]
    assert tg.interpolate(x, 6, mode="linear").tolist() == [[[*[math.inf] * 3, 1.5, 2.5, 3]]]


def test_pixel_shuffle_by_hand_and_back() -> None:
    x = np.arange(8.0).reshape(1, 4, 1, 2)
    y = tg.pixel_shuffle(x, 2)
    assert y.tolist() == [[[[0, 2, 1, 3], [4, 6, 5, 7]]]]
    np.testing.assert_array_equal(tg.pixel_unshuffle(y, 2), x)
    big = drawn(2, 18, 2, 3)
    np.testing.assert_array_equal(tg.pixel_unshuffle(tg.pixel_shuffle(big, 3), 3), big)
    g = drawn(*tg.pixel_shuffle(big, 3).shape, seed=1)
    np.testing.assert_array_equal(
        gradient(lambda t: tg.pixel_shuffle(t, 3), big, g), tg.pixel_unshuffle(g, 3)
    )


# -- dtype, empty, readings ------------------------------------------------------------------------

FUNCTIONS: list[Any] = [
    lambda x: tg.adaptive_avg_pool2d(x, 3),
    lambda x: tg.interpolate(x, 3),
    lambda x: tg.interpolate(x, 3, mode="bilinear"),
    lambda x: tg.pixel_unshuffle(x, 2),
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


# -- refusals ------------------------------------------------------------------------------------

X = np.ones((2, 4, 5, 6))


@pytest.mark.parametrize("wrap", [np.array, lambda x: Tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.adaptive_avg_pool2d(x, 0), "output_size .* at least 1, .* got"),
        (lambda x: tg.adaptive_avg_pool2d(x, (1, 2, 3)), r"output_size .* got \(1, 2, 3\)"),
        (lambda x: tg.interpolate(x), "one of size and scale_factor, got .* size=None"),
        (lambda x: tg.interpolate(x, 3, 2), "one of size and scale_factor, got"),
        (lambda x: tg.interpolate(x, 3, mode="bicubic"), "'nearest', 'bilinear' .* got 'bicubic'"),
        (lambda x: tg.interpolate(x, scale_factor=0.1), r"sizes of at least 1, got \(5, 6\) to"),
        (lambda x: tg.interpolate(x[0, 0], 3), r"3 to 5 axes .* got x \(5, 6\)"),
        (lambda x: tg.pixel_shuffle(x, 3), r"C · 9, H, W\) for upscale_factor 3, got \(2, 4, 5, 6"),
        (lambda x: tg.pixel_unshuffle(x, 2), r"H · 2, W · 2\) for downscale_factor 2, got \(2, 4"),
        (
            lambda x: tg.max_unpool2d(x[:, :, :1, :1], np.full((2, 4, 1, 1), 4), 2),
            r"indices of shape \(2, 4, 1, 1\), from 0 to 3",
        ),
        (lambda x: tg.max_unpool2d(x, np.zeros((2, 2), int), 2), r"got shape \(2, 2\)"),
        (
            lambda x: tg.max_unpool2d(x[:1, :1, :1, :2], np.zeros((1, 1, 1, 2), int), 2),
            "selects 2 elements, but only 1",
        ),
    ],
)  # fmt: skip
def test_refused(wrap: Any, call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call(wrap(X))
