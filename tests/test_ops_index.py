"""Indexing and its adjoint; diagonals, triangles, embedding."""

from typing import Any

import numpy as np
import pytest
from affine import check_affine

import tinygrad_edu as tg
from tinygrad_edu import Tensor

X = np.random.default_rng(0).normal(size=(4, 5, 3))
MASK = X > 0
INDICES: list[Any] = [
    1,
    -1,
    np.int64(2),
    (1, 2),
    (1, 2, -1),
    slice(1, 3),
    slice(None, None, -1),
    (slice(None), slice(4, 0, -2)),
    ...,
    (..., 0),
    (0, ..., 0),
    None,
    (None, 1, None),
    (slice(None), None, 2),
    (),
    slice(2, 2),
    [0, 2],
    [2, 2, 2, 0],
    [-1, 3],
    [],
    np.array([1, 1, 0]),
    np.array(2),
    np.array([[0, 1], [1, 1]], dtype=np.uint8),
    ([0, 1, 0], [2, 2, 2]),
    ([0, 0, 0], [1, 1, 1], [2, 2, -1]),
    (np.array([[0], [3]]), np.array([1, 1, 4])),
    ([0, 0], slice(None), [1, 1]),
    (slice(None), [0, 0, 1]),
    (slice(None), slice(1, 3), [0, 0]),
    (..., [2, 2]),
    ([1, 1], 0),
    (0, [1, 1]),
    (0, slice(None), [1, 1]),
    ([1, 1], None, 0),
    MASK,
    MASK[:, 0, 0],
    (slice(None), MASK[0, :, 0]),
    (MASK[:, 0, 0], 1),
    (MASK[:, :, 0], [0]),
    (MASK[:, 0, 0], slice(1, 3), 0),
    (MASK[..., 0], [[0], [0]]),
    [True, False, True, True],
    True,
    False,
    np.zeros((4, 5), bool),
]


@pytest.mark.parametrize("index", INDICES, ids=lambda index: str(index)[:40].replace("\n", ""))
def test_getitem(index: Any) -> None:
    check_affine(lambda x: x[index], X)
    check_affine(lambda x: tg.getitem(x, index), X)


@pytest.mark.parametrize("index", INDICES, ids=lambda index: str(index)[:40].replace("\n", ""))
def test_scatter_add_is_the_adjoint(index: Any) -> None:
    values = np.asarray(np.random.default_rng(1).normal(size=X[index].shape))
    scattered = tg.scatter_add(values, index, X.shape)
    expected = np.zeros(X.shape)
    np.add.at(expected, index, values)
    np.testing.assert_allclose(scattered, expected, rtol=1e-14)
    np.testing.assert_allclose(np.vdot(scattered, X), np.vdot(values, X[index]), rtol=1e-12)
    check_affine(lambda v: tg.scatter_add(v, index, X.shape), values)


def test_index_of_a_number() -> None:
    check_affine(lambda x: x[...], ())
    check_affine(lambda x: x[None], ())
    check_affine(lambda x: x[()], ())


def test_indices_may_be_integer_tensors() -> None:
    rows = Tensor([0, 2, 2])
    x = Tensor(X, requires_grad=True)
    np.sum(x[rows, Tensor(1)]).backward()
    expected = np.zeros_like(X)
    np.add.at(expected, ([0, 2, 2], 1), 1.0)
    np.testing.assert_array_equal(x.grad, expected)


def test_an_index_changed_later_does_not_change_the_gradient() -> None:
    index = np.array([0, 1])
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[index]
    index[:] = 2
    np.sum(y).backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0, 0.0])


