"""Sums of products: `matmul` and its relatives, `tensordot`, `einsum`, and the layer `linear`.

All are linear in each argument, so each rule is again a sum of products: of `g` and the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from tinygrad_edu.backward import sum_to_shape
from tinygrad_edu.domain import NONZERO
from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.index import scatter_add
from tinygrad_edu.ops.reduce import Axis, restore_axes

_ndarray = np.ndarray  # looked up once: this is hot

# -- matmul ------------------------------------------------------------------------------------


def _product(x: Array, y: Array) -> Array:
    """`x @ y` for two matrices; NumPy's `dot` takes half the time for small ones."""
    return x.dot(y) if type(x) is _ndarray and type(y) is _ndarray else x @ y


def _rows(x: Array) -> Array:
    """All vectors along the last axis as the rows of one matrix."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _unstretched(share: Array, shape: tuple[int, ...]) -> Array:
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
    return _unstretched(g @ np.swapaxes(y, -1, -2), x.shape)


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
    return _unstretched(np.swapaxes(x, -1, -2) @ g, y.shape)


def _matmul(x: Array, y: Array) -> Array:
    """What `np.matmul` computes; see `_product` for why."""
    if type(x) is _ndarray and type(y) is _ndarray and x.ndim == y.ndim == 2:
        return x.dot(y)
    return np.matmul(x, y)


register(np.matmul, wrt("x", _matmul_left), wrt("y", _matmul_right), forward=_matmul)
register(np.linalg.matmul, composed=lambda x1, x2, /: np.matmul(x1, x2))

# -- its relatives -----------------------------------------------------------------------------


def _dot(a: Array, b: Array, out: Any = None) -> Array:
    _no_out("dot", out)
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
    _no_out("outer", out)
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


def _linalg_outer(x1: Array, x2: Array, /) -> Array:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise InputError(
            f"linalg.outer: expected two vectors, got shapes {np.shape(x1)} and {np.shape(x2)}"
        )
    return _outer(x1, x2)


def _vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    if np.ndim(x1) and np.ndim(x2) and np.shape(x1)[axis] != np.shape(x2)[axis]:
        raise InputError(
            f"vecdot: expected equal lengths along axis {axis}, got shapes {np.shape(x1)} and "
            f"{np.shape(x2)}"
        )
    if axis != -1:
        x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    return np.sum(np.multiply(x1, x2), axis=-1)


def _kron(a: Array, b: Array) -> Array:
    ndim = max(np.ndim(a), np.ndim(b))
    first, second = ((1,) * (ndim - np.ndim(x)) + np.shape(x) for x in (a, b))
    a = np.reshape(a, [n for size in first for n in (size, 1)])
    b = np.reshape(b, [n for size in second for n in (1, size)])
    return np.reshape(np.multiply(a, b), [m * n for m, n in zip(first, second, strict=True)])


def _no_out(function: str, out: Any) -> None:
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
    register(np.matvec, composed=lambda x1, x2, /: np.matmul(x1, np.expand_dims(x2, -1))[..., 0])
    register(np.vecmat, composed=lambda x1, x2, /: np.matmul(np.expand_dims(x1, -2), x2)[..., 0, :])

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
    return (a, b), {"axes": axes}


register(
    np.tensordot,
    wrt("a", _tensordot_left),
    wrt("b", _tensordot_right),
    bind=_bind_tensordot,
)
register(np.linalg.tensordot, composed=lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))

# -- einsum ------------------------------------------------------------------------------------


def _bind_einsum(*operands: Any, out: Any = None, optimize: Any = False, **options: Any) -> Bound:
    """Read a call of `einsum`, in its string form or as `einsum(x, [0, 1], y, [1, 2], [0, 2])`."""
    _no_out("einsum", out)
    if options:
        raise UnsupportedError(
            f"einsum: option {next(iter(options))!r} has no gradient rule; "
            "supported options: optimize"
        )
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], operands[1:]
    else:
        arrays, lists = operands[: len(operands) // 2 * 2 : 2], operands[1::2]
        subscripts = ",".join(map(_letters, lists))
        if len(operands) % 2:
            subscripts += "->" + _letters(operands[-1])
    arrays = tuple(x if hasattr(x, "shape") else np.asarray(x) for x in arrays)
    chosen = {} if optimize is False else {"optimize": optimize}
    return arrays, {"subscripts": subscripts, **chosen}


def _letters(axes: Sequence[Any]) -> str:
    """The numbers of einsum's list form as letters, in the order that NumPy gives them."""
    letters = ascii_uppercase + ascii_lowercase
    return "".join("..." if axis is ... else letters[axis] for axis in axes)


