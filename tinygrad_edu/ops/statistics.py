"""Statistics: quantiles, weighted averages, covariances, counts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import DtypeError, InputError, UnsupportedError
from tinygrad_edu.graph import Node
from tinygrad_edu.mode import MODE
from tinygrad_edu.op import Array, Vjp, composite, op, register, wrt
from tinygrad_edu.ops.index import scatter_add
from tinygrad_edu.ops.order import stable_argsort
from tinygrad_edu.ops.reduce import Axis, axes_back, axes_last
from tinygrad_edu.ops.shape import astype
from tinygrad_edu.ops.windows import as_array

# -- quantiles -----------------------------------------------------------------------------------


def _by_rank(g: Array, a: Array, axis: Axis, q: Any, method: Any, skips_nan: bool) -> Array:
    """The rule of all quantiles: a quantile lies between two elements that are next in order.

    Which two, and where between them, is the quantile of the ranks 0, 1, ..., by any method: a
    rank of 3.25 gives 3/4 of the cotangent to the element of rank 3, and 1/4 to that of rank 4.
    """
    if a.size == 0 or g.size == 0:
        return np.zeros_like(a)
    axis = tuple(axis) if isinstance(axis, list) else axis
    flat = axes_last(a, axis)
    n = flat.shape[-1]
    rows = flat.reshape((-1, n))
    order = stable_argsort(rows)
    q = np.reshape(q, (-1, 1))
    count: Any = n
    if skips_nan:
        nan = np.isnan(rows)
        count = np.sum(~nan, axis=-1)
    if method == "linear":  # what follows would take longer than all the rest
        place = q * np.maximum(count - 1, 0)
    elif skips_nan:  # a NaN has no rank, unless there is nothing else
        ranks = np.arange(float(n))
        known = (ranks < count[:, None]) | (count[:, None] == 0)
        place = np.nanquantile(np.where(known, ranks, math.nan), q[:, 0], axis=-1, method=method)
    else:
        place = np.quantile(np.arange(float(n)), q[:, 0], method=method)
    place = place.reshape((len(q), -1))  # one row per quantile; one column per row, or for all
    if not skips_nan:  # then a NaN is the result, and comes last
        place = np.where(np.isnan(rows.max(axis=-1)), n - 1, place)
    low = np.floor(place)
    upper = (place - low).astype(g.dtype)
    g = g.reshape(len(q), -1)
    row = np.arange(rows.shape[0])
    columns = [order[row, rank.astype(int)] for rank in (low, np.minimum(low + 1, n - 1))]
    found = scatter_add(
        np.stack([g * (1 - upper), g * upper]), (row, np.stack(columns)), rows.shape
    )
    if skips_nan:
        found = np.where(nan, 0.0, found)
    return axes_back(found.reshape(flat.shape), axis, a.shape)


def _median_rule(skips_nan: bool) -> Vjp:
    def rule(g: Array, out: Array, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return _by_rank(g, a, axis, 0.5, "linear", skips_nan)

    return rule


def _quantile_rule(whole: int, skips_nan: bool) -> Vjp:
    def rule(
        g: Array,
        out: Array,
        a: Array,
        q: Any,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> Array:
        return _by_rank(g, a, axis, np.divide(q, whole), method, skips_nan)

    return rule


def _along_one_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which mixes up the axes of its result if `q` has several."""

    def forward(a: Array, q: Any, **options: Any) -> Any:
        if np.ndim(q) > 1:
            raise UnsupportedError(
                f"{function.__name__}: expected a number or one axis of them for 'q', got shape "
                f"{np.shape(q)}; pass np.ravel(q)"
            )
        return function(a, q, **options)

    return forward


register(np.median, wrt("a", _median_rule(False), DISTINCT))
register(np.nanmedian, wrt("a", _median_rule(True), DISTINCT))
for function, nan_function, whole in (
    (np.quantile, np.nanquantile, 1),
    (np.percentile, np.nanpercentile, 100),
):
    register(function, wrt("a", _quantile_rule(whole, False), DISTINCT))
    register(
        nan_function,
        wrt("a", _quantile_rule(whole, True), DISTINCT),
        forward=_along_one_axis(nan_function),
    )

# -- averages ------------------------------------------------------------------------------------


@composite
def var_mean(
    x: Array, axis: Axis = None, *, correction: float = 1, keepdims: bool = False
) -> tuple[Array, Array]:
    """Variance and mean, in PyTorch's order and with its default of n - 1 degrees of freedom.

    Args:
        x: (...), float.
        axis: over which: an int, a tuple, or None for all.
        correction: what is subtracted from n; NumPy's `ddof`.
        keepdims: keep the reduced axes with length 1.
    """
    options: Any = {"axis": axis, "keepdims": keepdims}
    return np.var(x, ddof=correction, **options), np.mean(x, **options)


@composite
def std_mean(
    x: Array, axis: Axis = None, *, correction: float = 1, keepdims: bool = False
) -> tuple[Array, Array]:
    """Standard deviation and mean; see `var_mean`."""
    options: Any = {"axis": axis, "keepdims": keepdims}
    return np.std(x, ddof=correction, **options), np.mean(x, **options)


