"""Taking elements out of an array, and the adjoint of that: adding them in where they were.

`getitem` and `scatter_add` are each other's adjoint, so each is the other's gradient rule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_edu.backward import plain, sum_to_shape
from tinygrad_edu.errors import DtypeError, IndexingError, InputError, UnsupportedError
from tinygrad_edu.graph import Node
from tinygrad_edu.op import Array, composite, op, register, wrt
from tinygrad_edu.sparse import RowSparse

Index = (
    Any  # whatever NumPy takes between brackets: int, slice, None, ..., arrays, a tuple of these
)


@op(wrt("x", lambda g, out, x, index: scatter_add(g, index, x.shape)))
def getitem(x: Array, index: Index) -> Array:
    """`x[index]` with NumPy's rules: integers, slices, `None`, `...`, integer and boolean arrays.

    Args:
        x: (...), any dtype.
        index: plain values; it gets no gradient.

    Raises:
        IndexError: if the index does not fit.
    """
    return x[index]


@op(wrt("values", lambda g, out, values, index, *, shape: getitem(g, index)))
def scatter_add(values: Array, index: Index, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with `values` added at `index`; where an index is repeated, values add up.

    Args:
        values: as `np.zeros(shape)[index]`, float.
        index: as for `getitem`.
        shape: of the result.

    Returns:
        `shape`, dtype of `values`.

    Source: the adjoint of selecting; <scatter_add(v, i, x.shape), x> = <v, x[i]> for all v, x.
    """
    if isinstance(values, np.ndarray | np.generic):  # faster than zeros_like: pages come zeroed
        out: Array = np.zeros(shape, values.dtype)
    else:
        out = np.zeros_like(values, shape=shape)
    if _may_repeat(index):
        arrays = _leading_arrays(index)
        if arrays and isinstance(out, np.ndarray):
            _add_rows(out, arrays, values)
        else:
            _add_at(out, index, values)
    elif isinstance(out, np.ndarray) or all(part is not None for part in _parts(index)):
        out[index] = values
    else:  # Dask cannot assign to x[:, None]
        index = tuple(part for part in _parts(index) if part is not None)
        out[index] = values.reshape(np.broadcast_to(0, shape)[index].shape)
    return out


def _parts(index: Index) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _may_repeat(index: Index) -> bool:
    """Whether an element may be selected twice: only arrays of integers can do that."""
    for part in _parts(index):
        if isinstance(part, list):
            part = np.array(part)
        if getattr(part, "ndim", 0) and part.dtype.kind != "b":
            return True
    return False


def _leading_arrays(index: Index) -> tuple[Any, ...]:
    """The index as integer arrays for the leading axes; () if it holds anything else."""
    arrays = tuple(np.asarray(part) if isinstance(part, list) else part for part in _parts(index))
    plain = all(
        type(part) is int or getattr(part, "dtype", np.dtype(bool)).kind in "iu" for part in arrays
    )
    return arrays if plain else ()


def _from_start(indices: Any, length: int) -> Array:
    """Negative indices counted from the start; to look for some is cheaper than to replace them."""
    indices = np.asarray(indices)
    if indices.min(initial=0) >= 0:
        return indices
    return np.where(indices < 0, indices + length, indices)


def _add_rows(out: Array, arrays: tuple[Any, ...], values: Array) -> None:
    """`np.add.at(out, arrays, values)`, along one axis: 3 to 6 times as fast for rows of 32 up."""
    if values.size == 0:
        return
    count = len(arrays)
    lengths = out.shape[:count]
    try:
        from_start = map(_from_start, arrays, lengths)
        rows = np.ravel_multi_index(tuple(from_start), lengths)
    except ValueError as error:
        raise IndexingError(f"scatter_add: an index is out of bounds for {lengths}") from error
    width = math.prod(out.shape[count:])
    if width != 1:
        rows = rows.reshape(-1, 1) * width + np.arange(width)
    np.add.at(out.reshape(-1), rows.reshape(-1), values.reshape(-1))


def _add_at(out: Array, index: Index, values: Array) -> None:
    try:
        np.add.at(out, index, values)
    except TypeError as error:
        raise UnsupportedError(
            f"scatter_add: an array of type {type(out).__module__}.{type(out).__name__} cannot "
            "add at integer indices, which the gradient of x[[0, 0, 2]] needs; index with slices, "
            "or multiply with a one-hot matrix"
        ) from error


