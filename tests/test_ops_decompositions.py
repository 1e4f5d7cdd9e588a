"""Linear algebra beyond products: determinants, solves, decompositions, matrix functions, norms.

The rules are compared with difference quotients in test_every_op.py; here are closed forms, and
the places where a careless rule fails: singular matrices, repeated values, zeros, ties.
"""

import math
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.ops.linalg import _cheapest_splits

LA = np.linalg
RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 4)) + 4 * np.eye(4)
B = RNG.normal(size=(4, 2))
G = RNG.normal(size=(4, 4))
S = A @ A.T / 4 + np.diag([1.0, 2.0, 3.0, 4.0])
TALL = RNG.normal(size=(5, 3))
INVERSE = LA.inv(A)
EYE = np.eye(3)
W = np.array([1.0, -2.0, 3.0])


def gradient(f: Any, *xs: Any) -> Any:
    """Of the sum of f, by every argument; alone if there is one."""
    found = tg.grad(lambda *xs: np.sum(f(*xs)), argnums=tuple(range(len(xs))))(*xs)
    return found[0] if len(xs) == 1 else found


def close(found: Any, expected: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(found, expected, rtol, atol=1e-11)


def product(u: Any, s: Any, vt: Any) -> Any:
    return (u * s[..., None, :]) @ vt


# -- closed forms ------------------------------------------------------------------------------

CLOSED: list[Any] = [
    ("inv", lambda x: G * LA.inv(x), A, -INVERSE.T @ G @ INVERSE.T),
    ("det", LA.det, A, LA.det(A) * INVERSE.T),
    ("slogdet", lambda x: LA.slogdet(x)[1], A, INVERSE.T),
    ("slogdet's sign", lambda x: LA.slogdet(x)[0], A, 0 * A),
    ("x · cofactors = n det", lambda x: x * tg.cofactor(x), A, 4 * LA.det(A) * INVERSE.T),
    ("trace of the inverse", lambda x: np.trace(LA.inv(x)), A, -(INVERSE @ INVERSE).T),
    ("solve", lambda x: LA.solve(x, B), A, -INVERSE.T @ np.ones((4, 2)) @ (INVERSE @ B).T),
    ("log det by Cholesky", lambda x: 2 * np.log(np.diagonal(LA.cholesky(x))), S, LA.inv(S)),
    ("log det by QR", lambda x: np.log(np.abs(np.diagonal(LA.qr(x)[1]))), A, INVERSE.T),
    ("log det by r", lambda x: np.log(np.abs(np.diagonal(LA.qr(x, "r")))), A, INVERSE.T),
    ("|R|² = |A|²", lambda x: LA.qr(x).R ** 2, TALL, 2 * TALL),
    ("|R|² = |A|², wide", lambda x: LA.qr(x, "complete").R ** 2, TALL.T, 2 * TALL.T),
    ("Q R = A", lambda x: G * np.matmul(*LA.qr(x)), A, G),
    ("Q R = A, wide", lambda x: TALL.T * np.matmul(*LA.qr(x)), 2 * TALL.T + 1, TALL.T),
    ("Σ w = trace", LA.eigvalsh, S, np.eye(4)),
    ("Σ w² = |A|²", lambda x: LA.eigh(x).eigenvalues ** 2, S, 2 * S),
    ("V w Vᵀ = A", lambda x: G * product(*LA.eigh(x)[::-1], LA.eigh(x)[1].T), S, (G + G.T) / 2),
    ("Σ s² = |A|²", lambda x: LA.svdvals(x) ** 2, TALL, 2 * TALL),
    ("Σ log s = log |det|", lambda x: np.log(LA.svd(x, compute_uv=False)), A, INVERSE.T),
    ("U s Vᵀ = A", lambda x: G * product(*LA.svd(x)), A, G),
    ("U s Vᵀ = A, tall", lambda x: TALL * product(*LA.svd(x, False)), 2 * TALL + 1, TALL),
    ("U s Vᵀ = A, wide", lambda x: TALL.T * product(*LA.svd(x, False)), 2 * TALL.T + 1, TALL.T),
    ("U s Vᵀ = A, symmetric", lambda x: G * product(*LA.svd(x, hermitian=True)), S, (G + G.T) / 2),
    ("pinv, tall", lambda x: LA.pinv(x) - LA.inv(x.T @ x) @ x.T, TALL, 0 * TALL),
    ("pinv, wide", lambda x: LA.pinv(x) - x.T @ LA.inv(x @ x.T), TALL.T, 0 * TALL.T),
    ("pinv, symmetric", lambda x: G * LA.pinv(x, hermitian=True), S,
     -LA.inv(S) @ ((G + G.T) / 2) @ LA.inv(S)),
    ("matrix_power 3", lambda x: np.trace(LA.matrix_power(x, 3)), A, 3 * (A @ A).T),
    ("matrix_power -1", lambda x: G * LA.matrix_power(x, -1), A, -INVERSE.T @ G @ INVERSE.T),
    ("matrix_power 0", lambda x: G * LA.matrix_power(x, 0), A, 0 * A),
    ("tensorinv", lambda x: G * LA.tensorinv(x, 1), A, -INVERSE.T @ G @ INVERSE.T),
    ("Frobenius", LA.norm, A, A / LA.norm(A)),
    ("nuclear", lambda x: LA.norm(x, "nuc"), S, np.eye(4)),
    ("cond", lambda x: LA.cond(x, 1) - LA.norm(x, 1) * LA.norm(LA.inv(x), 1), A, 0 * A),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "x", "expected"), [c[1:] for c in CLOSED], ids=[c[0] for c in CLOSED]
)
def test_gradients_in_closed_form(f: Any, x: Any, expected: Any) -> None:
    close(gradient(f, x), expected)


