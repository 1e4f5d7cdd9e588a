"""Activation functions: those made of others, or with options."""

import tinygrad_edu as tg
from samples.base import A, D, call
from tinygrad_edu.domain import NONZERO, POSITIVE, Domain

SAMPLES = {
    tg.softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(2, 2, 2), axis=(0, 2)), call(A(4))],
    tg.log_softmax: [call(A(2, 3)), call(A(3, 2), axis=0), call(A(4))],
    tg.leaky_relu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), negative_slope=0.2)],
    tg.elu: [call(A(3, domain=NONZERO)), call(A(2, 2, domain=NONZERO), alpha=0.5)],
    tg.gelu: [call(A(2, 3)), call(A(2, 3), approximate="tanh"), call(A())],
    tg.quick_gelu: [call(A(2, 3)), call(A())],
    tg.mish: [call(A(2, 3)), call(A())],
    tg.squareplus: [call(A(2, 3)), call(A(4), b=0.5)],
    tg.softmin: [call(A(2, 3)), call(A(2, 3), axis=0)],
    tg.glu: [call(A(2, 4)), call(A(4, 1), axis=0)],
    # bent
    tg.prelu: [
        call(A(3, domain=NONZERO), A()), call(A(2, 3, 2, domain=NONZERO), A(3)),
        call(A(2, 3, domain=NONZERO), A(1)),
    ],
    tg.selu: [call(A(2, 3, domain=NONZERO))],
    tg.celu: [call(A(2, 3, domain=NONZERO)), call(A(3, domain=NONZERO), alpha=0.5)],
    tg.threshold: [call(A(4, domain=Domain(kinks=(0.5,))), 0.5, -1.0)],
    tg.hardshrink: [
        call(A(4, domain=Domain(kinks=(-0.5, 0.5)))),
        call(A(3, domain=Domain(kinks=(-1.0, 1.0))), lambd=1.0),
    ],
    tg.softshrink: [
        call(A(4, domain=Domain(kinks=(-0.5, 0.5)))),
        call(A(3, domain=Domain(kinks=(-1.0, 1.0))), lambd=1.0),
    ],
    tg.hardtanh: [
        call(A(4, domain=Domain(kinks=(-1.0, 1.0)))),
        call(A(2, 2, domain=Domain(kinks=(-2.0, 0.5))), min_val=-2.0, max_val=0.5),
    ],
    tg.relu6: [call(A(4, domain=Domain(-2.0, 8.0, kinks=(0.0, 6.0))))],
    tg.clipped_relu: [
        call(A(3, domain=POSITIVE)), call(A(4, domain=Domain(kinks=(0.0, 2.0))), z=2.0),
    ],
    tg.hardswish: [call(A(4, domain=Domain(kinks=(-3.0, 3.0))))],
    tg.maxout: [call(D(2, 4), 2), call(D(6, 1), k=3, axis=0)],
    tg.crelu: [call(A(2, 3, domain=NONZERO)), call(A(2, 3, domain=NONZERO), axis=0)],
}  # fmt: skip
