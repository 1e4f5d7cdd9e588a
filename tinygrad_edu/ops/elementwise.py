"""Elementwise ops: arithmetic, exponentials, rounding, predicates.

A rule here is upstream gradient times local gradient, and nothing else. The product goes through
`safe_multiply`, in which zero times anything is zero: what a `where` did not select has an
upstream gradient of zero, and must not come back as NaN because its local gradient is infinite.

Where a function has no derivative, its sub-gradient is chosen here, once: 0 at a corner (`abs`,
`hypot`) or a jump, half each at a tie (`maximum`), all to `x` at the bounds of `clip`. (The rest
of the elementwise ops is in `trigonometry.py`, `selection.py` and `special.py`.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.domain import NONZERO, POSITIVE, REAL, Domain
from tinygrad_edu.op import REGISTRY, Array, composite, op, register, wrt

_NUMBERS = frozenset({float, int, bool})  # written in the program: np.float64 is data
_SCALARS = _NUMBERS | {np.float64, np.float32}
_ndarray, _bool = np.ndarray, np.dtype(bool)
_vdot, _isfinite = np.vdot, math.isfinite  # looked up once: this is hot
_LARGE = 10_000  # float64 elements: from here on BLAS uses threads, slow on a busy machine


def safe_multiply(g: Array, factor: Array) -> Array:
    """`g * factor`, in which zero times anything is zero: 0 · inf = 0 and 0 · nan = 0.

    The product for rules: linear in `g`, and so are its own rules. Looking for `g == 0` in a rule
    instead would break forward mode, which differentiates a rule at `g = 0`.

    Args:
        g: an array of any shape, usually the cotangent.
        factor: an array whose shape broadcasts with that of `g`, usually a local gradient.

    Returns:
        An array of the broadcast shape, with the dtype of `g * factor`.
    """
    if type(g) is _ndarray and type(factor) is _ndarray:
        # The shortest way to see that nothing is special: no sum is finite if a term is not,
        # whatever it is multiplied with.
        if (g.size > _LARGE or factor.size > _LARGE) and (
            g.dtype.char == "d" or not (g.flags.c_contiguous and factor.flags.c_contiguous)
        ):
            with np.errstate(all="ignore"):
                product = g * factor
                usual = _isfinite(product.sum())
            return product if usual else _repaired_product(g, factor)
        if factor.dtype is _bool:
            usual = _isfinite(_vdot(g, g))
        elif g.size == factor.size:
            usual = _isfinite(_vdot(g, factor))
        else:
            usual = _isfinite(_vdot(g, g)) and _isfinite(_vdot(factor, factor))
        return g * factor if usual else _repaired_product(g, factor)
    for number in (factor, g):  # times a number that is neither 0 nor infinite
        if type(number) in _SCALARS and number and _isfinite(number):
            return g * factor
    for arg in (g, factor):
        dispatch = getattr(type(arg), "__op__", None)
        if dispatch is not None:
            return dispatch(REGISTRY[safe_multiply], (g, factor), {})
    return _repaired_product(g, factor)


def _repaired_product(g: Array, factor: Array) -> Array:
    if type(g) in _NUMBERS:  # which would become float64 in `where`
        g, factor = factor, g
    dead = (g == 0) | (factor == 0)
    return np.where(dead, 0, np.where(dead, 1, g) * factor)


register(
    safe_multiply,
    wrt("x", lambda g, out, x, y: safe_multiply(g, y)),
    wrt("y", lambda g, out, x, y: safe_multiply(g, x)),
    broadcasts=True,
)


# --- arithmetic -------------------------------------------------------------------------------

register(
    np.add,
    wrt("x", lambda g, out, x, y: g),
    wrt("y", lambda g, out, x, y: g),
)
register(
    np.subtract,
    wrt("x", lambda g, out, x, y: g),
    wrt("y", lambda g, out, x, y: -g),
)
register(
    np.multiply,
    wrt("x", lambda g, out, x, y: safe_multiply(g, y)),
    wrt("y", lambda g, out, x, y: safe_multiply(g, x)),
)
register(
    np.divide,
    wrt("x", lambda g, out, x, y: _over(g, y)),
    wrt("y", lambda g, out, x, y: safe_multiply(g, -out / y), NONZERO),
)
register(np.negative, wrt("x", lambda g, out, x: -g))
register(np.positive, wrt("x", lambda g, out, x: g))
register(np.absolute, wrt("x", lambda g, out, x: safe_multiply(g, np.sign(x)), NONZERO))
register(np.fabs, wrt("x", lambda g, out, x: safe_multiply(g, np.sign(x)), NONZERO))
register(
    np.reciprocal,
    wrt("x", lambda g, out, x: safe_multiply(g, -out * out), NONZERO),
)
register(np.square, wrt("x", lambda g, out, x: safe_multiply(g, 2 * x)))
register(np.sqrt, wrt("x", lambda g, out, x: safe_multiply(g, 0.5 / out), POSITIVE))
register(
    np.cbrt,
    wrt("x", lambda g, out, x: safe_multiply(g, 1 / (3 * out * out)), NONZERO),
)


def _over(g: Array, y: Array) -> Array:
    """`g / y`, safe; a plain number is no array that could hide a zero."""
    return g / y if type(y) in _NUMBERS else safe_multiply(g, 1 / _as_precise(y, g))


def _as_precise(y: Array, g: Array) -> Array:
    """`y` in the dtype of the result: 1 / y must not be rounded to float32 in a float64 graph."""
    return y if y.dtype == g.dtype else y.astype(g.dtype)


def _raise(x: Array, y: Array) -> Array:
    """`np.power`, by way of the operator, which squares where the ufunc calls `pow`."""
    return x**y if hasattr(x, "dtype") else np.power(x, y)


def _power_x(g: Array, out: Array, x: Array, y: Array) -> Array:
    """`y · x^(y-1)`, and 0 for y = 0, at x = 0 too."""
    if type(y) not in _NUMBERS:
        y = _as_precise(y, g)
        return safe_multiply(g, safe_multiply(y, x ** (y - 1)))
    if y == 2:  # an exponent written in the program, and by far the most frequent one
        return safe_multiply(g, 2 * x)
    return safe_multiply(g, y * x ** (y - 1)) if y else np.zeros_like(g)


def _power_y(g: Array, out: Array, x: Array, y: Array) -> Array:
    """`x^y · log x`, and 0 for x = 0, as PyTorch and JAX have it."""
    if type(x) in _NUMBERS:
        log = math.log(x) if x > 0 else 0.0 if x == 0 else math.nan
        return safe_multiply(g, safe_multiply(out, log))
    return safe_multiply(g, safe_multiply(out, np.log(np.where(x == 0, 1, _as_precise(x, g)))))


for power in (np.power, np.float_power):
    register(
        power,
        wrt("x", _power_x, POSITIVE),
        wrt("y", _power_y),
        forward=_raise if power is np.power else None,
    )

# x - floor(x / y) · y, or trunc for fmod. The domains keep the quotient away from its jumps.
register(
    np.remainder,
    wrt("x", lambda g, out, x, y: g, Domain(-2.0, 2.0, kinks=(0.0,))),
    wrt("y", lambda g, out, x, y: safe_multiply(g, -np.rint((x - out) / y)), Domain(low=2.0)),
)
register(
    np.fmod,
    wrt("x", lambda g, out, x, y: g, Domain(-2.0, 2.0, kinks=(0.0,))),
    wrt("y", lambda g, out, x, y: safe_multiply(g, -np.rint((x - out) / y)), Domain(low=2.0)),
)
register(  # two results, of which the first is flat
    np.divmod,
    wrt("x", lambda g, out, x, y: g[1], Domain(-2.0, 2.0, kinks=(0.0,))),
    wrt("y", lambda g, out, x, y: safe_multiply(g[1], -out[0]), Domain(low=2.0)),
)
register(
    np.copysign,
    wrt(
        "x",
        lambda g, out, x, y: safe_multiply(g, np.copysign(1.0, x) * np.copysign(1.0, y)),
        NONZERO,
    ),
    wrt("y", lambda g, out, x, y: np.zeros_like(g), NONZERO),
)


register(np.ldexp, wrt("x", lambda g, out, x, n: np.ldexp(g, n)))


@op(wrt("x", lambda g, out, x: safe_multiply(g, -0.5 * out * out * out), POSITIVE))
def rsqrt(x: Array) -> Array:
    """`1 / √x`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    return 1 / np.sqrt(x)


