"""Reductions: all axes, one, several, kept, none of length 0."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, D, call, over_axes

SAMPLES = {
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
    tg.logsumexp: over_axes(A),
}  # fmt: skip
