"""Special functions: those of `scipy.special`, and some of our own that need no SciPy, or wrap it.

SciPy is an extra, and slow to import. So its functions are registered when a Tensor first meets
one of them (`register_scipy`), which can only be after the program has imported it.

Rules multiply through `safe_multiply`. What has no simple derivative (by the order of a Bessel
function, by the first arguments of an incomplete integral) has no rule, and is refused by name.

Source: NIST Digital Library of Mathematical Functions, dlmf.nist.gov; equations are given by
their numbers there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.domain import NONZERO, POSITIVE, REAL, Domain
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import REGISTRY, Array, Rule, composite, op, register, wrt
from tinygrad_edu.ops.activations import _special as scipy_special
from tinygrad_edu.ops.activations import erf, log_sigmoid, sigmoid
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.trigonometry import hypot_1

_UNIT = Domain(0.0, 1.0)
_ROOT_PI = math.sqrt(math.pi)
Rules = dict[Any, tuple[Rule, ...]]

# --- functions that SciPy has not, or not for Tensors ---------------------------------------------


@composite
def logit(x: Array, eps: float | None = None) -> Array:
    """`log(x / (1 - x))`, elementwise: the inverse of `sigmoid`.

    Args:
        x: (...), float, between 0 and 1.
        eps: if given, `x` is clipped to [eps, 1 - eps] first.

    Returns:
        Shape and dtype of `x`.
    """
    if eps is not None:
        x = np.clip(x, eps, 1 - eps)
    return np.log(x) - np.log1p(-x)


def _xlogy_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    """`log y`; 0 where only the convention 0 · log 0 = 0 gives a value, as in PyTorch."""
    return safe_multiply(g, np.where((x == 0) & (y <= 0), 0.0, np.log(y)))


@op(
    wrt("x", _xlogy_x),
    wrt("y", lambda g, out, x, y: safe_multiply(g, safe_multiply(x, 1 / y)), POSITIVE),
    broadcasts=True,
)
@np.errstate(divide="ignore", invalid="ignore")
def xlogy(x: Array, y: Array) -> Array:
    """`x · log(y)`, elementwise, and 0 for x = 0 whatever y is (but NaN).

    Args:
        x: (...), float.
        y: (...), float, not negative; shapes broadcast.

    Returns:
        The broadcast shape.
    """
    return np.where((x == 0) & (y == y), 0.0, x * np.log(y))


@op(wrt("x", lambda g, out, x: safe_multiply(g, 0.5 * _ROOT_PI * np.exp(out * out)), Domain(-1, 1)))
def erfinv(x: Array) -> Array:
    """The inverse of `erf`, elementwise.

    Args:
        x: (...), float, between -1 and 1.

    Returns:
        Shape and dtype of `x`.

    Raises:
        ImportError: without SciPy, `pip install tinygrad_edu[special]`.
    """
    return scipy_special("erfinv").erfinv(x)


@op(
    wrt("q", lambda g, out, x, q: safe_multiply(-g, x * zeta(x + 1, q)), POSITIVE),
    broadcasts=True,
)
def zeta(x: Array, q: Array) -> Array:
    """The Hurwitz zeta function `Σ 1 / (k + q)^x` over all k ≥ 0, elementwise.

    Args:
        x: a number or an array, larger than 1; it gets no gradient.
        q: (...), float.

    Returns:
        The broadcast shape.

    Raises:
        ImportError: without SciPy, `pip install tinygrad_edu[special]`.

    Source: 25.11.1, and 25.11.17 for the derivative.
    """
    return scipy_special("zeta").zeta(x, q)


@op(wrt("x", lambda g, out, n, x: safe_multiply(g, polygamma(n + 1, x)), POSITIVE))
def polygamma(n: int, x: Array) -> Array:
    """The n-th derivative of `psi`, the logarithmic derivative of the gamma function, elementwise.

    Args:
        n: not negative.
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Raises:
        ImportError: without SciPy, `pip install tinygrad_edu[special]`.
        InputError: if n is no integer, or negative.

    Source: 5.15.1, 25.11.12.
    """
    special = scipy_special("polygamma")
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise InputError(f"polygamma: expected an integer n of 0 or more, got {n!r}")
    if n == 0:
        return special.psi(x)
    return special.zeta(float(n + 1), x) * float((-1) ** (n + 1) * math.factorial(n))


@composite
def multigammaln(a: Array, d: int) -> Array:
    """The logarithm of the multivariate gamma function of dimension d, elementwise.

    Args:
        a: (...), float, larger than (d - 1) / 2; elsewhere it has no meaning.
        d: positive.

    Returns:
        Shape and dtype of `a`.

    Raises:
        ImportError: without SciPy, `pip install tinygrad_edu[special]`.
        InputError: if d is no integer, or not positive.

    Source: 35.3.4.
    """
    special = scipy_special("multigammaln")
    if not isinstance(d, (int, np.integer)) or d < 1:
        raise InputError(f"multigammaln: expected an integer d of 1 or more, got {d!r}")
    total = special.gammaln(a) + d * (d - 1) / 4 * math.log(math.pi)
    for j in range(1, d):
        total = total + special.gammaln(a - j / 2)
    return total


register(np.i0, wrt("x", lambda g, out, x: safe_multiply(g, scipy_special("i0").i1(x))))


# --- those of SciPy -----------------------------------------------------------------------------


def register_scipy() -> None:
    """Register the functions of `scipy.special` that are not registered yet.

    Raises:
        ImportError: without SciPy.
    """
    special = scipy_special("scipy.special")
    for family in (_errors, _gammas, _integrals, _bessels, _exponentials, _losses):
        for function, rules in family(special).items():
            if function not in REGISTRY:
                register(function, *rules)
    _register_zeta(special)


def _unary(local: Callable[[Array, Array], Array], domain: Domain = REAL) -> tuple[Rule]:
    """The rule of a function of one argument, from its local gradient `local(out, x)`."""
    return (wrt("x", lambda g, out, x: safe_multiply(g, local(out, x)), domain),)


def _ordered(local: Callable[[Array, Array, Array], Array]) -> tuple[Rule]:
    """The same for a family of functions of x, one for every order v."""
    return (wrt("x", lambda g, out, v, x: safe_multiply(g, local(out, v, x)), POSITIVE),)


def _whole(local: Callable[[Array, Array, Array], Array]) -> tuple[Rule]:
    """The same where SciPy cuts the order down to an integer."""
    return _ordered(lambda out, v, x: local(out, np.trunc(v), x))


def _like(function: Any) -> tuple[Rule, ...]:
    """The rules of a function that is registered already."""
    return tuple(rule for rule in REGISTRY[function].rules if rule is not None)


def _errors(s: Any) -> Rules:
    """The error function, the normal distribution, the logistic one.

    Source: 7.2.1 and 7.10.
    """
    normal = math.sqrt(2 * math.pi)

    def log_ndtr_slope(out: Array, x: Array) -> Array:
        """The density over the probability, neither of which survives far on the left."""
        if type(x) is np.ndarray and (x > -3).all():
            return np.exp(-0.5 * x * x - out) / normal
        return math.sqrt(2 / math.pi) / s.erfcx(-math.sqrt(0.5) * x)  # seven times as slow

    return {
        s.erf: _like(erf),
        s.erfc: _unary(lambda out, x: -2 / _ROOT_PI * np.exp(-x * x)),
        s.erfinv: _like(erfinv),
        s.erfcinv: _unary(lambda out, x: -0.5 * _ROOT_PI * np.exp(out * out), Domain(0.0, 2.0)),
        s.erfcx: _unary(_erfcx_slope),
        s.erfi: _unary(lambda out, x: 2 / _ROOT_PI * np.exp(x * x)),
        s.dawsn: _unary(_dawsn_slope),
        s.ndtr: _unary(lambda out, x: np.exp(-0.5 * x * x) / normal),
        s.ndtri: _unary(lambda out, x: normal * np.exp(0.5 * out * out), _UNIT),
        s.log_ndtr: _unary(log_ndtr_slope),
        s.expit: _like(sigmoid),
        s.log_expit: _like(log_sigmoid),
        s.logit: _unary(lambda out, x: 1 / (x * (1 - x)), _UNIT),
    }


def _erfcx_slope(out: Array, x: Array) -> Array:
    """`2x · erfcx(x) - 2/√π`; by 7.12.1 for large x, where the difference cancels."""
    far = x > 50
    if type(far) is np.ndarray and not far.any():
        return 2 * x * out - 2 / _ROOT_PI
    u = 0.5 / np.square(np.where(far, x, 50))
    series = -2 / _ROOT_PI * u * _tail(-u)
    near = np.where(far, 0, x)
    return np.where(far, series, 2 * near * np.where(far, 0, out) - 2 / _ROOT_PI)


def _dawsn_slope(out: Array, x: Array) -> Array:
    """`1 - 2x · dawsn(x)`; for large x as `_erfcx_slope`."""
    far = abs(x) > 50
    if type(far) is np.ndarray and not far.any():
        return 1 - 2 * x * out
    u = 0.5 / np.square(np.where(far, x, 50))
    return np.where(far, -u * _tail(u), 1 - 2 * np.where(far, 0, x) * np.where(far, 0, out))


def _tail(u: Array) -> Array:
    """`1 + 3u + 3·5u² + 3·5·7u³ + ...`, for small u."""
    return 1 + 3 * u * (1 + 5 * u * (1 + 7 * u * (1 + 9 * u)))


def _gammas(s: Any) -> Rules:
    """The gamma function, its logarithm and its derivatives; the beta function.

    Source: 5.2.2, 5.5.3, 5.12.1.
    """

    def rgamma(out: Array, x: Array) -> Array:
        """`-psi(x) / Γ(x)`; on the left by reflection: there psi has poles, and 1 / Γ zeros."""
        left = x < 0.5
        reflected, x = np.where(left, 1 - x, 1), np.where(left, 1, x)
        angle = np.pi * reflected
        turned = -np.cos(angle) - np.sin(angle) * s.psi(reflected) / np.pi
        return np.where(left, s.gamma(reflected) * turned, -safe_multiply(s.rgamma(x), s.psi(x)))

    return {
        s.gamma: _unary(lambda out, x: out * s.psi(x), POSITIVE),
        s.gammaln: _unary(lambda out, x: s.psi(x), POSITIVE),
        s.loggamma: _unary(lambda out, x: s.psi(x), POSITIVE),
        s.rgamma: _unary(rgamma),
        s.psi: _unary(lambda out, x: polygamma(1, x), POSITIVE),
        s.beta: (
            wrt(
                "a",
                lambda g, out, a, b: safe_multiply(g, out * (s.psi(a) - s.psi(a + b))),
                POSITIVE,
            ),
            wrt(
                "b",
                lambda g, out, a, b: safe_multiply(g, out * (s.psi(b) - s.psi(a + b))),
                POSITIVE,
            ),
        ),
        s.betaln: (
            wrt("a", lambda g, out, a, b: safe_multiply(g, s.psi(a) - s.psi(a + b)), POSITIVE),
            wrt("b", lambda g, out, a, b: safe_multiply(g, s.psi(b) - s.psi(a + b)), POSITIVE),
        ),
    }


def _integrals(s: Any) -> Rules:
    """The incomplete gamma and beta functions, by their upper end; exponential integrals.

    Source: 8.2.4, 8.17.1, 6.2.1, 6.2.5.
    """

    def gamma(g: Array, a: Array, x: Array) -> Array:
        return safe_multiply(g, np.exp(xlogy(a - 1, x) - x - s.gammaln(a)))

    def beta(g: Array, a: Array, b: Array, x: Array) -> Array:
        power = safe_multiply(a - 1, np.log(x)) + safe_multiply(b - 1, np.log1p(-x))
        return safe_multiply(g, np.exp(power - s.betaln(a, b)))

    return {
        s.gammainc: (wrt("x", lambda g, out, a, x: gamma(g, a, x), POSITIVE),),
        s.gammaincc: (wrt("x", lambda g, out, a, x: gamma(-g, a, x), POSITIVE),),
        s.betainc: (wrt("x", lambda g, out, a, b, x: beta(g, a, b, x), _UNIT),),
        s.betaincc: (wrt("x", lambda g, out, a, b, x: beta(-g, a, b, x), _UNIT),),
        s.expi: _unary(lambda out, x: np.exp(x) / x, NONZERO),
        s.exp1: _unary(lambda out, x: -np.exp(-x) / x, POSITIVE),
    }


def _bessels(s: Any) -> Rules:
    """Bessel functions by their argument. A sum of neighbours, unlike 1/x, is right at 0 too.

    Source: 10.6.1, 10.6.2, 10.29.1, 10.29.2.
    """
    return {
        s.j0: _unary(lambda out, x: -s.j1(x)),
        s.j1: _unary(lambda out, x: 0.5 * (s.j0(x) - s.jv(2, x))),
        s.jv: _ordered(lambda out, v, x: 0.5 * (s.jv(v - 1, x) - s.jv(v + 1, x))),
        s.y0: _unary(lambda out, x: -s.y1(x), POSITIVE),
        s.y1: _unary(lambda out, x: s.y0(x) - out / x, POSITIVE),
        s.yn: _whole(lambda out, v, x: 0.5 * (s.yn(v - 1, x) - s.yn(v + 1, x))),
        s.yv: _ordered(lambda out, v, x: 0.5 * (s.yv(v - 1, x) - s.yv(v + 1, x))),
        s.i0: _unary(lambda out, x: s.i1(x)),
        s.i1: _unary(lambda out, x: 0.5 * (s.i0(x) + s.iv(2, x))),
        s.iv: _ordered(lambda out, v, x: 0.5 * (s.iv(v - 1, x) + s.iv(v + 1, x))),
        s.k0: _unary(lambda out, x: -s.k1(x), POSITIVE),
        s.k1: _unary(lambda out, x: -s.k0(x) - out / x, POSITIVE),
        s.kn: _whole(lambda out, v, x: -0.5 * (s.kn(v - 1, x) + s.kn(v + 1, x))),
        s.kv: _ordered(lambda out, v, x: -0.5 * (s.kv(v - 1, x) + s.kv(v + 1, x))),
        # times exp(-|x|), or exp(x) for k
        s.i0e: _unary(lambda out, x: s.i1e(x) - np.sign(x) * out, NONZERO),
        s.i1e: _unary(lambda out, x: 0.5 * (s.i0e(x) + s.ive(2, x)) - np.sign(x) * out, NONZERO),
        s.ive: _ordered(
            lambda out, v, x: 0.5 * (s.ive(v - 1, x) + s.ive(v + 1, x)) - np.sign(x) * out
        ),
        s.k0e: _unary(lambda out, x: out - s.k1e(x), POSITIVE),
        s.k1e: _unary(lambda out, x: out - s.k0e(x) - out / x, POSITIVE),
        s.kve: _ordered(lambda out, v, x: out - 0.5 * (s.kve(v - 1, x) + s.kve(v + 1, x))),
    }


def _exponentials(s: Any) -> Rules:
    """Exponentials and logarithms, entropies, the Box-Cox transformation."""

    def xlog1py_x(g: Array, out: Array, x: Array, y: Array) -> Array:
        return safe_multiply(g, np.where((x == 0) & (y <= -1), 0.0, np.log1p(y)))

    def ratio(x: Array, y: Array) -> Array:
        """`x / y`, and 1 for 0 / 0, the limit for equal arguments."""
        both = (x == 0) & (y == 0)
        return np.where(both, 1, x) / np.where(both, 1, y)

    return {
        s.expm1: _like(np.expm1),
        s.exp2: _like(np.exp2),
        s.exp10: _unary(lambda out, x: math.log(10) * out),
        s.log1p: _like(np.log1p),
        s.cbrt: _like(np.cbrt),
        s.cosm1: _unary(lambda out, x: -np.sin(x)),
        s.exprel: _unary(lambda out, x: _exprel_slope(x)),
        s.xlogy: _like(xlogy),
        s.xlog1py: (
            wrt("x", xlog1py_x),
            wrt(
                "y",
                lambda g, out, x, y: safe_multiply(g, safe_multiply(x, 1 / (1 + y))),
                Domain(low=-1.0),
            ),
        ),
        s.entr: _unary(lambda out, x: -np.log(x) - 1, POSITIVE),
        s.rel_entr: (
            wrt("x", lambda g, out, x, y: safe_multiply(g, np.log(ratio(x, y)) + 1), POSITIVE),
            wrt("y", lambda g, out, x, y: safe_multiply(g, -ratio(x, y)), POSITIVE),
        ),
        s.kl_div: (
            wrt("x", lambda g, out, x, y: safe_multiply(g, np.log(ratio(x, y))), POSITIVE),
            wrt("y", lambda g, out, x, y: safe_multiply(g, 1 - ratio(x, y)), POSITIVE),
        ),
        s.boxcox: (
            wrt("x", lambda g, out, x, lmbda: safe_multiply(g, x ** (lmbda - 1)), POSITIVE),
        ),
        s.boxcox1p: (
            wrt(
                "x",
                lambda g, out, x, lmbda: safe_multiply(g, (1 + x) ** (lmbda - 1)),
                Domain(low=-1.0),
            ),
        ),
        s.inv_boxcox: (wrt("y", lambda g, out, y, lmbda: safe_multiply(g, out ** (1 - lmbda))),),
        s.inv_boxcox1p: (
            wrt("y", lambda g, out, y, lmbda: safe_multiply(g, (1 + out) ** (1 - lmbda))),
        ),
    }


def _exprel_slope(x: Array) -> Array:
    """`(exp(x) - exprel(x)) / x`; by its Taylor series for |x| < 1, where that cancels."""
    near = abs(x) < 1
    u, away = np.where(near, x, 0), np.where(near, 1, x)
    series: Any = 0.0
    for k in range(18, 0, -1):  # Σ k x^(k-1) / (k+1)!
        series = series * u + k / math.factorial(k + 1)
    return np.where(near, series, (np.exp(away) * (1 - 1 / away) + 1 / away) / away)


def _losses(s: Any) -> Rules:
    """Huber's function and the smooth one, both of (delta, r)."""

    def pseudo_huber_delta(g: Array, out: Array, delta: Array, r: Array) -> Array:
        """`2 delta (√(1 + u²) - 1) - r u / √(1 + u²)` for u = r / delta, without cancellation."""
        square = np.square(r / delta)
        root = np.sqrt(1 + square)
        return safe_multiply(g, delta * square * square / (root * np.square(1 + root)))

    return {
        s.huber: (
            wrt(
                "delta",
                lambda g, out, delta, r: safe_multiply(g, np.maximum(abs(r) - delta, 0.0)),
                POSITIVE,
            ),
            wrt("r", lambda g, out, delta, r: safe_multiply(g, np.clip(r, 0 - delta, delta))),
        ),
        s.pseudo_huber: (
            wrt("delta", pseudo_huber_delta, POSITIVE),
            wrt("r", lambda g, out, delta, r: safe_multiply(g, r / hypot_1(r / delta))),
        ),
    }


def _register_zeta(s: Any) -> None:
    """`scipy.special.zeta` is a plain function around a ufunc, which is what meets a Tensor."""
    ufunc = getattr(getattr(s, "_ufuncs", None), "_zeta", None)
    if ufunc is not None and s.zeta not in REGISTRY:
        register(ufunc, composed=zeta, name="zeta")
        register(s.zeta, composed=zeta)