# -- functional assignment ---------------------------------------------------------------------


def _value_rule(g: Array, out: Array, x: Array, index: Index, value: Array) -> Array:
    share = g[index]
    if share.shape == value.shape:
        return share
    extra = max(0, value.ndim - share.ndim)  # NumPy lets (1, 3) be assigned to (3,)
    return sum_to_shape(share, value.shape[extra:]).reshape(value.shape)


@op(
    wrt("x", lambda g, out, x, index, value: index_update(g, index, 0)),
    wrt("value", _value_rule),
)
def index_update(x: Array, index: Index, value: Array) -> Array:
    """A copy of `x` in which `x[index] = value` was done.

    An index that selects an element twice is refused: NumPy does not say which value wins, so
    neither value's gradient is defined.

    Args:
        x: (...), any dtype, which is also the result's.
        index: plain values; it gets no gradient.
        value: broadcast to `x[index]`.

    Raises:
        InputError: if the index repeats an element.
        ValueError: if `value` does not broadcast to `x[index]`.
    """
    if _may_repeat(index):
        marks = np.zeros(x.shape, dtype=bool)
        marks[index] = True
        selected = marks[index].size
        if selected != np.count_nonzero(marks):
            raise InputError(
                f"index_update: the index selects {selected} elements, but only "
                f"{np.count_nonzero(marks)} different ones; which value wins is undefined. "
                "Make the index unique, or add with tg.scatter_add"
            )
    out = np.array(x) if isinstance(x, np.generic) else x.copy()
    out[index] = value
    return out


# -- along one axis ----------------------------------------------------------------------------


def _in_range(indices: Any, size: int, mode: str) -> Any:
    if mode == "clip":
        return np.clip(indices, 0, size - 1)
    return indices % size if mode == "wrap" else indices


def _take_rule(
    g: Array, out: Array, a: Array, indices: Any, axis: int | None = None, mode: str = "raise"
) -> Array:
    if axis is None:
        return scatter_add(g, _in_range(indices, a.size, mode), (a.size,)).reshape(a.shape)
    index = (slice(None),) * (axis % a.ndim) + (_in_range(indices, a.shape[axis], mode),)
    return scatter_add(g, index, a.shape)


register(np.take, wrt("a", _take_rule))


