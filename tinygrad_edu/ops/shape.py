"""The same numbers in another shape, order, dtype or array: every rule undoes what was done."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, op, register, wrt
from tinygrad_edu.ops.index import index_update

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


def _inverse(axes: Sequence[int]) -> list[int]:
    """The permutation that undoes `axes`."""
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
    axis, start = axis % a.ndim, start + a.ndim * (start < 0)
    return np.moveaxis(a, axis, start - (axis < start))


register(np.rollaxis, composed=_rollaxis)


def _atleast(a: Array, ndim: int) -> Array:
    shape = np.shape(a)
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

# -- order -------------------------------------------------------------------------------------


def _negated(shift: Any) -> Any:
    return tuple(-s for s in shift) if np.ndim(shift) else -shift


def _rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    first, second = axes
    if first % m.ndim == second % m.ndim:
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

# -- joining and splitting ---------------------------------------------------------------------


def _bind_join(arrays: Sequence[Array], /, axis: Any = 0, out: Any = None, **options: Any) -> Bound:
    """Read a call of `concatenate` or `stack`: the list becomes the inputs."""
    if out is not None:
        raise UnsupportedError("concatenate, stack: option 'out' has no gradient rule")
    return tuple(arrays), {"axis": axis, **options}


def _part(
    g: Array,
    out: Array,
    *arrays: Array,
    position: int,
    axis: int | None = 0,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Array:
    """What the array at `position` contributed to `np.concatenate`."""
    sizes = [a.size if axis is None else a.shape[axis] for a in arrays[: position + 1]]
    part = slice(sum(sizes[:-1]), sum(sizes))
    if axis is None:
        return g[part].reshape(arrays[position].shape)
    return g[(slice(None),) * (axis % g.ndim) + (part,)]


def _layer(
    g: Array,
    out: Array,
    *arrays: Array,
    position: int,
    axis: int = 0,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Array:
    """What the array at `position` contributed to `np.stack`."""
    return g[(slice(None),) * (axis % g.ndim) + (position,)]


register(
    np.concatenate,
    wrt("*arrays", _part),
    bind=_bind_join,
    forward=lambda *arrays, **options: np.concatenate(arrays, **options),
)
register(
    np.stack,
    wrt("*arrays", _layer),
    bind=lambda arrays, axis=0, out=None, **options: _bind_join(arrays, axis, out, **options),
    forward=lambda *arrays, **options: np.stack(arrays, **options),
)


def _hstack(tup: Sequence[Array], **options: Any) -> Array:
    arrays = [np.atleast_1d(a) for a in tup]
    axis = 0 if arrays and arrays[0].ndim == 1 else 1
    return np.concatenate(arrays, axis=axis, **options)


def _column_stack(tup: Sequence[Array]) -> Array:
    columns = [np.reshape(a, (-1, 1)) if len(np.shape(a)) < 2 else a for a in tup]
    return np.concatenate(columns, axis=1)


def _append(arr: Array, values: Array, axis: int | None = None) -> Array:
    if axis is None:
        arr, values = np.ravel(arr), np.ravel(values)
    return np.concatenate((arr, values), axis=0 if axis is None else axis)


register(
    np.vstack,
    composed=lambda tup, **options: np.concatenate([np.atleast_2d(a) for a in tup], 0, **options),
)
register(np.hstack, composed=_hstack)
register(np.dstack, composed=lambda tup: np.concatenate([np.atleast_3d(a) for a in tup], axis=2))
register(np.column_stack, composed=_column_stack)
register(np.append, composed=_append)


def _split(x: Array, *, indices_or_sections: Any, axis: int = 0) -> tuple[Array, ...]:
    length = x.shape[axis]
    if np.ndim(indices_or_sections):
        cuts = [slice(cut).indices(length)[1] for cut in indices_or_sections]
    else:
        sections = operator.index(indices_or_sections)
        if sections < 1 or length % sections:
            raise InputError(
                f"split: axis {axis} of shape {x.shape} cannot be divided into {sections} equal "
                "parts; use np.array_split"
            )
        cuts = [i * length // sections for i in range(1, sections)]
    if cuts != sorted(cuts):
        raise InputError(f"split: expected increasing indices, got {list(indices_or_sections)}")
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(*part))] for part in pairwise([0, *cuts, length]))


def _array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> tuple[Array, ...]:
    if not np.ndim(indices_or_sections):
        sections = operator.index(indices_or_sections)
        if sections < 1:
            raise InputError(f"array_split: expected one section or more, got {sections}")
        small, larger = divmod(ary.shape[axis], sections)
        sizes = [small + 1] * larger + [small] * (sections - larger)
        indices_or_sections = list(accumulate(sizes[:-1]))
    return tuple(np.split(ary, indices_or_sections, axis))


register(
    np.split,
    wrt(
        "ary",
        lambda g, out, ary, *, indices_or_sections, axis=0: np.concatenate(g, axis=axis),
    ),
    forward=_split,
)
register(np.array_split, composed=_array_split)
register(np.vsplit, composed=lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 0))
register(
    np.hsplit,
    composed=lambda ary, indices_or_sections: np.split(
        ary, indices_or_sections, 1 if ary.ndim > 1 else 0
    ),
)
register(np.dsplit, composed=lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2))


@op(wrt("x", lambda g, out, x, *, axis=0: np.stack(g, axis=axis)))
def unstack(x: Array, *, axis: int = 0) -> tuple[Array, ...]:
    """All parts of `x` along an axis, as a tuple: what iterating over a Tensor gives.

    Args:
        x: (...), any dtype.
        axis: which axis to take apart.

    Raises:
        IndexError: if there is no such axis.
    """
    length = x.shape[axis]
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, i)] for i in range(length))


if hasattr(np, "unstack"):  # NumPy 2.1
    register(np.unstack, composed=unstack)

# -- repeating ---------------------------------------------------------------------------------


def _repeat(a: Array, repeats: Any, axis: int | None = None) -> Array:
    if axis is None:
        a, axis = np.ravel(a), 0
    length = a.shape[axis]
    if np.size(repeats) != 1:
        return np.take(a, np.repeat(np.arange(length), repeats), axis=axis)
    axis %= a.ndim
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    times = int(np.reshape(repeats, ()))
    stretched = np.broadcast_to(np.expand_dims(a, axis + 1), (*before, length, times, *after))
    return np.reshape(stretched, (*before, length * times, *after))


def _tile(A: Array, reps: Any) -> Array:
    reps = tuple(reps) if np.ndim(reps) else (reps,)
    ndim = max(len(reps), len(np.shape(A)))
    shape = (1,) * (ndim - len(np.shape(A))) + np.shape(A)
    reps = (1,) * (ndim - len(reps)) + reps
    once = [n for size in shape for n in (1, size)]
    many = [n for times, size in zip(reps, shape, strict=True) for n in (times, size)]
    stretched = np.broadcast_to(np.reshape(A, once), many)
    return np.reshape(stretched, [times * size for times, size in zip(reps, shape, strict=True)])


register(np.repeat, composed=_repeat)
register(np.tile, composed=_tile)

# -- copies and dtypes -------------------------------------------------------------------------


@op(wrt("x", lambda g, out, x, *, dtype: g.astype(x.dtype)), name="astype")
def _to_float(x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype)


@op(name="astype")
def _to_discrete(x: Array, *, dtype: Any) -> Array:
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
    return (_to_float if np.dtype(dtype).kind in "fc" else _to_discrete)(x, dtype=dtype)


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

# -- an example of a composite: written with ops that have rules, it needs none of its own -------


def _trapezoid(y: Array, x: Array | None = None, dx: Array = 1.0, axis: int = -1) -> Array:
    y = _array(y)
    before = (slice(None),) * (axis % y.ndim)
    left, right = (*before, slice(None, -1)), (*before, slice(1, None))
    if x is not None:
        x = _array(x)
        if x.ndim == 1:
            x = x.reshape([-1 if i == axis % y.ndim else 1 for i in range(y.ndim)])
        ahead = (slice(None),) * (axis % x.ndim)
        dx = x[(*ahead, slice(1, None))] - x[(*ahead, slice(None, -1))]
    return np.sum(dx * (y[left] + y[right]) / 2.0, axis=axis)


def _array(x: Any) -> Array:
    """A list or a number as an array; what is one already as it is."""
    return x if hasattr(x, "shape") else np.asarray(x)


register(np.trapezoid, composed=_trapezoid)
