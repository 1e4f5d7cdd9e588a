"""Trigonometric and hyperbolic functions, their inverses, and the reciprocal ones."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.domain import NONZERO, Domain
from tinygrad_edu.op import Array, composite, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply

register(np.sin, wrt("x", lambda g, out, x: safe_multiply(g, np.cos(x))))
register(np.cos, wrt("x", lambda g, out, x: safe_multiply(g, -np.sin(x))))
register(
    np.tan,
    wrt("x", lambda g, out, x: safe_multiply(g, 1 + out * out), Domain(-math.pi / 2, math.pi / 2)),
)
register(
    np.arcsin,
    wrt(
        "x",
        lambda g, out, x: safe_multiply(g, 1 / np.sqrt((1 - x) * (1 + x))),
        Domain(-1.0, 1.0),
    ),
)
register(
    np.arccos,
    wrt(
        "x",
        lambda g, out, x: safe_multiply(g, -1 / np.sqrt((1 - x) * (1 + x))),
        Domain(-1.0, 1.0),
    ),
)
register(np.arctan, wrt("x", lambda g, out, x: safe_multiply(g, 1 / (1 + x * x))))
register(
    np.arctan2,  # of y and x, in this order; dividing by the radius twice cannot overflow
    wrt("y", lambda g, out, y, x: safe_multiply(g, _per_radius(x, y)), NONZERO),
    wrt("x", lambda g, out, y, x: safe_multiply(g, -_per_radius(y, x)), NONZERO),
)
register(
    np.hypot,
    wrt("x", lambda g, out, x, y: safe_multiply(g, safe_multiply(x, 1 / out)), NONZERO),
    wrt("y", lambda g, out, x, y: safe_multiply(g, safe_multiply(y, 1 / out)), NONZERO),
)
register(np.sinh, wrt("x", lambda g, out, x: safe_multiply(g, np.cosh(x))))
register(np.cosh, wrt("x", lambda g, out, x: safe_multiply(g, np.sinh(x))))
register(np.tanh, wrt("x", lambda g, out, x: safe_multiply(g, 1 - out * out)))
register(np.arcsinh, wrt("x", lambda g, out, x: safe_multiply(g, 1 / hypot_1(x))))
register(
    np.arccosh,
    wrt(
        "x",
        lambda g, out, x: safe_multiply(g, 1 / np.sqrt((x - 1) * (x + 1))),
        Domain(low=1.0),
    ),
)
register(
    np.arctanh,
    wrt(
        "x",
        lambda g, out, x: safe_multiply(g, 1 / ((1 - x) * (1 + x))),
        Domain(-1.0, 1.0),
    ),
)


def _per_radius(x: Array, y: Array) -> Array:
    """`x / (x² + y²)`, by way of the radius where a square may be too small or too large."""
    if type(x) is np.ndarray and type(y) is np.ndarray:
        square = x * x + y * y
        limits = np.finfo(square.dtype)
        if square.size and limits.tiny / limits.eps < square.min() <= square.max() < math.inf:
            return x / square
    radius = np.hypot(x, y)  # ten times as slow
    return x / radius / radius


def hypot_1(x: Array) -> Array:
    """`np.hypot(x, 1)`, for plain arrays without its care for squares that overflow."""
    if type(x) is np.ndarray:
        square = 1 + x * x
        if math.isfinite(square.sum()):
            return np.sqrt(square)
    return np.hypot(x, 1.0)


def _sinc_slope(x: Array) -> Array:
    """The derivative of sin(πx) / (πx), smooth at 0 as the function itself is.

    Near 0 the closed form is a small difference of large numbers, the worse the higher the
    derivative, so it is replaced by its Taylor series: exact to rounding for |x| < 1/4.
    """
    near = abs(x) < 0.25
    away = np.where(near, 1, x)
    u = np.where(near, x, 0) * math.pi
    u2 = u * u
    series = 0.0
    for k in range(9, 0, -1):  # Σ (-1)^k 2k u^(2k-1) / (2k+1)!
        series = series * u2 + (-1) ** k * 2 * k / math.factorial(2 * k + 1)
    closed = (np.cos(math.pi * away) - np.sin(math.pi * away) / (math.pi * away)) / away
    return np.where(near, math.pi * u * series, closed)


register(np.sinc, wrt("x", lambda g, out, x: safe_multiply(g, _sinc_slope(x))))

for degrees in (np.rad2deg, np.degrees):
    register(degrees, wrt("x", lambda g, out, x: g * (180 / math.pi)))
for radians in (np.deg2rad, np.radians):
    register(radians, wrt("x", lambda g, out, x: g * (math.pi / 180)))

# Phases jump by whole periods, and only by them.
register(
    np.unwrap,
    wrt("p", lambda g, out, p, discont=None, axis=-1, *, period=2 * math.pi: g),
)


# --- reciprocal functions -----------------------------------------------------------------------

_UPRIGHT = Domain(-math.pi / 2, math.pi / 2)
_UPPER = Domain(0.0, math.pi)
_silent_overflow = np.errstate(over="ignore")  # 1 / inf = 0 is right


@op(wrt("x", lambda g, out, x: safe_multiply(g, out * np.tan(x)), _UPRIGHT))
def sec(x: Array) -> Array:
    """The secant, `1 / cos(x)`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    return 1 / np.cos(x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -out * cot(x)), _UPPER))
