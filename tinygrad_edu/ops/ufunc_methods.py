"""Options and methods of ufuncs, `np.exp(t, dtype=...)` and `np.add.reduce(t)`, in terms of ops.

No rules are needed here: each method is looked up as the function that means the same.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.errors import IndexingError, InputError, UnsupportedError
from tinygrad_edu.op import Array
from tinygrad_edu.ops.index import scatter_add
from tinygrad_edu.ops.reduce import logsumexp
from tinygrad_edu.ops.scans import cummax, cummin, logcumsumexp


def _logsumexp2(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    return logsumexp(x * math.log(2), axis, keepdims) / math.log(2)


REDUCE: Mapping[Any, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.fmax: np.nanmax,
    np.fmin: np.nanmin,
    np.logaddexp: logsumexp,
    np.logaddexp2: _logsumexp2,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
ACCUMULATE: Mapping[Any, Callable[..., Any]] = {
    np.add: np.cumsum,
    np.multiply: np.cumprod,
    np.maximum: cummax,
    np.minimum: cummin,
    np.logaddexp: logcumsumexp,
}
_DEFAULTS = {"where": True, "casting": "same_kind", "order": "K", "subok": True}


def call_with_options(ufunc: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Call a ufunc with NumPy's options: `dtype=` converts the inputs first, others are refused.

    Raises:
        UnsupportedError: for an option that is not supported, or a dtype that the ufunc lacks.
    """
    given = {key: x for key, x in options.items() if x is not None and not _is_default(key, x)}
    dtype = given.pop("dtype", None)
    name = ufunc.__name__.lstrip("_")
    called = f"np.{name}" if getattr(np, name, None) is ufunc else name
    if "where" in given:
        raise UnsupportedError(
            f"{name}: option 'where' would leave elements uninitialised; "
            f"use np.where(mask, {called}(t), other)"
        )
    if given:
        raise UnsupportedError(
            f"{name}: option {next(iter(given))!r} has no gradient rule; supported options: dtype"
        )
    if dtype is None:
        return ufunc(*args)
    dtype = np.dtype(dtype)
    result: Any = None
    if dtype.kind == "f":
        result = ufunc(*(x.astype(dtype) if hasattr(x, "astype") else x for x in args))
    if getattr(result, "dtype", None) != dtype:
        raise UnsupportedError(
            f"{name}: option 'dtype' must be a float type that its result can have, got {dtype}; "
            f"use {called}(t).astype(dtype)"
        )
    return result


def _is_default(key: str, value: Any) -> bool:
    return isinstance(value, (bool, str)) and _DEFAULTS.get(key) == value


def call_method(ufunc: Any, method: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Call a method of a ufunc: what `ufunc.method(*args, **options)` means.

    Raises:
        InputError: if a number is to be accumulated.
        UnsupportedError: if there is no function that means the same.
    """
    options = {key: x for key, x in options.items() if x is not None or key == "axis"}
    if method == "outer" and ufunc.nin == 2 and ufunc.signature is None:
        a, b = args
        a = a if hasattr(a, "ndim") else np.array(a)
        return call_with_options(ufunc, (a[(..., *(None,) * np.ndim(b))], b), options)
    if method == "reduce" and ufunc in REDUCE:
        return _with_options(ufunc, method, REDUCE[ufunc], args, options)
    if method == "accumulate" and ufunc in ACCUMULATE:
        if not np.ndim(args[0]):
            raise InputError(f"np.{ufunc.__name__}.accumulate: a number cannot be accumulated")
        return _with_options(ufunc, method, ACCUMULATE[ufunc], args, options)
    if method == "reduceat" and ufunc is np.add:
        return _add_reduceat(*args, **options)
    instead = (
        "tg.scatter_add(values, index, shape) or tg.index_update(t, index, value)"
        if method == "at"
        else "the function that means the same"
    )
    raise UnsupportedError(
        f"np.{ufunc.__name__}.{method}: this ufunc method has no gradient rule; use {instead}, "
        "or detach()"
    )


def _with_options(
    ufunc: Any,
    method: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """Call `function` for a method of a ufunc; along axis 0 if the call does not say more.

    Raises:
        UnsupportedError: for an option that the function does not have.
    """
    if unknown := options.keys() - {"axis"} - inspect.signature(function).parameters.keys():
        raise UnsupportedError(
            f"np.{ufunc.__name__}.{method}: option {min(unknown)!r} has no gradient rule; apply "
            "t.astype(dtype) or np.where before, or leave it out"
        )
    return function(*args, **{"axis": 0} | options)


def _add_reduceat(x: Array, indices: Any, axis: int = 0) -> Array:
    """Sums of `x[indices[i]:indices[i + 1]]`; of one element where that is empty."""
    if not -x.ndim <= axis < x.ndim:
        raise IndexingError(f"np.add.reduceat: expected an axis of shape {x.shape}, got {axis}")
    n = x.shape[axis]
    starts = np.array(indices, dtype=None if np.size(indices) else int)
    inside = starts.ndim == 1 and starts.dtype.kind in "iu"
    if not inside or np.any((starts < 0) | (starts >= n)):
        raise IndexingError(f"np.add.reduceat: expected indices from 0 to {n - 1}, got {indices}")
    lengths = np.maximum(np.append(starts[1:], n) - starts, 1)
    segments = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(segments)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    parts = np.moveaxis(np.take(x, starts[segments] + within, axis=axis), axis, 0)
    sums = scatter_add(parts, segments, (len(starts), *parts.shape[1:]))
    return np.moveaxis(sums, 0, axis)
