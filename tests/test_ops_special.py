"""Special functions: closed forms, identities between them, and the awkward points."""

import builtins
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.ops.special import register_scipy

special: Any = pytest.importorskip("scipy.special")
slope = tg.elementwise_grad

EULER = 0.5772156649015329
ZETA_3 = 1.2020569031595942
X = np.array([0.3, 1.0, 2.5, 7.0])
PI = math.pi


def name(value: Any) -> str | None:
    return getattr(value, "__name__", None)


# -- functions that are elementary, in disguise ----------------------------------------------------

CLOSED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "gamma": (lambda x: special.gamma(x + 1) / special.gamma(x), lambda x: 1 + 0 * x),
    "gammaln": (lambda x: special.gammaln(x + 1) - special.gammaln(x), lambda x: 1 / x),
    "loggamma": (lambda x: special.loggamma(x + 1) - special.loggamma(x), lambda x: 1 / x),
    "psi": (lambda x: special.psi(x + 1) - special.psi(x), lambda x: -1 / x**2),
    "polygamma": (lambda x: tg.polygamma(2, x + 1) - tg.polygamma(2, x), lambda x: -6 / x**4),
    "multigammaln": (
        lambda x: tg.multigammaln(x + 2, 3) - tg.multigammaln(x + 1, 3),
        lambda x: 1 / (x + 1) + 1 / (x + 0.5) + 1 / x,
    ),
    "rgamma": (lambda x: special.rgamma(x) * special.gamma(x + 1), lambda x: 1 + 0 * x),
    "zeta": (lambda x: special.zeta(3, x) - special.zeta(3, x + 1), lambda x: -3 / x**4),
    "beta": (lambda x: special.beta(x, 2.0), lambda x: -(2 * x + 1) / (x * (x + 1)) ** 2),
    "beta of b": (lambda x: special.beta(1.0, x), lambda x: -1 / x**2),
    "betaln": (lambda x: special.betaln(x, 1.0), lambda x: -1 / x),
    "betaln of b": (lambda x: special.betaln(1.0, x), lambda x: -1 / x),
    "gammainc": (lambda x: special.gammainc(1.0, x), lambda x: np.exp(-x)),
    "gammaincc": (lambda x: special.gammaincc(2.0, x), lambda x: -x * np.exp(-x)),
    "betainc": (lambda x: special.betainc(2.0, 1.0, x / 8), lambda x: x / 32),
    "betaincc": (lambda x: special.betaincc(1.0, 3.0, x / 8), lambda x: -3 / 8 * (1 - x / 8) ** 2),
    "expi": (lambda x: special.expi(x), lambda x: np.exp(x) / x),
    "exp1": (lambda x: special.exp1(x), lambda x: -np.exp(-x) / x),
    "jv": (
        lambda x: special.jv(0.5, x) * np.sqrt(PI / 2 * x),
        lambda x: np.cos(x),
    ),
    "yv": (lambda x: special.yv(0.5, x) * np.sqrt(PI / 2 * x), lambda x: np.sin(x)),
    "iv": (lambda x: special.iv(0.5, x) * np.sqrt(PI / 2 * x), lambda x: np.cosh(x)),
    "ive": (lambda x: special.ive(0.5, x) * np.sqrt(PI / 2 * x), lambda x: np.exp(-2 * x)),
    "kv": (lambda x: special.kv(0.5, x) * np.sqrt(2 / PI * x), lambda x: -np.exp(-x)),
    "kve": (lambda x: special.kve(0.5, x), lambda x: -np.sqrt(PI / 8) * x**-1.5),
    "erf": (lambda x: special.erf(x) + special.erfc(x), lambda x: 0 * x),
    "erfc": (special.erfc, lambda x: -2 / math.sqrt(PI) * np.exp(-x * x)),
    "erfcx": (lambda x: special.erfcx(x) * np.exp(-x * x) + tg.erf(x), lambda x: 0 * x),
    "erfi and dawsn": (lambda x: special.dawsn(x) - math.sqrt(PI) / 2 * np.exp(-x * x)
                       * special.erfi(x), lambda x: 0 * x),
    "ndtr": (lambda x: special.ndtr(x) - 0.5 * special.erf(x * math.sqrt(0.5)), lambda x: 0 * x),
    "log_ndtr": (lambda x: special.log_ndtr(x) - np.log(special.ndtr(x)), lambda x: 0 * x),
    "expit": (special.expit, lambda x: 0.25 / np.cosh(x / 2) ** 2),
    "log_expit": (special.log_expit, lambda x: 1 / (1 + np.exp(x))),
    "exp10": (lambda x: special.exp10(x) - 10**x, lambda x: 0 * x),
    "exp2": (lambda x: special.exp2(x) - 2**x, lambda x: 0 * x),
    "expm1": (special.expm1, np.exp),
    "log1p": (special.log1p, lambda x: 1 / (1 + x)),
    "cbrt": (special.cbrt, lambda x: x ** (-2 / 3) / 3),
    "cosm1": (special.cosm1, lambda x: -np.sin(x)),
    "exprel": (lambda x: special.exprel(x) * x, np.exp),
    "entr": (special.entr, lambda x: -1 - np.log(x)),
    "rel_entr": (lambda x: special.rel_entr(x, 3.0), lambda x: np.log(x / 3) + 1),
    "rel_entr of y": (lambda x: special.rel_entr(3.0, x), lambda x: -3 / x),
    "kl_div": (lambda x: special.kl_div(x, 3.0), lambda x: np.log(x / 3)),
    "kl_div of y": (lambda x: special.kl_div(3.0, x), lambda x: 1 - 3 / x),
    "xlog1py": (lambda x: special.xlog1py(x, x), lambda x: np.log1p(x) + x / (1 + x)),
    "xlogy": (lambda x: special.xlogy(x, x), lambda x: np.log(x) + 1),
    "boxcox": (lambda x: special.boxcox(x, 0.0) + special.boxcox(x, 2.0), lambda x: 1 / x + x),
    "boxcox1p": (lambda x: special.boxcox1p(x, 0.0), lambda x: 1 / (1 + x)),
    "inv_boxcox": (lambda x: special.inv_boxcox(special.boxcox(x, 1.5), 1.5), lambda x: x**0),
    "inv_boxcox1p": (lambda x: special.inv_boxcox1p(special.boxcox1p(x, 1.5), 1.5), np.ones_like),
    "huber": (lambda x: special.huber(2.0, x), lambda x: np.minimum(x, 2.0)),
    "huber of delta": (lambda x: special.huber(x, 4.0), lambda x: np.maximum(4 - x, 0)),
    "pseudo_huber": (lambda x: special.pseudo_huber(2.0, x), lambda x: x / np.hypot(1, x / 2)),
    "pseudo_huber of delta": (
        lambda x: special.pseudo_huber(x, 2.0),
        lambda x: 2 * x * (np.hypot(1, 2 / x) - 1) - 4 / x / np.hypot(1, 2 / x),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOSED.values(), ids=CLOSED)
