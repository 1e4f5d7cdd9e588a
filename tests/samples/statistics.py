"""Quantiles, averages, covariances, counts."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, D, call
from tinygrad_edu.domain import POSITIVE
from tinygrad_edu.ops.statistics import _histogram_of

WEIGHTS = A(3, domain=POSITIVE)
MEDIANS = [
    call(D(5)), call(D(2, 3)), call(D(2, 3), axis=0), call(D(2, 2, 2), axis=(0, -1)),
    call(D(3, 2), axis=1, keepdims=True), call(D()),
]  # fmt: skip


def quantiles(scale, *more):
    q = [0.25 * scale, 0.5 * scale]
    return [
        *more, call(D(5), 0.3 * scale), call(D(2, 3), [0, scale]), call(D(3, 2), q, axis=0),
        call(D(2, 2, 3), scale * 0.7, axis=(0, 2), method="hazen"),
        call(D(4, 2), q, axis=1, method="higher", keepdims=True), call(D(), 0.5),
    ]  # fmt: skip


SAMPLES = {
    np.median: MEDIANS,
    np.nanmedian: MEDIANS,
    np.quantile: quantiles(1, call(D(4), [[0.2, 0.3], [0.4, 0.9]])),
    np.nanquantile: quantiles(1),
    np.percentile: quantiles(100),
    np.nanpercentile: quantiles(100),
    tg.var_mean: [call(A(2, 3)), call(A(2, 3), 1, correction=0.5, keepdims=True)],
    tg.std_mean: [call(D(2, 3)), call(D(2, 3), 1, correction=0.5, keepdims=True)],
    np.average: [
        call(A(2, 3)), call(A(2, 3), 0, returned=True), call(A(2, 3), 1, WEIGHTS, keepdims=True),
        call(A(2, 3), weights=A(2, 3, domain=POSITIVE), returned=True),
        call(A(2, 3, 2), (1, 0), A(3, 2, domain=POSITIVE)),
    ],
    np.cov: [
        call(A(2, 3)), call(A(4)), call(A(2, 3), A(3), bias=True), call(A(2, 3), rowvar=False),
        call(A(3, 2), A(3), rowvar=False, ddof=0), call(A(2, 3), fweights=[2, 1, 0]),
        call(A(2, 3), aweights=WEIGHTS), call(A(2, 3), None, True, False, 0, [1, 2, 1], WEIGHTS),
        call(A(2, 3), dtype=np.float64),
    ],
    np.corrcoef: [
        call(D(2, 3)), call(D(4)), call(D(2, 4), D(4)), call(D(4, 2), rowvar=False),
        call(D(2, 4), dtype=np.float64),
    ],
    np.bincount: [call(np.array([0, 2, 2]), WEIGHTS), call(np.array([1]), A(1), minlength=3)],
}  # fmt: skip

INTERNAL = {
    _histogram_of: "np.histogram",
    np.histogram: "its counts are flat, and its edges given: tests/test_ops_statistics.py",
}
