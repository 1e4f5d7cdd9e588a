"""Elementwise ops: against difference quotients, and by hand where those cannot look."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.op import REGISTRY

inf, nan = math.inf, math.nan
HUGE = 1e30  # whose square is none in float32


def drawn(low: float, high: float, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.asarray(rng.uniform(low, high, size=shape)) for shape in shapes]


def derivatives(f: Callable[..., Any], *xs: Any) -> tuple[list[Any], list[Any]]:
    """Gradients of the sum of f, and of a weighted sum of those gradients."""
    ts = [Tensor(x, requires_grad=True) for x in xs]
    with np.errstate(all="ignore"):  # about the function itself NumPy may complain
        y = np.sum(f(*ts))
    first = tg.gradients(y, ts, create_graph=True)
    weighted = sum(np.sum(g * np.arange(1.0, g.size + 1).reshape(g.shape)) for g in first)
    second: Any = [np.zeros(t.shape) for t in ts]
    if weighted.requires_grad:
        second = tg.gradients(weighted, ts)
    return [plain(g) for g in first], [plain(g) for g in second]


def plain(g: Any) -> Any:
    return g.detach().numpy() if isinstance(g, Tensor) else g


# -- against difference quotients ------------------------------------------------------------

UNARY: list[tuple[Any, float, float]] = [
    (np.negative, -2, 2), (np.positive, -2, 2), (np.absolute, -2, 2), (np.fabs, -2, 2),
    (np.reciprocal, 0.3, 2), (np.reciprocal, -2, -0.3), (np.square, -2, 2), (np.sqrt, 0.1, 3),
    (np.cbrt, 0.1, 3), (np.cbrt, -3, -0.1), (np.exp, -3, 3), (np.exp2, -3, 3), (np.expm1, -3, 3),
    (np.log, 0.1, 5), (np.log2, 0.1, 5), (np.log10, 0.1, 5), (np.log1p, -0.8, 5),
    (np.sin, -4, 4), (np.cos, -4, 4), (np.tan, -1.3, 1.3), (np.arcsin, -0.9, 0.9),
    (np.arccos, -0.9, 0.9), (np.arctan, -4, 4), (np.sinh, -3, 3), (np.cosh, -3, 3),
    (np.tanh, -3, 3), (np.arcsinh, -4, 4), (np.arccosh, 1.1, 4), (np.arctanh, -0.9, 0.9),
    (np.sinc, -3, 3), (np.deg2rad, -90, 90), (np.radians, -90, 90), (np.rad2deg, -2, 2),
    (np.degrees, -2, 2), (np.floor, 0.1, 0.9), (np.ceil, -0.9, -0.1), (np.trunc, 1.1, 1.9),
    (np.rint, 0.6, 1.4), (np.sign, -2, 2), (np.nan_to_num, -2, 2), (np.fix, 1.1, 1.9),
    (np.real, -2, 2), (np.imag, -2, 2), (np.conjugate, -2, 2), (np.angle, -2, 2),
    (tg.rsqrt, 0.3, 2), (tg.sec, -1.3, 1.3), (tg.csc, 0.3, 2.8), (tg.cot, 0.3, 2.8),
    (tg.sech, -3, 3), (tg.csch, 0.3, 2), (tg.coth, -2, -0.3), (tg.arccot, 0.3, 2),
]  # fmt: skip
BINARY: list[tuple[Any, float, float]] = [
    (np.add, -2, 2), (np.subtract, -2, 2), (np.multiply, -2, 2), (np.divide, 0.4, 2),
    (np.divide, -2, -0.4), (np.power, 0.3, 2), (np.float_power, 0.3, 2), (np.arctan2, -2, 2),
    (np.hypot, -2, 2), (np.logaddexp, -2, 2), (np.logaddexp2, -2, 2), (np.maximum, -2, 2),
    (np.minimum, -2, 2), (np.fmax, -2, 2), (np.fmin, -2, 2), (np.copysign, -2, 2),
    (np.heaviside, -2, 2), (tg.safe_multiply, -2, 2),
]  # fmt: skip
SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (4,)), ((), ())]


def name(value: Any) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("f", "low", "high"), UNARY, ids=name)
@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_unary(f: Any, low: float, high: float, shape: tuple[int, ...]) -> None:
    tg.check_gradients(f, *drawn(low, high, shape), order=2)


@pytest.mark.parametrize(("f", "low", "high"), BINARY, ids=name)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary_and_broadcast(f: Any, low: float, high: float, shapes: Any) -> None:
    tg.check_gradients(f, *drawn(low, high, *shapes), order=2)


@pytest.mark.parametrize(("f", "low", "high"), BINARY, ids=name)
def test_binary_with_a_number(f: Any, low: float, high: float) -> None:
    (x,) = drawn(low, high, (3,))
    number = low / 3 + high * 2 / 3
    tg.check_gradients(lambda x: f(x, number), x, order=2)
    tg.check_gradients(lambda x: f(number, x), x, order=2)


@pytest.mark.parametrize("f", [np.remainder, np.fmod, np.floor_divide], ids=name)
def test_remainders_between_their_jumps(f: Any) -> None:
    x = np.array([7.3, -7.3, 7.3, -7.3, 0.5])
    y = np.array([2.0, 2.0, -2.0, -2.0, 3.0])
    tg.check_gradients(f, x, y, order=2)


@pytest.mark.parametrize("f", [np.remainder, np.fmod], ids=name)
def test_the_slope_of_a_remainder_is_a_whole_number(f: Any) -> None:
    # also where x / y is rounded to a whole number that it is not: 1.0 holds 0.1 nine times
    x, y = np.arange(-400, 400)[:, None] / 10, np.array([0.1, 0.3, 1, 7, -0.1, -0.7, 1e-12])
    leaf = Tensor(np.broadcast_to(y, (800, 7)), requires_grad=True)
    np.sum(f(x, leaf)).backward()
    whole = np.floor_divide(x, y)
    if f is np.fmod:
        whole = np.sign(x * y) * np.floor_divide(abs(x), abs(y))
    np.testing.assert_allclose(leaf.grad, -whole, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("f", "awkward"),
    [
        (np.arctan2, [(1, 1), (HUGE, HUGE), (1 / HUGE, 1 / HUGE), (inf, 2), (0, 0), (nan, 1)]),
        (np.arcsinh, [(1,), (HUGE,), (-inf,), (nan,)]),
        (np.logaddexp, [(1, 1), (inf, inf), (-inf, -inf), (inf, 2), (HUGE, 0), (nan, 1)]),
        (np.logaddexp2, [(1, 1), (inf, inf), (-inf, -inf), (inf, 2), (HUGE, 0), (nan, 1)]),
    ],
    ids=name,
)
def test_plain_arrays_take_a_shorter_way_to_the_same(f: Any, awkward: Any, dtype: Any) -> None:
    # differentiable gradients take the general one
    for special in awkward:
        xs = [np.array([0.5, -2, a, 3], dtype) for a in special]
        general, _ = derivatives(f, *xs)
        ts = [Tensor(x, requires_grad=True) for x in xs]
        with np.errstate(all="ignore"):
            quick = tg.gradients(np.sum(f(*ts)), ts)
        for a, b in zip(quick, general, strict=True):
            np.testing.assert_allclose(a, b, rtol=8 * np.finfo(dtype).eps)


def test_where_and_its_options() -> None:
    x, y = drawn(-2, 2, (2, 3), (3,))
    mask = np.array([True, False, True])
    tg.check_gradients(lambda x, y: np.where(mask, x, y), x, y, order=2)
    tg.check_gradients(lambda x: np.where(x > 0, x * x, 3), x, order=2)
    tg.check_gradients(lambda x: np.where(mask, 0.0, np.exp(x)), x, order=2)


CLIPS: list[Callable[..., Any]] = [
    lambda x, low, high: np.clip(x, low, high),
    lambda x, low, high: np.clip(x, a_min=low, a_max=high),
    lambda x, low, high: x.clip(min=low, max=high) * 1,
    lambda x, low, high: np.clip(x, low, None) - high,
    lambda x, low, high: np.clip(x, None, high) - low,
    lambda x, low, high: np.clip(x, high, low),  # the wrong way round
]


@pytest.mark.parametrize("f", CLIPS)
def test_clip_with_respect_to_everything(f: Any) -> None:
    x = np.array([-1.5, -0.2, 0.3, 1.7, 0.1])
    tg.check_gradients(f, x, np.array(-0.5), np.array(0.6), order=2)
    tg.check_gradients(f, x, x[::-1] - 1, x[::-1] + 0.4, order=2)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 2.0, 3.0, True])
def test_power_of_negative_bases_with_whole_exponents(exponent: Any) -> None:
    x = np.array([-1.3, -0.4, 0.7, 1.9])
    tg.check_gradients(lambda x: x**exponent, x, order=2)
    tg.check_gradients(lambda x: np.power(x, np.full(4, float(exponent))), x, order=2)
    tg.check_gradients(lambda x: np.float_power(x, exponent), x, order=2)


# -- dtype and shape -------------------------------------------------------------------------


@pytest.mark.parametrize(("f", "low", "high"), UNARY, ids=name)
def test_unary_keeps_float32_and_empty(f: Any, low: float, high: float) -> None:
    for shape in [(2, 3), (), (0, 3)]:
        t = Tensor(*drawn(low, high, shape), dtype=np.float32, requires_grad=True)
        y = f(t)
        assert y.dtype == np.float32
        y.backward(np.ones(shape))
        assert (t.grad.dtype, t.grad.shape) == (np.float32, shape)


@pytest.mark.parametrize(("f", "low", "high"), BINARY, ids=name)
def test_binary_keeps_float32_and_empty(f: Any, low: float, high: float) -> None:
    for shapes in [((2, 3), (3,)), ((), (0, 3))]:
        xs = drawn(low, high, *shapes)
        ts = [Tensor(x, dtype=np.float32, requires_grad=True) for x in xs]
        for y in (f(*ts), f(ts[0], 1.5), f(1.5, ts[0])):
            assert y.dtype == (np.float64 if f is np.float_power else np.float32)
            y.backward(np.ones(y.shape))
        for t, x in zip(ts, xs, strict=True):
            assert (t.grad.dtype, t.grad.shape) == (np.float32, x.shape)


RULES = [
    (rule.vjp, f, low, high, position)
    for table in (UNARY, BINARY)
    for f, low, high in table
    for position, rule in enumerate(REGISTRY[f].rules)
    if rule
]


@pytest.mark.parametrize(
    ("vjp", "f", "low", "high", "position"), RULES, ids=lambda v: name(v) if callable(v) else None
)
def test_rules_do_not_widen_float32_or_write(
    vjp: Any, f: Any, low: float, high: float, position: int
) -> None:
    if f is np.float_power:
        pytest.skip("float64 by definition")
    xs = [x.astype(np.float32) for x in drawn(low, high, *[(2, 3)] * len(REGISTRY[f].arguments))]
    out = f(*xs)
    g = np.ones_like(out)
    for array in (g, out, *xs):
        array.flags.writeable = False
    assert vjp(g, out, *xs).dtype == np.float32


# -- zero times anything is zero -------------------------------------------------------------

SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, inf, -inf, nan, 1e300])


def expected_product(g: Any, factor: Any) -> np.ndarray:
    """Element by element, in Python."""
    g, factor = np.broadcast_arrays(g, factor)
    pairs = zip(g.ravel().tolist(), factor.ravel().tolist(), strict=True)
    products = [0.0 if a == 0 or b == 0 else a * b for a, b in pairs]
    return np.reshape(products, g.shape)


def products() -> Iterator[tuple[Any, Any]]:
    everything = np.meshgrid(SPECIAL, SPECIAL, indexing="ij")
    yield everything[0], everything[1]
    yield SPECIAL[:, None], SPECIAL
    yield SPECIAL, SPECIAL[2:4, None]
    yield SPECIAL[2:4], SPECIAL[:, None]
    yield SPECIAL, np.array([True, False] * 4)
    yield SPECIAL[2:4], SPECIAL[2:4]
    for a in SPECIAL:
        yield SPECIAL, float(a)
        yield float(a), SPECIAL
        yield SPECIAL, np.float64(a)
        yield np.float64(a), SPECIAL
        yield SPECIAL, np.array(a)
        for b in SPECIAL:
            yield np.array(a), np.array(b)
            yield np.float64(a), np.float64(b)
            yield np.float64(a), np.array(b)
            yield float(a), np.array(b)


def test_safe_multiply_is_the_product_but_for_zeros() -> None:
    for g, factor in products():
        with np.errstate(over="ignore"):  # 1e300 · 1e300
            found = tg.safe_multiply(g, factor)
        np.testing.assert_array_equal(found, expected_product(g, factor))
        assert found.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_safe_multiply_of_many_numbers_is_that_of_few(dtype: Any) -> None:
    g, factor = np.meshgrid(SPECIAL[:-1], SPECIAL[:-1], indexing="ij")  # but 1e300
    g, factor = g.ravel().astype(dtype), factor.ravel().astype(dtype)
    many = 10_001 // g.size + 1
    found = tg.safe_multiply(np.tile(g, many), np.tile(factor, many))
    np.testing.assert_array_equal(found, np.tile(tg.safe_multiply(g, factor), many))
    assert found.dtype == dtype
    rows, columns = np.tile(g, (2, many)), np.tile(factor, (2, many))
    turned = tg.safe_multiply(np.asfortranarray(rows), np.asfortranarray(columns))
    np.testing.assert_array_equal(turned, np.tile(found, (2, 1)))
    assert turned.dtype == dtype
    np.testing.assert_array_equal(tg.safe_multiply(np.ones(20_000), np.ones(())), np.ones(20_000))


def test_safe_multiply_is_the_same_on_other_arrays() -> None:
    da = pytest.importorskip("dask.array")
    g, factor = np.meshgrid(SPECIAL[:-1], SPECIAL[:-1], indexing="ij")
    found = tg.safe_multiply(da.from_array(g, chunks=3), da.from_array(factor, chunks=3))
    assert isinstance(found, da.Array)
    np.testing.assert_array_equal(found.compute(), tg.safe_multiply(g, factor))


def test_safe_multiply_keeps_float32() -> None:
    special = SPECIAL[:-1].astype(np.float32)
    assert tg.safe_multiply(0.0, special).dtype == np.float32
    for factor in (special[::-1], special[::-1].copy(), 2.0, 0.0, 0, inf, np.float32(nan)):
        assert tg.safe_multiply(special, factor).dtype == np.float32


def test_safe_multiply_is_linear_in_a_zero_cotangent() -> None:
    # Forward mode differentiates a rule with respect to g, at g = 0: it must not see zeros.
    _, dy = tg.jvp(np.sqrt, (np.array([4.0, 9.0]),), (np.array([1.0, 2.0]),))
    np.testing.assert_allclose(plain(dy), [0.25, 1 / 3])
    tg.check_gradients(tg.safe_multiply, np.zeros(3), np.array([1.0, 2.0, 3.0]), order=2)


WHERE: dict[str, tuple[Callable[[Any], Any], list[float], list[float], list[float]]] = {
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), x), [-1, 0, 4], [1, 1, 0.25], [0, 0, -3 / 32]),
    "3 sqrt + x^2.5": (
        lambda x: np.where(x > 0, 3 * np.sqrt(x) + x**2.5, x), [-1, 0, 4], [1, 1, 20.75],
        [0, 0, 3 * (-3 / 32 + 3.75 * 2)],
    ),
    "log": (lambda x: np.where(x > 0, np.log(x), x), [-1, 0, 4], [1, 1, 0.25], [0, 0, -3 / 16]),
    "log2": (
        lambda x: np.where(x > 0, np.log2(x), x), [-1, 0, 4], [1, 1, 0.25 / math.log(2)],
        [0, 0, -3 / 16 / math.log(2)],
    ),
    "log1p": (
        lambda x: np.where(x > -1, np.log1p(x), x), [-1, -3, 3], [1, 1, 0.25], [0, 0, -3 / 16],
    ),
    "x log x": (
        lambda x: np.where(x > 0, x * np.log(x), 0), [-1, 0, 4], [0, 0, 1 + math.log(4)],
        [0, 0, 0.75],
    ),
    "1 / x": (lambda x: np.where(x != 0, 1 / x, 0), [-1, 0, 4], [-1, 0, -1 / 16], [-2, 0, 3 / 32]),
    "x / x": (lambda x: np.where(x != 0, x / x, x), [-1, 0, 4], [0, 1, 0], [0, 0, 0]),
    "reciprocal": (
        lambda x: np.where(x != 0, np.reciprocal(x), 0), [-1, 0, 4], [-1, 0, -1 / 16],
        [-2, 0, 3 / 32],
    ),
    "power": (
        lambda x: np.where(x > 0, x**1.5, x), [-1, 0, 4], [1, 1, 3], [0, 0, 3 * 0.375],
    ),
    "x^x": (
        lambda x: np.where(x > 0, x**x, 0), [-1, 0, 1], [0, 0, 1], [0, 0, 6],
    ),
    "cbrt": (
        lambda x: np.where(x > 0, np.cbrt(x), x), [-1, 0, 8], [1, 1, 1 / 12], [0, 0, -3 / 144],
    ),
    "exp": (
        lambda x: np.where(x < 100, np.exp(x), x), [1000, 0, 1], [1, 1, math.e], [0, 2, 3 * math.e],
    ),
    "sinh": (
        lambda x: np.where(x < 100, np.sinh(x), x), [1000, 0, 0], [1, 1, 1], [0, 0, 0],
    ),
    "arcsin": (
        lambda x: np.where(abs(x) < 1, np.arcsin(x), x), [-1, 2, 0.6], [1, 1, 1.25],
        [0, 0, 3 * 0.6 / 0.8**3],
    ),
    "arccos": (
        lambda x: np.where(abs(x) < 1, np.arccos(x), x), [-1, 2, 0.6], [1, 1, -1.25],
        [0, 0, -3 * 0.6 / 0.8**3],
    ),
    "arccosh": (
        lambda x: np.where(x > 1, np.arccosh(x), x), [-1, 1, 1.25], [1, 1, 4 / 3],
        [0, 0, -3 * 1.25 / 0.75**3],
    ),
    "arctanh": (
        lambda x: np.where(abs(x) < 1, np.arctanh(x), x), [-1, 3, 0.5], [1, 1, 4 / 3],
        [0, 0, 3 * 16 / 9],
    ),
    "arctan2": (
        lambda x: np.where(x != 0, np.arctan2(x, x), x), [-1, 0, 2], [0, 1, 0], [0, 0, 0],
    ),
    "remainder": (
        lambda x: np.where(x > 0, np.remainder(3, x), x), [-1, 0, 2], [1, 1, -1], [0, 0, 0],
    ),
    "sinc by hand": (
        lambda x: np.where(x != 0, np.sin(x) / x, 1), [math.pi, 0, -math.pi],
        [-1 / math.pi, 0, 1 / math.pi], [2 / math.pi**2, 0, 6 / math.pi**2],
    ),
    "sqrt of relu": (
        lambda x: np.sqrt(tg.relu(x)), [-1, -2, 4], [0, 0, 0.25], [0, 0, -3 / 32],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_branch_not_selected_sends_nothing_back(case: Any, dtype: Any) -> None:
    f, x, first, second = case
    found = derivatives(f, np.array(x, dtype))
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(found[0][0], first, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found[1][0], second, rtol=tolerance, atol=10 * tolerance)


def test_the_branch_not_selected_on_single_numbers() -> None:
    for f, x, expected in [
        (lambda x: np.where(x.data > 0, np.sqrt(x), x), -1.0, 1.0),
        (lambda x: np.where(x.data != 0, 1 / x, 0), 0.0, 0.0),
        (lambda x: np.where(x.data != 0, np.float64(2) / x, x), 0.0, 1.0),
    ]:
        assert derivatives(f, x)[0][0] == expected


def test_masked_data_does_not_reach_the_weights() -> None:
    data, mask = np.array([1.0, nan, 2.0, inf]), np.array([True, False, True, False])
    for f in (lambda x: x, np.tanh, tg.sigmoid, tg.relu, tg.softplus, np.exp, np.square, np.sin):
        first, _ = derivatives(lambda w, f=f: np.where(mask, f(data * w), 0), np.array(0.5))
        expected, _ = derivatives(lambda w, f=f: f(data[mask] * w), np.array(0.5))
        np.testing.assert_allclose(first[0], expected[0], rtol=1e-14)


# -- points where the usual formula fails ------------------------------------------------------


def test_sinc_is_smooth_at_zero() -> None:
    first, second = derivatives(np.sinc, np.array([0.0, 1e-12, 1e-5, 0.25, 1.0]))
    # sinc' = -π² x / 3 + ..., sinc'' = -π² / 3 + ...; at 1 it is -1 and 2.
    np.testing.assert_allclose(first[0][:3], [0, -(math.pi**2) / 3e12, -(math.pi**2) / 3e5])
    np.testing.assert_allclose(second[0][:2], [-(math.pi**2) / 3, -2 * math.pi**2 / 3])
    assert first[0][4] == pytest.approx(-1, rel=1e-14)
    assert second[0][4] == pytest.approx(10, rel=1e-14)


def test_sinc_is_accurate_where_its_two_formulas_meet() -> None:
    x = np.nextafter(0.25, [0, 1])
    first, second = derivatives(np.sinc, x)
    np.testing.assert_allclose(first[0][0], first[0][1], rtol=1e-14)
    np.testing.assert_allclose(second[0][0], second[0][1] / 2, rtol=1e-13)
    tg.check_gradients(np.sinc, np.array([-0.26, -0.24, 0.0, 0.1, 0.24, 0.26]), order=3)


@pytest.mark.parametrize("f", [np.logaddexp, np.logaddexp2], ids=name)
@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (-inf, -inf, (0.5, 0.5)),
        (inf, inf, (0.5, 0.5)),
        (-inf, 1.0, (0, 1)),
        (1.0, -inf, (1, 0)),
        (inf, 1.0, (1, 0)),
        (-2000.0, 2000.0, (0, 1)),
        (3.0, 3.0, (0.5, 0.5)),
    ],
)
def test_logaddexp_at_infinity(f: Any, x: float, y: float, expected: Any) -> None:
    first, second = derivatives(f, np.array([x]), np.array([y]))
    assert [g.item() for g in first] == [*expected]
    assert np.isfinite(second).all()
    assert derivatives(lambda x: f(x, x), np.array([x]))[0][0] == 1


def test_second_derivative_of_logaddexp_of_equals() -> None:
    x = Tensor([2.0], requires_grad=True)
    (first,) = tg.gradients(np.sum(np.logaddexp(x, 2.0)), [x], create_graph=True)
    (second,) = tg.gradients(np.sum(first), [x])
    assert plain(second) == 0.25


TIES: list[tuple[Any, list[float], list[float], list[float], list[float]]] = [
    (np.maximum, [1, 1, -inf], [1, 0, -inf], [0.5, 1, 0.5], [0.5, 0, 0.5]),
    (np.minimum, [1, 1, inf], [1, 0, inf], [0.5, 0, 0.5], [0.5, 1, 0.5]),
    (np.fmax, [1, 1, nan], [1, nan, 2], [0.5, 1, 0], [0.5, 0, 1]),
    (np.fmin, [1, 1, nan], [1, nan, 2], [0.5, 1, 0], [0.5, 0, 1]),
]


@pytest.mark.parametrize(("f", "x", "y", "x_share", "y_share"), TIES, ids=lambda v: name(v))
def test_ties_are_shared_and_nan_loses(
    f: Any, x: Any, y: Any, x_share: list[float], y_share: list[float]
) -> None:
    first, _ = derivatives(f, np.array(x, float), np.array(y, float))
    assert [g.tolist() for g in first] == [x_share, y_share]


@pytest.mark.parametrize(
    ("f", "xs", "expected"),
    [
        (np.absolute, [0.0], [0]),
        (np.fabs, [0.0], [0]),
        (np.hypot, [0.0, 0.0], [0, 0]),
        (np.arctan2, [1e200, 1e200], [0.5e-200, -0.5e-200]),
        (np.arctan2, [0.0, -2.0], [-0.5, 0]),
        (np.power, [0.0, 0.0], [0, 0]),
        (np.power, [0.0, 2.0], [0, 0]),
        (np.power, [0.0, 1.0], [1, 0]),
        (lambda x: x**0, [0.0], [0]),
        (lambda y: 0**y, [2.0], [0]),
        (lambda y: 0.0**y, [0.0], [0]),
        (lambda x: np.sqrt(x**2), [0.0], [0]),
        (np.expm1, [-40.0], [math.exp(-40)]),
        (np.log1p, [1e-20], [1]),
        (np.arctanh, [1 - 2.0**-50], [2.0**49]),
        (np.arccosh, [1 + 2.0**-50], [2.0**24.5]),
        (np.floor, [2.0], [0]),
        (np.sign, [0.0], [0]),
        (np.heaviside, [0.0, 0.5], [0, 1]),
        (np.copysign, [-3.0, 2.0], [-1, 0]),
        (np.copysign, [3.0, -2.0], [-1, 0]),
        (np.copysign, [-3.0, -2.0], [1, 0]),
        (np.nan_to_num, [nan], [0]),
        (np.nan_to_num, [-inf], [0]),
        (lambda x: np.nan_to_num(x, nan=7.0) * x, [3.0], [6]),
    ],
)
def test_awkward_points(f: Any, xs: list[float], expected: list[float]) -> None:
    first, _ = derivatives(f, *map(np.array, xs))
    np.testing.assert_allclose([g.item() for g in first], expected, rtol=1e-14)


def test_an_infinite_slope_is_infinite() -> None:
    # where it is not multiplied by zero, a pole must not be hidden
    assert derivatives(np.sqrt, 0.0)[0][0] == inf
    assert derivatives(np.cbrt, 0.0)[0][0] == inf
    assert derivatives(np.log, 0.0)[0][0] == inf
    assert np.isnan(derivatives(lambda x: x * nan, 1.0)[0][0])


def test_clip_gives_x_the_gradient_at_a_bound() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    first, _ = derivatives(np.clip, x, np.array(0.0), np.array(1.0))
    assert [g.tolist() for g in first] == [[0, 1, 1, 1, 0], 1, 1]


def test_clip_without_bounds_is_the_identity() -> None:
    first, _ = derivatives(lambda x: x.clip(None, None), np.array([1.0, -2.0]))
    assert first[0].tolist() == [1, 1]


# -- no gradient -----------------------------------------------------------------------------


def test_comparisons_and_predicates_need_no_gradient() -> None:
    t = Tensor([1.0, nan], requires_grad=True)
    for result in (
        t > 0, t == t, t != 1, np.isnan(t), np.isfinite(t), np.signbit(t), np.logical_not(t),
        np.isclose(t, 1), np.logical_and(t > 0, t < 2), (t > 0) | (t < 2), ~(t > 0),
    ):  # fmt: skip
        assert result.dtype == bool
        assert not result.requires_grad
    assert not np.array_equal(t, t)
    assert np.array_equal(t, t, equal_nan=True)
    assert not np.allclose(t, 0)


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.trunc, np.rint, np.sign], ids=name)
def test_steps_claim_a_gradient_of_zero(f: Any) -> None:
    t = Tensor([0.3, -1.7], requires_grad=True)
    y = f(t)
    assert y.requires_grad
    y.backward(np.ones(2))
    assert t.grad.tolist() == [0, 0]


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (np.frexp, "frexp: has no gradient rule"),
        (lambda t: np.nextafter(t, 0.0), "nextafter: has no gradient rule"),
        (lambda t: np.ldexp(2.0, t), "ldexp: no gradient is defined for argument 'n'"),
        (lambda t: np.choose(t, [1.0, 2.0]), "choose: expected integers for argument 'a'"),
        (lambda t: np.select([t], [t]), r"select: condlist\[0\]: expected booleans, got float64"),
        (lambda t: tg.masked_fill(t, t, 0.0), "masked_fill: mask: expected booleans, got float64"),
        (np.where, r"where: expected where\(condition, x, y\), got 1 argument"),
        (lambda t: np.where(t, t, 1.0), "where: no gradient is defined for argument 'condition'"),
        (lambda t: np.clip(t, 0, 1, dtype=float), "clip: option 'dtype'"),
        (lambda t: t.clip(0, 1, min=0), "clip: expected one of 'a_min' and 'min'"),
        (lambda t: np.sqrt(t, where=np.array(True)), "sqrt: option 'where' would leave elements"),
        (lambda t: np.exp(t, dtype=int), "exp: option 'dtype' must be a float type"),
        (lambda t: np.float_power(t, 2, dtype=np.float32), "float_power: option 'dtype' must be"),
        (lambda t: np.exp(t, casting="unsafe"), "exp: option 'casting' has no gradient rule"),
    ],
)
def test_refused_by_name(f: Any, message: str) -> None:
    with pytest.raises((tg.UnsupportedError, tg.DtypeError), match=message):
        f(Tensor([1.0, 2.0], requires_grad=True))


# -- two results -----------------------------------------------------------------------------


def test_divmod_has_two_results() -> None:
    x, y = np.array([7.3, -7.3, 7.3]), np.array([2.0, 2.0, -2.0])
    for got, expected in zip(np.divmod(Tensor(x), y), np.divmod(x, y), strict=True):
        assert got.tolist() == expected.tolist()
    # x mod y = x - y ⌊x / y⌋, so its slopes are 1 and -⌊x / y⌋; the quotient is flat
    first, second = derivatives(lambda x, y: np.divmod(x, y)[1] * 2, x, y)
    assert [g.tolist() for g in first] == [[2, 2, 2], [-6, 8, 8]]
    assert not np.any(second)
    assert not np.any(derivatives(lambda x, y: divmod(x, y)[0], x, y)[0])
    t = Tensor(1.5, requires_grad=True)
    quotient, rest = divmod(7.0, t)
    assert (quotient.item(), rest.item()) == (4.0, 1.0)
    (quotient * rest).backward()
    assert t.grad == -16


def test_modf_gives_the_fraction_and_what_is_flat() -> None:
    x = np.array([2.25, -2.25, 0.5])
    fraction, whole = np.modf(Tensor(x))
    assert (fraction.tolist(), whole.tolist()) == ([0.25, -0.25, 0.5], [2, -2, 0])
    assert derivatives(lambda x: math.prod(np.modf(x)), np.array(2.25))[0][0] == 2
    assert derivatives(lambda x: np.modf(x)[0] ** 2, x)[0][0].tolist() == [0.5, -0.5, 1.0]


def test_ldexp_scales_the_gradient_by_a_power_of_two() -> None:
    first, _ = derivatives(lambda x: np.ldexp(x, [3, -1]) ** 2, np.array([1.0, 2.0]))
    assert first[0].tolist() == [128, 1]  # 2 x 4^n


# -- reciprocal functions --------------------------------------------------------------------

RECIPROCAL: list[tuple[Any, Any, Any, list[float]]] = [
    (tg.sec, tg.arcsec, np.cos, [0.3, 1.2, 2.0, 3.0]),
    (tg.csc, tg.arccsc, np.sin, [0.3, 1.2, -0.4]),
    (tg.cot, tg.arccot, np.tan, [0.3, 1.2, -0.4]),
    (tg.sech, tg.arcsech, np.cosh, [0.3, 1.2, 4.0]),
    (tg.csch, tg.arccsch, np.sinh, [0.3, -1.2, 4.0]),
    (tg.coth, tg.arccoth, np.tanh, [0.3, -1.2, 4.0]),
]


@pytest.mark.parametrize(("f", "inverse", "plain_f", "x"), RECIPROCAL, ids=name)
def test_reciprocal_functions_and_their_inverses(
    f: Any, inverse: Any, plain_f: Any, x: Any
) -> None:
    x = np.array(x)
    np.testing.assert_allclose(f(x), 1 / plain_f(x), rtol=1e-15)
    np.testing.assert_allclose(inverse(f(x)), x, rtol=1e-12)
    slope, inverse_slope = tg.elementwise_grad(f)(x), tg.elementwise_grad(inverse)(f(x))
    np.testing.assert_allclose(slope * inverse_slope, 1, rtol=1e-11)
    tg.check_gradients(inverse, f(x), order=2)
    assert inverse(f(x.astype(np.float32))).dtype == np.float32


def test_hyperbolic_reciprocals_do_not_overflow() -> None:
    x = np.array([-1e4, -710.0, 0.0, 710.0, 1e4])
    assert tg.sech(x).tolist() == [0, pytest.approx(0, abs=1e-300), 1, pytest.approx(0), 0]
    assert tg.elementwise_grad(tg.sech)(x)[[0, 2, 4]].tolist() == [0, 0, 0]
    assert tg.elementwise_grad(tg.elementwise_grad(tg.sech))(0.0) == -1
    far = np.array([-1e4, 1e4])
    assert tg.csch(far).tolist() == [0, 0]
    assert tg.coth(far).tolist() == [-1, 1]
    for f in (tg.csch, tg.coth):
        assert tg.elementwise_grad(f)(far).tolist() == [0, 0]
    # -1 / sinh² survives where 1 - coth² has rounded to 0
    np.testing.assert_allclose(tg.elementwise_grad(tg.coth)(30.0), -4 * math.exp(-60), rtol=1e-12)
    assert tg.arccot(np.array([0.0]))[0] == math.pi / 2
    assert tg.elementwise_grad(tg.arccot)(0.0) == -1


def test_rsqrt_and_lerp_in_closed_form() -> None:
    first, second = derivatives(tg.rsqrt, np.array([4.0]))
    np.testing.assert_allclose([first[0][0], second[0][0]], [-1 / 16, 3 / 128], rtol=1e-15)
    assert tg.lerp(np.array([0.0, 2.0]), 4.0, 0.25).tolist() == [1, 2.5]
    first, _ = derivatives(tg.lerp, np.array([1.0, 2.0]), np.array(5.0), np.array(0.25))
    assert [g.tolist() for g in first] == [[0.75, 0.75], 0.5, 7]
    assert tg.lerp(Tensor([1.0], dtype=np.float32), 2.0, 0.5).dtype == np.float32


# -- real functions of complex numbers -----------------------------------------------------------


def test_real_numbers_are_their_own_real_part() -> None:
    x = np.array([-1.5, 2.0])
    for f in (np.real, np.conjugate, np.conj, np.real_if_close):
        assert f(Tensor(x)).tolist() == x.tolist()
        assert derivatives(f, x)[0][0].tolist() == [1, 1]
    for f, expected in ((np.imag, [0, 0]), (np.angle, [math.pi, 0])):
        assert f(Tensor(x)).tolist() == expected
        assert derivatives(f, x)[0][0].tolist() == [0, 0]
    assert np.angle(Tensor(x), deg=True).tolist() == [180, 0]
    assert np.real(Tensor([1 + 2j])).tolist() == [1]


def test_real_part_of_a_leaf_keeps_its_numbers() -> None:
    for f in (np.real, np.conjugate, np.real_if_close, np.unwrap):
        x = Tensor([1.0, 2.0], requires_grad=True)
        y = f(x)
        x.data[0] = 9
        assert y.tolist() == [1, 2], f.__name__


def test_unwrap_moves_by_whole_periods() -> None:
    x = np.array([[0.0, 2.0, 4.5, 7.0 - 2 * math.pi], [0.5, -3.0, 3.0, 2.5]])
    for options in ({}, {"axis": 0}, {"period": 3.0}, {"discont": 5.0}):
        np.testing.assert_array_equal(np.unwrap(Tensor(x), **options).data, np.unwrap(x, **options))
    first, _ = derivatives(lambda x: np.unwrap(x) ** 2, x)
    np.testing.assert_allclose(first[0], 2 * np.unwrap(x))


# -- one of many -----------------------------------------------------------------------------

ROWS = np.arange(6.0).reshape(2, 3)
SELECTS: list[Any] = [
    lambda x: np.select([x > 3, x > 1], [x**2, 2 * x], default=-1.0),
    lambda x: np.select([x > 3, x > 1], [x**2, 2 * x]),
    lambda x: np.select([x[0] > 1], [x], x[:, :1]),
    lambda x: np.select([x > 100], [x], default=7),
    lambda x: np.select([x > 3, x > 1], [x, [[3.0, 4, 5], [6, 7, 8]]]),
    lambda x: np.choose([0, 0], [x[:, :1]]),
    lambda x: np.choose([[0, 1, 2], [2, 1, 0]], [x, x[0] * 10, 5.0]),
    lambda x: np.choose([[4, -1, 0], [1, 5, 2]], [x, -x, x * x], mode="wrap"),
    lambda x: np.choose(np.array([4, -1, 0]), [x, -x, x * x], mode="clip"),
    lambda x: np.piecewise(x, [x < 2, x > 3], [lambda x: x**2, np.negative, 7.0]),
    lambda x: np.piecewise(x, [x < 2, x > 1], [lambda x: x**2, lambda x: 3 * x]),
    lambda x: np.piecewise(x[0], x[0] > 1, [lambda x, k: k * x, lambda x, k: -k * x], 4.0),
    lambda x: np.piecewise(x[0], [True, False, True], [np.square]),
    lambda x: np.piecewise(x[0], [[True, False, True], [False, True, False]], [np.square, 3.0]),
    lambda x: np.piecewise(x[0], x > 1, [np.square, lambda x: -x]),
    lambda x: np.piecewise(x, [x > 2], [lambda x, *, k: k * x], k=4.0),
    lambda x: np.piecewise(x[0, 2], x[0, 2] > 1, [lambda x: x * 3]),
    lambda x: np.piecewise(x, [x > 99], [np.log]),
]


@pytest.mark.parametrize("f", SELECTS)
def test_one_of_many_is_numpys_and_differentiable(f: Any) -> None:
    for dtype in (np.float64, np.float32):
        x = ROWS.astype(dtype) + dtype(0.25)
        y = f(Tensor(x, requires_grad=True))
        expected = f(x)
        np.testing.assert_array_equal(y.detach().numpy(), expected)
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    tg.check_gradients(f, ROWS + 0.25, order=2)


def test_select_takes_the_first_true_condition() -> None:
    x = np.array([-1.0, 0.5, 4.0])
    first, _ = derivatives(lambda x: np.select([x > 2, x > 0], [x**2, 5 * x], 3.0), x)
    assert first[0].tolist() == [0, 5, 8]
    first, _ = derivatives(lambda x: np.select([x > 0], [np.log(x)], x), x)
    assert first[0].tolist() == [1, 2, 0.25]  # no NaN from log(-1)


def test_select_and_choose_keep_float32() -> None:
    t = Tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    assert np.select([t > 1, t > 0], [t, 1.0], 2.0).dtype == np.float32
    assert np.choose([0, 1], [1.0, t]).dtype == np.float32


def test_piecewise_calls_functions_with_what_is_selected() -> None:
    seen = []

    def watched(x: Any) -> Any:
        seen.append(x.shape)
        return np.log(x)

    y = np.piecewise(
        Tensor([-1.0, 1.0, 2.0], requires_grad=True), [np.array([0, 1, 1]) > 0], [watched]
    )
    assert seen == [(2,)]
    assert y.tolist() == [0, 0, math.log(2)]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: np.choose([0, 2], [t, t]), "choose: expected integers from 0 to 1"),
        (
            lambda t: np.choose([0, 1], [t, t], mode="no"),
            "choose: expected mode 'raise', 'wrap' or",
        ),
        (lambda t: np.select([t > 1], [t, t]), "got 1 conditions and 2 choices"),
        (lambda t: np.piecewise(t, [t > 1], [1.0, 2.0, 3.0]), "piecewise: expected 1 functions"),
        (lambda t: tg.masked_fill(t, t > 1, [1.0]), r"expected a number, got shape \(1,\)"),
    ],
)
def test_one_of_many_refuses(f: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        f(Tensor([1.0, 2.0], requires_grad=True))


def test_masked_fill_gives_the_value_what_it_takes_from_x() -> None:
    x, value = np.arange(6.0).reshape(2, 3), np.array(-1.0)
    mask = np.array([True, False, True])
    first, _ = derivatives(lambda x, value: tg.masked_fill(x, mask, value) * x, x, value)
    assert first[0].tolist() == [[-1, 2, -1], [-1, 8, -1]]
    assert first[1] == 10  # 0 + 2 + 3 + 5
    filled = tg.masked_fill(Tensor(x, dtype=np.float32), mask, np.float64(2))
    assert filled.dtype == np.float32
    assert filled.tolist() == [[2, 1, 2], [2, 4, 2]]
    y = tg.masked_fill(np.log(Tensor([0.0, 1.0], requires_grad=True) + 0.5), [True, False], -np.inf)
    assert y.tolist() == [-np.inf, math.log(1.5)]


# -- dtype= ----------------------------------------------------------------------------------


def test_dtype_of_a_ufunc_is_that_of_its_inputs() -> None:
    x = np.array([0.1, 0.7])
    for f in (
        lambda x: np.exp(x, dtype=np.float32),
        lambda x: np.add(x, 0.3, dtype=np.float32),
        lambda x: np.multiply(x, np.array([1, 2]), dtype="f4"),
        lambda x: np.exp(x, dtype=float, where=True, casting="same_kind", order="K", subok=True),
    ):
        y = f(Tensor(x, requires_grad=True))
        assert y.dtype == f(x).dtype
        np.testing.assert_array_equal(y.detach().numpy(), f(x))
        t = Tensor(x, requires_grad=True)
        np.sum(f(t)).backward()
        assert t.grad.dtype == np.float64
    t = Tensor(x, requires_grad=True)
    np.sum(np.exp(t, dtype=np.float32)).backward()
    np.testing.assert_allclose(t.grad, np.exp(x), rtol=1e-6)