@pytest.mark.parametrize("shape", [(50,), (50, 7), (50, 3, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_repeated_rows_add_up(shape: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(-50, 50, size=(40, 5))
    values = rng.normal(size=(40, 5, *shape[1:])).astype(dtype)
    scattered = tg.scatter_add(values, index, shape)
    expected = np.zeros(shape)
    for row, value in zip(index.ravel(), values.reshape(-1, *shape[1:]), strict=True):
        expected[row] += value
    assert scattered.dtype == dtype
    np.testing.assert_allclose(
        scattered, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.take(x, [0, 0, 2]),
        lambda x: np.take(x, [[0, 59], [-1, 0]]),
        lambda x: np.take(x, [0, 0, -1], axis=1),
        lambda x: np.take(x, [[0, 0], [1, -1]], axis=-1),
        lambda x: np.take(x, 1, axis=1),
        lambda x: np.take(x, np.array(1), axis=0),
        lambda x: np.take(x, [-3, 9, 2], axis=1, mode="clip"),
        lambda x: np.take(x, [-3, 9, 2], axis=1, mode="wrap"),
        lambda x: np.take(x, [-70, 99, 2], mode="wrap"),
        lambda x: np.take(x, np.array([], int), axis=0),
        lambda x: x.take([0, 0], axis=0),
        lambda x: np.take_along_axis(x, np.argsort(X, axis=1), axis=1),
        lambda x: np.take_along_axis(x, np.argmax(X, axis=-1, keepdims=True), axis=-1),
        lambda x: np.take_along_axis(x, np.zeros((4, 2, 3), int), axis=1),
        lambda x: np.take_along_axis(x, np.array([[[0], [0], [-1]]]), axis=1),
        lambda x: np.take_along_axis(x, np.array([0, 0, 7]), axis=None),
    ],
)  # fmt: skip
def test_take(f: Any) -> None:
    check_affine(f, X)


# -- by a condition ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.compress([True, False, True], x, axis=0),  # shorter than the axis
        lambda x: np.compress(np.array([0, 2, 0, 1, 1]), x, axis=1),
        lambda x: np.compress([0, 1, 1], x, axis=-1),
        lambda x: np.compress([True, False, True], x),
        lambda x: np.compress([False], x, axis=0),
        lambda x: np.extract(MASK, x),
        lambda x: np.extract([0, 1, 1], x),
    ],
)
def test_elements_where_a_condition_holds(f: Any) -> None:
    check_affine(f, X)


@pytest.mark.parametrize(
    "mask", [MASK, MASK[0], MASK[:, :1], np.array(True), np.array(False), [True, False, True]]
)
def test_masked_select(mask: Any) -> None:
    wide = np.broadcast_to(mask, X.shape)
    np.testing.assert_array_equal(tg.masked_select(X, mask), X[wide])
    check_affine(lambda x: tg.masked_select(x, mask), X)
    check_affine(lambda x: tg.masked_select(x, MASK), (5, 1))  # here x is stretched


def test_conditions_may_be_tensors() -> None:
    x = Tensor(X, requires_grad=True)
    np.sum(tg.masked_select(x, x > 0)).backward()
    np.testing.assert_array_equal(x.grad, MASK)
    assert np.compress(Tensor([1, 0, 1]), x, axis=2).shape == (4, 5, 2)
    assert np.extract(x > 0, x).shape == (MASK.sum(),)


# -- embedding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [2, [0, 2, 0], np.array([[1, 1], [-1, 3]]), np.zeros(0, int)])
def test_embedding(index: Any) -> None:
    check_affine(lambda W: tg.embedding(W, index), (4, 3))
    check_affine(lambda W: tg.embedding(W, index), (4,))
    check_affine(lambda W: tg.embedding(W, index), (4, 2, 3))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ([0.0, 1.0], tg.DtypeError, "expected integers for index, got dtype float64"),
        (np.array([True, False, True, True]), tg.DtypeError, "dtype bool"),
        ([0, 4], tg.IndexingError, "embedding.*out of bounds"),
    ],
)
def test_embedding_refuses(index: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tg.embedding(Tensor(np.ones((4, 3)), requires_grad=True), index)


# -- index_update ------------------------------------------------------------------------------


def updated(x: Any, index: Any, value: Any) -> Any:
    """What `tg.index_update` is for: `x[index] = value`, on arrays."""
    if isinstance(x, Tensor) or isinstance(value, Tensor):
        return tg.index_update(x, index, value)
    x = np.array(x)
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("index", "shape"),
    [
        (1, (5, 3)),
        (1, ()),
        (1, (3,)),
        (1, (1, 5, 3)),
        (1, (1, 1, 5, 1)),
        ((..., 0), (4, 5)),
        (..., ()),
        (slice(1, 3), (2, 1, 3)),
        ((slice(None), slice(4, 0, -2)), (4, 2, 1)),
        ([0, 2], (2, 5, 3)),
        ([0, 2], (3,)),
        (([0, 1, 0], [2, 2, 1]), (3, 3)),
        ((slice(None), [0, -1]), ()),
        (MASK, ()),
        (MASK, (int(MASK.sum()),)),
        (MASK[:, 0, 0], (5, 1)),
        (slice(2, 2), ()),
    ],
    ids=lambda case: str(case)[:30].replace("\n", ""),
)
def test_index_update(index: Any, shape: Any) -> None:
    check_affine(lambda x, value: updated(x, index, value), X, shape)
    check_affine(lambda value: updated(X, index, value), shape)
    check_affine(lambda x: updated(x, index, 2.5), X)


