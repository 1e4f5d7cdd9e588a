"""Solves, decompositions, functions of matrices, norms: of matrices far from where they break."""

from importlib.util import find_spec
from typing import Any

import numpy as np

import tinygrad_edu as tg
from samples.base import SMALL, A, call
from tinygrad_edu.domain import NONZERO, Domain
from tinygrad_edu.testing import values

# No element is near 0: at a diagonal matrix LAPACK's signs change.
DENSE = np.array(
    [[4.0, 1.0, -1.5, 1.0], [1.5, 8.0, 1.0, -1.0], [-1.0, 1.5, 12.0, 1.0], [1, -1, 1, 16]]
)


def regular(*shape: int) -> Any:
    """Far from rank-deficient, of any shape, with singular values far apart."""
    m, n = shape[-2:]
    return values(SMALL, shape).map(lambda a: a / 2 + DENSE[:m, :n])


def symmetric(*shape: int) -> Any:
    """Symmetric, positive definite, with eigenvalues far apart."""
    return regular(*shape).map(lambda a: (a + np.swapaxes(a, -1, -2)) / 2)


def unequal(*shape: int) -> Any:
    """Of both signs, no two elements of the same size, none 0."""
    signs = (-1.0) ** np.arange(np.prod(shape)).reshape(shape)
    return values(Domain(0.0, distinct=True), shape).map(lambda x: x * signs)


SQUARE = [call(regular(3, 3)), call(regular(2, 2, 2)), call(regular(1, 1)), call(A(0, 0))]
SYMMETRIC = [call(symmetric(3, 3)), call(symmetric(2, 2, 2)), call(symmetric(1, 1))]
ANY = [call(regular(3, 3)), call(regular(3, 2)), call(regular(2, 3)), call(regular(2, 3, 2))]
RIGHT_SIDES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 2, 2), (2,)), ((2, 2, 2), (2, 3)), ((2, 2), (3, 2, 1)),
    ((2, 1, 2, 2), (3, 2, 2)), ((1, 1), (1,)), ((0, 0), (0, 2)), ((2, 2), (2, 0)),
]  # fmt: skip
ORDERS = [None, 2, 1, 0, 3, 1.5, np.inf, -np.inf, -1, -2.5]

