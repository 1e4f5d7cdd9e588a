"""Sorting and selecting, without ties."""

import numpy as np

import tinygrad_edu as tg
from samples.base import D, call
from tinygrad_edu.ops.order import _top

SAMPLES = {
    np.sort: [
        call(D(4)), call(D(2, 3)), call(D(3, 2), axis=0), call(D(2, 3), axis=None), call(D(0)),
        call(D(2, 3), kind="heapsort"), call(D(3), stable=True),
    ],
    np.partition: [
        call(D(5), 2), call(D(2, 3), 1, axis=0), call(D(2, 3), [4, 1], axis=None),
        call(D(3), -1, kind="introselect"),
    ],
}  # fmt: skip

INTERNAL = {
    tg.topk: "returns integers too, which have no difference quotient: tests/test_ops_order.py",
    np.unique: "returns integers too, if asked: tests/test_ops_order.py",
    _top: "tg.topk",
    np.argpartition: "needs an argument that it can be asked with: tests/test_ops_order.py",
}
