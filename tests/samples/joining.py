"""Joining, splitting, repeating, inserting, grids, borders."""

import numpy as np

import tinygrad_edu as tg
from samples.base import A, D, call
from tinygrad_edu.ops.padding import pad_with_numbers

SAMPLES = {
    np.concatenate: [
        call([A(2, 3), A(1, 3)]), call([A(2, 1), A(2, 2), A(2, 0)], axis=-1),
        call([A(2), A(2, 1)], None), call([A(2), A(1)], dtype=np.float64, casting="safe"),
    ],
    np.stack: [call([A(2, 3), A(2, 3)]), call([A(3), A(3), A(3)], axis=-1),
               call([A(2), A(2)], dtype=np.float64, casting="safe")],
    np.vstack: [call([A(3), A(2, 3)])],
    np.hstack: [call([A(3), A(2)]), call([A(2, 1), A(2, 2)])],
    np.dstack: [call([A(2, 3), A(2, 3)])],
    np.column_stack: [call([A(3), A(3, 2)])],
    np.append: [call(A(2, 2), A(3)), call(A(2, 2), A(1, 2), axis=0)],
    np.split: [call(A(4, 2), 2), call(A(2, 5), [1, 3], axis=1)],
    np.array_split: [call(A(5), 2), call(A(2, 5), [2], axis=-1)],
    np.vsplit: [call(A(4, 2), 2)],
    np.hsplit: [call(A(2, 4), 2), call(A(4), [1])],
    np.dsplit: [call(A(2, 1, 4), 2)],
    np.repeat: [call(A(2, 3), 2), call(A(2, 3), [2, 0, 1], axis=1), call(A(3), 3, axis=0)],
    np.tile: [call(A(2), 3), call(A(2, 3), (2, 1, 2))],
    tg.unstack: [call(A(2, 3)), call(A(2, 3), axis=1)],
    np.block: [call([A(2), A(3)]), call([A(2, 1), A(2, 2)]), call([A(), A(2)])],
    tg.chunk: [call(A(5, 2), 2), call(A(2, 5), chunks=3, axis=-1), call(A(2), 3)],
    np.insert: [
        call(A(3), 1, A()), call(A(2, 3), [2, 0], A(2, 2), axis=1), call(A(2, 3), 1, A(3), axis=0),
        call(A(3), slice(None, 2), A(2)),
    ],
    np.delete: [call(A(2, 3), 1), call(A(2, 3), [0, -1], axis=1), call(A(4), slice(None, None, 2))],
    np.meshgrid: [
        call(A(2), A(3)), call(A(2), A(3), sparse=True), call(A(2), A(1), A(2), indexing="ij"),
        call(A(2), A(2), copy=False),
    ],
    np.pad: [
        call(A(2, 3), 1), call(A(3), (1, 2), constant_values=0.5),
        call(A(2, 3), ((1, 0), (0, 2)), "edge"),
        call(A(2, 2), 1, "linear_ramp"),
        call(A(3), (2, 0), mode="linear_ramp", end_values=(1.0, 2.0)),
        call(D(2, 3), 1, "maximum"), call(D(4), 1, "minimum", stat_length=2),
        call(A(2, 3), 1, "mean"), call(A(4), (0, 2), "mean", stat_length=((3, 2),)),
        call(D(5), 1, "median"), call(A(2, 3), 2, "reflect"),
        call(A(3), (1, 2), "reflect", reflect_type="odd"), call(A(2, 2), 3, "symmetric"),
        call(A(3), 2, "symmetric", reflect_type="odd"), call(A(2, 3), (1, 4), "wrap"),
    ],
}  # fmt: skip

# What not every NumPy has.
if hasattr(np, "unstack"):
    SAMPLES[np.unstack] = SAMPLES[tg.unstack]

INTERNAL = {pad_with_numbers: "np.pad"}

if np.lib.NumpyVersion(np.__version__) >= "2.4.0":  # before, a mask was an index, with a warning
    SAMPLES[np.insert].append(call(A(4), np.array([False, True, False, True]), A(2)))
