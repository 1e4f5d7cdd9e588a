"""Matrix decompositions: Cholesky, QR, eigenvalues, singular values.

Their factors are not unique: the signs of eigenvectors and singular vectors are LAPACK's choice,
and where two eigenvalues or singular values are equal, any rotation of their vectors would do. So

- losses should not depend on signs (then the gradient is that of the loss, whatever they are);
- gradients through values alone are right everywhere; through vectors they are NaN where values
  repeat, as no derivative exists there, unless turning the vectors leaves the loss as it is.

`cholesky`, `eigh`, `eigvalsh`, and `svd` and `pinv` with `hermitian=True`, are functions of a
symmetric matrix. Given a Tensor, they take the symmetric part (A + Aᵀ)/2 of it, so that the
gradient is symmetric, as in PyTorch and JAX. For a symmetric matrix that is what NumPy computes,
which of two mirror images reads only one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import UnsupportedError
from tinygrad_edu.op import Array, register, wrt
from tinygrad_edu.ops.determinants import symmetric, transposed
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.solves import solve_triangular


def _mirrored(x: Array) -> Array:
    """The symmetric matrix with the lower triangle of `x`."""
    return np.tril(x) + transposed(np.tril(x, -1))


# -- Cholesky ----------------------------------------------------------------------------------


def _cholesky_rule(g: Array, out: Array, a: Array, *, upper: bool = False) -> Array:
    """`L⁻ᵀ M L⁻¹ / 2`, where M has the lower triangle of `Lᵀ g`.

    Source: I. Murray, "Differentiation of the Cholesky decomposition" (2016), eq. 10.
    """
    lower, g = (transposed(out), transposed(g)) if upper else (out, g)
    middle = _mirrored(transposed(lower) @ g) / 2
    half = solve_triangular(lower, middle, trans=1, lower=True)
    return solve_triangular(lower, transposed(half), trans=1, lower=True)


register(
    np.linalg.cholesky,
    wrt("a", _cholesky_rule),
    # Dask, whose factor is the upper one, does not know the option, and so refuses.
    forward=lambda a, *, upper=False: np.linalg.cholesky(symmetric(a), upper=upper),
)

# -- QR ----------------------------------------------------------------------------------------


def _qr_rule(g: Any, out: Any, a: Array, mode: str = "reduced") -> Array:
    """From dA = dQ R + Q dR; the columns of a wide A beyond the square follow from `R = Qᵀ A`.

    Source: M. Seeger et al., "Auto-differentiating linear algebra" (2017), for LQ; D. Roberts,
    L. Roberts, "QR and LQ decomposition matrix backpropagation algorithms for square, wide, and
    deep matrices" (2020), 4, for wide A.
    """
    if mode == "r":
        out = np.linalg.qr(a)
        g = np.zeros_like(out[0]), g
    (g_q, g_r), (q, r) = g, out
    m, n = a.shape[-2:]
    if m < n:
        g_q = g_q + a[..., m:] @ transposed(g_r[..., m:])
    triangle = r[..., :m]
    middle = triangle @ transposed(g_r[..., :m]) - transposed(g_q) @ q
    left = g_q + q @ _mirrored(middle)
    share = transposed(solve_triangular(triangle, transposed(left)))
    return share if m >= n else np.concatenate([share, q @ g_r[..., m:]], axis=-1)


def _qr(a: Array, mode: Any = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise UnsupportedError(
            f"qr: mode={mode!r} has no gradient rule; supported: 'reduced', 'r', and 'complete' "
            "for matrices that are not tall"
        )
    if mode == "complete" and a.shape[-2] > a.shape[-1]:
        raise UnsupportedError(
            f"qr: mode='complete' of a tall matrix, shape {a.shape}, has no gradient rule: the "
            "columns that complete Q are any basis of what A leaves out; use mode='reduced'"
        )
    return np.linalg.qr(a, mode)


register(np.linalg.qr, wrt("a", _qr_rule), forward=_qr)

# -- eigenvalues of symmetric matrices ---------------------------------------------------------


def _off_diagonal_reciprocal(x: Array) -> Array:
    """`1 / x`, and 0 on the diagonal."""
    same = np.eye(x.shape[-1], dtype=bool)
    return np.where(same, 0, 1 / np.where(same, 1, x))


def _eigh_rule(
    g: tuple[Array, Array], out: tuple[Array, Array], a: Array, UPLO: str = "L"
) -> Array:
    """`V (diag(g_w) + F ∘ Vᵀ g_V) Vᵀ`, symmetric, with F_ij = 1 / (w_j - w_i).

    Source: M. Giles, "An extended collection of matrix derivative results" (2008), 3.1.
    """
    (g_w, g_v), (w, v) = g, out
    turn = transposed(v) @ g_v
    gaps = w[..., None, :] - w[..., :, None]
    middle = safe_multiply((turn - transposed(turn)) / 2, _off_diagonal_reciprocal(gaps))
    return (v @ middle + v * g_w[..., None, :]) @ transposed(v)


def _eigvalsh_rule(g: Array, out: Array, a: Array, UPLO: str = "L") -> Array:
    """From dw_i = v_iᵀ dA v_i."""
    _, v = np.linalg.eigh(symmetric(a))
    return (v * g[..., None, :]) @ transposed(v)


register(
    np.linalg.eigh,
    wrt("a", _eigh_rule),
    forward=lambda a, UPLO="L": np.linalg.eigh(symmetric(a), UPLO),
)
register(
    np.linalg.eigvalsh,
    wrt("a", _eigvalsh_rule),
    forward=lambda a, UPLO="L": np.linalg.eigvalsh(symmetric(a), UPLO),
)

# -- singular values ---------------------------------------------------------------------------


def _svd_rule(
    g: Any,
    out: Any,
    a: Array,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
) -> Array:
    """`U (diag(g_s) + M) Vᵀ`, and what lies outside of the spaces that U and V span.

    With the antisymmetric X = (Uᵀ g_U - g_Uᵀ U) / 2 and Y = (Vᵀ g_V - g_Vᵀ V) / 2,

        M_ij = (X + Y)_ij / (s_j - s_i) + (X - Y)_ij / (s_j + s_i).

    Source: J. Townsend, "Differentiating the singular value decomposition" (2016), eq. 26 to 31,
    where 2 s_j / (s_j² - s_i²) is the sum, 2 s_i / (s_j² - s_i²) the difference of two fractions.
    """
    if not compute_uv:
        u, _, vt = np.linalg.svd(symmetric(a) if hermitian else a, False, hermitian=hermitian)
        return (u * g[..., None, :]) @ vt
    (g_u, g_s, g_vt), (u, s, vt) = g, out
    v, g_v = transposed(vt), transposed(g_vt)
    if hermitian:  # u holds the eigenvectors; v = u · sign, and s = w · sign
        sign = np.sign(np.sum(u * v, axis=-2))
        g_w, g_u = g_s * sign, g_u + g_v * sign[..., None, :]
        return _eigh_rule((g_w, g_u), (s * sign, u), a)
    in_u, in_v = transposed(u) @ g_u, transposed(v) @ g_v
    x, y = (in_u - transposed(in_u)) / 2, (in_v - transposed(in_v)) / 2
    row, column = s[..., None, :], s[..., :, None]
    middle = safe_multiply(x + y, _off_diagonal_reciprocal(row - column))
    middle = middle + safe_multiply(x - y, _off_diagonal_reciprocal(row + column))
    share = (u @ middle + u * g_s[..., None, :]) @ vt
    m, n = a.shape[-2:]
    if m > n:
        share = share + safe_multiply(g_u - u @ in_u, 1 / row) @ vt
    if m < n:
        share = share + u @ transposed(safe_multiply(g_v - v @ in_v, 1 / row))
    return share


def _svd(
    a: Array, full_matrices: bool = True, compute_uv: Any = True, hermitian: bool = False
) -> Any:
    m, n = a.shape[-2:]
    if full_matrices and compute_uv and m != n:
        raise UnsupportedError(
            f"svd: full_matrices=True, which is NumPy's default, has no gradient rule for a matrix "
            f"that is not square, shape {a.shape}: the vectors beyond the first {min(m, n)} are "
            "any basis of what is left; use full_matrices=False, or np.linalg.svdvals"
        )
    a = symmetric(a) if hermitian else a
    return np.linalg.svd(a, full_matrices, compute_uv, hermitian)


register(np.linalg.svd, wrt("a", _svd_rule), forward=_svd)
register(np.linalg.svdvals, composed=lambda x, /: np.linalg.svd(x, compute_uv=False))