def test_gradients_in_closed_form(case: Any) -> None:
    f, derivative = case
    np.testing.assert_allclose(slope(f)(X), derivative(X), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("f", "inverse", "x"),
    [
        (special.erf, special.erfinv, [-0.9, 0.1, 0.8]),
        (special.erf, tg.erfinv, [-0.9, 0.1, 0.8]),
        (special.erfc, special.erfcinv, [0.1, 1.0, 1.9]),
        (special.ndtr, special.ndtri, [0.01, 0.5, 0.9]),
        (special.expit, special.logit, [0.01, 0.5, 0.9]),
        (special.expit, tg.logit, [0.01, 0.5, 0.9]),
    ],
    ids=name,
)
def test_inverse_functions(f: Any, inverse: Any, x: Any) -> None:
    np.testing.assert_allclose(slope(lambda x: f(inverse(x)))(np.array(x)), 1, rtol=1e-12)
    second = slope(slope(lambda x: f(inverse(x))))
    np.testing.assert_allclose(second(np.array(x)), 0, atol=1e-10)


def test_bessel_functions_have_their_wronskians() -> None:
    for j, y in [
        (special.j0, special.y0), (special.j1, special.y1),
        (lambda x: special.jn(3, x), lambda x: special.yn(3, x)),
    ]:  # fmt: skip
        found = j(X) * slope(y)(X) - y(X) * slope(j)(X)
        np.testing.assert_allclose(found, 2 / (PI * X), rtol=1e-12)
    for i, k in [
        (special.i0, special.k0), (special.i1, special.k1), (special.i0e, special.k0e),
        (special.i1e, special.k1e), (lambda x: special.iv(3, x), lambda x: special.kn(3, x)),
    ]:  # fmt: skip
        found = i(X) * slope(k)(X) - k(X) * slope(i)(X)
        # for the scaled ones, the derivative of exp(-x) exp(x) is 0 in all
        extra = 2 * i(X) * k(X) if i in (special.i0e, special.i1e) else 0
        np.testing.assert_allclose(found, -1 / X + extra, rtol=1e-11)


