"""Activations: slopes against difference quotients, values by formulas that cannot overflow."""

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.op import REGISTRY


def gelu_tanh(x: Any) -> Any:
    return tg.gelu(x, approximate="tanh")


def steep_leaky_relu(x: Any) -> Any:
    return tg.leaky_relu(x, negative_slope=2.5)


def small_elu(x: Any) -> Any:
    return tg.elu(x, alpha=0.3)


ELEMENTWISE: list[Any] = [
    tg.relu, tg.sigmoid, tg.softplus, tg.log_sigmoid, tg.silu, tg.leaky_relu, steep_leaky_relu,
    tg.elu, small_elu, gelu_tanh, tg.gelu, tg.erf, tg.mish, tg.quick_gelu, tg.softsign,
    tg.squareplus,
]  # fmt: skip
NORMALISED: list[Any] = [tg.softmax, tg.log_softmax]


def name(value: Any) -> str | None:
    return getattr(value, "__name__", None)


def ready(f: Any) -> Any:
    if f in (tg.gelu, tg.erf):
        pytest.importorskip("scipy")
    return f


def drawn(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(2).normal(size=shape))


def gradient(f: Callable[[Any], Any], x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(np.ones(y.shape) if g is None else g)
    return t.grad


@pytest.mark.parametrize("f", ELEMENTWISE, ids=name)
@pytest.mark.parametrize("shape", [(3, 4), ()])
def test_elementwise(f: Any, shape: tuple[int, ...]) -> None:
    tg.check_gradients(ready(f), 2 * drawn(*shape), order=2)


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2), None], ids=str)
@pytest.mark.parametrize("f", NORMALISED, ids=name)
def test_normalised_along_every_axis(f: Any, axis: Any) -> None:
    tg.check_gradients(lambda x: f(x, axis=axis), drawn(2, 3, 4), order=2)


# -- values ----------------------------------------------------------------------------------


def sigmoid(x: float) -> float:
    return math.exp(min(x, 0)) / (1 + math.exp(-abs(x)))


def softplus(x: float) -> float:
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def normal_cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def squareplus(x: float) -> float:
    return (x + math.hypot(x, 2)) / 2 if x > 0 else 2 / (math.hypot(x, 2) - x)


