"""How to call the ops whose rules alone do not say it: one line each, options and edge shapes.

Parts made by `A` are drawn anew for every case, within the domain that is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.domain import DISTINCT, NONZERO, REAL, Domain
from tinygrad_edu.ops.shape import _to_discrete, _to_float, unstack
from tinygrad_edu.tensor import select
from tinygrad_edu.testing import Strategy, values

Function = Any
UNIT = Domain(0.0, 1.0)
STEP = Domain(0.5, 1.5)  # what is rounded to 1


SMALL = Domain(-1.0, 1.0)
NOT_ELEMENTWISE = {np.linalg.inv}  # although its signature looks like it


def far_from_singular(a: Any) -> Any:
    return a + 4 * np.eye(a.shape[-1])


def A(*shape: int, domain: Domain = REAL) -> Strategy:  # stands for an array
    return values(domain, shape)


def D(*shape: int) -> Strategy:  # without ties
    return values(DISTINCT, shape)


def call(*args: Any, **options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, options


def over_axes(make: Any, *more: Any) -> list[Any]:
    """What every reduction is asked: all axes, one, several, kept, none of length 0."""
    return [
        call(make(2, 3)), call(make()), call(make(2, 3), axis=0), call(make(3, 1, 2), axis=(0, -1)),
        call(make(2, 3), axis=-1, keepdims=True), call(make(4), keepdims=True), *more,
    ]  # fmt: skip


LABELS = np.array([2, 0, 1])
TWO = np.array([[True, False, True], [False, False, True]])

SAMPLES: dict[Function, list[Any]] = {
    # elementwise, with options or conditions
    np.where: [call(TWO, A(2, 3), A(3)), call(TWO[0], A(2, 1), A()), call(True, A(2), A(1))],
    np.nan_to_num: [call(A(2, 3)), call(A(), nan=1.0, posinf=2.0, neginf=-2.0)],
    np.clip: [call(D(4), -1.0, 1.0), call(D(2, 3), None, 0.5), call(D(3), min=0.5), call(D(2))],
    np.round: [call(A(2, 3, domain=STEP)), call(A(2, domain=Domain(0.05, 0.15)), decimals=1)],
    np.around: [call(A(2, 3, domain=STEP)), call(A(domain=Domain(5, 15)), decimals=-1)],
    np.tril: [call(A(3, 3)), call(A(2, 3, 2), k=1), call(A(2, 4), k=-1)],
    np.triu: [call(A(3, 3)), call(A(2, 3, 2), k=1), call(A(2, 4), k=-1)],
    np.fmod: [call(A(3, domain=Domain(4.6, 5.8)), A(3, domain=Domain(2.0, 2.25)))],
    # reductions
    np.sum: over_axes(A, call(A(0, 3)), call(A(0, 3), axis=1)),
    np.mean: over_axes(A),
    np.prod: over_axes(A, call(A(0, 3)), call(A(7), axis=0)),
    np.cumsum: [call(A(2, 3)), call(A(2, 3), axis=0), call(A(4), axis=-1), call(A(0))],
    np.max: over_axes(D),
    np.amax: over_axes(D),
    np.min: over_axes(D),
    np.amin: over_axes(D),
    np.ptp: [call(D(2, 3)), call(D(2, 3), axis=0), call(D(2, 3), axis=1, keepdims=True)],
    np.var: over_axes(A, call(A(2, 3), axis=0, ddof=1)),
    np.std: [
        call(D(2, 3)), call(D(2, 3), axis=0), call(D(3, 2), axis=(0, 1), ddof=1, keepdims=True),
    ],
    np.linalg.inv: [call(values(SMALL, (3, 3)).map(far_from_singular)),
                    call(values(SMALL, (2, 2, 2)).map(far_from_singular))],
    np.linalg.norm: [
        call(A(3, domain=NONZERO)), call(A(2, 3, domain=NONZERO), axis=0),
        call(A(2, 3, domain=NONZERO), axis=-1, keepdims=True), call(A(2, 2, domain=NONZERO)),
    ],
    tg.logsumexp: over_axes(A),
    # activations and losses
    tg.softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(2, 2, 2), axis=(0, 2)), call(A(4))],
    tg.log_softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(4))],
    tg.leaky_relu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), negative_slope=0.2)],
    tg.elu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), alpha=0.5)],
    tg.gelu: [call(A(2, 3)), call(A(2, 3), approximate="tanh"), call(A())],
    tg.mse_loss: [call(A(2, 3), A(2, 3)), call(A(4), A(4), "sum"), call(A(2), A(2), "none")],
    tg.cross_entropy: [
        call(A(3, 4), LABELS), call(A(3, 3), LABELS, "sum"), call(A(3, 3), LABELS, "none"),
        call(A(2, 3), A(2, 3, domain=UNIT)), call(A(2, 3), A(2, 3, domain=UNIT), "none"),
    ],
    tg.nll_loss: [call(A(3, 4), LABELS, reduction=how) for how in ("mean", "sum", "none")],
    tg.binary_cross_entropy: [
        call(A(2, 3, domain=UNIT), A(2, 3, domain=UNIT), reduction=how)
        for how in ("mean", "sum", "none")
    ],
    tg.binary_cross_entropy_with_logits: [
        call(A(2, 3), A(2, 3, domain=UNIT), reduction=how) for how in ("mean", "sum", "none")
    ],
    # elements
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
    tg.embedding: [call(A(3, 2), np.array([0, 2, 0])), call(A(4), 1), call(A(2, 3), LABELS % 2)],
    np.diagonal: [
        call(A(3, 4)), call(A(3, 2), offset=-1), call(A(2, 3, 4), offset=1, axis1=1, axis2=-1),
    ],
    np.diag: [call(A(3)), call(A(2), 1), call(A(3, 4), k=-1)],
    np.diagflat: [call(A(2, 2)), call(A(2), -1)],
    np.trace: [call(A(3, 3)), call(A(2, 3, 4), offset=1, axis1=2, axis2=0)],
    np.linalg.diagonal: [call(A(2, 3, 3)), call(A(3, 4), offset=-1)],
    np.linalg.trace: [call(A(2, 3, 3)), call(A(3, 4), offset=1)],
    # products
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
    tg.linear: [call(A(2, 3), A(3, 4), A(4)), call(A(2, 2, 3), A(3, 1)), call(A(3), A(3, 2), A(2))],
    # shapes
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
    np.flip: [call(A(2, 3)), call(A(2, 3), axis=0), call(A(2, 3, 2), axis=(0, -1))],
    np.flipud: [call(A(2, 3))],
    np.fliplr: [call(A(2, 3))],
    np.rot90: [call(A(2, 3), k) for k in (0, 1, 2, 3)] + [call(A(2, 3, 4), 1, (2, 0))],
    np.roll: [call(A(2, 3), 2), call(A(2, 3), (1, -1), axis=(0, 1)), call(A(4), -1, axis=0)],
    np.concatenate: [
        call([A(2, 3), A(1, 3)]), call([A(2, 1), A(2, 2), A(2, 0)], axis=-1),
        call([A(2), A(2, 1)], None),
    ],
    np.stack: [call([A(2, 3), A(2, 3)]), call([A(3), A(3), A(3)], axis=-1)],
    np.vstack: [call([A(3), A(2, 3)])],
    np.hstack: [call([A(3), A(2)]), call([A(2, 1), A(2, 2)])],
    np.dstack: [call([A(2, 3), A(2, 3)])],
    np.column_stack: [call([A(3), A(3, 2)])],
    np.append: [call(A(2, 2), A(3)), call(A(2, 2), A(1, 2), axis=0)],
    np.split: [call(A(4, 2), 2), call(A(2, 5), [1, 3], axis=1)],
    np.array_split: [call(A(5), 2), call(A(2, 5), [2], axis=-1)],
    np.vsplit: [call(A(4, 2), 2)],
    np.hsplit: [call(A(2, 4), 2), call(A(4), [1])],
    np.dsplit: [call(A(2, 1, 4), 2)],
    np.repeat: [call(A(2, 3), 2), call(A(2, 3), [2, 0, 1], axis=1), call(A(3), 3, axis=0)],
    np.tile: [call(A(2), 3), call(A(2, 3), (2, 1, 2))],
    unstack: [call(A(2, 3)), call(A(2, 3), axis=1)],
    tg.astype: [call(A(2, 3), dtype=np.float64), call(A(), dtype=np.float32)],
    np.copy: [call(A(2, 3))],
    np.full_like: [call(A(2, 3), A()), call(A(2, 3), A(3), shape=(2, 2, 3))],
    np.trapezoid: [call(A(4)), call(A(2, 3), dx=0.5, axis=0), call(A(2, 3), A(3))],
}  # fmt: skip

# What not every NumPy has.
for name, samples in {
    "unstack": SAMPLES[unstack],
    "matvec": [call(A(2, 3), A(3)), call(A(2, 3, 2), A(2, 2))],
    "vecmat": [call(A(3), A(3, 2)), call(A(2, 3), A(3, 2))],
    "astype": [call(A(2, 3), np.float64)],
}.items():
    if hasattr(np, name):
        SAMPLES[getattr(np, name)] = samples

# Parts of other ops, and checked with them.
INTERNAL = {
    select: "one result of an op with several: np.split and unstack go through it",
    _to_float: "tg.astype",
    _to_discrete: "tg.astype",
}
