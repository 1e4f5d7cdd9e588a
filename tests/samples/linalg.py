"""Products."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, call

SAMPLES = {
    np.matmul: [
        call(A(2, 3), A(3, 4)), call(A(3), A(3)), call(A(3), A(3, 2)), call(A(2, 3), A(3)),
        call(A(2, 1, 2, 3), A(4, 3, 2)), call(A(3), A(2, 3, 2)), call(A(2, 2, 3), A(3)),
        call(A(0, 3), A(3, 2)), call(A(2, 0), A(0, 3)),
    ],
    np.linalg.matmul: [call(A(2, 3), A(3, 2))],
    np.dot: [
        call(A(2, 3), A(3, 2)), call(A(3), A(3)), call(A(), A(2)), call(A(2, 3), A(3)),
        call(A(2, 2, 3), A(2, 3, 2)),
    ],
    np.inner: [call(A(3), A(3)), call(A(2, 3), A(4, 3)), call(A(), A(2))],
    np.vdot: [call(A(3), A(3)), call(A(2, 2), A(4))],
    np.outer: [call(A(2), A(3)), call(A(2, 2), A(2))],
    np.linalg.outer: [call(A(2), A(3))],
    np.kron: [call(A(2), A(3)), call(A(2, 2), A(1, 3)), call(A(2), A(2, 2))],
    np.vecdot: [call(A(2, 3), A(3)), call(A(3, 2), A(3, 2), axis=0)],
    np.linalg.vecdot: [call(A(2, 3), A(3)), call(A(3, 2), A(3, 2), axis=0)],
    np.tensordot: [
        call(A(2, 3, 4), A(3, 4, 2)), call(A(2, 3), A(4), axes=0),
        call(A(2, 3), A(2, 4), axes=(0, 0)), call(A(2, 3, 4), A(4, 2, 3), axes=((2, 0), (0, 1))),
    ],
    np.linalg.tensordot: [call(A(2, 3), A(3, 2), axes=1)],
    np.einsum: [
        call("ij,jk->ik", A(2, 3), A(3, 2)), call("ii->i", A(3, 3)), call("ij->", A(2, 3)),
        call("...i,i", A(2, 2, 3), A(3)), call("i,j,k->kj", A(2), A(3), A(2)),
        call("ij,ij->j", A(2, 3), A(1, 3)), call("iji->j", A(2, 3, 2)),
        call(A(2, 3), [0, 1], A(3), [1], [0]),
    ],
    np.linalg.multi_dot: [
        call([A(2, 3), A(3, 2)]), call([A(2, 3), A(3, 4), A(4, 2)]), call([A(3), A(3, 2), A(2)]),
        call([A(2, 3), A(3, 1), A(1, 2), A(2)]),
    ],
    tg.block_diag: [call(A(2, 3), A(1, 2)), call(A(2), A(), A(2, 0)), call(A(2, 2))],
    tg.bilinear: [
        call(A(2, 3), A(2, 2), A(4, 3, 2), A(4)), call(A(3), A(2), A(1, 3, 2)),
        call(A(2, 2, 1), A(2, 2, 3), A(2, 1, 3)),
    ],
    tg.linear: [
        call(A(2, 3), A(3, 4), A(4)), call(A(2, 2, 3), A(3, 1)), call(A(3), A(3, 2), A(2)),
        call(A(2, 3), A(4, 3), A(4), transposed=True), call(A(3), A(2, 3), A(2), transposed=True),
        call(A(2, 2, 3), A(4, 3), A(4), transposed=True),
    ],
}  # fmt: skip

# What not every NumPy has.
for _name, _samples in {
    "matvec": [call(A(2, 3), A(3)), call(A(2, 3, 2), A(2, 2))],
    "vecmat": [call(A(3), A(3, 2)), call(A(2, 3), A(3, 2))],
}.items():
    if hasattr(np, _name):
        SAMPLES[getattr(np, _name)] = _samples
