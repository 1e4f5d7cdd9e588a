"""Convolutions: each option by itself and together, one to three axes, with and without a batch."""

from itertools import product

import tinygrad_edu as tg
from samples.base import SMALL, A, call
from tinygrad_edu.ops import convolution
from tinygrad_edu.testing import Strategy

PLAIN = ((1,), ((0, 0),), (1,), 1)
UNEVEN = ((2, 1), ((1, 0), (0, 2)), (1, 2), 2)


def S(*shape: int) -> Strategy:  # as A, and small: products add up
    return A(*shape, domain=SMALL)


SAMPLES = {
    convolution.convolution: [
        call(S(2, 2, 4), S(3, 2, 2), S(3), how=PLAIN),
        call(S(1, 2, 4, 3), S(2, 1, 2, 2), None, how=UNEVEN),
    ],
    convolution.convolution_x: [
        call(S(2, 3, 3), S(3, 2, 2), size=(4,), how=PLAIN),
        call(S(1, 2, 2, 3), S(2, 1, 2, 2), size=(4, 3), how=UNEVEN),
    ],
    convolution.convolution_w: [
        call(S(2, 3, 3), S(2, 2, 4), size=(2,), how=PLAIN),
        call(S(1, 2, 2, 3), S(1, 2, 4, 3), size=(2, 2), how=UNEVEN),
    ],
    tg.conv1d: [
        call(S(2, 2, 5), S(2, 2, 2), S(2)), call(S(2, 4), S(1, 2, 3), padding="same"),
        call(S(1, 1, 4), S(1, 1, 2), stride=2, padding="valid"),
        call(S(1, 2, 4), S(2, 1, 2), None, 1, 0, 2, 2), call(S(0, 1, 4), S(1, 1, 2)),
    ],
    tg.conv2d: [
        call(S(1, 2, 4, 4), S(2, 2 // groups, 2, 2), S(2), stride, padding, dilation, groups)
        for stride, groups in ((1, 2), ((2, 1), 1))
        for padding, dilation in product((0, (1, 0)), (1, 2))
    ] + [call(S(2, 3, 3), S(2, 2, 1, 1)), call(S(1, 1, 3, 4), S(1, 1, 2, 3), padding="same")],
    tg.conv3d: [
        call(S(1, 1, 2, 3, 2), S(2, 1, 2, 2, 1), S(2), padding=(1, 0, 0), stride=(1, 2, 1)),
        call(S(2, 2, 2, 3), S(2, 1, 1, 2, 2), groups=2, dilation=(1, 1, 2)),
    ],
    tg.conv_transpose1d: [
        call(S(2, 2, 3), S(2, 1, 2), S(1), stride=2, output_padding=1),
        call(S(2, 3), S(2, 1, 2), S(2), groups=2, dilation=2, padding=1),
    ],
    tg.conv_transpose2d: [
        call(S(1, 2, 2, 3), S(2, 2, 2, 2), S(2)),
        call(S(1, 2, 2, 2), S(2, 1, 3, 2), None, (2, 3), (1, 0), (0, 2), 2, (1, 2)),
        call(S(1, 2, 2), S(1, 2, 2, 1), padding=(1, 0)),
    ],
    tg.conv_transpose3d: [
        call(S(1, 1, 2, 1, 2), S(1, 2, 1, 2, 2), S(2), stride=(2, 1, 1), output_padding=(1, 0, 0)),
        call(S(2, 2, 1, 1), S(2, 1, 2, 1, 1), groups=2, padding=(1, 0, 0), dilation=(2, 1, 1)),
    ],
}  # fmt: skip
