"""Reductions: sums, products, extrema, moments, and the soft maximum.

A reduction's rule spreads the cotangent over the axes that were reduced, each element weighted by
its share in the result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.op import Array, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply

Axis = int | tuple[int, ...] | None
_NUMPY = (np.ndarray, np.generic)


def restore_axes(g: Array, axis: Axis, shape: tuple[int, ...], keepdims: bool = False) -> Array:
    """Give a reduced array its axes back, with length 1, so that it broadcasts against the input.

    Args:
        g: what a reduction over `axis` returned, or its cotangent.
        axis: as for the reduction: an int, a tuple, or None for all.
        shape: of the reduction's input.
        keepdims: whether the axes were kept in the first place.

    Returns:
        `g` in a shape that broadcasts with `shape`.
    """
    if keepdims or axis is None or not shape:
        return g
    axes = axis if isinstance(axis, tuple) else (axis,)
    gone = {a % len(shape) for a in axes}
    return g.reshape(tuple(1 if i in gone else n for i, n in enumerate(shape)))


def _spread(g: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    """Repeat `g` over the reduced axes of `x`."""
    g = restore_axes(g, axis, x.shape, keepdims)
    if isinstance(g, _NUMPY) and isinstance(x, _NUMPY):  # filling is faster than making a view
        spread = np.empty(x.shape, g.dtype)
        spread[...] = g
        return spread
    return np.broadcast_to(g, x.shape)


def _count(x: Array, axis: Axis) -> int:
    """How many elements are reduced to one."""
    if axis is None:
        return int(x.size)
    return math.prod(x.shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))


# --- sums and means ---------------------------------------------------------------------------


def _sum(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return _spread(g, x, axis, keepdims)


def _mean(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return _spread(g / max(_count(x, axis), 1), x, axis, keepdims)


def _mean_forward(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """What `np.mean` computes, without half of its time for a small array."""
    if type(x) is np.ndarray and x.dtype.char in "fd" and x.size:
        return x.sum(axis=axis, keepdims=keepdims) / _count(x, axis)
    return np.mean(x, axis=axis, keepdims=keepdims)


def _cumsum(g: Array, out: Array, x: Array, axis: int | None = None) -> Array:
    """The sum of all later cotangents, itself included."""
    later = np.flip(np.cumsum(np.flip(g, axis), axis=axis or 0), axis)
    return later.reshape(x.shape)


register(np.sum, wrt("x", _sum))
register(np.mean, wrt("x", _mean), forward=_mean_forward, public=np.mean)
register(np.cumsum, wrt("x", _cumsum))


# --- products ---------------------------------------------------------------------------------


def _prod(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Each element's share is the product of the others; never out / x, which fails at a zero."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(a % x.ndim for a in axes))
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = np.moveaxis(x, axes, last)
    kept = moved.shape[: x.ndim - len(axes)]
    others = _products_of_others(moved.reshape((*kept, math.prod(x.shape[a] for a in axes))))
    others = np.moveaxis(others.reshape(moved.shape), last, axes)
    return safe_multiply(restore_axes(g, axis, x.shape, keepdims), others)


def _products_of_others(x: Array) -> Array:
    """For each element the product of all others along the last axis, without dividing.

    Elements are paired, the pairs are treated the same way, and then each element is multiplied
    by its partner: n log n work, only products, hence right at zeros in every derivative.
    """
    n = x.shape[-1]
    if n < 2:
        return np.ones_like(x)
    half = n // 2
    left, right, odd = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    others = _products_of_others(np.concatenate([left * right, odd], axis=-1))
    pairs = others[..., :half]
    return np.concatenate([pairs * right, pairs * left, others[..., half:]], axis=-1)


register(np.prod, wrt("x", _prod))


# --- extrema ----------------------------------------------------------------------------------


def _extremum(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Ties share equally, as in JAX."""
    ties = (x == restore_axes(out, axis, x.shape, keepdims)).astype(g.dtype)
    share = ties / ties.sum(axis=axis, keepdims=True)
    return safe_multiply(restore_axes(g, axis, x.shape, keepdims), share)


