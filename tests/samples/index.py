"""Taking elements, and putting them back."""

import numpy as np

import tinygrad_edu as tg
from samples.base import LABELS, TWO, A, call

SAMPLES = {
    np.tril: [call(A(3, 3)), call(A(2, 3, 2), k=1), call(A(2, 4), k=-1)],
    np.triu: [call(A(3, 3)), call(A(2, 3, 2), k=1), call(A(2, 4), k=-1)],
    tg.getitem: [
        call(A(3, 4), 1), call(A(3, 4), (slice(None, None, -2), 0)),
        call(A(5), np.array([0, 0, 4])), call(A(2, 3), TWO), call(A(2, 3), (..., None, -1)),
        call(A(3, 3), ([0, 2], [1, 1])), call(A(3), slice(0, 0)),
    ],
    tg.scatter_add: [
        call(A(3), np.array([0, 2, 0]), (4,)), call(A(2, 3), np.array([1, 1]), (2, 3)),
        call(A(2), slice(1, 3), (4,)),
    ],
    tg.index_update: [
        call(A(4), slice(1, 3), A(2)), call(A(2, 3), 0, A()), call(A(3, 2), np.array([2, 0]), A(2)),
        call(A(2, 3), TWO, A(3)), call(A(3), slice(None), A(1, 3)),
    ],
    np.take: [
        call(A(3, 2), np.array([2, 0, 2])), call(A(3, 2), np.array([[0, 1], [1, 1]]), axis=0),
        call(A(2, 3), 1, axis=-1), call(A(3), np.array([3, -1]), mode="wrap"),
        call(A(3), np.array([5, -2]), axis=0, mode="clip"),
    ],
    np.take_along_axis: [
        call(A(2, 3), np.array([[0, 0], [2, 1]]), axis=1), call(A(3, 2), np.array([[1, 2]]), 0),
        call(A(4), np.array([1, 1]), axis=None),
    ],
    np.compress: [
        call([True, False, True], A(3, 2), axis=0), call([0, 1], A(2, 3)),
        call(TWO[0], A(2, 3), axis=-1),
    ],
    np.extract: [call(TWO, A(2, 3)), call([1, 0], A(2))],
    tg.masked_select: [call(A(2, 3), TWO), call(A(2, 1), TWO[0]), call(A(2), np.array(False))],
    tg.embedding: [
        call(A(3, 2), np.array([0, 2, 0])), call(A(4), 1), call(A(2, 3), LABELS % 2),
        call(A(3, 2), np.array([[0, -1, 0]]), sparse=True), call(A(4), 1, sparse=True),
    ],
    np.diagonal: [
        call(A(3, 4)), call(A(3, 2), offset=-1), call(A(2, 3, 4), offset=1, axis1=1, axis2=-1),
    ],
    np.diag: [call(A(3)), call(A(2), 1), call(A(3, 4), k=-1)],
    np.diagflat: [call(A(2, 2)), call(A(2), -1)],
    np.trace: [
        call(A(3, 3)), call(A(2, 3, 4), offset=1, axis1=2, axis2=0),
        call(A(2, 2), dtype=np.float64),
    ],
    np.linalg.diagonal: [call(A(2, 3, 3)), call(A(3, 4), offset=-1)],
    np.linalg.trace: [call(A(2, 3, 3)), call(A(3, 4), offset=1), call(A(2, 2), dtype=np.float64)],
}  # fmt: skip