VALUES: list[tuple[Any, Callable[[float], float]]] = [
    (tg.relu, lambda x: max(x, 0.0)),
    (tg.sigmoid, sigmoid),
    (tg.softplus, softplus),
    (tg.log_sigmoid, lambda x: -softplus(-x)),
    (tg.silu, lambda x: x * sigmoid(x)),
    (tg.leaky_relu, lambda x: x if x > 0 else 0.01 * x),
    (steep_leaky_relu, lambda x: x if x > 0 else 2.5 * x),
    (tg.elu, lambda x: x if x > 0 else math.expm1(x)),
    (small_elu, lambda x: x if x > 0 else 0.3 * math.expm1(x)),
    (tg.gelu, lambda x: x * normal_cdf(x)),
    (gelu_tanh, lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (tg.erf, math.erf),
    (tg.mish, lambda x: x * math.tanh(softplus(x))),
    (tg.quick_gelu, lambda x: x * sigmoid(1.702 * x)),
    (tg.softsign, lambda x: x / (1 + abs(x))),
    (tg.squareplus, squareplus),
]
SLOPES: list[tuple[Any, Callable[[float], float]]] = [
    (tg.relu, lambda x: float(x > 0)),
    (tg.sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    (tg.softplus, sigmoid),
    (tg.log_sigmoid, lambda x: sigmoid(-x)),
    (tg.silu, lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    (tg.leaky_relu, lambda x: 1.0 if x > 0 else 0.01),
    (tg.elu, lambda x: 1.0 if x > 0 else math.exp(x)),
    (tg.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
    (tg.softsign, lambda x: (1 + abs(x)) ** -2),
    (tg.squareplus, lambda x: squareplus(x) / math.hypot(x, 2)),
]
FAR = [-1e4, -1e3, -745.0, -80.0, -40.0, -17.0, -3.0, -1e-6, 0.0, 1e-6, 3.0, 17.0, 40.0, 1e3, 1e4]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("f", "exact"), VALUES, ids=name)
def test_values_to_the_far_ends(f: Any, exact: Any, dtype: Any) -> None:
    x = np.array(FAR, dtype)
    y = ready(f)(x)
    assert y.dtype == dtype
    expected = np.array([exact(float(v)) for v in x])
    tiny = np.finfo(dtype).tiny  # smaller numbers have fewer digits
    precise = f is not gelu_tanh  # 1 + tanh rounds its left tail to 0, by definition
    # the factor exp(-x²/2) of gelu turns a rounding of x into x² roundings of the result
    rtol = (300 if f in (tg.gelu, tg.quick_gelu) else 8) * np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=8 * tiny if precise else rtol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("f", "exact"), SLOPES, ids=name)
def test_slopes_to_the_far_ends(f: Any, exact: Any, dtype: Any) -> None:
    x = np.array(FAR, dtype)
    slope = gradient(ready(f), x)
    assert slope.dtype == dtype
    expected = [exact(float(v)) for v in x]
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    left = x <= 3  # to the right of it 1 - sigmoid has lost its digits, not its size
    np.testing.assert_allclose(slope[left], np.array(expected)[left], rtol=20 * eps, atol=8 * tiny)
    np.testing.assert_allclose(slope, expected, rtol=20 * eps, atol=eps)


@pytest.mark.parametrize("f", [*ELEMENTWISE, *NORMALISED], ids=name)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nothing_overflows(f: Any, dtype: Any) -> None:
    x = np.array(FAR, dtype)
    g = np.linspace(-1, 1, x.size)
    assert np.isfinite(ready(f)(x)).all()
    assert np.isfinite(gradient(f, x, g)).all()


def test_sigmoid_is_accurate_in_its_left_tail() -> None:
    assert tg.sigmoid(np.array(-40.0)) == pytest.approx(4.248354255291589e-18, rel=1e-15)


@pytest.mark.parametrize("f", [*ELEMENTWISE, *NORMALISED], ids=name)
def test_float32_stays_and_nothing_is_written_into(f: Any) -> None:
    x = drawn(3, 4).astype(np.float32)
    assert ready(f)(x).dtype == np.float32
    op, options = {
        gelu_tanh: (tg.gelu, {"approximate": "tanh"}),
        steep_leaky_relu: (tg.leaky_relu, {"negative_slope": 2.5}),
        small_elu: (tg.elu, {"alpha": 0.3}),
    }.get(f, (f, {}))
    out, g = f(x), np.ones_like(x)
    for array in (x, out, g):
        array.flags.writeable = False
    for rule in REGISTRY[op].vjps:  # none, if it is made of others
        assert rule(g, out, x, **options).dtype == np.float32
    assert gradient(f, x, g).dtype == np.float32


@pytest.mark.parametrize("f", [*ELEMENTWISE, *NORMALISED], ids=name)
def test_empty(f: Any) -> None:
    assert gradient(ready(f), np.zeros((0, 3))).shape == (0, 3)


# -- corners, and infinities among the logits ---------------------------------------------------


@pytest.mark.parametrize(
    ("f", "slope"), [(tg.relu, 0), (tg.leaky_relu, 0.01), (tg.elu, 1), (small_elu, 0.3)], ids=name
)
def test_slope_at_the_corner_is_that_of_the_left(f: Any, slope: float) -> None:
    assert gradient(f, 0.0) == slope


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([-math.inf, 0, 0], [0, 0.5, 0.5]),
        ([-math.inf] * 4, [0.25] * 4),
        ([math.inf, 0, math.inf], [0.5, 0, 0.5]),
    ],
)
def test_softmax_of_infinities(x: list[float], expected: list[float]) -> None:
    assert tg.softmax(np.array(x)).tolist() == expected
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(tg.log_softmax(np.array(x)), np.log(expected))
    g = np.arange(1.0, len(x) + 1)
    p = np.array(expected)
    np.testing.assert_allclose(gradient(tg.softmax, x, g), p * (g - p @ g), atol=1e-15)
    np.testing.assert_allclose(gradient(tg.log_softmax, x, g), g - p * g.sum(), atol=1e-15)


