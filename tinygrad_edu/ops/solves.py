"""Linear equations, least squares, Sylvester's equation. Stacks (..., n, n) work as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError, UnsupportedError
from tinygrad_edu.op import Array, Bound, op, register, wrt
from tinygrad_edu.ops.determinants import symmetric, transposed
from tinygrad_edu.ops.linalg import unstretched

# -- linear equations --------------------------------------------------------------------------

_TRANSPOSED = {0: False, "N": False, 1: True, "T": True, 2: True, "C": True}  # as SciPy names it


def _columns(x: Array, b: Array) -> Array:
    """`x`, as a matrix of one column if the right-hand side `b` is a vector."""
    return x[..., None] if b.ndim == 1 else x


def _like_right_side(share: Array, b: Array) -> Array:
    return unstretched(share[..., 0] if b.ndim == 1 else share, b.shape)


def _solve_b(g: Array, out: Array, a: Array, b: Array) -> Array:
    return _like_right_side(np.linalg.solve(transposed(a), _columns(g, b)), b)


def _solve_a(g: Array, out: Array, a: Array, b: Array) -> Array:
    """From A dx = db - dA x.

    Source: M. Giles, "An extended collection of matrix derivative results" (2008), 2.3.1.
    """
    share = np.linalg.solve(transposed(a), _columns(g, b))
    return unstretched(-(share @ transposed(_columns(out, b))), a.shape)


register(np.linalg.solve, wrt("a", _solve_a), wrt("b", _solve_b))


def _triangle_b(
    g: Array,
    out: Array,
    a: Array,
    b: Array,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    back = 0 if _TRANSPOSED[trans] else 1
    return _like_right_side(solve_triangular(a, _columns(g, b), back, lower, unit_diagonal), b)


def _triangle_a(
    g: Array,
    out: Array,
    a: Array,
    b: Array,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """As for `solve`, but nothing for the elements that are not read."""
    back = 0 if _TRANSPOSED[trans] else 1
    left = solve_triangular(a, _columns(g, b), back, lower, unit_diagonal)
    right = _columns(out, b)
    share = -(left @ transposed(right) if back else right @ transposed(left))
    share = np.tril(share, -unit_diagonal) if lower else np.triu(share, +unit_diagonal)
    return unstretched(share, a.shape)


@op(wrt("a", _triangle_a), wrt("b", _triangle_b))
def solve_triangular(
    a: Array, b: Array, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Array:
    """The x with `a @ x = b`, where only one triangle of `a` is read.

    The arguments are those of `scipy.linalg.solve_triangular`; stacks are welcome too.

    Args:
        a: (..., n, n), float.
        b: (n,) or (..., n, k), float.
        trans: 0 or "N" for a, 1 or "T" for its transpose.
        lower: read the lower triangle, not the upper one.
        unit_diagonal: take the diagonal to be 1, and do not read it.

    Returns:
        (..., n) if `b` is a vector, (..., n, k) otherwise.

    Raises:
        InputError: if the shapes do not fit, `trans` is unknown, or the triangle is singular.
    """
    if trans not in _TRANSPOSED:
        raise InputError(f"solve_triangular: expected trans 0, 1, 'N' or 'T', got {trans!r}")
    if np.ndim(a) < 2 or a.shape[-1] != a.shape[-2] or _columns(b, b).shape[-2:-1] != a.shape[-1:]:
        raise InputError(
            "solve_triangular: expected a (..., n, n) and b (n,) or (..., n, k), got "
            f"a {np.shape(a)} and b {np.shape(b)}"
        )
    if unit_diagonal:
        a = np.where(np.eye(a.shape[-1], dtype=bool), 1, a)
    if _TRANSPOSED[trans]:
        a, lower = transposed(a), not lower
    x = _columns(b, b)
    if lower:  # the same equations in reverse order
        x = _back_substituted(a[..., ::-1, ::-1], x[..., ::-1, :])[..., ::-1, :]
    else:
        x = _back_substituted(a, x)
    return x[..., 0] if b.ndim == 1 else x


def _back_substituted(a: Array, b: Array) -> Array:
    """By halves: most of the work is a matrix product, a fast one.

    NumPy's `solve`, which factors `a` first, finds nothing to do in a small upper triangle: no
    row is exchanged, and none changes.
    """
    n = a.shape[-1]
    if n <= 48:
        return np.linalg.solve(np.triu(a), b)
    top, bottom = slice(None, n // 2), slice(n // 2, None)
    below = _back_substituted(a[..., bottom, bottom], b[..., bottom, :])
    rest = b[..., top, :] - a[..., top, bottom] @ below
    above = _back_substituted(a[..., top, top], rest)
    return np.concatenate([above, below], axis=-2)


def _tensorsolve(a: Array, b: Array, axes: Any = None) -> Array:
    if axes is not None:
        order = list(range(np.ndim(a)))
        for axis in axes:
            order.remove(axis)
            order.insert(np.ndim(a), axis)
        a = np.transpose(a, order)
    shape = np.shape(a)[np.ndim(b) - np.ndim(a) :]
    n = math.prod(shape)
    if np.size(a) != n * n:
        raise InputError(
            "tensorsolve: expected prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim]), got "
            f"a {np.shape(a)} and b {np.shape(b)}"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (n, n)), np.ravel(b)), shape)


def _tensorinv(a: Array, ind: int = 2) -> Array:
    if ind <= 0:
        raise InputError(f"tensorinv: expected ind > 0, got {ind}")
    shape = np.shape(a)
    n = math.prod(shape[ind:])
    return np.reshape(np.linalg.inv(np.reshape(a, (n, -1))), shape[ind:] + shape[:ind])


register(np.linalg.tensorsolve, composed=_tensorsolve)
register(np.linalg.tensorinv, composed=_tensorinv)

# -- least squares -----------------------------------------------------------------------------


def _pinv_rule(g: Array, out: Array, a: Array, *, rcond: Any, hermitian: bool = False) -> Array:
    """From the derivative of P = A⁺, which has one where the rank does not change.

        dP = -P dA P + P Pᵀ dAᵀ (1 - A P) + (1 - P A) dAᵀ Pᵀ P.

    Source: G. Golub, V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least
    squares problems whose variables separate" (1973), theorem 4.3.
    """
    if hermitian:
        a = symmetric(a)
    back, g_back = transposed(out), transposed(g)
    left, right = g_back @ out @ back, back @ out @ g_back
    share = left - a @ (out @ left) + right - (right @ out) @ a - back @ g @ back
    return symmetric(share) if hermitian else share


def _pinv(a: Array, *, rcond: Any, hermitian: bool = False) -> Array:
    return np.linalg.pinv(symmetric(a) if hermitian else a, rcond, hermitian)


def _checked_pinv(a: Array, *, rcond: Any, hermitian: bool = False) -> Array:
    """What NumPy computes, unless a singular value that is not nearly 0 would be cut off.

    Then the rule would be wrong, by the ratio of the largest value left out to the smallest kept.
    """
    if a.size and np.any(np.greater(rcond, 10 * _rounding(a))):
        s = np.linalg.svdvals(symmetric(a) if hermitian else a)
        kept = s > np.asarray(rcond)[..., None] * s[..., :1]
        lost, least = np.where(kept, 0, s).max(axis=-1), np.where(kept, s, np.inf).min(axis=-1)
        if np.any(lost > float(np.finfo(a.dtype).eps) ** 0.5 * least):
            raise UnsupportedError(
                f"pinv: with this cutoff the singular value {np.max(lost):.3g} counts as 0, which "
                "it is not, and then no gradient rule holds; lower rcond, or truncate what "
                "np.linalg.svd returns"
            )
    return _pinv(a, rcond=rcond, hermitian=hermitian)


def _rounding(a: Array) -> float:
    """What NumPy takes for 0, relative to the largest singular value."""
    return max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)


def _bind_pinv(
    a: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue
) -> Bound:
    if rcond is None:
        rcond = 1e-15 if rtol is np._NoValue else _rounding(a) if rtol is None else rtol
    elif rtol is not np._NoValue:
        raise InputError("pinv: expected rcond or rtol, got both")
    return (a,), {"rcond": rcond, "hermitian": hermitian}


register(np.linalg.pinv, wrt("a", _pinv_rule), bind=_bind_pinv, forward=_checked_pinv, public=_pinv)


def _lstsq(a: Array, b: Array, rcond: float | None = None) -> Any:
    """By the pseudo-inverse, whose rule is right for every rank."""
    if np.ndim(a) != 2 or np.ndim(b) not in (1, 2) or np.shape(a)[0] != np.shape(b)[0]:
        raise InputError(
            f"lstsq: expected a (m, n) and b (m,) or (m, k), got {np.shape(a)} and {np.shape(b)}"
        )
    m, n = np.shape(a)
    if rcond is None or rcond < 0:
        rcond = _rounding(a) if rcond is None else float(np.finfo(a.dtype).eps)
    s = np.linalg.svdvals(a)
    kept = s > rcond * s[..., :1]
    x = np.linalg.pinv(a, rcond) @ b
    if m <= n or np.count_nonzero(kept) < n:  # as NumPy documents it
        residuals = np.zeros_like(s, shape=0)
    else:
        residuals = np.sum(np.square(_columns(b - a @ x, b)), axis=0)
    return x, residuals, np.sum(kept, dtype=np.int32), s


register(np.linalg.lstsq, composed=_lstsq)

# -- Sylvester's equation ----------------------------------------------------------------------


def scipy_linalg(name: str) -> Any:
    """SciPy's linear algebra, or how to get it."""
    try:
        from scipy import linalg  # an extra: the rest of the package does without SciPy
    except ImportError as error:
        raise ImportError(f"{name} needs SciPy: pip install 'tinygrad-edu[special]'") from error
    return linalg