def _explicit(subscripts: str, operands: Sequence[Array]) -> tuple[list[str], str]:
    """A letter for every axis: the ellipses named, the result spelled out."""
    given, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    unnamed = [
        x.ndim - len(term.replace("...", "")) if "..." in term else 0
        for x, term in zip(operands, terms, strict=True)
    ]
    most = max(unnamed)
    spare = "".join(letter for letter in ascii_letters if letter not in subscripts)[:most]
    if not arrow:  # NumPy: the ellipsis, then what occurs once, in the order of the alphabet
        once = [letter for letter in given if letter.isalpha() and given.count(letter) == 1]
        result = "..." + "".join(sorted(once))
    named = [term.replace("...", spare[most - n :]) for n, term in zip(unnamed, terms, strict=True)]
    return named, result.replace("...", spare)


def _einsum_rule(
    g: Array,
    out: Array,
    *operands: Array,
    position: int,
    subscripts: str,
    optimize: Any = False,
) -> Array:
    """`g` takes the operand's place, the operand's letters that of the result.

    Source: S. Laue, M. Mitterreiter, J. Giesen, "Computing Higher Order Derivatives of Matrix and
    Tensor Expressions" (2018), theorem 8; letters that occur in one operand only (a sum over it),
    repeated letters (a diagonal) and stretched axes are treated separately.
    """
    terms, result = _explicit(subscripts, operands)
    x, term = operands[position], terms[position]
    others = [i for i in range(len(operands)) if i != position]
    letters = "".join(dict.fromkeys(term))
    known = "".join((result, *(terms[i] for i in others)))
    kept = "".join(letter for letter in letters if letter in known)
    given = ",".join([*(terms[i] for i in others), result])
    chosen: dict[str, Any] = {}
    if optimize is not False:  # a path, which fits one sum only, cannot be passed on
        chosen["optimize"] = optimize if isinstance(optimize, str) else True
    share = np.einsum(f"{given}->{kept}", *(operands[i] for i in others), g, **chosen)

    found = dict(zip(kept, share.shape, strict=True))
    sizes = dict(zip(term, x.shape, strict=True))
    if len(kept) < len(letters):  # what was summed up in x alone: each element counts the same
        share = share.reshape(tuple(found.get(letter, 1) for letter in letters))
    stretched = tuple(
        i for i, letter in enumerate(letters) if sizes[letter] == 1 < found.get(letter, 1)
    )
    if stretched:
        share = share.sum(axis=stretched, keepdims=True)
    once = tuple(sizes[letter] for letter in letters)
    if share.shape != once:
        share = np.broadcast_to(share, once)
    return share if letters == term else _on_diagonals(share, letters, term)


def _on_diagonals(share: Array, letters: str, term: str) -> Array:
    """Zeros with `share`, whose axes are `letters`, where the repeated letters of `term` agree."""
    axes = list(letters)
    for letter in letters:
        times = term.count(letter)
        if times == 1:
            continue
        axis = axes.index(letter)
        n = share.shape[axis]
        share = np.moveaxis(share, axis, -1)
        axes.append(axes.pop(axis))
        rest, step = share.shape[:-1], sum(n**i for i in range(times))
        share = scatter_add(share, (..., slice(None, None, step)), (*rest, n**times))
        share = share.reshape((*rest, *(n,) * times))
        axes += letter * (times - 1)
    order = []
    for letter in term:
        order.append(axes.index(letter))
        axes[order[-1]] = ""
    return np.transpose(share, order)