@composite
def lerp(start: Array, end: Array, weight: Array) -> Array:
    """`start + weight · (end - start)`, elementwise: a way between two points.

    Args:
        start: (...), float, where `weight` is 0.
        end: (...), float, where `weight` is 1.
        weight: a number or an array; outside of [0, 1] the way goes on.

    Returns:
        The broadcast shape.
    """
    return start + weight * (end - start)


# --- exponentials and logarithms --------------------------------------------------------------

register(np.exp, wrt("x", lambda g, out, x: safe_multiply(g, out)))
register(np.exp2, wrt("x", lambda g, out, x: safe_multiply(g, math.log(2) * out)))
# not out + 1, which would round the left tail to 0
register(np.expm1, wrt("x", lambda g, out, x: safe_multiply(g, np.exp(x))))
register(np.log, wrt("x", lambda g, out, x: safe_multiply(g, 1 / x), POSITIVE))
register(np.log2, wrt("x", lambda g, out, x: safe_multiply(g, 1 / (math.log(2) * x)), POSITIVE))
register(np.log10, wrt("x", lambda g, out, x: safe_multiply(g, 1 / (math.log(10) * x)), POSITIVE))
register(np.log1p, wrt("x", lambda g, out, x: safe_multiply(g, 1 / (1 + x)), Domain(low=-1.0)))


