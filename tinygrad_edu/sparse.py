"""RowSparse: an array that is zero but in a few rows, as the gradient of an embedding is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_edu.errors import InputError, UnsupportedError


class RowSparse(NDArrayOperatorsMixin):
    """An array of which only the rows that are not zero are kept.

    It adds to its like and is multiplied by numbers; `array -= g` touches the rows used alone, so
    that `W.data -= rate * W.grad` costs what the rows cost. Whatever else NumPy is asked of it is
    answered by `dense()`. Its own arrays are not written into: `g *= 2` makes a new one.

    Args:
        rows: (k,) integers from 0 up; where one is repeated, its values add up.
        values: (k, ...), float, the rows.
        shape: of the whole: (n, ...).

    Attributes:
        rows: (k,), sorted, each once.
        values: (k, ...).
        shape: (n, ...).

    Raises:
        InputError: if `rows`, `values` and `shape` do not fit one another.
    """

    __slots__ = ("rows", "shape", "values")

    rows: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    shape: tuple[int, ...]

    def __init__(self, rows: Any, values: Any, shape: tuple[int, ...]) -> None:
        rows, values, shape = np.asarray(rows), np.asarray(values), tuple(shape)
        if rows.dtype.kind not in "iu" and rows.size:
            raise InputError(f"RowSparse: expected integers for rows, got dtype {rows.dtype}")
        if rows.ndim != 1 or not shape or values.shape != (*rows.shape, *shape[1:]):
            raise InputError(
                f"RowSparse: expected rows (k,) and values (k, ...) for a shape (n, ...), got rows "
                f"{rows.shape} and values {values.shape} for {shape}"
            )
        if (rows[1:] <= rows[:-1]).any():
            rows, values = _summed(rows, values)
        if rows.size and not 0 <= rows[0] <= rows[-1] < shape[0]:
            raise InputError(
                f"RowSparse: expected rows from 0 to {shape[0] - 1}, got {rows[0]} to {rows[-1]}"
            )
        self.rows, self.values, self.shape = rows.astype(np.intp, copy=False), values, shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        dtype: np.dtype[Any] = self.values.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """How many axes the whole has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements the whole has."""
        return math.prod(self.shape)

    def dense(self) -> np.ndarray[Any, Any]:
        """The whole as an ndarray."""
        whole = np.zeros(self.shape, self.dtype)
        whole[self.rows] = self.values
        return whole

    def copy(self) -> RowSparse:
        """One with arrays of its own."""
        return RowSparse(self.rows.copy(), self.values.copy(), self.shape)

    def astype(self, dtype: Any) -> RowSparse:
        """The same in another dtype."""
        return RowSparse(self.rows, self.values.astype(dtype), self.shape)

    def __repr__(self) -> str:
        """How many rows of what."""
        return f"RowSparse({len(self.rows)} rows of {self.shape}, {self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.get("out", ())
        if any(isinstance(array, RowSparse) for array in out):
            raise UnsupportedError(
                f"{ufunc.__name__}: a RowSparse cannot be written into (out=); use the result"
            )
        if method == "__call__" and options.keys() <= {"out"}:
            if ufunc in (np.add, np.subtract) and _is_into(inputs, out):
                return inputs[1]._into(inputs[0], ufunc)
            if not out and (result := _row_sparse(ufunc, *inputs)) is not None:
                return result
        whole = (x.dense() if isinstance(x, RowSparse) else x for x in inputs)
        return getattr(ufunc, method)(*whole, **options)

    # `g += h` is `g = g + h`: the result may be dense.
    def __iadd__(self, other: Any) -> Any:
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __imul__(self, other: Any) -> Any:
        return self * other

    def __itruediv__(self, other: Any) -> Any:
        return self / other

    def _into(self, array: np.ndarray[Any, Any], ufunc: Any) -> np.ndarray[Any, Any]:
        """Add it to an array, or subtract it, in place."""
        rows = array.take(self.rows, axis=0)  # twice as fast as array[rows]
        array[self.rows] = ufunc(rows, self.values, out=rows)
        return array


def _is_into(inputs: tuple[Any, ...], out: tuple[Any, ...]) -> bool:
    """Whether this is `array += g`, with an array of the same shape."""
    array, g = inputs
    return bool(out) and out[0] is array and isinstance(g, RowSparse) and array.shape == g.shape


def _is_number(x: Any) -> bool:
    return not isinstance(x, RowSparse) and np.ndim(x) == 0


def _row_sparse(ufunc: Any, x: Any, y: Any = None) -> Any:
    """The results that are row-sparse too, and the sum with an array; None for all others."""
    if ufunc in (np.add, np.subtract):
        if isinstance(x, RowSparse) and isinstance(y, RowSparse) and x.shape == y.shape:
            rows = np.concatenate([x.rows, y.rows])
            values = y.values if ufunc is np.add else -y.values
            return RowSparse(rows, np.concatenate([x.values, values]), x.shape)
        if isinstance(x, np.ndarray) and x.shape == y.shape and x.dtype == y.dtype:
            return y._into(x.copy(), ufunc)
    if ufunc is np.multiply and _is_number(x):
        return RowSparse(y.rows, x * y.values, y.shape)
    if ufunc in (np.multiply, np.divide) and _is_number(y):
        return RowSparse(x.rows, ufunc(x.values, y), x.shape)
    return RowSparse(x.rows, -x.values, x.shape) if ufunc is np.negative else None


def _summed(
    rows: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows sorted, each once, with the sum of its values: neighbours in pairs, again and again.

    It takes a sixth of the time of `np.add.reduceat`, which sums row by row.
    """
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values.take(order, axis=0)
    kept = np.arange(len(rows))
    while (again := rows[1:] == rows[:-1]).any():
        begins = np.arange(len(rows))
        begins[1:][again] = 0
        place = np.arange(len(rows)) - np.maximum.accumulate(begins)  # of each in its run
        odd = place % 2 == 1
        second = np.flatnonzero(odd)
        values[kept[second - 1]] += values[kept[second]]
        rows, kept = rows[~odd], kept[~odd]
    return rows, values if len(kept) == len(values) else values.take(kept, axis=0)