STACKED: list[Any] = [
    lambda x: LA.solve(x, B.astype(x.dtype)),
    lambda x: tg.solve_triangular(x, B.astype(x.dtype), lower=True),
    LA.inv, LA.det, lambda x: LA.slogdet(x)[1], LA.cholesky, LA.qr, LA.eigh,
    LA.eigvalsh, LA.svd, LA.svdvals, LA.pinv, lambda x: LA.matrix_power(x, -2), LA.cond,
    lambda x: LA.cond(x, "fro"), tg.cofactor, tg.expm, tg.newton_schulz, LA.matrix_norm,
    lambda x: LA.matrix_norm(x, ord="nuc"),
]  # fmt: skip


@pytest.mark.parametrize("f", STACKED)
def test_a_stack_is_treated_matrix_by_matrix(f: Any) -> None:
    def weighted(x: Any) -> Any:
        y = f(x)
        total = 0.0
        for part in y if isinstance(y, tuple) else (y,):
            shape = part.shape[x.ndim - 2 :]
            total += np.sum(part * np.cos(np.arange(math.prod(shape))).reshape(shape))
        return total

    stack = np.stack([S, S + np.diag([0.0, 3.0, 0.0, 1.0])])
    close(gradient(weighted, stack), [gradient(weighted, x) for x in stack])


# -- values ------------------------------------------------------------------------------------

VALUES: list[Any] = [
    lambda x: LA.lstsq(x[:, :2], x[:, 2]),
    lambda x: LA.lstsq(x[:, :2], x[:, 2:], rcond=1e-3),
    lambda x: LA.lstsq(x[:2], x[:2, 0]),
    lambda x: LA.lstsq(x[:, :2] * [1, 0], x[:, 2], rcond=-1),
    lambda x: LA.lstsq(x[:, :1], x[:, :0]),
    lambda x: LA.tensorsolve(np.reshape(x, (4, 2, 2)), x[0]),
    lambda x: LA.tensorsolve(np.reshape(x, (4, 2, 2)), np.reshape(x[0], (2, 2)), axes=(0,)),
    lambda x: LA.svd(x - 7 * np.eye(4), hermitian=True),
    lambda x: LA.svd(x - 7 * np.eye(4), compute_uv=False, hermitian=True),
    lambda x: LA.eigh(x, UPLO="u"),
    lambda x: LA.cholesky(x, upper=True),
    lambda x: LA.matrix_rank(x - x[0]),
    lambda x: LA.cond(0 * x, 2),
    lambda x: LA.cond(0 * x, -2),
    lambda x: LA.cond(0 * x, "fro"),
    lambda x: LA.cond(x - x[0], 1),
    lambda x: LA.multi_dot([x[0], x, x[:, :2], x[:2, 0]]),
    lambda x: LA.multi_dot([x[:, :1], x[:1], x, x, x[:, :1]]),
    lambda x: LA.multi_dot([x[0], x]),
]