def _grid(indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The tuple of index arrays that `take_along_axis` means."""
    axes = range(len(shape))
    grid = [np.arange(n).reshape([-1 if i == j else 1 for j in axes]) for i, n in enumerate(shape)]
    grid[axis] = indices
    return tuple(grid)


def _take_along_axis_rule(
    g: Array, out: Array, arr: Array, indices: Any, axis: int | None = -1
) -> Array:
    if axis is None:
        return scatter_add(g, indices, (arr.size,)).reshape(arr.shape)
    return scatter_add(g, _grid(indices, arr.shape, axis), arr.shape)


register(np.take_along_axis, wrt("arr", _take_along_axis_rule))


def _embedding_rule(g: Array, out: Array, W: Array, index: Any, *, sparse: bool = False) -> Array:
    if sparse and isinstance(g, np.ndarray | np.generic):  # any other kind has a dense gradient
        rows = _from_start(index, W.shape[0]).reshape(-1)
        return RowSparse(rows, g.reshape(rows.shape + W.shape[1:]), W.shape)
    return scatter_add(g, index, W.shape)


@op(wrt("W", _embedding_rule))
def embedding(W: Array, index: Any, *, sparse: bool = False) -> Array:
    """Rows of `W`: the vectors of the words, users, ... that `index` numbers.

    With `sparse`, `W.grad` is a `tg.RowSparse` of the rows used, if `W` is a leaf and has no other
    use; `tg.gradients` and gradients of another kind of array are dense.

    Args:
        W: (n, ...), float.
        index: (...), integers from 0 to n - 1; negative ones count from the end.
        sparse: keep the gradient of the rows used alone: for a large `W`.

    Returns:
        (*index.shape, *W.shape[1:]), dtype of W.

    Raises:
        DtypeError: if `index` does not hold integers.
        IndexError: if one lies outside.
    """
    if not isinstance(index, int) and np.asarray(index).dtype.kind not in "iu":
        raise DtypeError(
            f"embedding: expected integers for index, got dtype {np.asarray(index).dtype}"
        )
    return np.take(W, index, axis=0)


# -- by a condition ----------------------------------------------------------------------------


def untracked(function: str, argument: str, value: Any) -> Any:
    """The plain value of an argument that gets no gradient, for functions made of other ops.

    Raises:
        UnsupportedError: if it is tracked.
    """
    if isinstance(value, Node) and value._tracked:
        raise UnsupportedError(
            f"{function}: no gradient is defined for argument {argument!r}, but it is tracked; "
            "pass t.detach() if none is wanted"
        )
    return plain(value)


def _compress(condition: Any, a: Array, axis: int | None = None, out: Any = None) -> Array:
    if out is not None:
        raise UnsupportedError("compress: option 'out' has no gradient rule")
    condition = np.asarray(untracked("compress", "condition", condition))
    if condition.ndim != 1:
        raise InputError(f"compress: expected a condition of one axis, got {condition.shape}")
    if axis is None or not a.ndim:
        a, axis = np.ravel(a), axis or 0
    axis = normalize_axis_index(axis, a.ndim)
    mask = np.zeros(a.shape[axis], bool)  # the condition may be shorter than the axis
    mask[np.flatnonzero(condition)] = True
    return a[(slice(None),) * axis + (mask,)]


register(np.compress, composed=_compress)
register(
    np.extract, composed=lambda condition, arr: np.compress(np.ravel(condition), np.ravel(arr))
)


@composite
def masked_select(x: Array, mask: Any) -> Array:
    """The elements of `x` where `mask` is true, in C order; as `torch.masked_select`.

    Args:
        x: (...), any dtype.
        mask: booleans of a shape that broadcasts with that of `x`; it gets no gradient.

    Returns:
        1-d, as many elements as the broadcast mask has true ones.

    Raises:
        DtypeError: if the mask is not boolean.
    """
    mask = np.asarray(untracked("masked_select", "mask", mask))
    if mask.dtype != bool:
        raise DtypeError(f"masked_select: expected a boolean mask, got dtype {mask.dtype}")
    shape = np.broadcast_shapes(np.shape(x), mask.shape)
    return np.broadcast_to(x, shape)[np.broadcast_to(mask, shape)]


# -- diagonals and triangles -------------------------------------------------------------------


def diagonal_slice(columns: int, offset: int, length: int) -> slice:
    """Where a diagonal of a matrix with so many columns lies in the flattened matrix."""
    start = offset if offset >= 0 else -offset * columns
    return slice(start, start + length * (columns + 1), columns + 1)


def _diagonal_rule(
    g: Array, out: Array, a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1
) -> Array:
    axis1, axis2 = axis1 % a.ndim, axis2 % a.ndim
    rows, columns = a.shape[axis1], a.shape[axis2]
    rest = tuple(n for axis, n in enumerate(a.shape) if axis not in (axis1, axis2))
    where = diagonal_slice(columns, offset, g.shape[-1])
    flat = scatter_add(g, (..., where), (*rest, rows * columns))
    return np.moveaxis(flat.reshape((*rest, rows, columns)), (-2, -1), (axis1, axis2))


register(np.diagonal, wrt("a", _diagonal_rule))


def _diag(v: Array, k: int = 0) -> Array:
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise InputError(f"diag: expected one or two axes, got shape {v.shape}")
    n = v.shape[0] + abs(k)
    return scatter_add(v, diagonal_slice(n, k, v.shape[0]), (n * n,)).reshape((n, n))


def _trace(
    a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Array:
    if out is not None:
        raise UnsupportedError("trace: option 'out' has no gradient rule")
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


register(np.diag, composed=_diag)
register(np.diagflat, composed=lambda v, k=0: _diag(np.ravel(v), k))
register(np.trace, composed=_trace)
register(np.tril, wrt("m", lambda g, out, m, k=0: np.tril(g, k)), broadcasts=True)
register(np.triu, wrt("m", lambda g, out, m, k=0: np.triu(g, k)), broadcasts=True)
register(np.linalg.diagonal, composed=lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
register(
    np.linalg.trace, composed=lambda x, /, *, offset=0, dtype=None: _trace(x, offset, -2, -1, dtype)
)
