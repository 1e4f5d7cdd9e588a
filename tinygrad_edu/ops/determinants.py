"""Inverses and determinants.

Where A is singular there is no inverse, and NumPy says so; but the determinant is a polynomial,
and its gradients are right there too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, op, register, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import products_of_others


def transposed(x: Array) -> Array:
    """Each matrix of a stack transposed."""
    return np.swapaxes(x, -1, -2)


def symmetric(a: Array) -> Array:
    """The symmetric part: of a symmetric matrix exactly the matrix itself."""
    return (a + transposed(a)) / 2


def per_matrix(x: Array) -> Array:
    """One number per matrix of a stack, in a shape that broadcasts with the matrices."""
    return x.reshape((*x.shape, 1, 1))


# -- the inverse -------------------------------------------------------------------------------


def _inv_rule(g: Array, out: Array, a: Array) -> Array:
    """From d(A⁻¹) = -A⁻¹ dA A⁻¹.

    Source: M. Giles, "An extended collection of matrix derivative results" (2008), 2.2.3.
    """
    back = transposed(out)
    return -(back @ g @ back)


register(np.linalg.inv, wrt("a", _inv_rule))


def inverse(a: Array, sign: Array) -> Array:
    """A⁻¹, and infinity where the determinant's sign is 0: there NumPy would raise.

    For rules and their like: what a `where` did not select must not stop the whole pass.
    """
    singular = per_matrix(sign == 0)
    regular = np.where(singular, np.eye(a.shape[-1], dtype=a.dtype), a)
    return np.where(singular, np.inf, np.linalg.inv(regular))


# -- determinants ------------------------------------------------------------------------------


def _cofactor_rule(g: Array, out: Array, a: Array, direction: Array) -> Array:
    """The second derivative of det is symmetric; the third needs an inverse, X.

    D³det(A)[E, F] / det A = ((tr XE)(tr XF) - tr XEXF) Xᵀ
                             - (tr XF · XEX + tr XE · XFX - XEXFX - XFXEX)ᵀ
    """
    if direction is None:
        return cofactor(a, g)
    x = np.linalg.inv(a)
    first, second = x @ g, x @ direction
    trace1, trace2 = (per_matrix(np.linalg.trace(y)) for y in (first, second))
    both = first @ second
    inner = trace2 * first + trace1 * second - both - second @ first
    factor = trace1 * trace2 - per_matrix(np.linalg.trace(both))
    return per_matrix(np.linalg.det(a)) * transposed(factor * x - inner @ x)


@op(wrt("a", _cofactor_rule), wrt("direction", lambda g, out, a, direction: cofactor(a, g)))
def cofactor(a: Array, direction: Array = None) -> Array:
    """The gradient of det(A): each element's signed minor; det(A) A⁻ᵀ where that exists.

    Minors are polynomials, so they need no inverse; but with one it is several times as fast, and
    as good where A is far from singular. (The third derivative of det is for A with an inverse.)

    Args:
        a: (..., n, n), float.
        direction: the same shape; then the result is the derivative of the cofactors along it.

    Returns:
        Shape and dtype of `a`.

    Raises:
        InputError: if `a` is not square.

    Source: between the singular vectors of A, diag(s) has the cofactors Π_{k ≠ i} s_k on its
    diagonal. With E_ij = Π_{k ≠ i, j} s_k those of diag(s) + B change, to first order in B, by
    Σ_k E_ik B_kk on the diagonal, and by -E_ij B_ji elsewhere.
    """
    check_square("cofactor", a)
    if direction is None:
        with np.errstate(all="ignore"):
            sign, _ = np.linalg.slogdet(a)
            back = transposed(inverse(a, sign))
            close = _size(a) * _size(back) > float(np.finfo(a.dtype).eps) ** (-1 / 3)
            if not np.any(close | (sign == 0)):
                return per_matrix(np.linalg.det(a)) * back
    u, s, vt = np.linalg.svd(a)
    signed = u * per_matrix(np.linalg.det(u) * np.linalg.det(vt))
    if direction is None:
        return (signed * products_of_others(s)[..., None, :]) @ vt
    same = np.eye(a.shape[-1], dtype=bool)
    pairs = np.where(same, 0, products_of_others(np.where(same, 1, s[..., None, :])))
    turned = transposed(u) @ direction @ transposed(vt)
    diagonal = np.diagonal(turned, 0, -2, -1)[..., None, :] @ pairs
    return signed @ (np.where(same, diagonal, 0) - transposed(turned) * pairs) @ vt


def check_square(name: str, a: Array) -> None:
    """Refuse what is no square matrix, nor a stack of them.

    Raises:
        InputError: with the name of the function and the shape.
    """
    shape = np.shape(a)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise InputError(f"{name}: expected square matrices (..., n, n), got shape {shape}")


def _size(a: Array) -> Array:
    return np.linalg.norm(a, axis=(-2, -1))


register(
    np.linalg.det,
    wrt("a", lambda g, out, a: safe_multiply(per_matrix(g), cofactor(a))),
)


def _slogdet_rule(g: tuple[Array, Array], out: Any, a: Array) -> Array:
    """From d log|det A| = tr(A⁻¹ dA); the sign is constant. Infinite where A is singular.

    Source: M. Giles, "An extended collection of matrix derivative results" (2008), 2.2.4.
    """
    return safe_multiply(per_matrix(g[1]), transposed(inverse(a, out[0])))


register(np.linalg.slogdet, wrt("a", _slogdet_rule))