def _sylvester_q(g: Array, out: Array, a: Array, b: Array, q: Array) -> Array:
    return unstretched(solve_sylvester(transposed(a), transposed(b), g), q.shape)


def _sylvester_a(g: Array, out: Array, a: Array, b: Array, q: Array) -> Array:
    share = solve_sylvester(transposed(a), transposed(b), g)
    return unstretched(-(share @ transposed(out)), a.shape)


def _sylvester_b(g: Array, out: Array, a: Array, b: Array, q: Array) -> Array:
    share = solve_sylvester(transposed(a), transposed(b), g)
    return unstretched(-(transposed(out) @ share), b.shape)


@op(wrt("a", _sylvester_a), wrt("b", _sylvester_b), wrt("q", _sylvester_q))
def solve_sylvester(a: Array, b: Array, q: Array) -> Array:
    """The x with `a @ x + x @ b = q`. Needs SciPy, the extra `special`.

    Args:
        a: (..., m, m), float.
        b: (..., n, n), float; no eigenvalue of `-b` may be one of `a`.
        q: (..., m, n), float.

    Returns:
        (..., m, n).

    Raises:
        InputError: if the shapes do not fit.
        ImportError: if SciPy is missing.

    Source of the rules: from A dX + dX B = dQ - dA X - X dB, by the adjoint of its left side.
    """
    solver = scipy_linalg("solve_sylvester").solve_sylvester
    return on_each_matrix(solver, "(m,m),(n,n),(m,n)->(m,n)", a, b, q)


def on_each_matrix(function: Any, signature: str, *arrays: Array) -> Array:
    """Apply a function of matrices to stacks of them, which broadcast; keep their dtype."""
    dtype = np.result_type(np.float32, *arrays)  # integers have float results
    return np.vectorize(function, otypes=[dtype], signature=signature)(*arrays)
