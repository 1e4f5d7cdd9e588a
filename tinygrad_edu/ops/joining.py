"""Many arrays become one, one becomes many: joining, splitting, repeating, inserting, grids."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_edu.errors import DtypeError, InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, op, register, wrt
from tinygrad_edu.ops.index import index_update, scatter_add, untracked

# -- joining ---------------------------------------------------------------------


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


def _block(arrays: Any) -> Array:
    """Join nested lists: the innermost along the last axis, and outwards from there."""
    depth = _depth(arrays)
    ndim = max(depth, *(len(np.shape(leaf)) for leaf in _leaves(arrays)))

    def joined(part: Any, level: int) -> Array:
        if level == 0:
            return np.reshape(part, (1,) * (ndim - len(np.shape(part))) + np.shape(part))
        return np.concatenate([joined(item, level - 1) for item in part], axis=-level)

    return joined(arrays, depth)


def _depth(arrays: Any) -> int:
    """How deep lists are nested, which must be the same everywhere."""
    if isinstance(arrays, tuple):
        raise DtypeError("block: expected lists of arrays, got a tuple")
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(item) for item in arrays}
    if len(depths) != 1:
        raise InputError(
            "block: expected lists that are nested equally deep, got "
            + (f"depths {sorted(depths)} side by side" if depths else "an empty list")
        )
    return depths.pop() + 1


def _leaves(arrays: Any) -> list[Array]:
    if not isinstance(arrays, list):
        return [arrays]
    return [leaf for item in arrays for leaf in _leaves(item)]


register(np.block, composed=_block)

# -- splitting ---------------------------------------------------------------------------------


def _split(x: Array, *, indices_or_sections: Any, axis: int = 0) -> list[Array]:
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
    return [x[(*before, slice(*part))] for part in pairwise([0, *cuts, length])]


def _array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    if not np.ndim(indices_or_sections):
        sections = operator.index(indices_or_sections)
        if sections < 1:
            raise InputError(f"array_split: expected one section or more, got {sections}")
        small, larger = divmod(ary.shape[axis], sections)
        sizes = [small + 1] * larger + [small] * (sections - larger)
        indices_or_sections = list(accumulate(sizes[:-1]))
    return np.split(ary, indices_or_sections, axis)


register(
    np.split,
    wrt(
        "ary",
        lambda g, out, ary, *, indices_or_sections, axis=0: np.concatenate(g, axis=axis),
    ),
    forward=_split,
)
register(np.array_split, composed=_array_split)


def _vsplit(ary: Array, indices_or_sections: Any) -> list[Array]:
    if np.ndim(ary) < 2:
        raise InputError(f"vsplit: expected two axes or more, got shape {np.shape(ary)}")
    return np.split(ary, indices_or_sections, 0)


register(np.vsplit, composed=_vsplit)
register(
    np.hsplit,
    composed=lambda ary, indices_or_sections: np.split(
        ary, indices_or_sections, 1 if ary.ndim > 1 else 0
    ),
)
register(np.dsplit, composed=lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2))


@composite
def chunk(x: Array, chunks: int, axis: int = 0) -> tuple[Array, ...]:
    """At most so many parts of one length, the last one may be shorter; as `torch.chunk`.

    `np.array_split` makes exactly as many parts as it is asked for, of almost equal lengths.

    Args:
        x: (..., n, ...), any dtype.
        chunks: how many parts, if n is large enough.
        axis: which axis to take apart.

    Raises:
        InputError: if `chunks` is not positive.
    """
    if chunks < 1:
        raise InputError(f"chunk: expected one chunk or more, got {chunks}")
    n = x.shape[axis]
    length = max(-(-n // chunks), 1)
    return tuple(np.split(x, range(length, n, length), axis))


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
    repeats = untracked("repeat", "repeats", repeats)
    if axis is None or not np.ndim(a):
        a, axis = np.ravel(a), axis or 0
    length = a.shape[axis]
    if np.size(repeats) != 1:
        return np.take(a, np.repeat(np.arange(length), repeats), axis=axis)
    axis %= a.ndim
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    times = int(np.reshape(repeats, ()))
    stretched = np.broadcast_to(np.expand_dims(a, axis + 1), (*before, length, times, *after))
    return np.reshape(stretched, (*before, length * times, *after))


def _tile(A: Array, reps: Any) -> Array:
    reps = untracked("tile", "reps", reps)
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

# -- inserting and deleting --------------------------------------------------------------------


def _insert(arr: Array, obj: Any, values: Array, axis: int | None = None) -> Array:
    """NumPy says where the new elements go; they and the old ones are put there."""
    obj = untracked("insert", "obj", obj)
    arr, values = (x if hasattr(x, "shape") else np.asarray(x) for x in (arr, values))
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = normalize_axis_index(axis, arr.ndim)
    n = arr.shape[axis]
    count = len(np.insert(np.zeros(n), obj, 0)) - n
    values = np.reshape(values, (1,) * (arr.ndim - values.ndim) + values.shape)
    if not isinstance(obj, slice) and not np.ndim(obj):
        values = np.moveaxis(values, 0, axis)
    if count == 1:
        count = values.shape[axis]
    before, after = arr.shape[:axis], arr.shape[axis + 1 :]
    values = np.broadcast_to(values, (*before, count, *after))
    order = np.insert(np.full(n, -1), obj, np.arange(count))
    new = order >= 0
    everywhere = (slice(None),) * axis
    spread = scatter_add(arr, (*everywhere, ~new), (*before, n + count, *after))
    return index_update(spread, (*everywhere, new), values[(*everywhere, order[new])])


def _delete(arr: Array, obj: Any, axis: int | None = None) -> Array:
    obj = untracked("delete", "obj", obj)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    keep = np.zeros(arr.shape[axis], bool)
    keep[np.delete(np.arange(len(keep)), obj)] = True
    return arr[(slice(None),) * (axis % arr.ndim) + (keep,)]


register(np.insert, composed=_insert)
register(np.delete, composed=_delete)

# -- grids -------------------------------------------------------------------------------------


def _meshgrid(
    *xi: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Array, ...]:
    if indexing not in ("xy", "ij"):
        raise InputError(f"meshgrid: expected indexing 'xy' or 'ij', got {indexing!r}")
    axes = list(range(len(xi)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    grids = [
        np.reshape(x, [-1 if i == axis else 1 for i in range(len(xi))])
        for x, axis in zip(xi, axes, strict=True)
    ]
    return tuple(grids) if sparse else tuple(np.broadcast_arrays(*grids))


register(np.meshgrid, composed=_meshgrid)