for extremum in (np.max, np.amax, np.min, np.amin):
    register(extremum, wrt("x", _extremum, DISTINCT))


def _ptp(a: Array, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Array:
    keepdims = keepdims is not np._NoValue and keepdims
    return np.subtract(
        np.max(a, axis=axis, out=out, keepdims=keepdims), np.min(a, axis=axis, keepdims=keepdims)
    )


register(np.ptp, composed=_ptp)


# --- moments ----------------------------------------------------------------------------------


def _var(
    g: Array, out: Array, x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False
) -> Array:
    per_element = _per(_count(x, axis) - ddof)
    g = restore_axes(g, axis, x.shape, keepdims)
    return safe_multiply(g * (2 * per_element), x - x.mean(axis=axis, keepdims=True))


def _std(
    g: Array, out: Array, x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False
) -> Array:
    """Of a constant: 0, the sub-gradient of least norm.

    The mean of equal numbers may be off by a rounding error, and std then divides an error by
    itself; so the deviations are centred twice.
    """
    deviation = x - x.mean(axis=axis, keepdims=True)
    deviation = deviation - deviation.mean(axis=axis, keepdims=True)
    per_element = _per(_count(x, axis) - ddof)
    factor = safe_multiply(
        restore_axes(g, axis, x.shape, keepdims),
        per_element / restore_axes(out, axis, x.shape, keepdims),
    )
    return safe_multiply(factor, deviation)


def _per(count: float) -> float:
    return 1 / count if count > 0 else math.nan


register(np.var, wrt("x", _var))
register(np.std, wrt("x", _std, DISTINCT))


# --- the soft maximum and its gradient ----------------------------------------------------------


def shifted(x: Array, highest: Array) -> Array:
    """`x - highest`, with 0 also for the difference of two equal infinities."""
    plain = type(x) is np.ndarray and type(highest) is np.ndarray
    if plain and math.isfinite(np.vdot(highest, highest)):
        return x - highest
    same = x == highest
    return np.where(same, 0, x) - np.where(same, 0, highest)


def _logsumexp(g: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    return safe_multiply(restore_axes(g, axis, x.shape, keepdims), softmax(x, axis=axis))


@op(wrt("x", _logsumexp))
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """`log Σ exp(x)`, without overflow: a soft maximum.

    Args:
        x: (...), float; infinities are allowed, and equal ones share the gradient equally.
        axis: over which to sum: an int, a tuple, or None for all.
        keepdims: keep the summed axes with length 1.

    Returns:
        As `np.sum(x, axis, keepdims=keepdims)`.
    """
    highest = x.max(axis=axis, keepdims=True)
    total = np.exp(shifted(x, highest)).sum(axis=axis, keepdims=keepdims)
    return np.log(total) + highest.reshape(total.shape)


def _softmax(g: Array, out: Array, x: Array, axis: Axis = -1) -> Array:
    weighted = safe_multiply(g, out)
    weighted -= safe_multiply(weighted.sum(axis=axis, keepdims=True), out)
    return weighted


@op(wrt("x", _softmax))
def softmax(x: Array, axis: Axis = -1) -> Array:
    """`exp(x) / Σ exp(x)`, without overflow: positive numbers that sum to 1.

    Args:
        x: (...), float; equal infinities get equal parts.
        axis: along which to sum: an int, a tuple, or None for all.

    Returns:
        Shape and dtype of `x`.
    """
    exp = np.exp(shifted(x, x.max(axis=axis, keepdims=True)))
    exp /= exp.sum(axis=axis, keepdims=True)
    return exp


# --- no gradient ------------------------------------------------------------------------------

for function in (
    np.argmax,
    np.argmin,
    np.argsort,
    np.nonzero,
    np.all,
    np.any,
    np.count_nonzero,
):
    register(function)
