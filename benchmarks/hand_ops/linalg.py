"""Products, and functions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

import tinygrad_edu as tg
from benchmarks.hand_ops.base import Case, Draw, N, call
from benchmarks.workloads import Array


def _t(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _mirror(x: Array) -> Array:
    """The symmetric matrix with this lower triangle."""
    return np.tril(x) + _t(np.tril(x, -1))


def _solve(g: Array, out: Array, a: Array, b: Array) -> Any:
    share = np.linalg.solve(_t(a), g)
    return -share @ _t(out), share


def _solve_triangular(g: Array, out: Array, a: Array, b: Array) -> Any:
    share = linalg.solve_triangular(a, g, trans=1, lower=True, check_finite=False)
    return np.tril(-share @ out.T), share


def _solve_sylvester(g: Array, out: Array, a: Array, b: Array, q: Array) -> Any:
    share = np.stack([linalg.solve_sylvester(x.T, y.T, z) for x, y, z in zip(a, b, g, strict=True)])
    return -share @ _t(out), -_t(out) @ share, share


def _pinv(g: Array, out: Array, a: Array) -> Array:
    back, g_back = _t(out), _t(g)
    left, right = g_back @ out @ back, back @ out @ g_back
    return left - a @ (out @ left) + right - (right @ out) @ a - back @ g @ back


def _cholesky(g: Array, out: Array, a: Array) -> Array:
    inverse = np.linalg.inv(out)
    return _t(inverse) @ (_mirror(_t(out) @ g) / 2) @ inverse


def _qr(g: Any, out: Any, a: Array) -> Array:
    (g_q, g_r), (q, r) = g, out
    middle = _mirror(r @ _t(g_r) - _t(g_q) @ q)
    return _t(np.linalg.solve(r, _t(g_q + q @ middle)))


def _gaps(s: Array) -> Array:
    """1 / (s_j - s_i), and 0 on the diagonal."""
    gaps = s[:, None, :] - s[:, :, None]
    gaps[:, np.arange(s.shape[1]), np.arange(s.shape[1])] = np.inf
    return np.reciprocal(gaps, out=gaps)


def _eigh(g: Any, out: Any, a: Array) -> Array:
    (g_w, g_v), (w, v) = g, out
    turn = _t(v) @ g_v
    middle = (turn - _t(turn)) * (_gaps(w) / 2)
    return (v @ middle + v * g_w[:, None, :]) @ _t(v)


def _eigvalsh(g: Array, out: Array, a: Array) -> Array:
    _, v = np.linalg.eigh(a)
    return (v * g[:, None, :]) @ _t(v)


def _svd(g: Any, out: Any, a: Array) -> Array:
    """Of tall matrices."""
    (g_u, g_s, g_vt), (u, s, vt) = g, out
    in_u, in_v = _t(u) @ g_u, vt @ _t(g_vt)
    x, y = (in_u - _t(in_u)) / 2, (in_v - _t(in_v)) / 2
    middle = (x + y) * _gaps(s) + (x - y) / (s[:, None, :] + s[:, :, None])
    return (u @ middle + u * g_s[:, None, :] + (g_u - u @ in_u) / s[:, None, :]) @ vt


def _svdvals(g: Array, out: Array, a: Array) -> Array:
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return (u * g[:, None, :]) @ vt


def _expm(g: Array, out: Array, a: Array) -> Array:
    slopes = [linalg.expm_frechet(x.T, e, compute_expm=False) for x, e in zip(a, g, strict=True)]
    return np.stack(slopes)


def _sqrtm(g: Array, out: Array, a: Array) -> Array:
    return np.stack([linalg.solve_sylvester(x.T, x.T, z) for x, z in zip(out, g, strict=True)])


def cases(n: int) -> list[Case]:
    M, k = N(n, n), n // 10
    stack, one = N(k, k, k), np.eye(k)
    regular = Draw((k, k, k), then=lambda a: a + k * one)
    definite = Draw((k, k, k), then=lambda a: a @ _t(a) + k * one)
    mirrored = Draw((k, k, k), then=lambda a: a + _t(a))
    triangle = Draw((n, n), -0.1, 0.1, then=lambda a: np.tril(a) + n * np.eye(n))
    small = (k // 20 + 1, k // 2, k // 2)  # for what takes a hundred times as long
    few = Draw(small, then=lambda a: a + 2 * k * np.eye(k // 2))

    def tensordot(g: Array, out: Array, a: Array, b: Array) -> Any:
        share_a = (g @ b.reshape(-1, n).T).reshape(n, k, 10).transpose(0, 2, 1)
        share_b = (a.reshape(n, -1).T @ g).reshape(10, k, n).transpose(1, 0, 2)
        return share_a, share_b

    def inverse(g: Array, out: Array, x: Array) -> Array:
        back = -_t(out)
        return back @ g @ -back

    return [
        call(np.matmul, lambda g, out, x, y: (g @ y.T, x.T @ g), M, M),
        call(np.matmul, lambda g, out, x, y: (g @ _t(y), _t(x) @ g),
             stack, stack, note="stacks"),
        call(tg.linear, lambda g, out, x, W, b: (g @ W.T, x.T @ g, g.sum(axis=0)), M, M, N(n)),
        call(np.tensordot, tensordot, N(n, 10, k), N(k, 10, n), axes=([1, 2], [1, 0])),
        call(np.einsum, lambda g, out, _, x, y: (g[:, None] * y, g[:, None] * x), "ij,ij->i", M, M),
        call(np.einsum, lambda g, out, _, x, y: (g @ y.T, x.T @ g), "ij,jk->ik", M, N(n, 10),
             note="as matmul"),
        call(np.convolve, lambda g, out, a, v: (np.correlate(g, v), np.correlate(g, a)),
             N(n * n), N(k)),
        call(np.correlate, lambda g, out, a, v: (np.convolve(g, v), np.correlate(a, g)),
             N(n * n), N(k)),
        call(np.linalg.inv, inverse, regular),
        call(np.linalg.det, lambda g, out, x: (g * out)[:, None, None] * _t(np.linalg.inv(x)),
             Draw((k, k, k), then=lambda a: a / 20 + one)),
        call(np.linalg.slogdet, lambda g, out, x: g[1][:, None, None] * _t(np.linalg.inv(x)),
             regular),
        call(np.linalg.solve, _solve, regular, stack),
        call(tg.solve_triangular, _solve_triangular, triangle, M, lower=True),
        call(np.linalg.pinv, _pinv, N(k, k, k // 2)),
        call(tg.solve_sylvester, _solve_sylvester, few, few, N(*small)),
        call(np.linalg.cholesky, _cholesky, definite),
        call(np.linalg.qr, _qr, regular),
        call(np.linalg.eigh, _eigh, mirrored),
        call(np.linalg.eigvalsh, _eigvalsh, mirrored),
        call(np.linalg.svd, _svd, N(k, k, k // 2), full_matrices=False),
        call(np.linalg.svd, _svdvals, stack, compute_uv=False, note="values"),
        call(tg.expm, _expm, Draw(small, -0.1, 0.1)),
        call(tg.sqrtm, _sqrtm, few),
    ]  # fmt: skip
