"""The same numbers in another shape, order or dtype: every rule undoes what was done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_edu.errors import IndexingError, InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, op, register, wrt
from tinygrad_edu.ops.index import index_update
from tinygrad_edu.ops.windows import as_array

# -- shape -------------------------------------------------------------------------------------


def _in_order(function: str, x: Array, shape: Any, order: str) -> Array:
    """Reshape. NumPy's orders "A" and "K" depend on how memory is laid out: not for us."""
    if order == "C":
        return x.reshape(shape)
    if order != "F":
        raise UnsupportedError(f"{function}: expected order 'C' or 'F', got {order!r}")
    return np.reshape(x, shape, order="F")


def _bind_reshape(
    a: Array, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None
) -> Bound:
    if copy is False:
        raise UnsupportedError("reshape: option copy=False has no gradient rule; leave it out")
    options = {} if order == "C" else {"order": order}
    return (a,), {"shape": newshape if shape is None else shape, **options}


register(
    np.reshape,
    wrt("x", lambda g, out, x, *, shape, order="C": _in_order("reshape", g, x.shape, order)),
    bind=_bind_reshape,
    forward=lambda x, *, shape, order="C": _in_order("reshape", x, shape, order),
)
register(
    np.ravel,
    wrt("a", lambda g, out, a, order="C": _in_order("ravel", g, a.shape, order)),
    forward=lambda a, order="C": _in_order("ravel", a, (-1,), order),
)
register(np.expand_dims, wrt("a", lambda g, out, a, *, axis: g.reshape(a.shape)))
register(np.squeeze, wrt("a", lambda g, out, a, axis=None: g.reshape(a.shape)))
register(np.broadcast_to, wrt("array", lambda g, out, array, *, shape: g), broadcasts=True)


def _inverse(axes: int | Sequence[int]) -> list[int]:
    """The permutation that undoes `axes`; of one axis, also written as a number."""
    axes = axes if isinstance(axes, Sequence) else [axes]
    axes = [axis % len(axes) for axis in axes]
    return sorted(range(len(axes)), key=axes.__getitem__)


register(
    np.transpose,
    wrt("a", lambda g, out, a, axes=None: g.T if axes is None else np.transpose(g, _inverse(axes))),
)
register(np.matrix_transpose, composed=lambda x, /: np.swapaxes(x, -1, -2))
register(np.linalg.matrix_transpose, composed=lambda x, /: np.swapaxes(x, -1, -2))
register(np.swapaxes, wrt("a", lambda g, out, a, *, axis1, axis2: np.swapaxes(g, axis1, axis2)))
register(
    np.moveaxis,
    wrt("a", lambda g, out, a, *, source, destination: np.moveaxis(g, destination, source)),
)


def _rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    axis = normalize_axis_index(axis, a.ndim)
    start = normalize_axis_index(start, a.ndim + (start >= 0))
    return np.moveaxis(a, axis, start - (axis < start))


register(np.rollaxis, composed=_rollaxis)


def _atleast(a: Array, ndim: int) -> Array:
    a = as_array(a)
    shape = a.shape
    if len(shape) >= ndim:
        return a
    # NumPy's convention for three axes: (n,) becomes (1, n, 1) and (m, n) becomes (m, n, 1).
    after = (1,) if ndim == 3 and shape else ()
    before = (1,) * (ndim - len(shape) - len(after))
    return np.reshape(a, (*before, *shape, *after))


def _all_atleast(ndim: int, arys: tuple[Array, ...]) -> Any:
    results = tuple(_atleast(a, ndim) for a in arys)
    return results[0] if len(results) == 1 else results


register(np.atleast_1d, composed=lambda *arys: _all_atleast(1, arys))
register(np.atleast_2d, composed=lambda *arys: _all_atleast(2, arys))
register(np.atleast_3d, composed=lambda *arys: _all_atleast(3, arys))


def _broadcast_arrays(*args: Array, subok: bool = False) -> tuple[Array, ...]:
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return tuple(np.broadcast_to(a, shape) for a in args)


register(np.broadcast_arrays, composed=_broadcast_arrays)


