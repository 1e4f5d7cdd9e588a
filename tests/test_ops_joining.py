"""Joining, splitting, repeating, inserting, grids, borders: linear maps, so checked exactly."""

from typing import Any

import numpy as np
import pytest
from affine import check_affine

import tinygrad_edu as tg
from tinygrad_edu import Tensor

CASES: list[Any] = [
    ("concatenate", lambda x, y: np.concatenate([x, y]), (2, 3), (4, 3)),
    (
        "concatenate axis",
        lambda x, y, z: np.concatenate((x, y, z), axis=-1),
        (2, 3),
        (2, 0),
        (2, 1),
    ),
    ("concatenate flat", lambda x, y: np.concatenate([x, y], axis=None), (2, 3), (2,)),
    ("concatenate twice", lambda x: np.concatenate([x, x]), (2, 3)),
    ("concatenate constant", lambda x: np.concatenate([[[1.0, 2.0]], x, np.ones((1, 2))]), (2, 2)),
    ("concatenate rows of one", lambda x: np.concatenate(x), (2, 3, 2)),
    ("concatenate nothing", lambda x: np.concatenate([x]), (0,)),
    ("stack", lambda x, y: np.stack([x, y]), (2, 3), (2, 3)),
    ("stack axis", lambda x, y: np.stack([x, y], axis=-1), (2, 3), (2, 3)),
    ("stack middle", lambda x, y: np.stack([x, y], 1), (2, 3), (2, 3)),
    ("stack 0-d", lambda x, y: np.stack([x, y]), (), ()),
    ("vstack", lambda x, y: np.vstack([x, y]), (3,), (2, 3)),
    ("hstack", lambda x, y: np.hstack([x, y]), (2, 3), (2, 1)),
    ("hstack 1-d", lambda x, y: np.hstack([x, y]), (3,), ()),
    ("dstack", lambda x, y: np.dstack([x, y]), (3,), (1, 3)),
    ("column_stack", lambda x, y: np.column_stack([x, y]), (3,), (3, 2)),
    ("append", lambda x, y: np.append(x, y, axis=0), (2, 3), (1, 3)),
    ("append flat", lambda x, y: np.append(x, y), (2, 3), ()),
    ("split", lambda x: np.split(x, 3), (6, 2)),
    ("split at", lambda x: np.split(x, [1, 4], axis=1), (2, 5)),
    ("split at an array", lambda x: np.split(x, np.array([1, 4]), axis=-1), (2, 5)),
    ("split beyond", lambda x: np.split(x, [2, 9]), (4,)),
    ("split from the end", lambda x: np.split(x, [-2]), (5,)),
    ("split, some unused", lambda x: np.split(x, 3)[1], (6,)),
    ("array_split", lambda x: np.array_split(x, 3), (7, 2)),
    ("array_split few", lambda x: np.array_split(x, 4, axis=1), (2, 3)),
    ("array_split at", lambda x: np.array_split(x, [2], axis=1), (2, 3)),
    ("vsplit", lambda x: np.vsplit(x, 2), (4, 3)),
    ("hsplit", lambda x: np.hsplit(x, [1]), (4, 3)),
    ("hsplit 1-d", lambda x: np.hsplit(x, 2), (4,)),
    ("dsplit", lambda x: np.dsplit(x, 2), (2, 2, 4)),
    ("repeat", lambda x: np.repeat(x, 3), (2, 3)),
    ("repeat axis", lambda x: np.repeat(x, 3, axis=-1), (2, 3)),
    ("repeat each", lambda x: np.repeat(x, [2, 0, 1], axis=1), (2, 3)),
    ("repeat never", lambda x: np.repeat(x, 0, axis=1), (2, 3)),
    ("repeat 0-d", lambda x: np.repeat(x, 2), ()),
    ("tile", lambda x: np.tile(x, 2), (2, 3)),
    ("tile axes", lambda x: np.tile(x, (2, 1, 3)), (2, 3)),
    ("tile fewer", lambda x: np.tile(x, (2,)), (2, 3)),
    ("tile 0-d", lambda x: np.tile(x, (2, 3)), ()),
    ("concatenate in a dtype", lambda x, y: np.concatenate([x, y], dtype=float), (2,), (3,)),
    ("vstack in a dtype", lambda x: np.vstack([x, x], dtype=float, casting="safe"), (2,)),
    ("block", lambda x, y: np.block([x, y]), (2,), (3,)),
    ("block of rows", lambda x, y, z: np.block([[x, y], [z]]), (2, 3), (2, 1), (1, 4)),
    ("block of columns", lambda x, y: np.block([[x], [y]]), (3,), (2, 3)),
    ("block, deep", lambda x: np.block([[[x, x]], [[x, x]]]), (2, 3)),
    ("block of an array", np.block, (2, 3)),
    ("block with numbers", lambda x: np.block([[x, 1.0], [2.0, x]]), ()),
    ("block of stacks", lambda x, y: np.block([x, y]), (2, 2, 1), (2, 2, 3)),
    ("insert", lambda x, y: np.insert(x, 1, y), (3,), ()),
    ("insert flat", lambda x, y: np.insert(x, 5, y), (2, 3), (2,)),
    ("insert at the end", lambda x, y: np.insert(x, 3, y), (3,), ()),
    ("insert from the end", lambda x, y: np.insert(x, -1, y), (3,), (2,)),
    ("insert a row", lambda x, y: np.insert(x, 1, y, axis=0), (2, 3), (3,)),
    ("insert a column", lambda x, y: np.insert(x, 1, y, axis=1), (2, 3), (2,)),
    ("insert columns", lambda x, y: np.insert(x, [1], y, axis=-1), (2, 3), (2, 2)),
    ("insert a matrix", lambda x, y: np.insert(x, 0, y, axis=1), (2, 3, 4), (5, 2, 4)),
    ("insert unsorted", lambda x, y: np.insert(x, [3, 0, 3], y), (4,), (3,)),
    ("insert one everywhere", lambda x, y: np.insert(x, [0, 2], y, axis=0), (2, 3), (3,)),
    ("insert at a slice", lambda x, y: np.insert(x, slice(None, None, 2), y), (4,), (2,)),
    ("insert nothing", lambda x, y: np.insert(x, [], y), (3,), (0,)),
    ("delete", lambda x: np.delete(x, 1), (4,)),
    ("delete flat", lambda x: np.delete(x, -1), (2, 3)),
    ("delete rows", lambda x: np.delete(x, [0, 2], axis=0), (4, 3)),
    ("delete one twice", lambda x: np.delete(x, [1, 1], axis=1), (4, 3)),
    ("delete a slice", lambda x: np.delete(x, slice(None, None, -2), axis=-1), (2, 5)),
    ("delete by a mask", lambda x: np.delete(x, np.array([True, False, True])), (3,)),
    ("delete nothing", lambda x: np.delete(x, []), (3,)),
    ("meshgrid", lambda x, y: np.meshgrid(x, y), (2,), (3,)),
    ("meshgrid ij", lambda x, y, z: np.meshgrid(x, y, z, indexing="ij"), (2,), (3,), (4,)),
    ("meshgrid of three", lambda x, y, z: np.meshgrid(x, y, z), (2,), (3,), (4,)),
    ("meshgrid sparse", lambda x, y: np.meshgrid(x, y, sparse=True), (2,), (3,)),
    ("meshgrid of one", lambda x: np.meshgrid(x), (3,)),
    ("meshgrid with a number", lambda x, y: np.meshgrid(x, y), (), (2,)),
]
if hasattr(np, "unstack"):
    CASES += [
        ("unstack", np.unstack, (2, 3)),
        ("unstack axis", lambda x: np.unstack(x, axis=-1), (2, 3)),
        ("unstack, one used", lambda x: np.unstack(x)[1], (2, 3)),
    ]