# -- awkward points ----------------------------------------------------------------------------

POINTS: list[tuple[Callable[..., Any], float, float]] = [
    (special.gammaln, 1.0, -EULER),
    (special.gammaln, 2.0, 1 - EULER),
    (special.gamma, 1.0, -EULER),
    (special.gamma, 4.0, 6 * (11 / 6 - EULER)),
    (special.gamma, -0.5, -2 * math.sqrt(PI) * (0.03648997397857652)),
    (special.psi, 1.0, PI**2 / 6),
    (slope(special.psi), 1.0, -2 * ZETA_3),
    (lambda x: special.zeta(2.0, x), 1.0, -2 * ZETA_3),
    (special.rgamma, 0.0, 1),
    (special.rgamma, -1.0, -1),
    (special.rgamma, -2.0, 2),
    (special.rgamma, -3.0, -6),
    (slope(special.rgamma), 0.0, 2 * EULER),
    (special.j1, 0.0, 0.5),
    (special.i1, 0.0, 0.5),
    (special.i1e, 0.0, 0.5),
    (special.j0, 0.0, 0),
    (special.i0, 0.0, 0),
    (np.i0, 0.0, 0),
    (slope(np.i0), 0.0, 0.5),
    (slope(lambda x: special.jv(2, x)), 0.0, 0.25),
    (slope(lambda x: special.iv(2, x)), 0.0, 0.25),
    (special.exprel, 0.0, 1 / 2),
    (slope(special.exprel), 0.0, 1 / 3),
    (slope(slope(special.exprel)), 0.0, 1 / 4),
    (special.erf, 0.0, 2 / math.sqrt(PI)),
    (special.erfinv, 0.0, math.sqrt(PI) / 2),
    (special.erfcx, 0.0, -2 / math.sqrt(PI)),
    (special.erfcx, 1e6, -(1 - 1.5e-12) / math.sqrt(PI) * 1e-12),
    (special.log_ndtr, -1e6, 1e6 + 1e-6),
    (special.log_ndtr, 50.0, 0),
    (special.log_ndtr, 0.0, math.sqrt(2 / PI)),
    (special.entr, 0.0, math.inf),
    (special.xlogy, 0.0, math.log(2.0)),
    (lambda x: special.gammainc(1.0, x), 0.0, 1),
    (lambda x: special.gammainc(2.0, x), 0.0, 0),
    (lambda x: special.betainc(2.0, 1.0, x), 0.0, 0),
    (lambda x: special.betainc(2.0, 1.0, x), 1.0, 2),
    (lambda x: special.betainc(1.0, 1.0, x), 0.0, 1),
    (lambda x: special.betainc(1.0, 1.0, x), 1.0, 1),
    (lambda x: special.betainc(1.0, 1e6, x), 1e-6, 1e6 * math.exp(999_999 * math.log1p(-1e-6))),
]


