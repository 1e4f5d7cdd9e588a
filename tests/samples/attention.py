"""Attention: without and with each kind of mask, more axes in front."""

import numpy as np

import tinygrad_edu as tg
from samples.base import SMALL, A, call
from samples.random import Again

SOME = np.array([[True, False, True], [False, True, True]])
Q, K, V = (A(*shape, domain=SMALL) for shape in ((2, 2), (3, 2), (3, 1)))

SAMPLES = {
    tg.scaled_dot_product_attention: [
        call(Q, K, V), call(Q, K, V, SOME), call(Q, K, V, np.array([True, False, True])),
        call(Q, K, V, A(2, 3, domain=SMALL)), call(Q, K, V, is_causal=True, scale=0.3),
        call(Q, K, V, dropout_p=0.3, rng=Again(1)), call(Q, K, V, SOME * [[0], [1]] == 1),
        call(A(2, 1, 2, 2, domain=SMALL), A(2, 3, 2, domain=SMALL), A(3, 2, domain=SMALL)),
    ]
}  # fmt: skip