WIDTHS: list[Any] = [
    1,
    (1, 2),
    ((1, 2), (3, 0)),
    ((2,), (1,)),
    [(0, 0), (0, 3)],
    0,
    np.array([2, 1]),
]
PADDINGS: list[Any] = [
    {},
    {"constant_values": 2.5},
    {"constant_values": ((1, 2), (3, 4))},
    {"mode": "edge"},
    {"mode": "linear_ramp"},
    {"mode": "linear_ramp", "end_values": (1.5, -2)},
    {"mode": "mean"},
    {"mode": "mean", "stat_length": ((1, 9), (2, 1))},
    {"mode": "reflect"},
    {"mode": "symmetric"},
    {"mode": "wrap"},
]
CASES += [
    (f"pad {width} {options}", lambda x, w=width, o=options: np.pad(x, w, **o), (4, 5))
    for width in WIDTHS
    for options in PADDINGS
]
CASES += [
    (
        f"pad odd {mode} {width}",
        lambda x, m=mode, w=width: np.pad(x, w, m, reflect_type="odd"),
        (4, 5),
    )
    for mode in ("reflect", "symmetric")
    for width in (1, (3, 0), ((0, 2), (3, 3)))
]
CASES += [
    ("pad far, reflect", lambda x: np.pad(x, 7, "reflect"), (3,)),
    ("pad far, symmetric", lambda x: np.pad(x, 7, "symmetric"), (3,)),
    ("pad far, wrap", lambda x: np.pad(x, 7, "wrap"), (3,)),
    ("pad one, reflect", lambda x: np.pad(x, 2, "reflect"), (1,)),
    ("pad 0-d", lambda x: np.pad(x, 3), ()),
    ("pad nothing", lambda x: np.pad(x, ((1, 2), (0, 0))), (0, 2)),
]


