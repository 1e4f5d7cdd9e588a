"""Reductions: sums, products, extrema, moments, and the soft maximum.

A reduction's rule spreads the cotangent over the axes that were reduced, each element weighted by
its share in the result. What `where=` leaves out has no share; nor has `initial=`, a number.
The functions that skip NaN are the others with `where=` on what is no NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.op import Array, Vjp, op, register, wrt
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


def axes_last(x: Array, axis: Axis) -> Array:
    """The reduced axes moved to the end and made one: (*kept, n)."""
    axes = _axes(axis, x.ndim)
    moved = np.moveaxis(x, axes, tuple(range(x.ndim - len(axes), x.ndim)))
    kept = moved.shape[: x.ndim - len(axes)]
    return moved.reshape((*kept, math.prod(x.shape[a] for a in axes)))


def axes_back(x: Array, axis: Axis, shape: tuple[int, ...]) -> Array:
    """Undo `axes_last` of an array of that shape."""
    axes = _axes(axis, len(shape))
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    moved = x.reshape((*kept, *(shape[a] for a in axes)))
    return np.moveaxis(moved, tuple(range(len(kept), len(shape))), axes)


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None or ndim == 0:  # NumPy reduces a number along axis 0, too
        return tuple(range(ndim))
    return tuple(sorted(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))))


def _spread(g: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    """Repeat `g` over the reduced axes of `x`."""
    g = restore_axes(g, axis, x.shape, keepdims)
    if isinstance(g, _NUMPY) and isinstance(x, _NUMPY):  # filling is faster than making a view
        spread = np.empty(x.shape, g.dtype)
        spread[...] = g
        return spread
    return np.broadcast_to(g, x.shape)


def _selected(g: Array, where: Any) -> Array:
    """`g` where `where=` took part, 0 elsewhere."""
    return g if where is True else np.where(where, g, 0.0)


def _count(x: Array, axis: Axis, where: Any = True) -> Any:
    """How many elements are reduced to one; with a mask one number per result, axes kept."""
    if where is not True:
        return np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=True, dtype=x.dtype)
    if axis is None:
        return int(x.size)
    return math.prod(x.shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))


# --- sums and means ---------------------------------------------------------------------------


def _sum(
    g: Array,
    out: Array,
    x: Array,
    axis: Axis = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: float = 0,
    where: Any = True,
) -> Array:
    spread = _spread(g, x, axis, keepdims)
    return spread if where is True else _selected(spread, where)


def _mean(
    g: Array,
    out: Array,
    x: Array,
    axis: Axis = None,
    dtype: Any = None,
    keepdims: bool = False,
    where: Any = True,
) -> Array:
    if where is True:
        return _spread(g / max(_count(x, axis), 1), x, axis, keepdims)
    g = restore_axes(g, axis, x.shape, keepdims) / _count(x, axis, where)
    return _selected(_spread(g, x, axis, True), where)


def _mean_forward(x: Array, axis: Axis = None, keepdims: bool = False, **options: Any) -> Array:
    """What `np.mean` computes, without half of its time for a small array."""
    if type(x) is np.ndarray and x.dtype.char in "fd" and x.size and not options:
        return x.sum(axis=axis, keepdims=keepdims) / _count(x, axis)
    return np.mean(x, axis=axis, keepdims=keepdims, **options)


register(np.sum, wrt("x", _sum))
register(np.mean, wrt("x", _mean), forward=_mean_forward, public=np.mean)


# --- products ---------------------------------------------------------------------------------


def _prod(
    g: Array,
    out: Array,
    x: Array,
    axis: Axis = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: float | None = 1,
    where: Any = True,
) -> Array:
    """Each element's share is the product of the others; never out / x, which fails at a zero."""
    if where is not True:
        x = np.where(where, x, 1.0)
    others = axes_back(products_of_others(axes_last(x, axis)), axis, x.shape)
    if initial not in (1, None):
        others = others * initial
    return _selected(safe_multiply(restore_axes(g, axis, x.shape, keepdims), others), where)


def products_of_others(x: Array) -> Array:
    """For each element the product of all others along the last axis, without dividing.

    Elements are paired, the pairs are treated the same way, and then each element is multiplied
    by its partner: n log n work, only products, hence right at zeros in every derivative.
    """
    n = x.shape[-1]
    if n < 2:
        return np.ones_like(x)
    half = n // 2
    left, right, odd = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    others = products_of_others(np.concatenate([left * right, odd], axis=-1))
    pairs = others[..., :half]
    return np.concatenate([pairs * right, pairs * left, others[..., half:]], axis=-1)