@pytest.mark.parametrize("f", VALUES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_types_and_names_are_those_of_numpy(f: Any, dtype: Any) -> None:
    x = S.astype(dtype)
    expected, found = f(x), f(Tensor(x, requires_grad=True))
    assert type(found) is type(expected) or isinstance(found, Tensor)
    if not isinstance(found, tuple):
        expected, found = [expected], [found]
    for one, other in zip(expected, found, strict=True):
        assert (other.shape, other.dtype) == (np.shape(one), one.dtype)
        tolerance = 100 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(other.detach().numpy(), one, tolerance, tolerance)


@pytest.mark.parametrize("trans", [0, 1, "N", "T", "C"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
@pytest.mark.parametrize("n", [1, 5, 130])
def test_solve_triangular_reads_one_triangle(
    trans: Any, lower: Any, unit_diagonal: Any, n: int
) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n)) / n + 2 * np.eye(n)
    t = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        np.fill_diagonal(t, 1)
        np.fill_diagonal(a, np.nan)
    a[np.triu_indices(n, 1) if lower else np.tril_indices(n, -1)] = np.nan
    t = t.T if trans in (1, "T", "C") else t
    for b in (rng.normal(size=n), rng.normal(size=(n, 2)), rng.normal(size=(3, n, 1))):
        close(
            t @ tg.solve_triangular(a, b, trans, lower, unit_diagonal), np.broadcast_to(b, b.shape)
        )


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("lower", [False, True])
def test_solve_triangular_has_the_gradients_of_solve(trans: Any, lower: Any) -> None:
    def general(a: Any, b: Any) -> Any:
        a = np.tril(a) if lower else np.triu(a)
        return np.sin(LA.solve(a.T if trans else a, b))

    def special(a: Any, b: Any) -> Any:
        return np.sin(tg.solve_triangular(a, b, trans, lower))

    for b in (B, B[:, 0]):
        for one, other in zip(gradient(special, A, b), gradient(general, A, b), strict=True):
            close(one, other)


def test_solve_triangular_follows_scipy() -> None:
    scipy = pytest.importorskip("scipy.linalg")
    for options in ({}, {"lower": True}, {"trans": 1}, {"unit_diagonal": True}):
        expected = scipy.solve_triangular(A, B, **options)
        close(tg.solve_triangular(A, B, **options), expected)


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 4.7, 20.0, 60.0])
def test_expm_follows_scipy(size: float) -> None:
    scipy = pytest.importorskip("scipy.linalg")
    a = size * G / LA.norm(G, 1)
    close(tg.expm(a), scipy.expm(a))
    slope = scipy.expm_frechet(a, B @ B.T, compute_expm=False)
    close(tg.expm_frechet(a, B @ B.T), slope)
    close(tg.expm_frechet(a, 1e9 * B @ B.T), 1e9 * slope)  # scaled by the size of a alone


def test_expm_of_what_is_known() -> None:
    for size in (1, 7):
        close(tg.expm(np.diag(size * W)), np.diag(np.exp(size * W)))
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    close(tg.expm(3 * turn), [[np.cos(3), -np.sin(3)], [np.sin(3), np.cos(3)]])
    close(tg.grad(lambda t: tg.expm(t * turn)[0, 0])(3.0), -np.sin(3))
    close(tg.grad(tg.grad(tg.grad(lambda t: tg.expm(t * turn)[0, 0])))(3.0), np.sin(3))
    close(gradient(lambda a: np.trace(tg.expm(a)), A), tg.expm(A).T)
    single = tg.expm(A.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, tg.expm(A), 1e-4)


