"""Losses, each reduction."""

import numpy as np

import tinygrad_edu as tg
from samples.base import LABELS, SMALL, UNIT, A, call
from tinygrad_edu.domain import NONZERO, POSITIVE, Domain

HIGH, LOW = Domain(1.0, 2.0), Domain(-1.0, 0.5)  # never the same, never a margin of 1/4 apart
BENT = Domain(kinks=(-1.0, 1.0))
SIGNS = np.array([1, -1, -1])
HOW = ("mean", "sum", "none")

SAMPLES = {
    tg.mse_loss: [call(A(2, 3), A(2, 3)), call(A(4), A(4), "sum"), call(A(2), A(2), "none")],
    tg.cross_entropy: [
        call(A(3, 4), LABELS), call(A(3, 3), LABELS, "sum"), call(A(3, 3), LABELS, "none"),
        call(A(2, 3), A(2, 3, domain=UNIT)), call(A(2, 3), A(2, 3, domain=UNIT), "none"),
        call(A(3, 3), LABELS, "none", np.array([1, 2, 0]), label_smoothing=0.25),
        call(A(3, 3), LABELS, weight=np.array([1, 2, 3]), ignore_index=2),
        call(A(2, 3), A(2, 3, domain=UNIT), "sum", np.array([1, 2, 3]), label_smoothing=0.5),
    ],
    tg.nll_loss: [call(A(3, 4), LABELS, reduction=how) for how in ("mean", "sum", "none")],
    tg.binary_cross_entropy: [
        call(A(2, 3, domain=UNIT), A(2, 3, domain=UNIT), reduction=how)
        for how in ("mean", "sum", "none")
    ],
    tg.binary_cross_entropy_with_logits: [
        call(A(2, 3), A(2, 3, domain=UNIT), reduction=how) for how in ("mean", "sum", "none")
    ],
    tg.l1_loss: [
        call(A(2, 2, domain=LOW), A(2, 2, domain=HIGH), how) for how in HOW
    ] + [call(A(3, domain=HIGH), A(3, domain=LOW))],
    tg.huber_loss: [
        call(A(4, domain=BENT), np.zeros(4)),
        call(A(2, 2, domain=HIGH), A(2, 2, domain=LOW), "sum", 4.0),
        call(A(3, domain=HIGH), A(3, domain=LOW), reduction="none", delta=0.25),
    ],
    tg.smooth_l1_loss: [
        call(A(4, domain=BENT), np.zeros(4)),
        call(A(3, domain=HIGH), A(3, domain=LOW), "sum", 0.25),
        call(A(2, domain=HIGH), A(2, domain=LOW), reduction="none", beta=0.0),
    ],
    tg.sigmoid_focal_loss: [
        call(A(2, 3), A(2, 3, domain=UNIT)), call(A(3), A(3, domain=UNIT), 0.75, 1.5, "sum"),
        call(A(3), A(3, domain=UNIT), alpha=-1.0, gamma=0.0, reduction="mean"),
    ],
    tg.softmax_focal_loss: [
        call(A(3, 4), LABELS), call(A(3, 3), LABELS, 0.5, "sum"),
        call(A(3, 3), LABELS, gamma=1.0, reduction="none"),
    ],
    # distributions
    tg.gaussian_nll_loss: [
        call(A(2, 3), A(2, 3), A(2, 3, domain=POSITIVE)),
        call(A(2, 3), A(2, 3), A(2, 1, domain=Domain(1.0)), True, 0.5, "sum"),
        call(A(2), A(2), A(2, domain=POSITIVE), full=True, eps=1e-3, reduction="none"),
    ],
    tg.poisson_nll_loss: [
        call(A(2, 2), A(2, 2, domain=POSITIVE)),
        call(A(3, domain=POSITIVE), A(3, domain=Domain(1.0)), False, True, 0.5, "sum"),
        call(A(2), A(2, domain=UNIT), full=True, reduction="none"),
    ],
    tg.kl_div: [
        *(call(A(2, 3), A(2, 3, domain=UNIT), how) for how in (*HOW, "batchmean")),
        call(A(2, 3), A(2, 3), log_target=True),
    ],
    tg.gaussian_kl: [  # at 0 it is a small difference, too rough for a difference quotient
        call(A(2, 3), A(2, 3, domain=NONZERO)),
        *(call(A(3), A(3, domain=NONZERO), reduction=how) for how in HOW),
    ],
    # comparisons
    tg.multi_margin_loss: [
        call(A(3, 4, domain=SMALL), LABELS, margin=3.0),
        call(A(3, 3, domain=SMALL), LABELS, 2, 3.0, "sum"),
        call(A(3, 3, domain=SMALL), LABELS, p=2, margin=-3.0, reduction="none"),
    ],
    tg.margin_ranking_loss: [
        call(A(3, domain=HIGH), A(3, domain=LOW), SIGNS, 0.25, how) for how in HOW
    ],
    tg.soft_margin_loss: [call(A(3), SIGNS, how) for how in HOW],
    tg.negative_sampling_loss: [
        call(A(2), A(2, 3)), call(A(), A(4), "sum"), call(A(2, 2), A(2, 2, 1), reduction="none"),
    ],
    tg.hinge_embedding_loss: [
        call(A(3, domain=BENT), SIGNS), call(A(3, domain=HIGH), SIGNS, 0.25, "sum"),
        call(A(3, domain=LOW), SIGNS, margin=0.75, reduction="none"),
    ],
    tg.contrastive_loss: [
        call(A(3, 2, domain=HIGH), A(3, 2, domain=LOW), LABELS % 2, margin=0.25),
        call(A(3, 2, domain=HIGH), A(3, 2, domain=LOW), LABELS % 2, 9.0, "sum"),
        call(A(3, 2, domain=HIGH), A(3, 2, domain=LOW), LABELS % 2, 9.0, reduction="none"),
    ],
    tg.cosine_embedding_loss: [
        call(A(3, 2, domain=HIGH), A(3, 2, domain=HIGH), SIGNS, margin=-0.5),
        call(A(3, 2, domain=HIGH), A(3, 2, domain=HIGH), SIGNS, -1.0, "sum"),
        call(A(3, 2, domain=HIGH), A(3, 2, domain=HIGH), SIGNS, reduction="none"),
    ],
    tg.triplet_margin_loss: [
        call(A(2, 3), A(2, 3, domain=LOW), A(2, 3, domain=HIGH), margin=99.0),
        call(A(2, 2, domain=LOW), A(2, 2, domain=HIGH), A(2, 2, domain=Domain(3.0, 4.0)), 9.0, 3,
             1e-3),
        call(A(2, domain=LOW), A(2, domain=HIGH), A(2, domain=Domain(4.0, 5.0)), 9.0, swap=True,
             p=1.5, eps=0.0, reduction="sum"),
        call(A(2, 2, domain=LOW), A(2, 2, domain=HIGH), A(2, 2, domain=HIGH), 9.0,
             reduction="none"),
    ],
}  # fmt: skip