register(
    np.einsum,
    wrt("*operands", _einsum_rule),
    bind=_bind_einsum,
    forward=lambda *operands, subscripts, **options: np.einsum(subscripts, *operands, **options),
)

# -- the inverse -----------------------------------------------------------------------------------


def _inv_rule(g: Array, out: Array, a: Array) -> Array:
    """From d(A⁻¹) = -A⁻¹ dA A⁻¹.

    Source: M. Giles, "An extended collection of matrix derivative results" (2008), 2.2.3.
    """
    transposed = np.swapaxes(out, -1, -2)
    return -(transposed @ g @ transposed)


register(np.linalg.inv, wrt("a", _inv_rule))

# -- the Euclidean norm --------------------------------------------------------------------------


def _norm_rule(
    g: Array, out: Array, x: Array, *, axis: Axis = None, keepdims: bool = False
) -> Array:
    """`x / |x|`, and 0 at 0, the middle of all sub-gradients there."""
    length = restore_axes(out, axis, x.shape, keepdims)
    unit = np.where(length == 0, 0, x / np.where(length == 0, 1, length))
    return safe_multiply(restore_axes(g, axis, x.shape, keepdims), unit)


def _bind_norm(
    x: Array,
    ord: Any = None,
    axis: Axis = None,
    keepdims: bool = False,
) -> Bound:
    vector = isinstance(axis, int) or (axis is None and np.ndim(x) == 1)
    if not (ord is None or (ord == "fro" and not vector) or (ord == 2 and vector)):
        raise UnsupportedError(
            f"norm: ord={ord!r} has no gradient rule for this shape and axis; supported: None, "
            "'fro' for matrices, 2 for vectors"
        )
    return (x,), {"axis": axis, "keepdims": keepdims}


register(
    np.linalg.norm,
    wrt("x", _norm_rule, NONZERO),
    bind=_bind_norm,
    forward=lambda x, **options: np.linalg.norm(x, **options),
)

# -- the layer ---------------------------------------------------------------------------------


def _linear_x(g: Array, out: Array, x: Array, W: Array, b: Array) -> Array:
    return _product(g, W.T) if g.ndim == 2 else (_rows(g) @ W.T).reshape(x.shape)


def _linear_W(g: Array, out: Array, x: Array, W: Array, b: Array) -> Array:
    return _product(x.T, g) if x.ndim == 2 else _rows(x).T @ _rows(g)


def _linear_b(g: Array, out: Array, x: Array, W: Array, b: Array) -> Array:
    return g.sum(axis=0) if g.ndim == 2 else _rows(g).sum(axis=0)


@op(wrt("x", _linear_x), wrt("W", _linear_W), wrt("b", _linear_b))
def linear(x: Array, W: Array, b: Array = None) -> Array:
    """`x @ W + b`: a fully connected layer.

    Args:
        x: (..., n_in), float.
        W: (n_in, n_out).
        b: (n_out,), or None.

    Returns:
        (..., n_out).

    Raises:
        InputError: if the shapes do not fit.
    """
    plain = type(x) is _ndarray and type(W) is _ndarray and type(b) is _ndarray
    if plain and x.ndim == W.ndim == 2 and x.shape[1] == len(W) and b.shape == W.shape[1:]:
        out = x.dot(W)
        if b.dtype is not out.dtype:
            return out + b
        out += b
        return out
    if not (x.ndim and W.ndim == 2 and x.shape[-1] == W.shape[0]):
        raise InputError(
            f"linear: expected x (..., n_in) and W (n_in, n_out), got x {x.shape} and W {W.shape}"
        )
    if b is None:
        return x @ W
    if getattr(b, "shape", None) != W.shape[1:]:
        raise InputError(
            f"linear: expected b (n_out,) = {W.shape[1:]} for W {W.shape}, "
            f"got {getattr(b, 'shape', b)}"
        )
    return x @ W + b
