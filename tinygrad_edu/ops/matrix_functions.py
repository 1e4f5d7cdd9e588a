"""Functions of whole matrices: powers, exponential, square root; and norms."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_edu.domain import NONZERO
from tinygrad_edu.errors import DtypeError, InputError, UnsupportedError
from tinygrad_edu.op import Array, composite, op, register, wrt
from tinygrad_edu.ops.determinants import check_square, inverse, transposed
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import Axis, axes_last, restore_axes
from tinygrad_edu.ops.solves import on_each_matrix, scipy_linalg, solve_sylvester

# -- powers ------------------------------------------------------------------------------------


def _matrix_power(a: Array, n: Any) -> Array:
    check_square("matrix_power", a)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise DtypeError(f"matrix_power: expected an integer n, got {n!r}") from error
    if n == 0:
        return safe_multiply(a, 0) + np.eye(a.shape[-1], dtype=a.dtype)
    power, result = np.linalg.inv(a) if n < 0 else a, None
    n = abs(n)
    while True:
        if n & 1:
            result = power if result is None else np.matmul(result, power)
        n >>= 1
        if not n:
            return result
        power = np.matmul(power, power)


register(np.linalg.matrix_power, composed=_matrix_power)

# -- the exponential ---------------------------------------------------------------------------

_DEGREE = 13
_PADE = [
    math.factorial(2 * _DEGREE - k)
    / (math.factorial(k) * math.factorial(_DEGREE - k) * math.factorial(_DEGREE))
    for k in range(_DEGREE + 1)
]
_LARGEST = 4.74  # norm up to which the approximant, and its derivative, have no error beyond eps


def _expm(*x: Array) -> list[Array]:
    """`exp(a)` by scaling and squaring; for two arguments also its derivative along the second.

    Source: N. Higham, "Functions of Matrices" (2008), algorithm 10.20; A. Al-Mohy, N. Higham,
    "Computing the Fréchet derivative of the matrix exponential" (2009), 4, and table 6.1 for 4.74.
    """
    largest = float(np.abs(x[0]).sum(axis=-2).max(initial=0))
    squarings = max(0, math.ceil(math.log2(largest / _LARGEST))) if 0 < largest < math.inf else 0
    parts = [part / 2.0**squarings for part in x]
    one = np.eye(x[0].shape[-1], dtype=x[0].dtype)
    square = _times(parts, parts)
    powers = [[one, *(np.zeros_like(part) for part in parts[1:])], square]
    while len(powers) <= _DEGREE // 2:
        powers.append(_times(powers[-1], square))
    even, odd = (
        [sum(c * part for c, part in zip(_PADE[first::2], order, strict=True))
         for order in zip(*powers, strict=True)]
        for first in (0, 1)
    )  # fmt: skip
    odd = _times(parts, odd)
    bottom, top = ([e + sign * o for e, o in zip(even, odd, strict=True)] for sign in (-1, 1))
    out = [np.linalg.solve(bottom[0], top[0])]
    if len(x) > 1:  # from bottom @ out = top
        out.append(np.linalg.solve(bottom[0], top[1] - bottom[1] @ out[0]))
    for _ in range(squarings):
        out = _times(out, out)
    return out


def _times(x: list[Array], y: list[Array]) -> list[Array]:
    """A product, and if there are derivatives, the product rule."""
    if len(x) == 1:
        return [x[0] @ y[0]]
    return [x[0] @ y[0], x[0] @ y[1] + x[1] @ y[0]]


def _block(upper_left: Array, upper_right: Array) -> Array:
    """[[a, e], [0, a]]."""
    below = np.concatenate([np.zeros_like(upper_right), upper_left], axis=-1)
    return np.concatenate([np.concatenate([upper_left, upper_right], axis=-1), below], axis=-2)


def _frechet_a(g: Array, out: Array, a: Array, direction: Array) -> Array:
    """The slope is a corner of exp([[A, E], [0, A]]), and A occurs twice in there."""
    n = a.shape[-1]
    back = expm_frechet(transposed(_block(a, direction)), _block(np.zeros_like(g), g))
    return back[..., :n, :n] + back[..., n:, n:]


@op(
    wrt("a", _frechet_a),
    wrt("direction", lambda g, out, a, direction: expm_frechet(transposed(a), g)),
)
def expm_frechet(a: Array, direction: Array) -> Array:
    """The derivative of `expm` at `a` along a direction; linear in the direction.

    Args:
        a: (..., n, n), float.
        direction: the same shape.

    Returns:
        Shape and dtype of `a`.

    Raises:
        InputError: if `a` is not square, or the shapes differ.

    Source: N. Higham, "Functions of Matrices" (2008), eq. 3.16.
    """
    check_square("expm_frechet", a)
    if a.shape != direction.shape:
        raise InputError(
            f"expm_frechet: expected equal shapes, got a {a.shape} and direction {direction.shape}"
        )
    return _expm(a, direction)[1]


@op(wrt("a", lambda g, out, a: expm_frechet(transposed(a), g)))
def expm(a: Array) -> Array:
    """The matrix exponential, `1 + A + A²/2 + A³/6 + ...`; not the exponential of each element.

    Args:
        a: (..., n, n), float.

    Returns:
        Shape and dtype of `a`.

    Raises:
        InputError: if `a` is not square.
    """
    check_square("expm", a)
    return _expm(a)[0]


# -- the square root ---------------------------------------------------------------------------


def _sqrtm_rule(g: Array, out: Array, a: Array) -> Array:
    """From dX X + X dX = dA: the adjoint of the left side is `Xᵀ S + S Xᵀ = g`.

    Source: N. Higham, "Functions of Matrices" (2008), 6.1.
    """
    back = transposed(out)
    return solve_sylvester(back, back, g)


@op(wrt("a", _sqrtm_rule))
def sqrtm(a: Array) -> Array:
    """The principal square root: X with `X @ X = A`, no eigenvalue of it left of 0. Needs SciPy.

    Args:
        a: (..., n, n), float; no eigenvalue may be negative, and none 0 for a gradient.

    Returns:
        Shape and dtype of `a`.

    Raises:
        InputError: if `a` is not square.
        UnsupportedError: if the root is complex.
        ImportError: if SciPy, the extra `special`, is missing.
    """
    check_square("sqrtm", a)
    return on_each_matrix(_real_root, "(n,n)->(n,n)", a)


def _real_root(a: Array) -> Array:
    root = scipy_linalg("sqrtm").sqrtm(a)
    if np.iscomplexobj(root):
        if np.abs(root.imag).max() > 1e-10 * np.abs(root).max():
            raise UnsupportedError(
                "sqrtm: the square root is complex; only real ones are supported"
            )
        root = root.real
    return root


# -- orthogonalisation -------------------------------------------------------------------------


@composite
def newton_schulz(
    x: Array,
    steps: int = 5,
    eps: float = 1e-7,
    coefficients: tuple[float, ...] = (3.4445, -4.775, 2.0315),
) -> Array:
    """Nearly the orthogonal factor `U Vᵀ` of `x = U S Vᵀ`, by products alone (as in Muon).

    Each step is an odd polynomial of the singular values, `c₀ s + c₁ s³ + c₂ s⁵ + ...`, that
    drives them towards 1; the default coefficients, which are fast, leave them in about [0.7, 1.2].

    Args:
        x: (..., m, n), float.
        steps: how many.
        eps: added to the norm that `x` is divided by first.
        coefficients: of the polynomial.

    Returns:
        Shape and dtype of `x`.

    Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
    """
    tall = x.shape[-2] > x.shape[-1]
    x = transposed(x) if tall else x
    x = x / (np.linalg.norm(x, axis=(-2, -1), keepdims=True) + eps)
    for _ in range(steps):
        square = x @ transposed(x)
        term, total = x, coefficients[0] * x
        for c in coefficients[1:]:
            term = square @ term
            total = total + c * term
        x = total
    return transposed(x) if tall else x


# -- norms -------------------------------------------------------------------------------------


def _norm_rule(
    g: Array, out: Array, x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False
) -> Array:
    """Of each norm its own; 0 where x is 0, the sub-gradient of least norm, and ties share.

    `x / |x|` for the Euclidean norm, `sign(x) (|x| / out)^(p-1)` for another p.
    """
    if x.size == 0:
        return np.zeros_like(x)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes)
    g, out = (restore_axes(y, axes, x.shape, keepdims) for y in (g, out))
    if ord is None or ord in ("fro", "f") or (ord == 2 and len(axes) == 1):
        flat = out == 0
        return safe_multiply(np.where(flat, 0, g), x / np.where(flat, 1, out))
    if len(axes) == 2 and ord in (2, -2, "nuc"):
        return _spectral_norm_rule(g, x, ord, axes)
    if len(axes) == 2:  # the largest or smallest sum of a column or a row
        summed, compared = axes if ord in (1, -1) else axes[::-1]
        sums = np.sum(np.abs(x), axis=summed, keepdims=True)
        weight = _extreme_shares(sums, ord > 0, compared)
    elif ord in (math.inf, -math.inf):
        weight = _extreme_shares(np.abs(x), ord > 0, axes)
    elif ord == 0:
        weight = np.zeros_like(x)
    else:
        weight = np.ones_like(x) if ord == 1 else (np.abs(x) / out) ** (ord - 1)
    return safe_multiply(g, safe_multiply(np.sign(x), weight))


def _extreme_shares(x: Array, largest: bool, axis: Axis) -> Array:
    """1 at the largest (or smallest) element along the axes; equal ones share it."""
    ties = x == (np.max if largest else np.min)(x, axis=axis, keepdims=True)
    return ties / np.sum(ties, axis=axis, keepdims=True, dtype=x.dtype)


def _spectral_norm_rule(g: Array, x: Array, ord: Any, axes: tuple[int, ...]) -> Array:
    """A norm of the singular values: each counts by its sign, so that 0 has the sub-gradient 0."""
    u, s, vt = np.linalg.svd(np.moveaxis(x, axes, (-2, -1)), full_matrices=False)
    weight = np.sign(s)
    if ord != "nuc":
        weight = weight * _extreme_shares(s, ord > 0, -1)
    weight = weight * np.moveaxis(g, axes, (-2, -1))[..., 0]
    return np.moveaxis((u * weight[..., None, :]) @ vt, (-2, -1), axes)


register(np.linalg.norm, wrt("x", _norm_rule, NONZERO))


def _vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Array:
    if axis is not None:
        axis = normalize_axis_tuple(axis, np.ndim(x))
    out = np.linalg.norm(axes_last(x, axis), ord, -1)
    if not keepdims:
        return out
    return np.expand_dims(out, tuple(range(np.ndim(x))) if axis is None else axis)


register(np.linalg.vector_norm, composed=_vector_norm)
register(
    np.linalg.matrix_norm,
    composed=lambda x, /, *, keepdims=False, ord="fro": np.linalg.norm(x, ord, (-2, -1), keepdims),
)

# -- condition and rank ------------------------------------------------------------------------


@np.errstate(all="ignore")
def _cond(x: Array, p: Any = None) -> Array:
    if not np.size(x):
        raise InputError("cond: is not defined for empty arrays")
    if p is None or p in (2, -2):
        s = np.linalg.svdvals(x)
        largest, smallest = s[..., 0], s[..., -1]
        ratio = smallest / largest if p == -2 else largest / smallest
    else:
        check_square("cond", x)
        sign, _ = np.linalg.slogdet(x)
        ratio = np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(inverse(x, sign), p, (-2, -1))
    given = np.any(np.isnan(x), axis=(-2, -1))
    return np.where(np.isnan(ratio) & ~given, np.inf, ratio)  # of a matrix of zeros


register(np.linalg.cond, composed=_cond)
register(np.linalg.matrix_rank)