def test_sqrtm_and_sylvester_solve_their_equations() -> None:
    pytest.importorskip("scipy")
    stack = np.stack([A, A.T])
    root = tg.sqrtm(stack)
    close(root @ root, stack)
    close(gradient(lambda a: np.trace(tg.sqrtm(a)), S), LA.inv(tg.sqrtm(S)) / 2)
    x = tg.solve_sylvester(stack, B.T @ B, B)
    close(stack @ x + x @ (B.T @ B), [B, B])

    def by_kronecker(a: Any, b: Any, q: Any) -> Any:
        system = np.kron(a, np.eye(2)) + np.kron(np.eye(4), b.T)
        return np.sin(LA.solve(system, np.ravel(q)))

    arrays = A, B.T @ B + G[:2, :2], B
    expected = gradient(by_kronecker, *arrays)
    found = gradient(lambda *xs: np.sin(tg.solve_sylvester(*xs)), *arrays)
    for one, other in zip(found, expected, strict=True):
        close(one, other)
    assert tg.sqrtm(A.astype(np.float32)).dtype == np.float32
    close(tg.sqrtm(np.array([[2, 0], [0, 3]])), np.sqrt([[2, 0], [0, 3]]))
    with pytest.raises(tg.UnsupportedError, match="sqrtm: the square root is complex"):
        tg.sqrtm(Tensor(-np.eye(2)))


def test_what_needs_scipy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(
        ImportError, match=r"sqrtm needs SciPy: pip install 'tinygrad-edu\[special\]"
    ):
        tg.sqrtm(Tensor(EYE))


def test_newton_schulz_orthogonalises() -> None:
    q = tg.newton_schulz(TALL, steps=30, coefficients=(1.5, -0.5))
    close(q.T @ q, np.eye(3), 1e-6)
    s = LA.svdvals(tg.newton_schulz(RNG.normal(size=(20, 8))))
    assert 0.6 < s.min() <= s.max() < 1.3
    assert tg.newton_schulz(TALL.T.astype(np.float32)).dtype == np.float32


def test_block_diag_and_bilinear() -> None:
    expected = [[1, 2, 0, 0, 0], [0, 0, 3, 0, 0], [0, 0, 0, 4, 5], [0, 0, 0, 6, 7]]
    blocks = ([1.0, 2.0], np.array(3.0), np.array([[4.0, 5.0], [6.0, 7.0]]))
    np.testing.assert_array_equal(tg.block_diag(*blocks), expected)
    assert tg.block_diag().shape == (1, 0)
    assert tg.block_diag(np.zeros((0, 2)), EYE).shape == (3, 5)
    x1, x2 = RNG.normal(size=(5, 2, 3)), RNG.normal(size=(5, 2, 4))
    K, b = RNG.normal(size=(6, 3, 4)), RNG.normal(size=6)
    close(tg.bilinear(x1, x2, K, b), np.einsum("...i,kij,...j->...k", x1, K, x2) + b)


@pytest.mark.parametrize("seed", range(20))
def test_multi_dot_takes_the_cheapest_order(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 20, 6).tolist()
    split = _cheapest_splits(sizes)

    def cost(i: int, j: int, cuts: Any) -> int:
        if i == j:
            return 0
        return min(
            cost(i, k, cuts) + cost(k + 1, j, cuts) + sizes[i] * sizes[k + 1] * sizes[j + 1]
            for k in cuts(i, j)
        )

    cheapest = cost(0, 4, lambda i, j: range(i, j))
    assert cost(0, 4, lambda i, j: [split[i, j]]) == cheapest


# -- singular matrices ---------------------------------------------------------------------------


