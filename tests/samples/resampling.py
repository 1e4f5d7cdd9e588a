"""Images in another size: each mode and option, one to three axes."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, call
from tinygrad_edu.ops import resampling

INDEX = np.array([0, 0, 1, 3, 3])

SAMPLES = {
    resampling.take_sorted: [call(A(n, 4), index=INDEX, axis=1) for n in (2, 0)],
    resampling.add_sorted: [call(A(2, 5), size=4, index=INDEX, axis=1)],
    tg.max_unpool2d: [
        call(A(1, 2, 1, 2), np.array([[[[5, 2]], [[0, 7]]]]), 2),
        call(A(1, 2, 2), np.array([[[5, 2], [0, 8]]]), (2, 2), stride=1),
        call(A(1, 1, 2), np.array([[[5, 8]]]), 2, padding=(0, 1), output_size=(3, 3)),
    ],
    tg.adaptive_avg_pool1d: [call(A(1, 2, 5), 3), call(A(1, 4), 2)],
    tg.adaptive_avg_pool2d: [call(A(1, 2, 4, 5), (2, 3)), call(A(1, 2, 3), (None, 4))],
    tg.adaptive_avg_pool3d: [call(A(1, 1, 2, 3, 2), 2), call(A(1, 2, 3, 2), (1, None, 1))],
    tg.interpolate: [
        call(A(1, 2, 3), 5), call(A(1, 1, 2, 3), (4, 2)), call(A(1, 1, 2, 3), scale_factor=1.5),
        call(A(1, 2, 3), 5, mode="linear"), call(A(1, 1, 2, 3), (3, 5), mode="bilinear"),
        call(A(1, 1, 3, 2), scale_factor=(2, 0.5), mode="bilinear", align_corners=True),
        call(A(1, 1, 2, 1, 3), 2, mode="trilinear"), call(A(1, 2, 5), 3, mode="area"),
    ],
    tg.pixel_shuffle: [call(A(1, 4, 2, 1), 2), call(A(9, 1, 2), 3), call(A(2, 1, 1), 1)],
    tg.pixel_unshuffle: [call(A(1, 1, 4, 2), 2), call(A(2, 3, 3), 3)],
}  # fmt: skip