@pytest.mark.parametrize(
    ("f", "shapes"), [(case[1], case[2:]) for case in CASES], ids=[case[0] for case in CASES]
)
def test_values_and_gradients_of_every_order(f: Any, shapes: Any) -> None:
    check_affine(f, *shapes)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.concatenate([x, np.ones((1, 4), np.float32)]),
        lambda x: np.stack([x, x], axis=1),
        lambda x: np.split(x, 2, axis=1)[1],
        lambda x: np.tile(x, 2),
        lambda x: np.insert(x, 1, 2.5, axis=0),
        lambda x: np.pad(x, 1, "linear_ramp", end_values=np.array([1.0, 2.0])),
        lambda x: np.pad(x, 1, "mean"),
        lambda x: np.pad(x, 1, constant_values=np.array([1.0, 2.0])),
        lambda x: np.block([[x, x]]),
    ],
)
def test_float32_stays_float32(f: Any) -> None:
    x = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    y = f(x)
    np.sum(y * y).backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)


def test_joined_arrays_get_gradients_in_their_own_dtypes() -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = Tensor(np.ones(3), requires_grad=True)
    joined = np.concatenate([x, y])
    np.sum(joined).backward()
    assert (joined.dtype, x.grad.dtype, y.grad.dtype) == (np.float64, np.float32, np.float64)


def test_what_is_inserted_gets_its_own_gradient() -> None:
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([8.0, 9.0], requires_grad=True)
    np.insert(x, [2, 0], y).backward([1.0, 2.0, 3.0, 4.0])  # 9, 1, 2, 8
    assert (x.grad.tolist(), y.grad.tolist()) == ([2, 3], [4, 1])


# -- chunk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "chunks", "lengths"),
    [
        (6, 3, [2, 2, 2]),
        (7, 3, [3, 3, 1]),
        (5, 4, [2, 2, 1]),
        (2, 5, [1, 1]),
        (3, 1, [3]),
        (0, 2, [0]),
    ],
)
def test_chunk_makes_parts_of_one_length(n: int, chunks: int, lengths: list[int]) -> None:
    check_affine(lambda x: tg.chunk(x, chunks, axis=-1), (2, n))
    parts = tg.chunk(np.arange(n), chunks)
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n))


# -- pad ---------------------------------------------------------------------------------------


def gradient_of_pad(x: Any, *args: Any, **options: Any) -> Any:
    """That of the border and the inside, each weighted with its place, first one 1."""
    t = Tensor(np.array(x, float), requires_grad=True)
    y = np.pad(t, *args, **options)
    np.testing.assert_array_equal(y.detach().numpy(), np.pad(np.array(x, float), *args, **options))
    y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
    return t.grad.tolist()


def test_pad_with_extremes_by_hand() -> None:
    # (7 7) 3 7 1 (7) with weights 1 to 6
    assert gradient_of_pad([3, 7, 1], (2, 1), "maximum") == [3, 4 + 1 + 2 + 6, 5]
    assert gradient_of_pad([3, 7, 1], (2, 1), "minimum") == [3, 4, 5 + 1 + 2 + 6]
    assert gradient_of_pad([3, 7, 1], (2, 1), "minimum", stat_length=2) == [3 + 3, 4, 5 + 6]
    assert gradient_of_pad([7, 7, 1], (1, 0), "maximum") == [2 + 0.5, 3 + 0.5, 4]  # a tie shares


def test_pad_with_the_median_by_hand() -> None:
    assert gradient_of_pad([3, 7, 1], (2, 1), "median") == [3 + 1 + 2 + 6, 4, 5]
    assert gradient_of_pad([3, 7, 1], (1, 0), "median", stat_length=(2, 1)) == [2.5, 3.5, 4]


def test_what_fills_a_border_is_differentiable() -> None:
    x, value = np.ones((2, 3)), np.array([2.0, 5.0])

    def padded(x: Any, value: Any) -> Any:
        return np.pad(x, ((1, 0), (2, 1)), constant_values=value)

    expected = padded(x, value)
    found = Tensor(x, requires_grad=True), Tensor(value, requires_grad=True)
    y = padded(*found)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    np.sum(y).backward()
    assert found[0].grad.tolist() == x.tolist()
    assert found[1].grad.tolist() == [3 + 2 * 3, 3]  # before: a row, two columns; after: a column


