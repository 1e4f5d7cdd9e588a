"""Order: sorting, selecting the largest, and questions of order, which have no gradient.

A sorted array is a permutation of its elements, and the gradient goes back the same way. Which of
two equal elements comes first is decided by a stable sort: the one with the lower index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import IndexingError, InputError
from tinygrad_edu.op import REGISTRY, Array, composite, op, register, wrt
from tinygrad_edu.ops.windows import as_array

# -- sorting -------------------------------------------------------------------------------------


@op()
def stable_argsort(x: Array, axis: int = -1) -> Array:
    """`np.argsort(x, axis, kind="stable")`, in a quarter of the time where no two are equal.

    Args:
        x: (...), any dtype that can be sorted.
        axis: along which to sort.

    Returns:
        Integers in the shape of `x`: where the smallest element is, the next, ...; of equal ones
        the lower index first.
    """
    order = np.argsort(x, axis)
    ranked = np.take_along_axis(x, order, axis)
    if (np.diff(ranked, axis=axis) > 0).all():
        return order
    return np.argsort(x, axis, kind="stable")


def _sort(
    g: Array, out: Array, a: Array, axis: int | None = -1, kind: Any = None, stable: Any = None
) -> Array:
    order = stable_argsort(a.reshape(-1) if axis is None else a, -1 if axis is None else axis)
    return REGISTRY[np.take_along_axis].vjps[0](g, out, a, order, axis)


def _partition(
    g: Array, out: Array, a: Array, kth: Any, axis: int | None = -1, kind: str = "introselect"
) -> Array:
    """As of two sorts, since nobody says where `np.partition` leaves the other elements."""
    along = -1 if axis is None else axis
    ranked = np.take_along_axis(g, stable_argsort(out, along), along)
    return _sort(ranked, out, a, axis)


register(np.sort, wrt("a", _sort, DISTINCT))
register(np.partition, wrt("a", _partition, DISTINCT))

# -- the largest, the different ------------------------------------------------------------------


@op()
def _top(x: Array, k: int, axis: int, largest: bool, ranked: bool) -> Array:
    """Where the k largest are, NaN first; of equal ones the lower index first."""
    n = x.shape[axis]
    if k == 0:
        return np.take(np.argsort(x, axis), [], axis)
    rank = n - k if largest else k - 1
    last = np.take(np.partition(x, rank, axis), [rank], axis)  # the least of those chosen
    nan, ends_in_nan = np.isnan(x), np.isnan(last)
    better = (x > last) | (nan & ~ends_in_nan) if largest else (x < last) | (~nan & ends_in_nan)
    equal = (x == last) | (nan & ends_in_nan)
    room = k - np.sum(better, axis=axis, keepdims=True)
    chosen = np.moveaxis(better | (equal & (np.cumsum(equal, axis=axis) <= room)), axis, -1)
    indices = np.moveaxis(np.nonzero(chosen)[-1].reshape((*chosen.shape[:-1], k)), -1, axis)
    if not ranked:
        return indices
    values = np.take_along_axis(x, indices, axis)
    if largest:  # turned around twice, for NaN comes last in every sort
        order = k - 1 - np.flip(np.argsort(np.flip(values, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(values, axis, kind="stable")
    return np.take_along_axis(indices, order, axis)


@composite
def topk(
    x: Array, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Array, Array]:
    """The k largest elements along an axis, and where they are.

    Args:
        x: (..., n, ...), float. NaN counts as larger than any number.
        k: how many, at most n.
        axis: along which to select.
        largest: the smallest instead, if False.
        sorted: in order, the best first; otherwise as they come in `x`.

    Returns:
        `(values, indices)`, both (..., k, ...): dtype of `x`, and integers, without gradient.

    Raises:
        InputError: if `k` is negative or larger than n.
        IndexingError: if there is no such axis.
    """
    x = as_array(x)
    if not -x.ndim <= axis < x.ndim:
        raise IndexingError(f"topk: axis {axis} is out of bounds for an array of shape {x.shape}")
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise InputError(f"topk: expected 0 <= k <= {n}, the length of axis {axis}, got {k}")
    indices = _top(x, k, axis, largest, sorted)
    return np.take_along_axis(x, indices, axis), indices


@op()
def _unique_of(ar: Array, **options: Any) -> Any:
    return np.unique(ar, return_index=True, **options)


def _unique(
    ar: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Each value is that of its first occurrence, so there its gradient goes."""
    ar = as_array(ar)
    _, index, *rest = _unique_of(
        ar, return_inverse=return_inverse, return_counts=return_counts, axis=axis, **options
    )
    values = np.take(ar, index, axis=axis)
    asked = (values, *([index] if return_index else []), *rest)
    return asked if len(asked) > 1 else values


register(np.unique, composed=_unique)

# -- no gradient ---------------------------------------------------------------------------------

for function in (np.argsort, np.argpartition, np.lexsort, np.searchsorted, np.digitize, np.isin):
    register(function)