SAMPLES = {
    np.linalg.inv: SQUARE,
    np.linalg.det: [
        *SQUARE, call(np.zeros((3, 3))),
        call(regular(3, 3).map(lambda a: np.vstack([a[:2], a[0] - a[1]]))),
        call(regular(4, 4).map(lambda a: np.vstack([a[:3], a[0] - a[1] + a[2]]))),
    ],
    tg.cofactor: [*SQUARE[:3], call(regular(2, 2, 2), A(2, 2, 2)), call(regular(3, 3), A(3, 3))],
    np.linalg.slogdet: SQUARE[:3],
    np.linalg.solve: [call(regular(*a), A(*b)) for a, b in RIGHT_SIDES],
    tg.solve_triangular: [
        *(call(regular(*a), A(*b)) for a, b in RIGHT_SIDES),
        call(regular(3, 3), A(3), lower=True), call(regular(3, 3), A(3, 2), trans="T"),
        call(regular(2, 2, 2), A(2), trans=1, lower=True), call(A(3, 3), A(3), unit_diagonal=True),
        call(A(3, 3), A(3, 1), 1, True, True),
    ],
    np.linalg.tensorsolve: [
        call(regular(4, 4).map(lambda a: a.reshape(2, 2, 4)), A(2, 2)),
        call(regular(4, 4).map(lambda a: a.reshape(4, 2, 2)), A(2, 2), axes=(0,)),
    ],
    np.linalg.tensorinv: [
        call(regular(4, 4).map(lambda a: a.reshape(4, 2, 2)), ind=1),
        call(regular(2, 2).map(lambda a: a.reshape(2, 1, 2))),
    ],
    np.linalg.pinv: [
        *ANY, call(A(0, 2)), call(regular(3, 2), 1e-3), call(regular(2, 3), rtol=1e-3),
        call(regular(3, 2), rtol=None), call(symmetric(3, 3), hermitian=True),
    ],
    np.linalg.cholesky: [*SYMMETRIC, call(A(0, 0)), call(symmetric(3, 3), upper=True)],
    np.linalg.qr: [
        *ANY, call(regular(1, 3)), call(regular(3, 1)), call(regular(3, 2), "r"),
        call(regular(2, 3), mode="complete"),
    ],
    np.linalg.eigh: [*SYMMETRIC, call(symmetric(3, 3), "U"), call(A(0, 0))],
    np.linalg.eigvalsh: [*SYMMETRIC, call(symmetric(3, 3), UPLO="U"), call(A(0, 0))],
    np.linalg.svd: [
        *(call(*args, full_matrices=False) for args, _ in ANY), call(regular(3, 3)),
        call(regular(2, 3), compute_uv=False), call(symmetric(3, 3), hermitian=True),
        call(symmetric(2, 2, 2), False, False, True),
    ],
    np.linalg.svdvals: [*ANY, call(A(0, 2))],
    np.linalg.matrix_power: [
        *(call(regular(2, 2), n) for n in (0, 1, 2, 3, 6, -1, -3)), call(A(2, 2, 2), 5),
    ],
    tg.expm: [call(A(3, 3)), call(values(SMALL, (2, 2, 2))), call(A(1, 1)), call(A(0, 0))],
    tg.expm_frechet: [call(values(SMALL, (3, 3)), A(3, 3)), call(A(2, 2), A(2, 2))],
    tg.newton_schulz: [
        call(regular(3, 2)), call(regular(2, 2, 3), steps=2, eps=0.5, coefficients=(1.5, -0.5)),
    ],
    np.linalg.norm: [
        call(A(3, domain=NONZERO)), call(A(2, 3, domain=NONZERO), axis=0),
        call(A(2, 3, domain=NONZERO), axis=-1, keepdims=True), call(A(2, 2, domain=NONZERO)),
        call(A(2, 2, 2, domain=NONZERO), keepdims=True),
        *(call(unequal(4), ord=p) for p in ORDERS),
        *(call(unequal(2, 3), p, 1, keepdims=True) for p in ORDERS),
        *(call(regular(3, 2), p) for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        *(call(regular(2, 2, 3), p, (2, 1)) for p in ("nuc", 1, -1, np.inf)),
        call(regular(2, 2, 2), 2, (1, -1), True), call(A(3, domain=NONZERO), None, (0,)),
    ],
    np.linalg.vector_norm: [
        call(A(2, 3, domain=NONZERO)), call(A(2, 3, 2, domain=NONZERO), axis=(0, 2), ord=3),
        call(A(2, 3, 2, domain=NONZERO), axis=(0, 1, 2), keepdims=True),
        call(unequal(3), axis=0, ord=1),
    ],
    np.linalg.matrix_norm: [call(regular(2, 2, 3)), call(regular(3, 2), keepdims=True, ord="nuc")],
    np.linalg.cond: [*ANY, *(call(regular(2, 2), p) for p in (2, -2, 1, "fro", np.inf))],
}  # fmt: skip

if find_spec("scipy"):
    SAMPLES |= {
        tg.solve_sylvester: [
            call(regular(3, 3), regular(2, 2), A(3, 2)),
            call(regular(2, 2, 2), regular(2, 2), A(2, 2)),
        ],
        tg.sqrtm: [call(symmetric(3, 3)), call(regular(2, 2, 2)), call(regular(1, 1))],
    }  # fmt: skip

NOT_ELEMENTWISE = {*SAMPLES}
INTERNAL = {np.linalg.lstsq: "returns a rank, an integer; see test_ops_decompositions.py"}
if not find_spec("scipy"):
    INTERNAL |= {tg.solve_sylvester: "needs SciPy", tg.sqrtm: "needs SciPy"}
