"""Sums of products: `matmul` and its relatives, `tensordot`, and the layers `linear`, `bilinear`.

All are linear in each argument, so each rule is again a sum of products: of `g` and the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_edu.backward import sum_to_shape
from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, composite, op, register, wrt

_ndarray = np.ndarray  # looked up once: this is hot

# -- matmul ------------------------------------------------------------------------------------


def _product(x: Array, y: Array) -> Array:
    """`x @ y` for two matrices; NumPy's `dot` takes half the time for small ones."""
    return x.dot(y) if type(x) is _ndarray and type(y) is _ndarray else x @ y


def _rows(x: Array) -> Array:
    """All vectors along the last axis as the rows of one matrix."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def unstretched(share: Array, shape: tuple[int, ...]) -> Array:
    """Undo the broadcasting of stacks of matrices."""
    return share if share.shape == shape else sum_to_shape(share, shape)


def _matmul_left(g: Array, out: Array, x: Array, y: Array) -> Array:
    """Cotangent of `x` in `x @ y`; for two matrices `g @ y.T`."""
    if y.ndim == 2:
        return _product(g, y.T) if x.ndim == 2 else g @ y.T
    if y.ndim == 1:
        return g.reshape((*g.shape, 1)) * y
    if x.ndim == 1:  # a row: (1, n) @ (..., n, m)
        g = np.expand_dims(g, -2)
    return unstretched(g @ np.swapaxes(y, -1, -2), x.shape)


def _matmul_right(g: Array, out: Array, x: Array, y: Array) -> Array:
    """Cotangent of `y` in `x @ y`; for two matrices `x.T @ g`."""
    if x.ndim == 2 and y.ndim == 2:
        return _product(x.T, g)
    if x.ndim == 1:
        return g * x if y.ndim == 1 else x.reshape((-1, 1)) * np.expand_dims(g, -2)
    if y.ndim == 1:
        return _rows(x).T @ g.reshape((-1,))
    if y.ndim == 2:  # one product of long matrices, not a sum over a stack of products
        return _rows(x).T @ _rows(g)
    return unstretched(np.swapaxes(x, -1, -2) @ g, y.shape)


def _matmul(x: Array, y: Array) -> Array:
    """What `np.matmul` computes; see `_product` for why."""
    if type(x) is _ndarray and type(y) is _ndarray and x.ndim == y.ndim == 2:
        return x.dot(y)
    return np.matmul(x, y)


register(np.matmul, wrt("x", _matmul_left), wrt("y", _matmul_right), forward=_matmul)
register(np.linalg.matmul, composed=lambda x1, x2, /: np.matmul(x1, x2))

# -- its relatives -----------------------------------------------------------------------------


def _dot(a: Array, b: Array, out: Any = None) -> Array:
    refuse_out("dot", out)
    if not (np.ndim(a) and np.ndim(b)):
        return np.multiply(a, b)
    if (np.ndim(a) > 2 and np.ndim(b) > 1) or np.ndim(b) > 2:
        return np.tensordot(a, b, axes=(-1, -2))
    return np.matmul(a, b)


def _inner(a: Array, b: Array, /) -> Array:
    if not (np.ndim(a) and np.ndim(b)):
        return np.multiply(a, b)
    return np.tensordot(a, b, axes=(-1, -1))


def _outer(a: Array, b: Array, out: Any = None) -> Array:
    refuse_out("outer", out)
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


def _linalg_outer(x1: Array, x2: Array, /) -> Array:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise InputError(
            f"linalg.outer: expected two vectors, got shapes {np.shape(x1)} and {np.shape(x2)}"
        )
    return _outer(x1, x2)


def _vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    shapes = np.shape(x1), np.shape(x2)
    for shape in shapes:
        normalize_axis_index(axis, len(shape))
    if shapes[0][axis] != shapes[1][axis]:
        raise InputError(
            f"vecdot: expected equal lengths along axis {axis}, got shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    if axis != -1:
        x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    return np.sum(np.multiply(x1, x2), axis=-1)


def _matvec(x1: Array, x2: Array, /) -> Array:
    normalize_axis_index(-2, np.ndim(x1))
    return np.matmul(x1, np.expand_dims(x2, -1))[..., 0]


def _vecmat(x1: Array, x2: Array, /) -> Array:
    normalize_axis_index(-2, np.ndim(x2))
    return np.matmul(np.expand_dims(x1, -2), x2)[..., 0, :]


def _kron(a: Array, b: Array) -> Array:
    ndim = max(np.ndim(a), np.ndim(b))
    first, second = ((1,) * (ndim - np.ndim(x)) + np.shape(x) for x in (a, b))
    a = np.reshape(a, [n for size in first for n in (size, 1)])
    b = np.reshape(b, [n for size in second for n in (1, size)])
    return np.reshape(np.multiply(a, b), [m * n for m, n in zip(first, second, strict=True)])


def refuse_out(function: str, out: Any) -> None:
    """Writing into an existing array would drop the graph.

    Raises:
        UnsupportedError: if `out` is given.
    """
    if out is not None:
        raise UnsupportedError(f"{function}: option 'out' has no gradient rule; use the result")


register(np.dot, composed=_dot)
register(np.inner, composed=_inner)
register(np.vdot, composed=lambda a, b, /: np.matmul(np.ravel(a), np.ravel(b)))
register(np.outer, composed=_outer)
register(np.kron, composed=_kron)
register(np.vecdot, composed=_vecdot)
register(np.linalg.vecdot, composed=_vecdot)
register(np.linalg.outer, composed=_linalg_outer)
if hasattr(np, "matvec"):  # NumPy 2.2
    register(np.matvec, composed=_matvec)
    register(np.vecmat, composed=_vecmat)

# -- several matrices --------------------------------------------------------------------------


def _multi_dot(arrays: Sequence[Array], *, out: Any = None) -> Array:
    """A vector in front counts as a row, one at the end as a column, as in `matmul`."""
    refuse_out("multi_dot", out)
    if len(arrays) < 2:
        raise InputError(f"multi_dot: expected two arrays or more, got {len(arrays)}")
    ndims = [np.ndim(a) for a in arrays]
    if not {ndims[0], ndims[-1]} <= {1, 2} or set(ndims[1:-1]) - {2}:
        shapes = ", ".join(str(np.shape(a)) for a in arrays)
        raise InputError(
            "multi_dot: expected matrices, or vectors at the ends, got shapes " + shapes
        )
    first, last = np.shape(arrays[0]), np.shape(arrays[-1])
    sizes = [first[0] if len(first) == 2 else 1, *(np.shape(a)[0] for a in arrays[1:])]
    split = _cheapest_splits([*sizes, last[1] if len(last) == 2 else 1])

    def product(i: int, j: int) -> Array:
        if i == j:
            return arrays[i]
        k = split[i, j]
        return np.matmul(product(i, k), product(k + 1, j))

    return product(0, len(arrays) - 1)


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of matrices i to j in two; matrix i is (sizes[i], sizes[i + 1]).

    Source: T. Cormen et al., "Introduction to Algorithms", 15.2, matrix-chain multiplication.
    """
    count = len(sizes) - 1
    cost, split = {(i, i): 0 for i in range(count)}, {}
    for i in reversed(range(count)):
        for j in range(i + 1, count):
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


