"""Windows: each option by itself and together, with and without a batch."""

from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_edu as tg
from samples.base import A, call
from tinygrad_edu.ops import windows

HOW = ((2, 1), ((1, 0), (0, 2)), (1, 2))  # stride, padding, dilation

SAMPLES = {
    windows.windows: [call(A(1, 2, 4, 3), kernel=(2, 2), how=HOW)],
    windows.add_windows: [
        call(A(1, 8, 6), size=(4, 3), kernel=(2, 2), how=HOW),
    ],
    tg.unfold: [
        call(A(1, 2, 3, 4), 2), call(A(1, 3, 4), (2, 1), stride=2),
        call(A(1, 1, 3, 3), (2, 2), 2, 1, (1, 2)), call(A(0, 1, 2, 2), 2),
    ],
    tg.fold: [
        call(A(1, 4, 4), (3, 3), 2), call(A(2, 2), (3, 4), (2, 1), stride=2),
        call(A(1, 4, 6), 3, 2, 2, 1, (1, 2)),
    ],
    sliding_window_view: [
        call(A(4), 2), call(A(3, 4), (2, 3)), call(A(3, 4), 2, axis=0),
        call(A(3, 4), (2,), axis=-1), call(A(5, 2), (2, 3), axis=(0, 0)),
        call(A(2, 3, 2), (2, 1), axis=(1, 0)),
    ],
    windows.add_sliding: [
        call(A(3, 2), shape=(4,), axis=(0,)), call(A(2, 2, 2, 3), shape=(3, 4), axis=(0, 1)),
        call(A(2, 2, 2, 3), shape=(5, 2), axis=(0, 0)),
    ],
}  # fmt: skip