def csc(x: Array) -> Array:
    """The cosecant, `1 / sin(x)`, elementwise; see `sec`."""
    return 1 / np.sin(x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -1 - out * out), _UPPER))
def cot(x: Array) -> Array:
    """The cotangent, `1 / tan(x)`, elementwise; see `sec`."""
    return 1 / np.tan(x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -out * np.tanh(x))))
@_silent_overflow
def sech(x: Array) -> Array:
    """The hyperbolic secant, `1 / cosh(x)`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`, between 0 and 1.
    """
    return 1 / np.cosh(x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -out * coth(x)), NONZERO))
@_silent_overflow
def csch(x: Array) -> Array:
    """The hyperbolic cosecant, `1 / sinh(x)`, elementwise; see `sech`."""
    return 1 / np.sinh(x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -(csch(x) ** 2)), NONZERO))
def coth(x: Array) -> Array:
    """The hyperbolic cotangent, `1 / tanh(x)`, elementwise; see `sech`."""
    return 1 / np.tanh(x)


@composite
def arcsec(x: Array) -> Array:
    """The inverse of `sec`, between 0 and π, elementwise.

    Args:
        x: (...), float, at least 1 in size; NaN comes out elsewhere, as from `np.arccos`.

    Returns:
        Shape and dtype of `x`.
    """
    return np.arccos(1 / x)


@composite
def arccsc(x: Array) -> Array:
    """The inverse of `csc`, between -π/2 and π/2, elementwise; see `arcsec`."""
    return np.arcsin(1 / x)


@op(wrt("x", lambda g, out, x: safe_multiply(g, -1 / (1 + x * x)), NONZERO))
@np.errstate(divide="ignore")
def arccot(x: Array) -> Array:
    """The inverse of `cot`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`, between -π/2 and π/2: `arctan(1 / x)`, which jumps at 0.
    """
    return np.arctan(1 / x)


@composite
def arcsech(x: Array) -> Array:
    """The inverse of `sech`, not negative, elementwise.

    Args:
        x: (...), float, between 0 and 1; NaN comes out elsewhere, as from `np.arccosh`.

    Returns:
        Shape and dtype of `x`.
    """
    return np.arccosh(1 / x)


@composite
def arccsch(x: Array) -> Array:
    """The inverse of `csch`, elementwise; see `arcsech`."""
    return np.arcsinh(1 / x)


@composite
def arccoth(x: Array) -> Array:
    """The inverse of `coth`, elementwise.

    Args:
        x: (...), float, larger than 1 in size; NaN comes out elsewhere, as from `np.arctanh`.

    Returns:
        Shape and dtype of `x`.
    """
    return np.arctanh(1 / x)