def test_index_update_leaves_its_arguments_alone() -> None:
    x, value = np.ones(3), np.zeros(2)
    np.testing.assert_array_equal(tg.index_update(x, [0, 2], value), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(x, np.ones(3))


def test_index_update_of_a_number() -> None:
    check_affine(lambda x, value: updated(x, ..., value), (), ())
    total = np.sum(Tensor([1.0, 2.0], requires_grad=True))  # 0-d, a NumPy scalar inside
    assert tg.index_update(total, ..., 4.0).item() == 4.0


def test_index_update_keeps_the_dtype() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    value = Tensor(np.array([2.0]), requires_grad=True)
    y = tg.index_update(x, slice(0, 2), value)
    np.sum(y).backward()
    assert (y.dtype, x.grad.dtype, value.grad.dtype) == (np.float32, np.float32, np.float64)
    assert value.grad == 2.0


@pytest.mark.parametrize("index", [[0, 0], [0, -3], (np.array([[0], [0]]),)])
@pytest.mark.parametrize("value", [1.0, np.float64(2.0)])
def test_index_update_refuses_repeated_indices(index: Any, value: Any) -> None:
    with pytest.raises(tg.InputError, match=r"2 elements, but only 1 different.*undefined"):
        tg.index_update(Tensor(np.ones(3), requires_grad=True), index, value)


def test_index_update_names_the_shapes_that_do_not_fit() -> None:
    with pytest.raises(tg.InputError, match=r"index_update\(.*shape \(3,\).*shape \(4,\)"):
        tg.index_update(Tensor(np.ones(3), requires_grad=True), slice(None), np.ones(4))


# -- diagonals and triangles -------------------------------------------------------------------

DIAGONALS = [
    (f"{name} {k} of {shape}", f, shape)
    for shape in [(3, 3), (2, 3), (4, 2), (1, 3), (0, 2), (2, 0)]
    for k in (-3, -1, 0, 1, 2)
    for name, f in {
        "diagonal": lambda x, k=k: np.diagonal(x, k),
        "diag": lambda x, k=k: np.diag(x, k),
        "trace": lambda x, k=k: np.trace(x, k),
        "tril": lambda x, k=k: np.tril(x, k),
        "triu": lambda x, k=k: np.triu(x, k),
    }.items()
]
DIAGONALS += [
    (f"{name} of a vector, {k}", f, (3,))
    for k in (-2, -1, 0, 1)
    for name, f in {
        "diag": lambda x, k=k: np.diag(x, k),
        "diagflat": lambda x, k=k: np.diagflat(x, k),
        "tril": lambda x, k=k: np.tril(x, k),
        "triu": lambda x, k=k: np.triu(x, k),
    }.items()
]
DIAGONALS += [
    (f"{name} of a stack, {offset} {axes}", f, (2, 3, 4))
    for offset in (-1, 0, 2)
    for axes in [(0, 1), (1, 0), (-1, 0), (2, 1)]
    for name, f in {
        "diagonal": lambda x, o=offset, a=axes: np.diagonal(x, o, *a),
        "trace": lambda x, o=offset, a=axes: np.trace(x, o, *a),
    }.items()
]
DIAGONALS += [
    ("diagflat", np.diagflat, (2, 2)),
    ("diag of nothing", np.diag, (0,)),
    ("tril of a stack", np.tril, (2, 3, 2)),
    ("diagonal method", lambda x: x.diagonal(1), (2, 3)),
    ("trace method", lambda x: x.trace(1), (2, 3)),
    ("linalg.diagonal", lambda x: np.linalg.diagonal(x, offset=1), (2, 3, 4)),
    ("linalg.trace", lambda x: np.linalg.trace(x, offset=-1), (2, 3, 4)),
]


@pytest.mark.parametrize(
    ("f", "shape"), [case[1:] for case in DIAGONALS], ids=[case[0] for case in DIAGONALS]
)
def test_diagonals_and_triangles(f: Any, shape: Any) -> None:
    check_affine(f, shape)


def test_a_trace_may_be_added_up_in_another_dtype() -> None:
    x = Tensor(np.eye(2, dtype=np.float32), requires_grad=True)
    total = np.trace(x, dtype=np.float64)
    total.backward()
    assert (total.dtype, x.grad.dtype, x.grad.tolist()) == (
        np.float64,
        np.float32,
        [[1, 0], [0, 1]],
    )


def test_diag_of_a_rectangle() -> None:
    # autograd returns a 2x2 gradient here.
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    np.sum(np.diag(x) * np.array([5.0, 7.0])).backward()
    np.testing.assert_array_equal(x.grad, [[5.0, 0.0, 0.0], [0.0, 7.0, 0.0]])


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: x[2], tg.IndexingError, r"getitem\(.*index 2 is out of bounds"),
        (lambda x: x[0, 0, 0], tg.IndexingError, "too many indices"),
        (lambda x: x[1.5], tg.IndexingError, "getitem"),
        (lambda x: x[[0, 2]], tg.IndexingError, "out of bounds"),
        (lambda x: x[x], tg.UnsupportedError, "getitem: no gradient is defined for argument"),
        (lambda x: x[x, 0], tg.UnsupportedError, "getitem: no gradient is defined for argument"),
        (lambda x: np.take(x, x), tg.UnsupportedError, "take: no gradient is defined for argument"),
        (lambda x: np.take(x, [6]), tg.IndexingError, "take.*out of bounds"),
        (lambda x: np.take(x, [0], out=np.ones(1)), tg.UnsupportedError, "take: option 'out'"),
        (lambda x: np.compress(x[0], x), tg.UnsupportedError, "compress: .*'condition'.*tracked"),
        (lambda x: np.compress([[True]], x), tg.InputError, r"condition of one axis, got \(1, 1\)"),
        (lambda x: np.compress([0, 0, 1], x, axis=0), tg.IndexingError, "compress.*out of bounds"),
        (
            lambda x: np.compress([1], x, out=np.ones(1)),
            tg.UnsupportedError,
            "compress: option",
        ),
        (lambda x: tg.masked_select(x, x), tg.UnsupportedError, "masked_select: .*'mask'.*tracked"),
        (lambda x: tg.masked_select(x, [1, 0, 1]), tg.DtypeError, "boolean mask, got dtype int"),
        (lambda x: np.trace(x, out=np.ones(())), tg.UnsupportedError, "trace: option 'out'"),
        (lambda x: np.diag(x[None]), tg.InputError, "diag: expected one or two axes"),
        (lambda x: np.diagonal(x[0]), tg.InputError, "diagonal"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize(
    "index", [1, (slice(None), 2), (slice(1, 3), slice(None, None, 2)), ..., None]
)
def test_dask_arrays_are_indexed(index: Any) -> None:
    da = pytest.importorskip("dask.array")
    numbers = X[..., 0]
    x = Tensor(numbers, requires_grad=True)
    np.sum(x[index] * x[index]).backward()
    lazy = Tensor(da.from_array(numbers, chunks=2), requires_grad=True)
    np.sum(lazy[index] * lazy[index]).backward()
    assert isinstance(lazy.grad, da.Array)
    np.testing.assert_array_equal(lazy.grad.compute(), x.grad)


def test_dask_arrays_cannot_add_at_repeated_indices() -> None:
    da = pytest.importorskip("dask.array")
    x = Tensor(da.ones((4, 3), chunks=2), requires_grad=True)
    with pytest.raises(tg.UnsupportedError, match=r"scatter_add: .*dask.*one-hot"):
        np.sum(x[[0, 0, 2]]).backward()


def test_a_trace_names_the_ops() -> None:
    def f(x: Any, W: Any) -> Any:
        rows = tg.scatter_add(tg.embedding(W, [0, 2, 2]), [1, 0, 1], (2, 4))
        return np.sum(tg.index_update(x[1:], (0, [0, 1]), rows[0, :2]) @ rows.T)

    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    program = tg.trace(f, x, W)
    for name in ("tg.embedding(", "tg.scatter_add(", "tg.index_update(", "[1:]"):
        assert name in str(program)
    value, grads = program(x, W)
    expected, expected_grads = tg.value_and_grad(f, (0, 1))(x, W)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    for one, other in zip(grads, expected_grads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