def minors(a: Any) -> Any:
    """The definition: signed determinants of what is left without a row and a column."""
    n = len(a)
    rest = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
    return np.array([[(-1) ** (i + j) * LA.det(rest[i][j]) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_det_has_the_right_gradient_at_every_rank(rank: int) -> None:
    a = A[:, :rank] @ B.T[:1].repeat(rank, 0) + A[:, :rank] @ G[:rank] if rank else 0 * A
    close(gradient(LA.det, a), minors(a), 1e-8)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_det_has_the_right_second_derivative_at_every_rank(rank: int) -> None:
    a = np.diag([2.0, 3.0, 5.0])
    a[range(rank, 3), range(rank, 3)] = 0
    e = EYE
    hessian = tg.hessian(LA.det)(a)
    for i, j, k, m in np.ndindex(3, 3, 3, 3):  # det is affine along each element: exact differences
        corners = [
            LA.det(a + s * np.outer(e[i], e[j]) + t * np.outer(e[k], e[m]))
            for s in (0, 1)
            for t in (0, 1)
        ]
        same = (i, j) == (k, m)
        close(hessian[i, j, k, m], 0 if same else corners[3] - corners[2] - corners[1] + corners[0])


def test_det_of_three_by_three_is_cubic() -> None:
    third = tg.grad(tg.grad(tg.grad(lambda t: LA.det(A[:3, :3] + t * G[:3, :3]))))
    close(third(0.3), 6 * LA.det(G[:3, :3]), 1e-8)


def test_the_fast_way_to_cofactors_agrees_with_the_safe_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = RNG.normal(size=(50, 5, 5))
    alone = tg.cofactor(stack)
    with_singular = tg.cofactor(np.concatenate([stack, np.zeros((1, 5, 5))]))  # by singular values
    np.testing.assert_allclose(alone, with_singular[:-1], rtol=1e-9, atol=1e-11)
    assert not with_singular[-1].any()


def test_nan_in_a_dead_branch_stays_there() -> None:
    with np.errstate(all="ignore"):
        for f in (LA.det, lambda x: LA.slogdet(x)[1]):
            dead = np.array([[np.nan, 1.0], [1.0, 2.0]])
            found = gradient(lambda x, f=f: np.where(x[0, 0] > 0, f(x), x[1, 1]), dead)
            np.testing.assert_array_equal(found, [[0, 0], [0, 1]])
            singular = np.zeros((2, 2))
            found = gradient(lambda x, f=f: np.where(x[0, 0] > 0, f(x), x[1, 1]), singular)
            np.testing.assert_array_equal(found, [[0, 0], [0, 1]])


def test_slogdet_of_a_singular_matrix_is_infinitely_steep() -> None:
    stack = np.stack([np.zeros((2, 2)), np.eye(2)])
    found = gradient(lambda x: LA.slogdet(x)[1], stack)
    np.testing.assert_array_equal(found, [np.full((2, 2), np.inf), np.eye(2)])


def test_pinv_of_any_rank() -> None:
    """Along x + t y the rank stays 1, so there is a derivative."""
    u, v, du, dv = RNG.normal(size=(4, 3))

    def along(t: Any) -> Any:
        x = np.reshape(u + t * du, (3, 1)) * (v + t * dv)
        return np.sum(LA.pinv(x, rtol=1e-10) * np.arange(9).reshape(3, 3))

    h = 1e-5
    close(tg.grad(along)(0.1), (along(0.1 + h) - along(0.1 - h)) / (2 * h), 1e-7)


def test_least_squares_of_every_shape() -> None:
    def parts(a: Any, b: Any) -> Any:
        x, residuals, rank, s = LA.lstsq(a, b)
        assert not isinstance(rank, Tensor) or not rank.requires_grad
        return tuple(part for part in (x, residuals, s) if part.size)

    for a, b in [(TALL, TALL[:, 0] ** 2), (TALL, TALL**2), (TALL.T, TALL[:3]), (A, B)]:
        tg.check_gradients(parts, a, b, order=2)


# -- repeated values -----------------------------------------------------------------------------


def test_values_that_repeat_have_exact_gradients() -> None:
    for a in (EYE, np.zeros((3, 3)), np.diag([2.0, 2.0, 5.0])):
        for f in (LA.eigvalsh, lambda x: LA.eigh(x)[0]):
            close(gradient(f, a), EYE)
            close(gradient(lambda x, f=f: f(x) ** 3, a), 3 * a @ a)
        for f in (LA.svdvals, lambda x: LA.svd(x)[1], lambda x: LA.svd(x, hermitian=True)[1]):
            close(gradient(lambda x, f=f: f(x) ** 2, a), 2 * a)
    wide = np.eye(2, 3)
    close(gradient(lambda x: LA.svd(x, full_matrices=False)[1] ** 2, wide), 2 * wide)


@pytest.mark.parametrize("f", [lambda x: LA.eigh(x)[1][1, 0], lambda x: LA.svd(x)[0][1, 0]])
def test_vectors_of_values_that_repeat_have_none(f: Any) -> None:
    assert not np.isfinite(gradient(f, EYE)).all()


def test_what_depends_on_no_sign_and_no_basis_has_a_gradient() -> None:
    """The projector on the largest two, of which a difference quotient knows nothing but itself."""

    def projector(x: Any) -> Any:
        u = LA.svd(x, full_matrices=False)[0][:, :2]
        return u @ u.T * G[:3, :3]

    def by_eigenvectors(x: Any) -> Any:
        v = LA.eigh(x @ x.T)[1][:, -2:]
        return v @ v.T * G[:3, :3]

    x = TALL[:3] + np.diag([1.0, 3.0, 6.0])
    close(gradient(projector, x), gradient(by_eigenvectors, x))
    tg.check_gradients(projector, x, order=2)


def test_symmetric_functions_take_the_symmetric_part() -> None:
    for f in (
        LA.cholesky,
        LA.eigvalsh,
        lambda x: LA.eigh(x)[0],
        lambda x: LA.pinv(x, hermitian=True),
    ):
        skew = np.triu(G, 1) - np.triu(G, 1).T
        close(f(Tensor(S + skew)).data, f(S))
        found = gradient(lambda x, f=f: f(x) ** 2, S)
        close(found, found.T)


# -- norms -------------------------------------------------------------------------------------

ORDERS = [None, "fro", "nuc", np.inf, -np.inf, 1, -1, 2, -2, 0, 3, 0.5, -3]
AXES: list[Any] = [None, 0, -1, (0,), (0, 1), (-1, 0), (1, 2)]


@pytest.mark.parametrize("ord", ORDERS)
@pytest.mark.parametrize("keepdims", [False, True])
def test_norm_is_numpys_for_every_ord_and_axis(ord: Any, keepdims: bool) -> None:
    for x in (TALL, TALL[0], np.stack([TALL, 2 * TALL]), np.ones((3, 0, 2)), TALL[:, ::-2]):
        for axis in AXES:
            try:
                expected = LA.norm(x, ord, axis, keepdims)
            except (ValueError, IndexError) as error:  # NumPy's complaint, with the name
                kind = tg.IndexingError if isinstance(error, IndexError) else tg.InputError
                with pytest.raises(kind, match="norm"):
                    LA.norm(Tensor(x), ord, axis, keepdims)
                continue
            t = Tensor(x, requires_grad=True)
            found = LA.norm(t, ord, axis, keepdims)
            np.testing.assert_array_equal(found.detach().numpy(), expected)
            found.backward(np.ones_like(expected))
            assert t.grad.shape == x.shape
            if ord != 0 and x.size and np.all(expected):  # homogeneous: Euler's theorem
                close(np.sum(t.grad * x), np.sum(expected))


@pytest.mark.parametrize("axis", [None, 0, (0, 2), (2, 0, 1), -1])
@pytest.mark.parametrize("ord", [2, 1, np.inf, 3, 0])
def test_vector_norm_over_any_axes(axis: Any, ord: Any) -> None:
    x = np.stack([TALL, 2 * TALL])
    for keepdims in (False, True):
        found = LA.vector_norm(Tensor(x), axis=axis, keepdims=keepdims, ord=ord)
        close(found.data, LA.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord))


P = [1.0, -2.0, 0.0]
NORMS: list[Any] = [
    (2, [3.0, 4.0], [0.6, 0.8]),
    (1, P, [1, -1, 0]),
    (3, P, [1 / 9 ** (2 / 3), -4 / 9 ** (2 / 3), 0]),
    (0, P, [0, 0, 0]),
    (0.5, [1.0, 4.0, 0.0], [3.0, 1.5, 0.0]),
    (np.inf, P, [0, -1, 0]),
    (-np.inf, [1.0, -2.0], [1, 0]),
    (1, [[1.0, -2.0], [3.0, 0.5]], [[1, 0], [1, 0]]),
    (np.inf, [[1.0, -2.0], [3.0, 0.5]], [[0, 0], [1, 1]]),
    (2, [[3.0, 0.0], [0.0, -2.0]], [[1, 0], [0, 0]]),
    (-2, [[3.0, 0.0], [0.0, -2.0]], [[0, 0], [0, -1]]),
    ("nuc", [[3.0, 0.0], [0.0, -2.0]], [[1, 0], [0, -1]]),
]


@pytest.mark.parametrize(("ord", "x", "expected"), NORMS)
def test_norms_have_the_gradients_of_their_definitions(ord: Any, x: Any, expected: Any) -> None:
    close(gradient(lambda x: LA.norm(x, ord), np.array(x)), expected)


@pytest.mark.parametrize("ord", [o for o in ORDERS if o not in ("fro", "nuc", -3, -2, -1)])
def test_the_subgradient_of_a_norm_at_zero_is_zero(ord: Any) -> None:
    np.testing.assert_array_equal(gradient(lambda x: LA.norm(x, ord), np.zeros(3)), 0)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", np.inf, -np.inf, 1, -1, 2, -2])
def test_the_subgradient_of_a_matrix_norm_at_zero_is_zero(ord: Any) -> None:
    np.testing.assert_array_equal(gradient(lambda x: LA.norm(x, ord), np.zeros((2, 3))), 0)


# -- what is refused -----------------------------------------------------------------------------

REFUSED: list[Any] = [
    (lambda x: LA.svd(x[:2]), tg.UnsupportedError, r"full_matrices.*\(2, 4\).*full_matrices=False"),
    (lambda x: LA.qr(x[:, :2], "complete"), tg.UnsupportedError, r"'complete' of a tall.*\(4, 2\)"),
    (lambda x: LA.qr(x, "raw"), tg.UnsupportedError, "qr: mode='raw' has no gradient rule"),
    (lambda x: LA.eig(x), tg.UnsupportedError, "np.linalg.eig: .*np.linalg.eigh"),
    (lambda x: LA.eigvals(x), tg.UnsupportedError, "np.linalg.eigvals: .*np.linalg.eigvalsh"),
    (lambda x: LA.pinv(x, 0.9), tg.UnsupportedError, "pinv: with this cutoff .* counts as 0"),
    (lambda x: LA.lstsq(x, x, 0.9), tg.UnsupportedError, "pinv: with this cutoff"),
    (lambda x: LA.pinv(x, 0.1, rtol=0.1), tg.InputError, "rcond or rtol, got both"),
    (lambda x: LA.inv(x[0]), tg.InputError, "inv.*1-dimensional array given"),
    (lambda x: LA.inv(0 * x), tg.InputError, "inv.*Singular matrix"),
    (lambda x: LA.cholesky(-x), tg.InputError, "cholesky.*not positive definite"),
    (lambda x: LA.eigh(x, "X"), tg.InputError, "eigh.*UPLO argument must be 'L' or 'U'"),
    (lambda x: LA.lstsq(x, x[:2]), tg.InputError, r"lstsq: expected a \(m, n\).*\(4, 4\) and \(2,"),
    (lambda x: LA.tensorsolve(x[:, :3], x[0]), tg.InputError, r"tensorsolve.*\(4, 3\) and b \(4,"),
    (lambda x: LA.tensorinv(x, 0), tg.InputError, "tensorinv: expected ind > 0, got 0"),
    (lambda x: LA.matrix_power(x[0], 2), tg.InputError, r"matrix_power: expected square.*\(4,\)"),
    (lambda x: LA.matrix_power(x, 1.5), tg.DtypeError, "expected an integer n, got 1.5"),
    (lambda x: LA.cond(x[:0]), tg.InputError, "cond: is not defined for empty"),
    (lambda x: LA.cond(x[:2], 1), tg.InputError, r"cond: expected square matrices.*\(2, 4\)"),
    (lambda x: LA.norm(x, "foo"), tg.InputError, "norm.*Invalid norm order"),
    (lambda x: LA.multi_dot([x]), tg.InputError, "expected two arrays or more, got 1"),
    (lambda x: LA.multi_dot([x, x[0], x]), tg.InputError, r"multi_dot: expected matrices.*\(4,\)"),
    (lambda x: LA.multi_dot([x, x], out=A), tg.UnsupportedError, "multi_dot: option 'out'"),
    (lambda x: LA.multi_dot([x, x[:2], x]), tg.InputError, "matmul"),
    (lambda x: tg.expm(x[:2]), tg.InputError, r"expm: expected square matrices.*\(2, 4\)"),
    (lambda x: tg.expm_frechet(x, x[:2, :2]), tg.InputError, "expm_frechet: expected equal shapes"),
    (lambda x: tg.sqrtm(x[:2]), tg.InputError, "sqrtm: expected square matrices"),
    (lambda x: tg.cofactor(x[:2]), tg.InputError, "cofactor: expected square matrices"),
    (lambda x: tg.solve_triangular(x, x[:2]), tg.InputError, r"a \(4, 4\) and b \(2, 4\)"),
    (lambda x: tg.solve_triangular(x, x, 3), tg.InputError, "expected trans 0, 1.*got 3"),
    (lambda x: tg.block_diag(x, np.ones((1, 1, 1))), tg.InputError, "at most two axes"),
    (lambda x: tg.bilinear(x, x, x), tg.InputError, r"bilinear: expected x1.*W \(4, 4\)"),
    (lambda x: tg.bilinear(x, x, np.ones((2, 4, 4)), x), tg.InputError, r"b \(2,\), got \(4, 4\)"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(S, requires_grad=True))


def test_matrices_of_no_rows() -> None:
    empty = np.zeros((0, 0))
    for f in (LA.inv, LA.det, LA.cholesky, LA.eigvalsh, LA.svdvals, tg.expm, LA.pinv, LA.norm):
        assert gradient(f, empty).shape == (0, 0)
    stack = np.zeros((0, 3, 3))
    for f in (LA.inv, LA.det, LA.cholesky, LA.eigvalsh, LA.svdvals, tg.expm, LA.pinv):
        assert gradient(f, stack).shape == (0, 3, 3)


@pytest.mark.parametrize("f", STACKED)
def test_single_precision_stays_single(f: Any) -> None:
    t = Tensor(S, requires_grad=True, dtype=np.float32)
    y = f(t)
    parts = y if isinstance(y, tuple) else (y,)
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}
    sum(map(np.sum, parts)).backward()
    assert t.grad.dtype == np.float32


@pytest.mark.parametrize("f", [np.linalg.inv, np.linalg.cholesky])
def test_a_matrix_that_does_not_do_raises_what_numpy_users_catch(f: Any) -> None:
    with pytest.raises(np.linalg.LinAlgError, match=f"^{f.__name__}") as caught:
        f(tg.Tensor(np.zeros((2, 2)), requires_grad=True))
    assert isinstance(caught.value, tg.LinAlgError)
