"""Differences, products along a line, interpolation, ranges: exact where they are linear."""

import math
from typing import Any

import numpy as np
import pytest
from affine import check_affine

import tinygrad_edu as tg
from tinygrad_edu import Tensor

PLACES = np.array([0.5, 1.0, 2.5, 3.0])

CASES: list[Any] = [
    ("diff", np.diff, (5,)),
    ("diff of rows", lambda x: np.diff(x, axis=0), (4, 3)),
    ("diff twice", lambda x: np.diff(x, 2), (3, 4)),
    ("diff never", lambda x: np.diff(x, 0), (3,)),
    ("diff too often", lambda x: np.diff(x, 3), (2,)),
    ("diff with ends", lambda x, y, z: np.diff(x, prepend=y, append=z), (2, 3), (), (2, 2)),
    ("diff with an end, twice", lambda x, y: np.diff(x, 2, 0, append=y), (2, 3), ()),
    ("ediff1d", np.ediff1d, (2, 3)),
    ("ediff1d with ends", lambda x, y: np.ediff1d(x, to_begin=y, to_end=[1.0, 2.0]), (3,), (2,)),
    ("ediff1d of one", np.ediff1d, (1,)),
    ("ediff1d of nothing", lambda x, y: np.ediff1d(x, to_end=y), (0,), (2,)),
    *(
        case
        for order in (1, 2)
        for case in [
            (f"gradient {order}", lambda x, o=order: np.gradient(x, edge_order=o), (4, 3)),
            (f"gradient {order}, step", lambda x, o=order: np.gradient(x, 0.5, edge_order=o), (5,)),
            (
                f"gradient {order}, places",
                lambda x, o=order: np.gradient(x, PLACES, edge_order=o),
                (4,),
            ),
            (
                f"gradient {order}, a step and places",
                lambda x, o=order: np.gradient(x, 2.0, PLACES, edge_order=o),
                (3, 4),
            ),
            (
                f"gradient {order}, one axis",
                lambda x, o=order: np.gradient(x, PLACES, axis=-1, edge_order=o),
                (2, 4),
            ),
            (
                f"gradient {order}, axes",
                lambda x, o=order: np.gradient(x, 2.0, 3.0, axis=(1, 0), edge_order=o),
                (3, 4),
            ),
        ]
    ),
    ("trapezoid", np.trapezoid, (5,)),
    ("trapezoid dx", lambda y: np.trapezoid(y, dx=0.5, axis=0), (5, 2)),
    ("trapezoid x", lambda y, x: np.trapezoid(y, x, axis=0), (5, 2), (5,)),
    ("trapezoid x of y's shape", lambda y, x: np.trapezoid(y, x), (2, 5), (2, 5)),
    ("trapezoid x alone", lambda x: np.trapezoid([1.0, 4.0, 2.0], x), (3,)),
    ("trapezoid of lists of x", lambda y: np.trapezoid(y, [0.0, 1.0, 3.0]), (2, 3)),
    ("cross", np.cross, (3,), (3,)),
    ("cross, broadcast", np.cross, (2, 1, 3), (4, 3)),
    ("cross, axis", lambda x, y: np.cross(x, y, axis=0), (3, 2), (3, 2)),
    ("cross, axes", lambda x, y: np.cross(x, y, axisa=0, axisb=1, axisc=0), (3, 4), (4, 3)),
    ("linalg.cross", lambda x, y: np.linalg.cross(x, y, axis=0), (3, 2), (3, 2)),
    *(
        (
            f"{f.__name__} {mode} of {n} and {m}",
            lambda x, y, f=f, mode=mode: f(x, y, mode),
            (n,),
            (m,),
        )
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for n, m in [(5, 2), (5, 3), (2, 4), (3, 6), (3, 3), (1, 1)]
    ),
    ("convolve with a list", lambda x: np.convolve([1.0, 2.0], x), (3,)),
    ("convolve with a number", lambda x, y: np.convolve(x, y), (3,), ()),
    ("correlate with itself, a constant", lambda x: np.correlate(x, np.ones(2)), (3,)),
    ("polyval", lambda p: np.polyval(p, np.array([[0.0, -1.0], [2.0, 0.5]])), (4,)),
    ("polyval of a number", lambda p: np.polyval(p, 2.0), (3,)),
    ("interp", lambda fp: np.interp([[0.0, 0.7], [2.4, 9.0]], PLACES, fp), (4,)),
    ("interp at the places", lambda fp: np.interp(PLACES, PLACES, fp), (4,)),
    ("interp, ends", lambda fp: np.interp([0.0, 0.7, 9.0], PLACES, fp, left=1.5, right=-1.0), (4,)),
    ("interp, periodic", lambda fp: np.interp([-3.7, 0.1, 6.9, 7.4], PLACES, fp, period=3.5), (4,)),
    ("interp, backwards", lambda fp: np.interp([-3.7, 7.4], PLACES, fp, period=-3.5), (4,)),
    ("interp between unsorted", lambda fp: np.interp(1.2, PLACES[::-1], fp, period=4), (4,)),
    ("interp of one", lambda fp: np.interp([0.0, 1.0, 2.0], [1.0], fp), (1,)),
    ("linspace", lambda a, b: np.linspace(a, b, 5), (), ()),
    ("linspace, default", np.linspace, (), ()),
    ("linspace, open", lambda a, b: np.linspace(a, b, 5, endpoint=False), (), ()),
    ("linspace, broadcast", lambda a, b: np.linspace(a, b, 3, axis=-1), (2, 1), (3,)),
    ("linspace, axis", lambda a, b: np.linspace(a, b, 3, axis=1), (2, 3), (2, 3)),
    ("linspace of one", lambda a, b: np.linspace(a, b, 1) + 0 * b, (), ()),
    ("linspace, step", lambda a, b: np.linspace(a, b, 4, retstep=True), (), ()),
    ("linspace, a fixed end", lambda a: np.linspace(a, 1, 4), (2,)),
    ("linspace, a fixed start", lambda b: np.linspace(0, b, 4, dtype=float), ()),
    ("fftshift", np.fft.fftshift, (3, 4)),
    ("fftshift, axis", lambda x: np.fft.fftshift(x, axes=0), (3, 4)),
    ("fftshift, axes", lambda x: np.fft.fftshift(x, axes=(0, -1)), (3, 4, 5)),
    ("ifftshift", np.fft.ifftshift, (3, 5)),
    ("ifftshift, axis", lambda x: np.fft.ifftshift(x, axes=-1), (3, 5)),
]