register(np.prod, wrt("x", _prod))


# --- extrema ----------------------------------------------------------------------------------


def _extremum_rule(skips_nan: bool) -> Vjp:
    """Ties share equally, as in JAX; `initial` is one of them, and its share is lost."""

    def rule(
        g: Array,
        out: Array,
        x: Array,
        axis: Axis = None,
        keepdims: bool = False,
        initial: float | None = None,
        where: Any = True,
    ) -> Array:
        best = restore_axes(out, axis, x.shape, keepdims)
        ties = x == best
        if not skips_nan:  # then a NaN is the result
            ties = ties | (x != x)
        if where is not True:
            ties = np.logical_and(ties, where)
        count = ties.sum(axis=axis, keepdims=True, dtype=g.dtype)
        if initial is not None:
            count = count + (best == initial)
        return safe_multiply(restore_axes(g, axis, x.shape, keepdims) / count, ties)

    return rule


for extremum in (np.max, np.amax, np.min, np.amin):
    register(extremum, wrt("x", _extremum_rule(skips_nan=False), DISTINCT))
for extremum in (np.nanmax, np.nanmin):
    register(extremum, wrt("x", _extremum_rule(skips_nan=True), DISTINCT))


def _ptp(a: Array, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Array:
    keepdims = keepdims is not np._NoValue and keepdims
    return np.subtract(
        np.max(a, axis=axis, out=out, keepdims=keepdims), np.min(a, axis=axis, keepdims=keepdims)
    )


register(np.ptp, composed=_ptp)


# --- moments ----------------------------------------------------------------------------------


def _var(
    g: Array,
    out: Array,
    x: Array,
    axis: Axis = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = True,
    correction: float | None = None,
) -> Array:
    per_element = _per(_count(x, axis, where) - (ddof if correction is None else correction))
    g = restore_axes(g, axis, x.shape, keepdims)
    return safe_multiply(safe_multiply(g, 2 * per_element), _centred(x, axis, where))


def _std(
    g: Array,
    out: Array,
    x: Array,
    axis: Axis = None,
    dtype: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = True,
    correction: float | None = None,
) -> Array:
    """Of a constant: 0, the sub-gradient of least norm.

    The mean of equal numbers may be off by a rounding error, and std then divides an error by
    itself; so the deviations are centred twice.
    """
    deviation = _centred(_centred(x, axis, where), axis, where)
    per_element = _per(_count(x, axis, where) - (ddof if correction is None else correction))
    factor = safe_multiply(
        restore_axes(g, axis, x.shape, keepdims),
        per_element / restore_axes(out, axis, x.shape, keepdims),
    )
    return safe_multiply(factor, deviation)


def _centred(x: Array, axis: Axis, where: Any) -> Array:
    """The distance from the mean; 0 for what does not take part."""
    if where is True:
        return x - x.mean(axis=axis, keepdims=True)
    total = np.sum(x, axis=axis, keepdims=True, where=where)
    return np.where(where, x - total / _count(x, axis, where), 0.0)


def _per(count: Any) -> Any:
    if isinstance(count, (int, float)):
        return 1 / count if count > 0 else math.nan
    return 1 / np.maximum(count, 0)


register(np.var, wrt("x", _var))
register(np.std, wrt("x", _std, DISTINCT))


# --- without NaN --------------------------------------------------------------------------------


def skipping_nan(function: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    """`function` with every NaN replaced by what changes nothing."""

    def composed(a: Array, *args: Any, **options: Any) -> Array:
        return function(np.where(np.isnan(a), neutral, a), *args, **options)

    return composed


def _of_numbers(rule: Vjp) -> Vjp:
    """`rule` for what is no NaN."""

    @wraps(rule)  # for its signature
    def skipping(g: Array, out: Array, x: Array, *, where: Any = True, **options: Any) -> Array:
        return rule(g, out, x, where=np.logical_and(~np.isnan(x), where), **options)

    return skipping


register(np.nansum, composed=skipping_nan(np.sum, 0.0))
register(np.nanprod, composed=skipping_nan(np.prod, 1.0))
register(np.nanmean, wrt("x", _of_numbers(_mean)))
register(np.nanvar, wrt("x", _of_numbers(_var)))
register(np.nanstd, wrt("x", _of_numbers(_std), DISTINCT))


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
    np.nanargmax,
    np.nanargmin,
    np.nonzero,
    np.flatnonzero,
    np.argwhere,
    np.all,
    np.any,
    np.count_nonzero,
):
    register(function)