@composite
def unflatten(x: Array, axis: int, shape: Sequence[int]) -> Array:
    """Take one axis apart into several, as `np.reshape` would; arguments as `torch.unflatten`.

    Args:
        x: (..., n, ...), any dtype.
        axis: which axis.
        shape: what becomes of it: lengths whose product is n; one may be -1.

    Returns:
        (..., *shape, ...).

    Raises:
        IndexingError: if there is no such axis.
        InputError: if the product is not n.
    """
    ndim = len(x.shape)
    if not -ndim <= axis < ndim:
        raise IndexingError(f"unflatten: axis {axis} is out of bounds for shape {x.shape}")
    axis %= ndim
    rest = math.prod(n for n in shape if n != -1)
    whole = tuple(x.shape[axis] // (rest or 1) if n == -1 else n for n in shape)
    if math.prod(whole) != x.shape[axis]:
        raise InputError(f"unflatten: axis {axis} of shape {x.shape} cannot become {tuple(shape)}")
    return np.reshape(x, (*x.shape[:axis], *whole, *x.shape[axis + 1 :]))


def _resize(a: Array, new_shape: Any) -> Array:
    """The elements in C order, over and over again until `new_shape` is full."""
    shape = tuple(new_shape) if np.ndim(new_shape) else (new_shape,)
    size = math.prod(shape)
    if any(n < 0 for n in shape):
        raise InputError(f"resize: expected no negative lengths, got {shape}")
    flat = np.ravel(a)
    if not size or not flat.size:
        return np.zeros_like(a, shape=shape)
    return np.reshape(np.tile(flat, -(-size // flat.size))[:size], shape)


register(np.resize, composed=_resize)

# -- order -------------------------------------------------------------------------------------


def _negated(shift: Any) -> Any:
    return tuple(-s for s in shift) if np.ndim(shift) else -shift


def _rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    first, second = axes
    if normalize_axis_index(first, m.ndim) == normalize_axis_index(second, m.ndim):
        raise InputError(f"rot90: expected two different axes, got {axes}")
    k %= 4
    if k == 2:
        return np.flip(m, (first, second))
    if k == 1:
        return np.swapaxes(np.flip(m, second), first, second)
    return np.flip(np.swapaxes(m, first, second), second) if k else m


register(np.flip, wrt("m", lambda g, out, m, axis=None: np.flip(g, axis)))
register(np.flipud, composed=lambda m: np.flip(m, 0))
register(np.fliplr, composed=lambda m: np.flip(m, 1))
register(np.rot90, composed=_rot90)
register(
    np.roll, wrt("a", lambda g, out, a, *, shift, axis=None: np.roll(g, _negated(shift), axis))
)

# -- copies and dtypes -------------------------------------------------------------------------


@op(wrt("x", lambda g, out, x, *, dtype: g.astype(x.dtype)), name="astype")
def to_float(x: Array, *, dtype: Any) -> Array:
    """`astype` to a dtype that has gradients."""
    return x.astype(dtype)


@op(name="astype")
def to_discrete(x: Array, *, dtype: Any) -> Array:
    """`astype` to a dtype that has none."""
    return x.astype(dtype)


@composite
def astype(x: Array, *, dtype: Any) -> Array:
    """A copy in another dtype; the gradient is cast back.

    A cast to integers or booleans is piecewise constant: like that of a comparison, its result
    needs no gradient.

    Args:
        x: (...), any dtype.
        dtype: of the result.

    Returns:
        Same shape.
    """
    return (to_float if np.dtype(dtype).kind in "fc" else to_discrete)(x, dtype=dtype)


if hasattr(np, "astype"):  # NumPy 2.1
    register(
        np.astype,
        composed=lambda x, dtype, /, *, copy=True, device=None: astype(x, dtype=dtype),
    )
register(
    np.copy,
    wrt("a", lambda g, out, a, order="K", subok=False: g),
    forward=lambda a, order="K", subok=False: a.copy(),
)


def _full_like(
    a: Array,
    fill_value: Array,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Array:
    return index_update(np.zeros_like(a, dtype=dtype, shape=shape), ..., fill_value)


register(np.zeros_like)
register(np.ones_like)
register(np.empty_like)
register(np.full_like, composed=_full_like)

# -- questions with plain answers --------------------------------------------------------------

for _query in (np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type):
    register(_query)