def test_a_masked_row_does_not_disturb_the_others() -> None:
    x = np.array([[1.0, 2.0], [-math.inf, -math.inf]])
    found = gradient(lambda t: tg.softmax(t, axis=1)[:, 0], x)
    alone = gradient(lambda t: tg.softmax(t, axis=1)[:, 0], x[:1])
    np.testing.assert_array_equal(found[:1], alone)
    assert np.isfinite(found).all()


def test_log_softmax_does_not_round_small_probabilities_to_zero() -> None:
    assert tg.log_softmax(np.array([0.0, -1e4])).tolist() == [0, -1e4]


# -- gates and bends ---------------------------------------------------------------------------


def test_softmin_gives_the_smallest_number_the_largest_part() -> None:
    x = np.array([[0.0, math.log(3)], [math.log(3), 0.0]])
    np.testing.assert_allclose(tg.softmin(x), [[3 / 4, 1 / 4], [1 / 4, 3 / 4]], rtol=1e-15)
    np.testing.assert_allclose(tg.softmin(x, axis=0)[0], [3 / 4, 1 / 4], rtol=1e-15)


def test_glu_of_a_number() -> None:
    with pytest.raises(tg.InputError, match="glu: expected an even length"):
        tg.glu(Tensor(1.0))


def test_glu_by_hand() -> None:
    x = [[1.0, -2.0, 0.0, math.log(3)]]  # gates 1/2 and 3/4
    np.testing.assert_allclose(tg.glu(np.array(x)), [[0.5, -1.5]], rtol=1e-15)
    expected = [[0.5, 0.75, 1 / 4, -2 * 3 / 16]]
    np.testing.assert_allclose(gradient(tg.glu, x), expected, rtol=1e-15)
    columns = np.array(x).T
    np.testing.assert_allclose(
        gradient(lambda t: tg.glu(t, axis=0), columns), np.transpose(expected)
    )


def test_squareplus_bends_at_b() -> None:
    assert tg.squareplus(np.array([0.0, 1.5]), b=4.0).tolist() == [1, 2]
    assert gradient(lambda t: tg.squareplus(t, b=16.0), [0.0, 3.0]).tolist() == [0.5, 0.8]


def test_the_second_derivative_of_softsign() -> None:
    second = tg.grad(tg.grad(tg.softsign))  # -2 sign(x) / (1 + |x|)³
    assert [second(x) for x in (-1.0, 0.0, 1.0)] == [0.25, 0, -0.25]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: tg.glu(x), r"glu: expected an even length along axis -1, got shape \(2, 3\)"),
        (lambda x: tg.squareplus(x, b=0.0), "squareplus: expected a positive b, got 0"),
    ],
)
def test_gates_and_bends_refuse(f: Any, message: str) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(tg.InputError, match=message):
            f(x)


# -- readings, refusals --------------------------------------------------------------------------


@pytest.mark.parametrize("f", [*ELEMENTWISE, *NORMALISED], ids=name)
def test_the_same_on_dask_arrays(f: Any) -> None:
    da = pytest.importorskip("dask.array")
    x, g = drawn(4, 3), drawn(3, 4).T
    chunked = gradient(ready(f), da.from_array(x, chunks=2), da.from_array(g, chunks=2))
    assert isinstance(chunked, da.Array)
    np.testing.assert_allclose(chunked.compute(), gradient(f, x, g), rtol=1e-13)


def test_gelu_refuses_other_approximations() -> None:
    with pytest.raises(tg.InputError, match=r"gelu.*expected approximate 'none' or 'tanh', got 3"):
        tg.gelu(np.ones(2), approximate=3)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (tg.erf, r"erf needs SciPy: pip install tinygrad_edu\[special\]"),
        (tg.gelu, r"gelu needs SciPy: pip install tinygrad_edu\[special\]; .*approximate='tanh'"),
    ],
    ids=name,
)
def test_without_scipy_the_error_names_the_extra(
    f: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without_scipy(module: str, *args: Any, **options: Any) -> Any:
        if module.startswith("scipy"):
            raise ImportError(module)
        return usual(module, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match=message):
        f(Tensor([1.0], requires_grad=True))
    assert gelu_tanh(Tensor([1.0], requires_grad=True)).shape == (1,)
