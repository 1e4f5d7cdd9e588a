"""Losses, each reduction."""

import tinygrad_edu as tg
from samples.base import LABELS, UNIT, A, call

SAMPLES = {
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
}  # fmt: skip
