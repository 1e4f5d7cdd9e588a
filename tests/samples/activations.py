"""Activation functions with options."""

import tinygrad_edu as tg
from samples.base import A, call
from tinygrad_edu.domain import NONZERO

SAMPLES = {
    tg.softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(2, 2, 2), axis=(0, 2)), call(A(4))],
    tg.log_softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(4))],
    tg.leaky_relu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), negative_slope=0.2)],
    tg.elu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), alpha=0.5)],
    tg.gelu: [call(A(2, 3)), call(A(2, 3), approximate="tanh"), call(A())],
}  # fmt: skip