register(np.linalg.multi_dot, composed=_multi_dot)


@composite
def block_diag(*arrays: Array) -> Array:
    """A matrix with the given ones along its diagonal, and zeros elsewhere.

    Args:
        *arrays: (m, n) each, (n,) for a row, or a number.

    Returns:
        (sum of all m, sum of all n); the dtype that all of them have in common.

    Raises:
        InputError: if an array has more than two axes.
    """
    if not arrays:
        return np.zeros((1, 0))
    shapes = [np.shape(a) for a in arrays]
    if max(map(len, shapes)) > 2:
        raise InputError(f"block_diag: expected arrays of at most two axes, got shapes {shapes}")
    blocks = [
        np.reshape(a, (1,) * (2 - len(shape)) + shape)
        for a, shape in zip(arrays, shapes, strict=True)
    ]
    width, left, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        m, n = block.shape
        before, after = (np.zeros_like(block, shape=(m, size)) for size in (left, width - left - n))
        rows.append(np.concatenate([before, block, after], axis=1))
        left += n
    return np.concatenate(rows)


# -- tensordot ---------------------------------------------------------------------------------


def _contracted(a: Array, b: Array, axes: Any) -> tuple[list[int], list[int]]:
    """Which axes of `a` and `b` are multiplied and summed, pairwise."""
    if np.ndim(axes) == 0:
        return list(range(a.ndim - axes, a.ndim)), list(range(axes))
    first, second = ([axis] if np.ndim(axis) == 0 else axis for axis in axes)
    return [int(i) % a.ndim for i in first], [int(i) % b.ndim for i in second]


def _free(x: Array, contracted: list[int]) -> list[int]:
    return [axis for axis in range(x.ndim) if axis not in contracted]


def _tensordot_left(g: Array, out: Array, a: Array, b: Array, axes: Any = 2) -> Array:
    of_a, of_b = _contracted(a, b, axes)
    free = _free(b, of_b)
    share = np.tensordot(g, b, axes=(list(range(g.ndim - len(free), g.ndim)), free))
    # Its axes: the free ones of a, then the contracted ones in the order that b has them.
    order = _free(a, of_a) + [i for _, i in sorted(zip(of_b, of_a, strict=True))]
    return np.transpose(share, [order.index(axis) for axis in range(a.ndim)])