@pytest.mark.parametrize(("f", "x", "expected"), POINTS, ids=lambda v: name(v))
def test_awkward_points(f: Any, x: float, expected: float) -> None:
    g = slope(lambda x: f(x, 2.0)) if f is special.xlogy else slope(f)
    np.testing.assert_allclose(g(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("f", "x", "y", "expected"),
    [
        (tg.xlogy, 0.0, 0.0, (0, 0)),
        (tg.xlogy, 0.0, 2.0, (math.log(2), 0)),
        (special.xlogy, 0.0, 0.0, (0, 0)),
        (special.xlog1py, 0.0, -1.0, (0, 0)),
        (special.rel_entr, 0.0, 0.0, (1, -1)),
        (special.rel_entr, 0.0, 1.0, (-math.inf, 0)),
        (special.kl_div, 0.0, 0.0, (0, 0)),
        (special.kl_div, 0.0, 1.0, (-math.inf, 1)),
        (special.kl_div, 2.0, 1.0, (math.log(2), -1)),
    ],
)
def test_zero_times_log_zero(f: Any, x: float, y: float, expected: Any) -> None:
    found = tg.grad(f, argnums=(0, 1))(np.array(x), np.array(y))
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_xlogy_is_scipys() -> None:
    x = np.array([0.0, 0.0, 0.0, 1.0, 2.0, np.nan, 0.0])
    y = np.array([0.0, 3.0, np.nan, 0.0, 3.0, 1.0, -1.0])
    np.testing.assert_array_equal(tg.xlogy(x, y), special.xlogy(x, y))
    assert tg.xlogy(np.float32([0, 2]), np.float32([0, 3])).dtype == np.float32
    assert tg.xlogy(Tensor([0.0]), 0.0).tolist() == [0]


def test_erfcx_and_exprel_where_their_two_formulas_meet() -> None:
    for f, x in [(special.erfcx, 50.0), (special.exprel, 1.0), (special.exprel, -1.0)]:
        beside = np.nextafter(x, [-np.inf, np.inf])
        for g in (slope(f), slope(slope(f))):
            low, high = g(beside)
            np.testing.assert_allclose(low, high, rtol=1e-9)


@pytest.mark.parametrize(
    ("f", "awkward"),
    [
        (special.erfcx, [49, 51, -9, math.nan]),
        (special.log_ndtr, [-2.9, -4, 40, -1e5, math.inf, math.nan]),
        (lambda x: special.pseudo_huber(2.0, x), [3, -1e200, math.inf]),
    ],
    ids=["erfcx", "log_ndtr", "pseudo_huber"],
)
def test_plain_arrays_take_a_shorter_way_to_the_same(f: Any, awkward: list[float]) -> None:
    for a in awkward:
        t = Tensor([0.5, -2, a, 3], requires_grad=True)
        quick = tg.gradients(np.sum(f(t)), t)
        general = tg.gradients(np.sum(f(t)), t, create_graph=True).detach().numpy()
        np.testing.assert_allclose(quick, general, rtol=5e-15)


def test_bends_of_the_scaled_bessel_function() -> None:
    assert slope(special.i0e)(0.0) == 0
    np.testing.assert_allclose(slope(special.i0e)(np.array([-1e-9, 1e-9])), [1, -1], rtol=1e-8)


# -- our own functions --------------------------------------------------------------------------


def test_polygamma_and_multigammaln_are_scipys() -> None:
    for n in range(5):
        np.testing.assert_allclose(tg.polygamma(n, X), special.polygamma(n, X), rtol=1e-14)
    x = np.array([-0.5, -2.25])
    np.testing.assert_allclose(tg.polygamma(1, x), special.polygamma(1, x), rtol=1e-14)
    for d in range(1, 5):
        found = [tg.multigammaln(a, d) for a in X + 2]
        np.testing.assert_allclose(found, [special.multigammaln(a, d) for a in X + 2], rtol=1e-14)
    for f in (lambda x: tg.polygamma(0, x), lambda x: tg.polygamma(3, x)):
        assert f(np.float32([1, 2])).dtype == np.float32


def test_logit_clips_with_eps() -> None:
    x = np.array([0.0, 0.3, 1.0])
    expected = [math.log(0.1 / 0.9), math.log(0.3 / 0.7), math.log(0.9 / 0.1)]
    np.testing.assert_allclose(tg.logit(x, eps=0.1), expected, rtol=1e-14)
    np.testing.assert_allclose(slope(lambda x: tg.logit(x, 0.1))(x), [0, 1 / 0.21, 0], rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t: tg.polygamma(-1, t),
            tg.InputError,
            "expected an integer n of 0 or more, got -1",
        ),
        (lambda t: tg.polygamma(0.5, t), tg.InputError, "expected an integer n"),
        (lambda t: tg.multigammaln(t, 0), tg.InputError, "expected an integer d of 1 or more"),
        (lambda t: special.jv(t, 1.0), tg.UnsupportedError, "jv: no gradient .* argument 'v'"),
        (lambda t: special.gammainc(t, 1.0), tg.UnsupportedError, "gammainc: .* argument 'a'"),
        (lambda t: special.betainc(t, 1.0, 0.5), tg.UnsupportedError, "betainc: .* argument 'a'"),
        (lambda t: special.betainc(1.0, t, 0.5), tg.UnsupportedError, "betainc: .* argument 'b'"),
        (lambda t: special.boxcox(2.0, t), tg.UnsupportedError, "boxcox: .* argument 'lmbda'"),
        (lambda t: special.zeta(t, 2.0), tg.UnsupportedError, "zeta: .* argument 'x'"),
        (lambda t: special.ellipk(t), tg.UnsupportedError, "ellipk: has no gradient rule"),
    ],
)
def test_what_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(1.5, requires_grad=True))