def test_pad_of_integers_rounds_as_numpy_does() -> None:
    x = np.array([1, 2, 2, 5])
    for mode in ("mean", "linear_ramp", "edge", "median"):
        found = np.pad(Tensor(x), 3, mode).numpy()
        np.testing.assert_array_equal(found, np.pad(x, 3, mode), strict=True)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: np.concatenate([x, x[0]]), tg.InputError, "concatenate.*dimension"),
        (lambda x: np.concatenate([x, x], axis=2), tg.IndexingError, "concatenate.*axis 2"),
        (lambda x: np.stack([x, x[0]]), tg.InputError, "stack.*same shape"),
        (lambda x: np.stack([x], out=np.ones((1, 2, 3))), tg.UnsupportedError, "'out'"),
        (lambda x: np.split(x, 2, axis=1), tg.InputError, r"\(2, 3\) cannot be divided into 2"),
        (lambda x: np.split(x, [2, 1], axis=1), tg.InputError, "increasing"),
        (lambda x: np.split(x, 2, axis=2), tg.IndexingError, "split"),
        (lambda x: np.array_split(x, 0), tg.InputError, "one section or more"),
        (lambda x: np.block([[x], x]), tg.InputError, r"nested equally deep.*\[0, 1\]"),
        (lambda x: np.block([[x], []]), tg.InputError, "an empty list"),
        (lambda x: np.block([x, (x,)]), tg.DtypeError, "block: .*got a tuple"),
        (lambda x: np.repeat(x, x[0], axis=1), tg.UnsupportedError, "repeat: .*'repeats'.*tracked"),
        (lambda x: np.tile(x, x[0, 0]), tg.UnsupportedError, "tile: .*'reps'.*tracked"),
        (lambda x: np.insert(x, x[0, 0], 1.0), tg.UnsupportedError, "insert: .*'obj'.*tracked"),
        (lambda x: np.delete(x, x[0, 0]), tg.UnsupportedError, "delete: .*'obj'.*tracked"),
        (lambda x: np.delete(x, 9), tg.IndexingError, "delete.*out of bounds"),
        (lambda x: np.insert(x, 9, 1.0), tg.IndexingError, "insert.*out of bounds"),
        (lambda x: np.insert(x, 1, np.ones(4), axis=0), tg.InputError, "insert.*broadcast"),
        (lambda x: np.meshgrid(x[0], indexing="yx"), tg.InputError, "'xy' or 'ij', got 'yx'"),
        (lambda x: tg.chunk(x, 0), tg.InputError, "chunk: expected one chunk or more"),
        (lambda x: np.pad(x, 1, "empty"), tg.UnsupportedError, "pad: mode 'empty' has no gradient"),
        (lambda x: np.pad(x, 1, print), tg.UnsupportedError, "pad: mode <built-in"),
        (
            lambda x: np.pad(x, 1, "edge", end_values=1),
            tg.UnsupportedError,
            "no option 'end_v",
        ),
        (lambda x: np.pad(x, -1), tg.InputError, "no negative pad_width"),
        (lambda x: np.pad(x, 1.5), tg.DtypeError, "integers for pad_width, got 1.5"),
        (lambda x: np.pad(x, ((1, 1),) * 3), tg.InputError, "pad.*broadcast"),
        (lambda x: np.pad(x, 1, "mean", stat_length=0), tg.InputError, "stat_length of 1 or more"),
        (lambda x: np.pad(x, 1, "reflect", reflect_type="up"), tg.InputError, "'even' or 'odd'"),
        (lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), tg.UnsupportedError, "pad twice"),
        (lambda x: np.pad(x[:0], 1, "edge"), tg.InputError, "pad.*empty axis"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("index", [Tensor(1), np.int64(1), [1]])
def test_plain_indices_may_be_integer_tensors(index: Any) -> None:
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert np.delete(x, index).detach().tolist() == [1, 3]
    assert np.insert(x, index, 7.0).detach().tolist() == [1, 7, 2, 3]
    assert np.repeat(x[:1], index).detach().tolist() == [1]


def test_a_trace_shows_a_border_as_numpy_has_it() -> None:
    program = tg.trace(lambda x: np.sum(np.pad(x, 1, "edge") ** 2), np.arange(3.0))
    assert "np.concatenate(" in str(program)
    value, (gradient,) = program(np.array([1.0, 2.0, 3.0]))
    assert (value, gradient.tolist()) == (1 + 1 + 4 + 9 + 9, [4, 4, 12])
