"""Scans: running sums, products, extrema. Element i of the result is one of elements 0 to i.

A scan repeats one step, `y_i = f(y_{i-1}, x_i)`. So its rule is one recurrence back, from the two
slopes of the step: what reaches y_i, directly and through y_{i+1}, is

    s_i = g_i + s_{i+1} · ∂y_{i+1}/∂y_i,    and the cotangent of x_i is    s_i · ∂y_i/∂x_i.

No rule divides by an element or by a result: they are right at zeros, and far out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import REGISTRY, Array, Vjp, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import skipping_nan

# -- the recurrence ------------------------------------------------------------------------------


def _reversed(g: Array, carry: Array) -> Array:
    """`s_i = g_i + carry_i · s_{i+1}` along the last axis, from its end; the last carry is unused.

    Args:
        g: (..., n).
        carry: (..., n - 1).
    """
    carry = np.concatenate([carry, np.zeros_like(g[..., :1])], axis=-1)
    return np.flip(linear_recurrence(np.flip(g, -1), np.flip(carry, -1)), -1)


def _carry_rule(g: Array, out: Array, x: Array, carry: Array) -> Array:
    through = safe_multiply(_reversed(g, carry[..., 1:])[..., 1:], out[..., :-1])
    return np.concatenate([np.zeros_like(carry[..., :1]), through], axis=-1)


@op(
    wrt("x", lambda g, out, x, carry: _reversed(g, carry[..., 1:])),
    wrt("carry", _carry_rule),
)
def linear_recurrence(x: Array, carry: Array) -> Array:
    """`y_i = x_i + carry_i · y_{i-1}` along the last axis, with `y_{-1} = 0`.

    Work that grows like n, in 2 log n steps for all rows at once; 0 · inf is 0, as in
    `safe_multiply`.

    Args:
        x: (..., n), float.
        carry: (..., n), float; the first is unused.

    Returns:
        (..., n), dtype of x.

    Source: R. P. Brent, H. T. Kung, "A regular layout for parallel adders" (1982); G. E. Blelloch,
    "Prefix sums and their applications" (1990), section 1.4.
    """
    n = x.shape[-1]
    in_lines = x.size >= 500 * n and abs(x.strides[-1]) > x.itemsize
    compute = _stepped if in_lines else _swept
    y = compute(x, carry, np.multiply)
    return y if np.isfinite(y).all() else compute(x, carry, safe_multiply)  # a third of the speed


def _stepped(x: Array, carry: Array, multiply: Callable[[Array, Array], Array]) -> Array:
    """One step after the other: for many rows that lie side by side, in half the time."""
    y = x.copy(order="K")
    columns = np.moveaxis(y, -1, 0)
    factors = np.moveaxis(carry, -1, 0)
    for before, column, factor in zip(columns, columns[1:], factors[1:], strict=False):
        column += multiply(before, factor)
    return y


def _swept(x: Array, carry: Array, multiply: Callable[[Array, Array], Array]) -> Array:
    y, factor = x.copy(), carry.copy()
    n = x.shape[-1]
    for step in _lengths(n, 2):  # up: a block from its halves, and the factor of what is before it
        left, right = slice(step - 1, n - step, 2 * step), slice(2 * step - 1, None, 2 * step)
        y[..., right] += multiply(y[..., left], factor[..., right])
        factor[..., right] *= factor[..., left]
    for step in reversed(_lengths(n, 3)):  # down: second halves, from all that is before them
        left, right = slice(2 * step - 1, n - step, 2 * step), slice(3 * step - 1, None, 2 * step)
        y[..., right] += multiply(y[..., left], factor[..., right])
    return y


def _lengths(n: int, blocks: int) -> list[int]:
    """1, 2, 4, ..., as long as so many blocks of that length fit into n."""
    return [2**i for i in range(n.bit_length()) if blocks * 2**i <= n]


def _scan_rule(slopes: Callable[[Array, Array], tuple[Array, Array]]) -> Vjp:
    """The rule of a scan along one axis.

    Args:
        slopes: from `y_{i-1}` and `x_i` to `∂y_i/∂y_{i-1}` and `∂y_i/∂x_i`.
    """

    def rule(g: Array, out: Array, x: Array, axis: int = -1) -> Array:
        g, y, last = (np.moveaxis(part, axis, -1) for part in (g, out, x))
        carry, local = slopes(y[..., :-1], last[..., 1:])
        local = np.concatenate([np.ones_like(g[..., :1]), local], axis=-1)  # y_0 = x_0
        return np.moveaxis(safe_multiply(_reversed(g, carry), local), -1, axis)

    return rule


# -- sums and products ---------------------------------------------------------------------------


def _cumsum(g: Array, out: Array, x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    """The sum of all later cotangents, itself included."""
    later = np.flip(np.cumsum(np.flip(g, axis), axis=axis or 0), axis)
    return later.reshape(x.shape)


_along_axis = _scan_rule(lambda y, x: (x, y))


def _cumprod(g: Array, out: Array, x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    flat = x.reshape(g.shape)  # without an axis the result is flat
    return _along_axis(g, out, flat, axis=axis or 0).reshape(x.shape)


register(np.cumsum, wrt("x", _cumsum))
register(np.cumprod, wrt("x", _cumprod))
register(np.nancumsum, composed=skipping_nan(np.cumsum, 0.0))
register(np.nancumprod, composed=skipping_nan(np.cumprod, 1.0))


def _cumulative(scan: Callable[..., Any], first: float) -> Callable[..., Any]:
    def composed(
        x: Array,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Array:
        x = np.atleast_1d(x)
        if axis is None and x.ndim > 1:
            raise InputError(f"{scan.__name__}: expected an axis for shape {x.shape}, got none")
        axis = 0 if axis is None else axis
        y = scan(x, axis=axis, dtype=dtype, out=out)
        if not include_initial:
            return y
        shape = tuple(1 if i == axis % x.ndim else n for i, n in enumerate(x.shape))
        return np.concatenate([np.full_like(y, first, shape=shape), y], axis=axis)

    return composed


if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    register(np.cumulative_sum, composed=_cumulative(np.cumsum, 0.0))
    register(np.cumulative_prod, composed=_cumulative(np.cumprod, 1.0))

# -- extrema, and the soft maximum -----------------------------------------------------------------


def _latest(wins: Array, x: Array) -> tuple[Array, Array]:
    """Slopes where `x_i` takes the place of what was there, or does not."""
    new = (wins | np.isnan(x)).astype(x.dtype)
    return 1 - new, new


@op(wrt("x", _scan_rule(lambda y, x: _latest(x >= y, x)), DISTINCT))
def cummax(x: Array, axis: int = -1) -> Array:
    """The largest element so far. Of equal ones the latest has the gradient, as in PyTorch.

    Args:
        x: (...), float.
        axis: along which to go.

    Returns:
        Shape and dtype of `x`; the values only (PyTorch gives indices too).
    """
    return np.maximum.accumulate(x, axis)


@op(wrt("x", _scan_rule(lambda y, x: _latest(x <= y, x)), DISTINCT))
def cummin(x: Array, axis: int = -1) -> Array:
    """The smallest element so far; see `cummax`."""
    return np.minimum.accumulate(x, axis)


def _logaddexp_slopes(y: Array, x: Array) -> tuple[Array, Array]:
    """What its rules say at g = 1; they do not look at the result."""
    of_y, of_x = REGISTRY[np.logaddexp].vjps
    return of_y(1.0, None, y, x), of_x(1.0, None, y, x)


@op(wrt("x", _scan_rule(_logaddexp_slopes)))
def logcumsumexp(x: Array, axis: int = -1) -> Array:
    """`log(exp(x_0) + ... + exp(x_i))`, without overflow.

    Args:
        x: (...), float; infinities are allowed.
        axis: along which to go.

    Returns:
        Shape and dtype of `x`.
    """
    return np.logaddexp.accumulate(x, axis)
