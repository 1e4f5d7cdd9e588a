"""Shapes, order, copies."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, call
from tinygrad_edu.ops.shape import to_discrete, to_float
from tinygrad_edu.tensor import select

SAMPLES = {
    np.reshape: [call(A(2, 3), (3, 2)), call(A(2, 3), -1), call(A(2, 2, 3), (3, -1), order="F")],
    np.ravel: [call(A(2, 3)), call(A(2, 3), order="F")],
    np.expand_dims: [call(A(2, 3), 1), call(A(2), (0, -1))],
    np.squeeze: [call(A(1, 2, 1)), call(A(1, 2, 1), axis=0)],
    np.broadcast_to: [
        call(A(3), (2, 3)), call(A(2, 1), (3, 2, 2)), call(A(), (2,)), call(A(1), (0,)),
    ],
    np.transpose: [call(A(2, 3)), call(A(2, 3, 4), (1, 2, 0)), call(A(2, 3), axes=(-1, 0))],
    np.matrix_transpose: [call(A(2, 3, 2))],
    np.linalg.matrix_transpose: [call(A(2, 3, 2))],
    np.swapaxes: [call(A(2, 3, 4), 0, -1)],
    np.moveaxis: [call(A(2, 3, 4), 0, -1), call(A(2, 3, 4), (0, 1), (2, 0))],
    np.rollaxis: [call(A(2, 3, 4), 2), call(A(2, 3, 4), 0, 3)],
    np.atleast_1d: [call(A()), call(A(2), A())],
    np.atleast_2d: [call(A(3)), call(A(2, 2))],
    np.atleast_3d: [call(A(3)), call(A(2, 3)), call(A())],
    np.broadcast_arrays: [call(A(2, 1), A(3)), call(A(), A(2))],
    tg.unflatten: [call(A(2, 6), 1, (3, 2)), call(A(6, 2), axis=-2, shape=(-1, 3))],
    np.resize: [call(A(2, 3), (2, 2)), call(A(3), 7), call(A(), (2, 2))],
    np.flip: [call(A(2, 3)), call(A(2, 3), axis=0), call(A(2, 3, 2), axis=(0, -1))],
    np.flipud: [call(A(2, 3))],
    np.fliplr: [call(A(2, 3))],
    np.rot90: [call(A(2, 3), k) for k in (0, 1, 2, 3)] + [call(A(2, 3, 4), 1, (2, 0))],
    np.roll: [call(A(2, 3), 2), call(A(2, 3), (1, -1), axis=(0, 1)), call(A(4), -1, axis=0)],
    tg.astype: [call(A(2, 3), dtype=np.float64), call(A(), dtype=np.float32)],
    np.copy: [call(A(2, 3))],
    np.full_like: [
        call(A(2, 3), A()), call(A(2), A(), dtype=np.float64),
        call(A(2, 3), A(3), shape=(2, 2, 3)),
    ],
}  # fmt: skip

# What not every NumPy has.
for _name, _samples in {
    "astype": [call(A(2, 3), np.float64)],
}.items():
    if hasattr(np, _name):
        SAMPLES[getattr(np, _name)] = _samples

INTERNAL = {
    select: "one result of an op with several: np.split and unstack go through it",
    to_float: "tg.astype",
    to_discrete: "tg.astype",
}