def _average(
    a: Array,
    axis: Axis = None,
    weights: Array | None = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    a = as_array(a)
    if weights is None:
        average = np.mean(a, axis=axis, keepdims=keepdims)
        total = np.ones_like(average) * (a.size / math.prod(average.shape))
    else:
        weights = _aligned(as_array(weights), a, axis)
        weights = _as(np.result_type(weights.dtype, a.dtype, *_real(a)), weights)
        total = np.sum(weights, axis=axis, keepdims=keepdims)
        if not _tracing() and np.any(total == 0):
            raise ZeroDivisionError("average: expected weights that do not sum to 0")
        average = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (average, np.broadcast_to(total, average.shape)) if returned else average


def _real(a: Array) -> tuple[Any, ...]:
    return () if a.dtype.kind == "f" else (np.float64,)


def _aligned(weights: Array, a: Array, axis: Axis) -> Array:
    """Weights of an axis (or several) in a shape that broadcasts with `a`."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise InputError(
            f"average: expected an axis, since weights of shape {weights.shape} are not one for "
            f"each element of {a.shape}"
        )
    axes = [i % a.ndim for i in (axis if isinstance(axis, tuple) else (axis,))]
    if weights.shape != tuple(a.shape[i] for i in axes):
        raise InputError(
            f"average: expected weights of shape {a.shape}, or {tuple(a.shape[i] for i in axes)} "
            f"for axis {axis}, got {weights.shape}"
        )
    weights = np.transpose(weights, sorted(range(len(axes)), key=axes.__getitem__))
    return weights.reshape(tuple(n if i in axes else 1 for i, n in enumerate(a.shape)))


def _tracing() -> bool:
    """Whether a program is being written, which cannot branch on values."""
    return MODE.get().by_name


def _as(dtype: Any, x: Array) -> Array:
    return x if x.dtype == dtype else astype(x, dtype=dtype)


register(np.average, composed=_average)

# -- covariances ---------------------------------------------------------------------------------


def _cov(
    m: Array,
    y: Array | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Array:
    rows = _variables(m, rowvar or np.ndim(m) == 1, dtype)
    if y is not None and rows.shape[0]:
        y = _variables(y, rowvar or np.ndim(y) < 2 or np.shape(y)[0] == 1, dtype)
        rows = np.concatenate([rows, y])
    if ddof is None:
        ddof = 0 if bias else 1
    elif ddof != int(ddof):
        raise InputError(f"cov: expected an integer for ddof, got {ddof}")
    count: Any = rows.shape[1]
    lost: Any = ddof
    weights: Array = None
    if fweights is not None:
        weights = _checked("fweights", fweights, count)
        if not _tracing() and np.any(weights != np.round(weights)):
            raise DtypeError("cov: expected whole numbers for fweights")
    if aweights is not None:
        aweights = _checked("aweights", aweights, count)
        weights = aweights if weights is None else weights * aweights
    centred = rows - np.reshape(np.average(rows, 1, weights), (-1, 1))
    weighted: Array = centred
    if weights is not None:
        weighted, count = centred * weights, np.sum(weights)
        if aweights is not None:
            lost = ddof * np.sum(weights * aweights) / count
    if not _tracing() and count - lost <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=4)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor: Any = 1 / np.maximum(count - lost, 0.0)
        factor = factor if weights is not None else float(factor)  # which keeps float32
        return np.squeeze(np.dot(centred, weighted.T) * factor)


def _variables(m: Array, in_rows: bool, dtype: Any) -> Array:
    """One row per variable, one column per observation."""
    m = as_array(m)
    if m.ndim > 2:
        raise InputError(f"cov: expected at most two axes, got shape {m.shape}")
    dtype = np.dtype(dtype or np.result_type(m.dtype, float))
    if dtype.kind != "f":
        raise DtypeError(f"cov: expected a float type for dtype, got {dtype}")
    m = _as(dtype, np.atleast_2d(m))
    return m if in_rows else m.T


def _checked(name: str, weights: Any, count: int) -> Array:
    weights = _as(np.dtype(float), as_array(weights))
    if weights.shape != (count,) or (not _tracing() and np.any(weights < 0)):
        raise InputError(f"cov: expected {count} numbers >= 0 for {name}, got {weights}")
    return weights


def _corrcoef(x: Array, y: Array | None = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    c = _cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return np.clip(c / deviation[:, None] / deviation, -1, 1)


register(np.cov, composed=_cov)
register(np.corrcoef, composed=_corrcoef)

# -- counts --------------------------------------------------------------------------------------


register(
    np.bincount,
    wrt("weights", lambda g, out, x, weights, minlength=0: g[x]),
    bind=lambda x, /, weights=None, minlength=0: ((x, weights), {"minlength": minlength}),
)


@op()
def _histogram_of(a: Array, bins: Any, range: Any, density: Any, weights: Any) -> Any:
    return np.histogram(a, bins, range, density, weights)


def _histogram(
    a: Array,
    bins: Any = 10,
    range: tuple[float, float] | None = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Array, Array]:
    """Counts are flat almost everywhere; edges that depend on the data are not."""
    moving = (range is None and np.ndim(bins) == 0) or isinstance(bins, str)
    named = {"a": a if moving else None, "bins": bins, "range": range, "weights": weights}
    for name, value in named.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        if MODE.get().recording and any(isinstance(x, Node) and x._tracked for x in parts):
            raise UnsupportedError(
                f"histogram: the result would depend on {name!r}, and there is no gradient rule; "
                + ("give the edges as bins, or a range, " if name == "a" else "")
                + "or pass t.detach()"
            )
    return _histogram_of(a, bins, range, density, weights)


register(np.histogram, composed=_histogram)
