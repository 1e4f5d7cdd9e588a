"""Pooling: each option, one to three axes, with and without a batch."""

from itertools import product

import numpy as np

import tinygrad_edu as tg
from samples.base import A, D, call
from tinygrad_edu.ops import pooling

# axis, kernel, stride, padding, dilation, count
APART, OVERLAPPING, SPREAD = (1, 2, 2, 0, 1, 2), (1, 3, 1, 1, 1, 4), (1, 2, 1, 1, 2, 4)
ALONG = (APART, OVERLAPPING, SPREAD)
PLACE = np.array([[0, 1, 1, 1], [0, 0, 1, 0]])

SAMPLES = {
    pooling.max_along: [call(D(2, 4), along=along) for along in ALONG],
    pooling.to_places: [
        call(A(2, 2), PLACE[:, :2], shape=(2, 4), along=APART),
        call(A(2, 4), PLACE, shape=(2, 4), along=OVERLAPPING),
        call(A(2, 4), PLACE, shape=(2, 4), along=SPREAD),
    ],
    pooling.from_places: [
        call(A(2, 4), PLACE[:, :2], along=APART), call(A(2, 4), PLACE, along=OVERLAPPING),
        call(A(2, 4), PLACE, along=SPREAD),
    ],
    pooling.sum_along: [call(A(2, 4), along=along) for along in ALONG],
    pooling.add_back_along: [
        call(A(2, along[-1]), shape=(2, 4), along=along) for along in ALONG
    ],
    tg.max_pool1d: [
        call(D(1, 2, 5), 2), call(D(2, 6), 3, 2, 1), call(D(1, 5), 2, 3, ceil_mode=True),
        call(D(0, 1, 4), 2), call(D(1, 5), 2, dilation=2, return_indices=True),
    ],
    tg.max_pool2d: [
        call(D(1, 1, 4, 5), 2, stride, padding, dilation, ceil)
        for (stride, ceil), padding, dilation in product(
            ((None, False), ((1, 3), True)), (0, (1, 0)), (1, 2)
        )
    ] + [call(D(2, 3, 3), (3, 2)), call(D(1, 1, 4, 4), 2, return_indices=True)],
    tg.max_pool3d: [
        call(D(1, 1, 2, 3, 2), (1, 2, 2)), call(D(1, 2, 3, 2), 2, 1, 1, (1, 2, 1), ceil_mode=True),
        call(D(1, 2, 2, 2), 2, return_indices=True),
    ],
    tg.avg_pool1d: [
        call(A(1, 2, 5), 2), call(A(2, 6), 3, 2, 1), call(A(1, 5), 2, 3, ceil_mode=True),
        call(A(1, 5), 2, 2, 1, ceil_mode=True, count_include_pad=False),
    ],
    tg.avg_pool2d: [
        call(A(1, 2, 4, 5), 2), call(A(2, 3, 4), (3, 2), 1, 1, count_include_pad=False),
        call(A(1, 1, 4, 5), 3, (2, 1), (1, 0), ceil_mode=True),
        call(A(1, 2, 2), 2, divisor_override=3),
    ],
    tg.avg_pool3d: [
        call(A(1, 1, 2, 3, 2), (1, 2, 2)), call(A(1, 2, 3, 2), 2, 1, 1, True, False),
        call(A(1, 2, 2, 2), 2, divisor_override=5),
    ],
}  # fmt: skip

INTERNAL = {pooling.first_largest: "places, of arrays that fit: tg.max_pool2d"}