@pytest.mark.parametrize(
    ("f", "shapes"), [(case[1], case[2:]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_values_and_gradients_of_every_order(f: Any, shapes: Any) -> None:
    check_affine(f, *shapes)


def slopes(f: Any, *xs: Any) -> list[Any]:
    """The gradients of a result, each element weighted with its number, the first one's is 1."""
    tensors = [Tensor(np.array(x, float), requires_grad=True) for x in xs]
    y = f(*tensors)
    expected = f(*(np.array(x, float) for x in xs))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-14, strict=True)
    y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
    return [tensor.grad for tensor in tensors]


# -- where they are not linear: by hand -----------------------------------------------------------


def test_gradient_by_its_spacing() -> None:
    f = np.array([1.0, 4.0, 2.0])  # slopes 3 / h, 1 / 2h, -2 / h
    (found,) = slopes(lambda h: np.gradient(f, h), 2.0)
    np.testing.assert_allclose(found, -(1 * 3 + 2 * 0.5 - 3 * 2) / 4)
    # at the end places the slopes are 3 / (x1 - x0) and -2 / (x2 - x1)
    (found,) = slopes(lambda x: np.gradient(f, x)[::2], [0.0, 1.0, 3.0])
    np.testing.assert_allclose(found, [3, -3 - 2 * 2 / 4, 2 * 2 / 4])


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_of_a_parabola_is_exact_inside(edge_order: int) -> None:
    x = np.cumsum([0.0, 1.0, 0.25, 2.0, 0.5])
    found = np.gradient(Tensor(3 * x**2 + x), x, edge_order=edge_order).numpy()
    inside = slice(None) if edge_order == 2 else slice(1, -1)
    np.testing.assert_allclose(found[inside], (6 * x + 1)[inside], rtol=1e-12)


def test_polyval_by_hand() -> None:
    p, x = [2.0, -1.0, 3.0], [0.0, 2.0]
    by_p, by_x = slopes(np.polyval, p, x)
    np.testing.assert_array_equal(by_p, [1 * 0 + 2 * 4, 1 * 0 + 2 * 2, 1 + 2])
    np.testing.assert_array_equal(by_x, [1 * -1, 2 * (8 - 1)])
    assert slopes(lambda x: np.polyval([5.0], x), x)[0].tolist() == [0, 0]
    assert tg.grad(tg.grad(lambda x: np.polyval([1.0, 0.0, 0.0, 7.0], x)))(2.0) == 12
    mixed = tg.grad(lambda x: tg.grad(lambda p: np.polyval(p, x))(np.ones(3))[0])
    assert mixed(3.0) == 6  # of x^2


def test_vander_by_hand() -> None:
    (found,) = slopes(lambda x: np.vander(x, 3), [2.0, 0.0])  # x^2, x, 1
    assert found.tolist() == [1 * 4 + 2, 4 * 0 + 5]
    (found,) = slopes(lambda x: np.vander(x, 4, increasing=True), [-1.0])
    assert found.tolist() == [2 - 3 * 2 + 4 * 3]
    assert np.vander(Tensor([1.0, 2.0])).numpy().tolist() == np.vander([1.0, 2.0]).tolist()
    assert np.vander(Tensor([1.0]), 0).shape == (1, 0)


def test_interp_by_hand() -> None:
    fp = np.array([1.0, 3.0, 0.0, 2.0])  # at 0.5, 1, 2.5, 3: slopes 4, -2, 4
    by_x, by_xp = slopes(lambda x, xp: np.interp(x, xp, fp), [0.0, 0.75, 2.0, 9.0], PLACES)
    assert by_x.tolist() == [0, 2 * 4, 3 * -2, 0]
    # a line's end moves it by minus its slope, times how near it is
    np.testing.assert_allclose(by_xp, [2 * -4 / 2, 2 * -4 / 2 + 3 * 2 / 3, 3 * 2 * 2 / 3, 0])


def test_interp_has_the_slope_of_the_line_to_the_right_at_a_place() -> None:
    fp = np.array([1.0, 3.0, 0.0, 2.0])
    for x, slope in zip(PLACES, [4, -2, 4, 4], strict=True):
        assert tg.grad(lambda x: np.interp(x, PLACES, fp))(x) == slope
        assert tg.grad(lambda x: np.interp(x, PLACES, fp, period=10))(x) == (
            slope if x < 3 else (1 - 2) / (10.5 - 3)
        )


def test_interp_beyond_its_ends() -> None:
    left, right = Tensor(7.0, requires_grad=True), Tensor(8.0, requires_grad=True)
    x = Tensor([0.0, 1.0, 5.0, 6.0, np.inf, -np.inf], requires_grad=True)
    y = np.interp(x, PLACES, PLACES, left, right)
    assert y.detach().tolist() == [7, 1, 8, 8, 8, 7]
    np.sum(y).backward()
    assert (left.grad, right.grad, x.grad.tolist()) == (2, 3, [0, 1, 0, 0, 0, 0])
    assert np.isnan(np.interp(Tensor([np.nan]), PLACES, PLACES).item())


def test_interp_is_computed_in_double_precision_as_numpy_does() -> None:
    x = Tensor(np.array([0.7], np.float32), requires_grad=True)
    y = np.interp(x, PLACES.astype(np.float32), PLACES.astype(np.float32))
    y.backward([1.0])
    assert (y.dtype, x.grad.dtype) == (np.float64, np.float32)


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranges_are_those_of_numpy(endpoint: bool, dtype: Any) -> None:
    rtol = 1e-13 if dtype == np.float64 else 1e-5
    for f in (np.linspace, np.logspace, np.geomspace):
        for num in (0, 1, 2, 7):
            for other in (3, 2.5, np.array([1.0, 4.0])):
                start = np.array(0.5, dtype)
                for a, b in ((start, other), (other, start)):
                    expected = f(a, b, num, endpoint=endpoint)
                    found = f(*(Tensor(x) if x is start else x for x in (a, b)), num, endpoint)
                    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, strict=True)


def test_logspace_by_hand() -> None:
    (found,) = slopes(lambda stop: np.logspace(0.0, stop, 3, base=2.0), 2.0)  # 1, 2, 4
    np.testing.assert_allclose(found, math.log(2) * (2 * 2 * 0.5 + 3 * 4))
    (found,) = slopes(lambda base: np.logspace(1.0, 2.0, 2, base=base), 3.0)
    np.testing.assert_allclose(found, 1 + 2 * 6)
    bases = Tensor([2.0, 3.0], requires_grad=True)
    powers = np.logspace(1, 3, 3, base=bases)
    np.testing.assert_allclose(powers.detach().numpy(), [[2, 3], [4, 9], [8, 27]], rtol=1e-14)
    assert np.logspace(0, Tensor(1.0), 2, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_geomspace_by_hand(sign: float) -> None:
    by_start, by_stop = slopes(lambda a, b: np.geomspace(a, b, 3), sign * 2, sign * 8)  # 2, 4, 8
    np.testing.assert_allclose(by_start, 1 + 2 * 0.5 * 4 / 2)
    np.testing.assert_allclose(by_stop, 2 * 0.5 * 4 / 8 + 3)


def test_linspace_ends_exactly() -> None:
    a, b = 0.1, 0.7
    found = np.linspace(Tensor(a), b, 4).numpy()
    assert (found[0], found[-1]) == (a, b)
    whole = np.linspace(Tensor(-1.5), 9, 7, dtype=int)
    np.testing.assert_array_equal(whole.numpy(), np.linspace(-1.5, 9, 7, dtype=int), strict=True)


def test_diff_of_booleans_is_a_comparison() -> None:
    assert np.diff(Tensor([True, False, False])).numpy().tolist() == [True, False]


@pytest.mark.parametrize(
    "f",
    [
        np.diff,
        lambda x: np.ediff1d(x, to_end=[1.0]),
        lambda x: np.gradient(x, np.array([0.0, 1.0, 3.0])),
        lambda x: np.cross(x, x[::-1]),
        lambda x: np.convolve(x, x),
        lambda x: np.polyval(x, x),
        lambda x: np.linspace(x, 1, 3),
        lambda x: np.fft.fftshift(x),
    ],
)
def test_float32_stays_float32(f: Any) -> None:
    x = Tensor(np.array([1.0, 2.0, 4.0], np.float32), requires_grad=True)
    y = f(x)
    np.sum(y * y).backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


def test_a_branch_that_was_not_taken_stays_silent() -> None:
    v, w = np.array([[np.inf, 1.0, 1.0], [0.0, 0.0, 1.0]]), np.ones((2, 3))

    def f(v: Any, w: Any) -> Any:
        return np.sum(np.where([[False], [True]], np.cross(v, w), 0.0))

    by_v, by_w = tg.grad(f, (0, 1))(v, w)
    assert by_v.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert by_w.tolist() == [[0, 0, 0], [1, -1, 0]]


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: np.diff(x, -1), tg.InputError, "diff: expected no negative n"),
        (lambda x: np.gradient(x, edge_order=3), tg.InputError, "edge_order 1 or 2, got 3"),
        (lambda x: np.gradient(x[:, :1]), tg.InputError, r"needs 2 samples or more along axis 1"),
        (lambda x: np.gradient(x, edge_order=2), tg.InputError, "needs 3 samples .* axis 0"),
        (lambda x: np.gradient(x, 1.0, 2.0, 3.0), tg.InputError, "each of 2, got 3 spacings"),
        (lambda x: np.gradient(x, np.ones(3)), tg.InputError, "each of 2, got 1 spacings"),
        (lambda x: np.gradient(x, 1.0, np.ones(2)), tg.InputError, r"3 places for axis 1, got"),
        (
            lambda x: np.cross(x[:, :2], x[:, :2]),
            tg.UnsupportedError,
            "of three, got 2 and 2",
        ),
        (lambda x: np.linalg.cross(x[0], x.T), tg.UnsupportedError, "three, got 3 and 2"),
        (
            lambda x: np.convolve(x, x[0]),
            tg.InputError,
            "convolve: expected two arrays",
        ),
        (lambda x: np.correlate(x[0], x[0, :0]), tg.InputError, "correlate: .*not empty"),
        (lambda x: np.convolve(x[0], x[0], "all"), tg.InputError, "mode 'full', 'same' or 'valid'"),
        (lambda x: np.polyval(x, 1.0), tg.InputError, "polyval: expected one axis of coefficients"),
        (lambda x: np.vander(x), tg.InputError, r"vander: expected one axis, got shape \(2, 3\)"),
        (lambda x: np.interp(x, [1.0, 2.0], x[0]), tg.InputError, r"interp: .*\(2,\) and \(3,\)"),
        (lambda x: np.interp(x, [1.0], [1.0], period=0), tg.InputError, "a period other than 0"),
        (lambda x: np.interp(x, [1.0], [1.0], period=x[0, 0]), tg.UnsupportedError, "'period'"),
        (lambda x: np.linspace(x, 1, -2), tg.InputError, "linspace: expected no negative num"),
        (lambda x: np.linspace(x, 1, 2.5), tg.DtypeError, "linspace.*integer"),
        (
            lambda x: np.geomspace(x, -1),
            tg.InputError,
            "geomspace: .*have one sign",
        ),
        (lambda x: np.geomspace(x, 0), tg.InputError, "geomspace: .*not zero"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("f", [np.convolve, np.correlate])
def test_a_traced_product_along_a_line(f: Any) -> None:
    a, v = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, -1.0])
    program = tg.trace(lambda a, v: np.sum(f(a, v, "same") ** 2), a, v)
    value, found = program(a, v)
    np.testing.assert_allclose(value, np.sum(f(a, v, "same") ** 2))
    expected = tg.grad(lambda a, v: np.sum(f(a, v, "same") ** 2), (0, 1))(a, v)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other)