def _weighted(g: Array, x: Array, y: Array, exp: Any) -> Array:
    """`g` times the share of `x` in log(exp(x) + exp(y)): half, for two equal infinities."""
    gap = y - x
    if type(gap) is _ndarray and _isfinite(gap.sum()):
        return g / (1 + exp(gap))
    gap = np.where((x == y) & np.isinf(x), 0, gap)
    return safe_multiply(g, 1 / (1 + exp(gap)))


register(
    np.logaddexp,
    wrt("x", lambda g, out, x, y: _weighted(g, x, y, np.exp)),
    wrt("y", lambda g, out, x, y: _weighted(g, y, x, np.exp)),
)
register(
    np.logaddexp2,
    wrt("x", lambda g, out, x, y: _weighted(g, x, y, np.exp2)),
    wrt("y", lambda g, out, x, y: _weighted(g, y, x, np.exp2)),
)


# --- flat almost everywhere -------------------------------------------------------------------
# A gradient of zero is a rule like any other, and is tested like any other.

_STEPS = Domain(-3.0, 3.0, kinks=(-2.0, -1.0, 0.0, 1.0, 2.0))
_HALF_STEPS = Domain(-3.0, 3.0, kinks=(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))

for step, domain in {
    np.floor: _STEPS,
    np.ceil: _STEPS,
    np.trunc: _STEPS,
    np.rint: _HALF_STEPS,
    np.sign: NONZERO,
}.items():
    register(step, wrt("x", lambda g, out, x: np.zeros_like(g), domain))
for rounding in (np.round, np.around):
    register(rounding, wrt("a", lambda g, out, a, decimals=0: np.zeros_like(g), _HALF_STEPS))
register(np.fix, wrt("x", lambda g, out, x: np.zeros_like(g), _STEPS))
register(np.modf, wrt("x", lambda g, out, x: g[0], _STEPS))  # the fraction, and what is flat
register(
    np.floor_divide,
    wrt("x", lambda g, out, x, y: np.zeros_like(g), Domain(-2.0, 2.0, kinks=(0.0,))),
    wrt("y", lambda g, out, x, y: np.zeros_like(g), Domain(low=2.0)),
)
register(
    np.heaviside,
    wrt("x", lambda g, out, x, y: np.zeros_like(g), NONZERO),
    wrt("y", lambda g, out, x, y: safe_multiply(g, x == 0), REAL),
)


# --- of complex numbers, but asked of real ones -------------------------------------------------

register(np.real, wrt("val", lambda g, out, val: g))
register(np.imag, wrt("val", lambda g, out, val: np.zeros_like(g)))
register(np.conjugate, wrt("x", lambda g, out, x: g))
register(np.real_if_close, wrt("a", lambda g, out, a, tol=100: g))
register(np.angle, wrt("z", lambda g, out, z, deg=False: np.zeros_like(g), NONZERO))


# --- true or false ----------------------------------------------------------------------------
# No rules: the results have no gradient. Nor have those for integers alone.

for function in (
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not),
    *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift),
    *(np.isnan, np.isinf, np.isfinite, np.signbit, np.isposinf, np.isneginf),
    *(np.isreal, np.iscomplex, np.gcd, np.lcm),
    *(np.isclose, np.allclose, np.array_equal, np.array_equiv),
):
    register(function)
