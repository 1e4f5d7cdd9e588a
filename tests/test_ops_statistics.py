"""Statistics: against NumPy, closed forms and difference quotients; weights, ties, refusals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

nan = math.nan


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(10).normal(size=shape)


def gradient(f: Callable[..., Any], *xs: Any, g: Any = None) -> Any:
    ts = [Tensor(x, requires_grad=True) for x in xs]
    y = f(*ts)
    y.backward(np.ones(y.shape) if g is None else g)
    return ts[0].grad if len(ts) == 1 else [t.grad for t in ts]


# -- quantiles -----------------------------------------------------------------------------------

METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased",
    "lower", "higher", "midpoint", "nearest",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f", [np.quantile, np.nanquantile], ids=lambda f: f.__name__)
def test_quantile_by_every_method(f: Any, method: str) -> None:
    for n in (1, 4, 5, 10):
        x = drawn(n)
        for q in (0.0, 0.1, 0.25, 0.3, 0.5, 0.8, 1.0):
            found = gradient(lambda t, q=q: f(t, q, method=method), x)
            # Linear in the sorted elements, so its value is the sum of shares times elements.
            np.testing.assert_allclose((found * x).sum(), f(x, q, method=method), rtol=1e-12)
            assert abs(found.sum() - 1) < 1e-12
            assert np.count_nonzero(found) <= 2
            places = np.flatnonzero(found[np.argsort(x)])
            assert places.max() - places.min() <= 1
        tg.check_gradients(lambda t: f(t, 0.3, method=method), x)


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.5, [0, 0.5, 0.5, 0]), (0.0, [1, 0, 0, 0]), (1.0, [0, 0, 0, 1]), (0.25, [0.25, 0.75, 0, 0])],
)
def test_shares_of_the_elements_by_hand(q: float, expected: list[float]) -> None:
    assert gradient(lambda t: np.quantile(t, q), [1.0, 2, 4, 8]).tolist() == expected
    assert gradient(lambda t: np.percentile(t, 100 * q), [1.0, 2, 4, 8]).tolist() == expected
    assert gradient(lambda t: np.nanquantile(t, q), [1.0, 2, 4, 8]).tolist() == expected


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, 1), (0, 1, 2)], ids=str)
def test_quantiles_over_every_axis(axis: Any, keepdims: bool) -> None:
    x, options = drawn(2, 3, 4), {"axis": axis, "keepdims": keepdims}
    for f in (np.median, np.nanmedian):
        np.testing.assert_array_equal(f(Tensor(x), **options).data, f(x, **options))
        tg.check_gradients(lambda t, f=f: f(t, **options), x, order=2)
    for f, scale in {np.quantile: 1, np.nanquantile: 1, np.percentile: 100}.items():
        for q in (0.3 * scale, [0.1 * scale, 0.6 * scale], np.full((2, 2), 0.9 * scale)):
            if f is np.nanquantile and np.ndim(q) == 2:
                continue
            np.testing.assert_array_equal(f(Tensor(x), q, **options).data, f(x, q, **options))
            tg.check_gradients(lambda t, f=f, q=q: f(t, q, **options), x)


def test_the_median_of_equal_elements_is_the_middle_one_of_a_stable_sort() -> None:
    for f in (np.median, np.nanmedian, lambda t: np.quantile(t, 0.5)):
        assert gradient(f, [2.0, 2, 2]).tolist() == [0, 1, 0]
        assert gradient(f, [2.0, 2, 2, 2]).tolist() == [0, 0.5, 0.5, 0]
        assert gradient(f, [3.0]).tolist() == [1]
        assert gradient(f, 3.0) == 1


def test_nan_is_skipped_and_gets_nothing() -> None:
    x = np.array([[nan, 1.0, 3.0, 2.0], [5.0, nan, nan, 4.0], [6.0, 8.0, 7.0, 9.0]])
    expected = [[0, 0, 0, 1], [0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0]]
    assert gradient(lambda t: np.nanmedian(t, axis=1), x).tolist() == expected
    assert gradient(lambda t: np.nanquantile(t, 0.5, axis=1), x).tolist() == expected
    for method in METHODS:
        for q in (0.2, 0.7):
            found = gradient(
                lambda t, q=q, method=method: np.nanpercentile(t, 100 * q, 1, method=method), x
            )
            for row, shares in zip(x, found, strict=True):
                there = ~np.isnan(row)
                alone = gradient(
                    lambda t, q=q, method=method: np.quantile(t, q, method=method), row[there]
                )
                np.testing.assert_allclose(shares[there], alone, atol=1e-12)
                assert not shares[~there].any()


@pytest.mark.parametrize("f", [np.nanmedian, lambda t, axis: np.nanquantile(t, 0.3, axis=axis)])
def test_rows_of_nan(f: Any) -> None:
    t = Tensor([[nan, nan], [1.0, 2.0]], requires_grad=True)
    with pytest.warns(RuntimeWarning, match="All-NaN slice"):
        y = f(t, axis=1)
    assert np.isnan(y.data[0])
    y.backward(np.ones(2))
    assert t.grad[0].tolist() == [0, 0]
    assert abs(t.grad[1].sum() - 1) < 1e-15


@pytest.mark.parametrize("method", ["linear", "inverted_cdf", "hazen", "nearest"])
def test_float32_chooses_the_elements_that_numpy_chooses(method: Any) -> None:
    x = np.arange(10, dtype=np.float32) ** 2
    for q in (0.1, 0.3, 0.55, 0.7):
        for f, whole in ((np.quantile, 1), (np.percentile, 100)):
            found = gradient(lambda t, q=q, f=f, w=whole: f(t, w * q, method=method), x)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found @ x, f(x, whole * q, method=method), rtol=1e-5)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: np.quantile([1.0, 2], t), "quantile: no gradient is defined for argument 'q'"),
        (
            lambda t: np.quantile([1.0, 2], 0.5 + 0 * t, method="lower"),
            "quantile: no gradient is defined for argument 'q'",
        ),
        (
            lambda t: np.quantile(t, 0.5, weights=1.0, method="inverted_cdf"),
            "quantile: option 'weights' has no gradient rule; supported.*method",
        ),
        (
            lambda t: np.nanquantile(t, [[0.5]]),
            r"nanquantile: expected .* for 'q', got shape \(1, 1\)",
        ),
        (lambda t: np.median(t, overwrite_input=True), "median: option 'overwrite_input'"),
        (lambda t: np.percentile(t, 5, out=np.zeros(())), "percentile: option 'out'"),
    ],
)
def test_refused_by_name(f: Any, message: str) -> None:
    with pytest.raises(tg.UnsupportedError, match=message):
        f(Tensor(0.5, requires_grad=True))


def test_quantile_out_of_range() -> None:
    with pytest.raises(tg.InputError, match=r"quantile\(.*must be in the range"):
        np.quantile(Tensor([1.0, 2]), 1.5)


# -- averages ------------------------------------------------------------------------------------


def test_average_is_the_quotient_of_two_sums() -> None:
    a, w = np.array([1.0, 2, 4]), np.array([1.0, 3, 4])
    by_a, by_w = gradient(lambda a, w: np.average(a, weights=w), a, w)
    np.testing.assert_allclose(by_a, w / 8, rtol=1e-15)
    np.testing.assert_allclose(by_w, (a - 23 / 8) / 8, rtol=1e-14)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (2, 0)], ids=str)
def test_average_over_every_axis(axis: Any, keepdims: bool) -> None:
    a = drawn(2, 3, 4)
    axes = axis if isinstance(axis, tuple) else (axis,)
    one_per_element = abs(drawn(2, 3, 4)) + 0.1
    of_axes = None if axis is None else 0.1 + abs(drawn(*(a.shape[i] for i in axes)))
    for w in (None, one_per_element, of_axes):
        options = {"axis": axis, "returned": True, "keepdims": keepdims}
        found = np.average(Tensor(a), weights=w, **options)
        for one, other in zip(np.average(a, weights=w, **options), found, strict=True):
            np.testing.assert_allclose(other.data, one, rtol=1e-14)
            assert other.shape == np.shape(one)
        arrays = (a,) if w is None else (a, w)
        tg.check_gradients(
            lambda a, w=None, o=options: np.average(a, weights=w, **o)[0], *arrays, order=2
        )
    tg.check_gradients(lambda a, w: np.average(a, axis, w, True), a, one_per_element, order=2)


def test_average_refuses_what_numpy_refuses() -> None:
    a = Tensor(drawn(2, 3))
    with pytest.raises(ZeroDivisionError, match="do not sum to 0"):
        np.average(a, weights=np.zeros((2, 3)))
    with pytest.raises(tg.InputError, match=r"weights of shape \(3,\) are not one for each"):
        np.average(a, weights=np.ones(3))
    with pytest.raises(tg.InputError, match=r"expected weights of shape \(2, 3\), or \(2,\) for"):
        np.average(a, 0, np.ones(3))


@pytest.mark.parametrize("correction", [0, 1, 1.5])
def test_var_mean_and_std_mean(correction: float) -> None:
    x = drawn(3, 4)
    options: Any = {"axis": 1, "correction": correction, "keepdims": True}
    for f, spread in ((tg.var_mean, np.var), (tg.std_mean, np.std)):
        found, mean = f(x, **options)
        np.testing.assert_array_equal(found, spread(x, 1, ddof=correction, keepdims=True))
        np.testing.assert_array_equal(mean, x.mean(1, keepdims=True))
        tg.check_gradients(lambda t, f=f: f(t, **options), x, order=2)
    assert tg.var_mean(x)[0] == np.var(x, ddof=1)  # PyTorch's default, not NumPy's


# -- covariances ---------------------------------------------------------------------------------

COV: list[dict[str, Any]] = [
    {}, {"bias": True}, {"ddof": 0}, {"ddof": 2}, {"fweights": [1, 2, 0, 3]},
    {"aweights": [0.5, 1, 2, 0.1]}, {"fweights": [1, 2, 1, 3], "aweights": [0.5, 1, 2, 0.1]},
    {"aweights": [0.5, 1, 2, 0.1], "ddof": 0}, {"dtype": np.float64},
]  # fmt: skip


@pytest.mark.parametrize("options", COV, ids=str)
def test_cov(options: Any) -> None:
    m, y = drawn(2, 4), drawn(3, 4)[2]
    for args in ((m,), (m, y), (y,), (y, m[0])):
        np.testing.assert_allclose(
            np.cov(*map(Tensor, args), **options).data, np.cov(*args, **options), rtol=1e-13
        )
        tg.check_gradients(lambda *xs: np.cov(*xs, **options), *args, order=2)
    for args in ((m.T,), (m.T, y), (m.T, m.T)):
        found = np.cov(*map(Tensor, args), rowvar=False, **options)
        np.testing.assert_allclose(
            found.data, np.cov(*args, rowvar=False, **options), rtol=1e-12, atol=1e-15
        )


def test_cov_is_differentiable_by_its_weights() -> None:
    tg.check_gradients(lambda m, w: np.cov(m, aweights=w), drawn(2, 4), abs(drawn(4)), order=2)


def test_cov_in_other_dtypes() -> None:
    x = drawn(2, 4).astype(np.float32)
    for options in ({}, {"dtype": np.float32}, {"dtype": np.float32, "fweights": [1, 1, 2, 1]}):
        found, expected = np.cov(Tensor(x), **options), np.cov(x, **options)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.data, expected, rtol=1e-5)


def test_cov_of_too_few() -> None:
    with pytest.warns(RuntimeWarning):
        expected = np.cov(np.ones((2, 1)))
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        found = np.cov(Tensor(np.ones((2, 1))))
    np.testing.assert_array_equal(found.data, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ddof": 0.5}, tg.InputError, "cov: expected an integer for ddof, got 0.5"),
        ({"fweights": [1, 2]}, tg.InputError, "cov: expected 4 numbers >= 0 for fweights"),
        ({"aweights": [1, 1, 1, -1]}, tg.InputError, "cov: expected 4 numbers >= 0 for aweights"),
        ({"fweights": [1, 0.5, 1, 1]}, tg.DtypeError, "whole numbers for fweights"),
    ],
)
def test_cov_refuses_wrong_weights(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        np.cov(Tensor(drawn(2, 4)), **options)
    with pytest.raises(tg.InputError, match=r"at most two axes, got shape \(1, 2, 3\)"):
        np.cov(Tensor(drawn(1, 2, 3)))


def test_corrcoef() -> None:
    m, y = drawn(2, 5), drawn(3, 5)[2]
    for args, options in (((m,), {}), ((m, y), {}), ((m.T,), {"rowvar": False})):
        found = np.corrcoef(*map(Tensor, args), **options)
        np.testing.assert_allclose(found.data, np.corrcoef(*args, **options), rtol=1e-13)
    tg.check_gradients(lambda m, y: np.corrcoef(m, y), m, y, order=2)
    assert np.corrcoef(Tensor(y)).item() == 1
    assert not gradient(np.corrcoef, y).any()
    # the same for x and for any ascending line through it
    found = gradient(lambda m: np.corrcoef(m)[0, 1], m)
    np.testing.assert_allclose(found @ np.ones(5), 0, atol=1e-15)
    np.testing.assert_allclose((found * m).sum(axis=1), 0, atol=1e-15)


# -- counts --------------------------------------------------------------------------------------


def test_bincount() -> None:
    x, w = [0, 2, 2, 1], np.array([0.5, 1, 2, 3])
    found = np.bincount(x, Tensor(w), 5)
    np.testing.assert_array_equal(found.data, np.bincount(x, w, 5))
    assert gradient(lambda w: np.bincount(x, w), w, g=[1.0, 2, 3]).tolist() == [1, 3, 3, 2]
    tg.check_gradients(lambda w: np.bincount(x, w), w, order=2)
    assert np.bincount(Tensor(x), minlength=4).tolist() == [1, 1, 2, 0]
    with pytest.raises(tg.InputError, match=r"bincount\(.*same length"):
        np.bincount(x, Tensor(w[:2], requires_grad=True))


def test_histogram_of_tracked_data_needs_edges_that_stay() -> None:
    x = drawn(20)
    t = Tensor(x, requires_grad=True)
    for options in ({"bins": [-1.0, 0, 1]}, {"bins": 4, "range": (-2, 2), "density": True}):
        for one, other in zip(np.histogram(x, **options), np.histogram(t, **options), strict=True):
            np.testing.assert_array_equal(other.data, one)
            assert not other.requires_grad
    for options in ({}, {"bins": 3}, {"bins": "auto", "range": (0, 1)}):
        with pytest.raises(tg.UnsupportedError, match=r"would depend on 'a'.* give the edges"):
            np.histogram(t, **options)
        for one, other in zip(
            np.histogram(x, **options), np.histogram(t.detach(), **options), strict=True
        ):
            np.testing.assert_array_equal(other.data, one)
    with tg.no_grad():
        assert np.histogram(t)[0].data.sum() == 20


@pytest.mark.parametrize("name", ["bins", "weights"])
def test_histogram_refuses_tracked_edges_and_weights(name: str) -> None:
    t = Tensor([0.0, 1.0, 2.0], requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match=f"histogram: .*depend on '{name}'.*detach"):
        np.histogram([0.5, 0.6, 1.5], **{name: t})
    with pytest.raises(tg.UnsupportedError, match="depend on 'range'"):
        np.histogram(Tensor([0.5, 0.6, 1.5]), range=(t[0], 2.0))


@pytest.mark.parametrize("dtype", [int, bool])
@pytest.mark.parametrize("f", [np.cov, np.corrcoef])
def test_covariances_are_no_integers(f: Any, dtype: Any) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(TypeError):
            f(x, dtype=dtype)


@pytest.mark.parametrize("f", [np.median, np.nanmedian])
def test_axes_of_a_median_in_a_list(f: Any) -> None:
    x = drawn(2, 3, 4)
    g = drawn(3)
    np.testing.assert_array_equal(
        gradient(lambda t: f(t, axis=[0, 2]), x, g=g), gradient(lambda t: f(t, (0, 2)), x, g=g)
    )


@pytest.mark.parametrize("f", [np.quantile, np.nanpercentile])
def test_no_quantiles_at_all(f: Any) -> None:
    assert gradient(lambda t: f(t, []), np.ones(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("method", ["linear", "lower"])
def test_a_quantile_that_is_nan_is_that_element(method: Any) -> None:
    x = np.array([[1, nan, 3, 2], [1.0, 2, 3, 4]])
    found = gradient(lambda t: np.quantile(t, [0.0, 1.0], axis=1, method=method), x)
    assert found.tolist() == [[0, 2, 0, 0], [1, 0, 0, 1]]