def _tensordot_right(g: Array, out: Array, a: Array, b: Array, axes: Any = 2) -> Array:
    of_a, of_b = _contracted(a, b, axes)
    free = _free(a, of_a)
    share = np.tensordot(a, g, axes=(free, list(range(len(free)))))
    order = [i for _, i in sorted(zip(of_a, of_b, strict=True))] + _free(b, of_b)
    return np.transpose(share, [order.index(axis) for axis in range(b.ndim)])


def _bind_tensordot(a: Array, b: Array, axes: Any = 2) -> Bound:
    a, b = (x if hasattr(x, "shape") else np.asarray(x) for x in (a, b))
    if np.ndim(axes):
        axes = [_from_the_front(part, x.ndim) for part, x in zip(axes, (a, b), strict=True)]
    return (a, b), {"axes": axes}


def _from_the_front(axes: Any, ndim: int) -> list[int]:
    """Without negative numbers, with which Dask's `tensordot` computes something else."""
    axes = [axes] if np.ndim(axes) == 0 else axes
    return [int(axis) + ndim * (axis < 0) for axis in axes]


register(
    np.tensordot,
    wrt("a", _tensordot_left),
    wrt("b", _tensordot_right),
    bind=_bind_tensordot,
)
register(np.linalg.tensordot, composed=lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))

# -- the layers --------------------------------------------------------------------------------


def _linear_x(
    g: Array, out: Array, x: Array, W: Array, b: Array, *, transposed: bool = False
) -> Array:
    back = W if transposed else W.T
    return _product(g, back) if g.ndim == 2 else (_rows(g) @ back).reshape(x.shape)


def _linear_W(
    g: Array, out: Array, x: Array, W: Array, b: Array, *, transposed: bool = False
) -> Array:
    if x.ndim != 2:
        x, g = _rows(x), _rows(g)
    return _product(g.T, x) if transposed else _product(x.T, g)


def _linear_b(
    g: Array, out: Array, x: Array, W: Array, b: Array, *, transposed: bool = False
) -> Array:
    return g.sum(axis=0) if g.ndim == 2 else _rows(g).sum(axis=0)


@op(wrt("x", _linear_x), wrt("W", _linear_W), wrt("b", _linear_b))
def linear(x: Array, W: Array, b: Array = None, *, transposed: bool = False) -> Array:
    """`x @ W + b`: a fully connected layer.

    Args:
        x: (..., n_in), float.
        W: (n_in, n_out); if transposed (n_out, n_in).
        b: (n_out,), or None.
        transposed: compute `x @ W.T + b`, as `torch.nn.functional.linear` does; layers keep such
            weights.

    Returns:
        (..., n_out).

    Raises:
        InputError: if the shapes do not fit.
    """
    M = W.T if transposed and W.ndim == 2 else W
    if not (x.ndim and W.ndim == 2 and x.shape[-1] == M.shape[0]):
        expected = "(n_out, n_in)" if transposed else "(n_in, n_out)"
        other = x.ndim and W.ndim == 2 and x.shape[-1] == M.shape[1]
        raise InputError(
            f"linear: expected x (..., n_in) and W {expected}, got x {x.shape} and W {W.shape}"
            + (f", which fits with transposed={not transposed}" if other else "")
        )
    if b is not None and getattr(b, "shape", None) != M.shape[1:]:
        raise InputError(
            f"linear: expected b (n_out,) = {M.shape[1:]} for W {W.shape}, "
            f"got {getattr(b, 'shape', b)}"
        )
    # Of a stack NumPy would make one product for each of its matrices.
    out = _product(x, M) if x.ndim < 3 else (_rows(x) @ M).reshape((*x.shape[:-1], M.shape[1]))
    if b is None:
        return out
    if type(out) is _ndarray and type(b) is _ndarray and b.dtype is out.dtype:
        out += b
        return out
    return out + b


@composite
def bilinear(x1: Array, x2: Array, W: Array, b: Array = None) -> Array:
    """`x1ᵀ W_k x2 + b_k` for each k: a form that is linear in either argument.

    Args:
        x1: (..., n1), float.
        x2: (..., n2), with the same leading axes.
        W: (n_out, n1, n2).
        b: (n_out,), or None.

    Returns:
        (..., n_out).

    Raises:
        InputError: if the shapes do not fit.
    """
    shapes = np.shape(x1), np.shape(x2), np.shape(W)
    if len(shapes[2]) != 3 or (shapes[0][-1:] + shapes[1][-1:]) != shapes[2][1:]:
        raise InputError(
            "bilinear: expected x1 (..., n1), x2 (..., n2) and W (n_out, n1, n2), got "
            "x1 {}, x2 {} and W {}".format(*shapes)
        )
    if b is not None and np.shape(b) != shapes[2][:1]:
        raise InputError(f"bilinear: expected b {shapes[2][:1]}, got {np.shape(b)}")
    rows = np.tensordot(x1, W, axes=(-1, 1))  # (..., n_out, n2)
    y = np.sum(rows * np.expand_dims(x2, -2), axis=-1)
    return y if b is None else y + b