# -- registering late ---------------------------------------------------------------------------


def test_a_function_of_scipy_is_registered_when_a_tensor_meets_it() -> None:
    code = """
import sys
import numpy as np, tinygrad_edu as tg
x = tg.Tensor([1.0, 2.0], requires_grad=True)
np.sum(x * x)
assert "scipy" not in sys.modules
from scipy import special
np.sum(special.gammaln(x)).backward()
print(x.grad.round(6).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[-0.577216, 0.422784]"


def test_registering_again_changes_nothing_and_keeps_what_a_program_registered() -> None:
    register_scipy()
    before = dict(REGISTRY)
    register_scipy()
    assert before == REGISTRY
    tg.unregister(special.gamma)
    mine = tg.register(special.gamma, tg.wrt("x", lambda g, out, x: 7 * g))
    register_scipy()
    assert REGISTRY[special.gamma] is mine
    assert tg.grad(special.gamma)(1.0) == 7


def test_the_same_function_has_the_same_rule() -> None:
    register_scipy()
    for ours, theirs in [
        (tg.erf, special.erf), (tg.sigmoid, special.expit), (tg.log_sigmoid, special.log_expit),
        (tg.xlogy, special.xlogy), (tg.erfinv, special.erfinv), (np.expm1, special.expm1),
    ]:  # fmt: skip
        assert REGISTRY[ours].rules == REGISTRY[theirs].rules


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_scipy(module: str, *args: Any, **options: Any) -> Any:
        if module.startswith("scipy"):
            raise ImportError(module)
        return real_import(module, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    calls: dict[str, Callable[[Any], Any]] = {
        "erfinv": tg.erfinv,
        "polygamma": lambda x: tg.polygamma(1, x),
        "multigammaln": lambda x: tg.multigammaln(x, 2),
        "zeta": lambda x: tg.zeta(2.0, x),
        "i0": tg.grad(np.i0),
    }
    for function, f in calls.items():
        with pytest.raises(ImportError, match=rf"{function} needs SciPy.*tinygrad_edu\[special\]"):
            f(0.5)
    assert tg.xlogy(np.array([0.0]), 0.0).tolist() == [0]
    np.testing.assert_allclose(tg.logit(0.75), math.log(3))


def test_a_whole_order_is_cut_down_in_the_slope_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy says that it truncates
        found = [slope(partial(special.yn, 0.5))(2.0), slope(partial(special.kn, -0.976))(2.0)]
    np.testing.assert_allclose(found, [-special.y1(2.0), -special.k1(2.0)], rtol=1e-14)


@pytest.mark.parametrize(("f", "expected"), [(special.huber, 0.5), (special.zeta, -(PI**2) / 6)])
def test_a_boolean_parameter(f: Any, expected: float) -> None:
    x = 0.5 if f is special.huber else 2.0
    if f is special.zeta:
        expected += 1.0  # from 2 on
    np.testing.assert_allclose(slope(partial(f, np.array([True])))(np.r_[x]), [expected])


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (special.dawsn, np.inf, 0.0),
        (special.dawsn, -1e8, -5e-17),
        (special.dawsn, 60.0, -1 / 7200 - 3 / (4 * 60**4) - 15 / (8 * 60**6)),
        (special.exprel, 800.0, np.inf),
        (special.rgamma, np.inf, 0.0),
        (tg.gelu, -8.0, -8 * math.exp(-32) / math.sqrt(2 * PI) + math.erfc(8 / math.sqrt(2)) / 2),
    ],
)
def test_slopes_far_out(f: Any, x: float, expected: float) -> None:
    np.testing.assert_allclose(slope(f)(x), expected, rtol=1e-9)


def test_a_hint_names_what_exists() -> None:
    with pytest.raises(tg.UnsupportedError, match=r"use betaln\(t\).astype"):
        special.betaln(Tensor(1.0), 2.0, dtype="f2")
