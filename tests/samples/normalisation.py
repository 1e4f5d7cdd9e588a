"""Normalisation: with and without weight and bias, each choice of axes."""

import math

import tinygrad_edu as tg
from samples.base import A, D, call
from tinygrad_edu.domain import NONZERO, POSITIVE
from tinygrad_edu.ops.normalisation import standardise

SAMPLES = {
    standardise: [
        call(D(2, 3), A(3), A(3), axes=(1,), eps=0.1, centred=True),
        call(D(2, 3), A(2, 1), None, axes=(1,), eps=0.1, centred=False),
        call(D(2, 2, 2), None, A(2, 1), axes=(0, 2), eps=0.1, centred=True),
    ],
    tg.batch_norm: [
        call(D(3, 2), None, None, A(2), A(2), True, eps=0.1),
        call(D(2, 2, 2), None, None, training=True, momentum=0.3, eps=0.1),
        call(A(2, 2, 1), A(2), A(2, domain=POSITIVE), A(2), A(2)),
        call(A(1, 2), A(2), A(2, domain=POSITIVE), eps=0.5),
    ],
    tg.instance_norm: [
        call(D(1, 2, 3), eps=0.1), call(D(1, 2, 2, 2), weight=A(2), bias=A(2), eps=0.1),
    ],
    tg.group_norm: [call(D(1, 4, 2), 2, eps=0.1), call(D(2, 2, 2), 1, A(2), A(2), eps=0.1)],
    tg.layer_norm: [
        call(D(2, 3), 3, eps=0.1), call(D(2, 3), (3,), A(3), A(3), eps=0.1),
        call(D(2, 2, 2), (2, 2), None, A(2, 2), eps=0.1), call(A(0, 3), 3),
    ],
    tg.rms_norm: [
        call(D(2, 3), 3, eps=0.1), call(D(2, 2, 2), (2, 2), A(2, 2), eps=0.1),
        call(A(2, 2, domain=NONZERO), [2]),
    ],
    tg.normalize: [
        call(A(2, 3, domain=NONZERO)), call(A(2, 3, domain=NONZERO), p=3.0, axis=0),
        call(A(2, 3, domain=NONZERO), p=1, axis=(0, 1)),
        call(D(2, 3), p=math.inf, axis=-1, eps=9.0),
    ],
    tg.local_response_norm: [
        call(A(1, 4, 2), 3), call(A(2, 3), 2, alpha=0.5, beta=1.5, k=2.0),
    ],
}  # fmt: skip
