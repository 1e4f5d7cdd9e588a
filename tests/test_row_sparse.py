"""RowSparse: what it is as an array, and that gradients of embeddings are right in that form."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import RowSparse, Tensor

RNG = np.random.default_rng(0)


def table(*shape: int, dtype: Any = float) -> Tensor:
    return Tensor(RNG.normal(size=shape).astype(dtype), requires_grad=True, name="W")


def dense_sum(rows: Any, values: Any, shape: tuple[int, ...]) -> Any:
    """By hand, one row after the other."""
    whole = np.zeros(shape)
    for row, value in zip(rows, values, strict=True):
        whole[row] += value
    return whole


@st.composite
def made(draw: Any) -> tuple[RowSparse, Any]:
    """One, and the same by hand; integers, so that sums are exact in any order."""
    n, width = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    rows = draw(st.lists(st.integers(0, n - 1), max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(-9, 10, (len(rows), width)).astype(float)
    shape = (n, width)
    return RowSparse(np.array(rows, int), values, shape), dense_sum(rows, values, shape)


# -- an array ----------------------------------------------------------------------------------


@given(made())
def test_rows_are_sorted_and_unique_and_their_values_are_sums(pair: Any) -> None:
    g, whole = pair
    assert (g.rows[1:] > g.rows[:-1]).all()
    assert g.values.shape == (len(g.rows), *g.shape[1:])
    np.testing.assert_array_equal(g.dense(), whole)
    np.testing.assert_array_equal(np.asarray(g), whole)


def test_long_runs_of_a_row_are_summed_well() -> None:
    values = np.full((100_000, 1), 0.1, np.float32)
    g = RowSparse(np.zeros(100_000, int), values, (3, 1))
    assert g.rows.tolist() == [0]
    assert abs(g.values[0, 0] / 10_000 - 1) < 1e-6  # one after the other it would be 1e-4


@given(made(), made())
def test_sums_and_multiples_stay_row_sparse(one: Any, two: Any) -> None:
    (g, g_whole), (h, h_whole) = one, two
    if g.shape == h.shape:
        for result, whole in ((g + h, g_whole + h_whole), (g - h, g_whole - h_whole)):
            assert type(result) is RowSparse
            np.testing.assert_array_equal(result.dense(), whole)
    for result, whole in (
        (2 * g, 2 * g_whole),
        (g * np.float64(3), 3 * g_whole),
        (g / 2, g_whole / 2),
        (-g, -g_whole),
        (np.array(2.0) * g, 2 * g_whole),
    ):
        assert type(result) is RowSparse
        np.testing.assert_array_equal(result.rows, g.rows)
        np.testing.assert_array_equal(result.dense(), whole)


@given(made())
def test_with_an_array_the_result_is_dense(pair: Any) -> None:
    g, whole = pair
    x = RNG.normal(size=g.shape)
    before = x.copy()
    for result, expected in (
        (x + g, x + whole),
        (g + x, x + whole),
        (x - g, x - whole),
        (g - x, whole - x),
        (g * x, whole * x),
        (g + 1, whole + 1),
        (1 / (g + 100), 1 / (whole + 100)),
        (g**2, whole**2),
        (g == 0, whole == 0),
        (np.sum(g, axis=0), whole.sum(axis=0)),
        (np.isfinite(g), np.isfinite(whole)),
        (np.linalg.norm(g), np.linalg.norm(whole)),
    ):
        assert type(result) is not RowSparse
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(x, before)


@given(made())
def test_an_array_is_changed_in_place_and_only_in_the_rows(pair: Any) -> None:
    g, whole = pair
    x = RNG.normal(size=g.shape)
    expected, same = x - whole, x
    x -= g
    assert x is same
    np.testing.assert_array_equal(x, expected)
    x += g
    assert x is same
    np.testing.assert_array_equal(x, expected + whole)
    x[...] = np.nan  # which a dense update would keep, and a row-sparse one too
    untouched = np.setdiff1d(np.arange(len(x)), g.rows)
    x[untouched] = 5.0
    x -= g
    np.testing.assert_array_equal(x[untouched], 5.0)


def test_in_place_with_another_dtype_is_as_numpy_has_it() -> None:
    g = RowSparse([1], [[0.5]], (2, 1))
    x = np.zeros((2, 1), np.float32)
    x += g
    assert x.dtype == np.float32
    assert x.tolist() == [[0.0], [0.5]]
    with pytest.raises(TypeError, match="Cannot cast"):
        x = np.zeros((2, 1), int)
        x += g
    with pytest.raises(ValueError, match="broadcast"):
        x = np.zeros((3, 1))
        x += g


def test_options_of_a_ufunc_count() -> None:
    g = RowSparse([1], [[0.5]], (3, 1))
    assert np.multiply(g, 2, dtype=np.float32).dtype == np.float32
    out = np.array([[7.0], [7.0], [7.0]])
    result = np.add(out, g, out=out, where=np.array([[True], [False], [True]]))
    assert result is out
    assert out.ravel().tolist() == [7.0, 7.0, 7.0]


def test_it_is_not_written_into() -> None:
    g = RowSparse([1], [[1.0]], (2, 1))
    before = g
    g *= 2
    g /= 4
    g += RowSparse([0], [[1.0]], (2, 1))
    g -= RowSparse([1], [[1.0]], (2, 1))
    assert (before.rows.tolist(), before.values.tolist()) == ([1], [[1.0]])
    assert g.dense().tolist() == [[1.0], [-0.5]]
    with pytest.raises(tg.UnsupportedError, match=r"multiply: .*cannot be written into"):
        np.multiply(g, 2, out=g)


@pytest.mark.parametrize(
    ("rows", "values", "shape", "message"),
    [
        ([0.0], [[1.0]], (2, 1), "integers for rows, got dtype float64"),
        ([0], [[1.0, 2.0]], (2, 1), r"got rows \(1,\) and values \(1, 2\) for \(2, 1\)"),
        ([[0]], [[[1.0]]], (2, 1), r"got rows \(1, 1\)"),
        ([0], [1.0], (), r"values \(k, ...\) for a shape \(n, ...\)"),
        ([0, 2], [[1.0], [1.0]], (2, 1), "from 0 to 1, got 0 to 2"),
        ([0, -1], [[1.0], [1.0]], (2, 1), "from 0 to 1, got -1 to 0"),
    ],
)
def test_what_does_not_fit_is_refused(rows: Any, values: Any, shape: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=f"RowSparse: expected .*{message}"):
        RowSparse(rows, values, shape)


def test_it_says_how_many_rows_of_what() -> None:
    g = RowSparse([4, 1, 4], np.ones((3, 2), np.float32), (9, 2))
    assert repr(g) == "RowSparse(2 rows of (9, 2), float32)"
    assert (g.dtype, g.astype(float).dtype) == (np.float32, np.float64)


def test_copies_are_apart() -> None:
    g = RowSparse([1], [[1.0]], (2, 1))
    for other in (g.copy(), copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        other.values[...] = 7
        assert other.dense().tolist() == [[0.0], [7.0]]
    assert g.values.tolist() == [[1.0]]


# -- the gradient of an embedding --------------------------------------------------------------


@given(st.data())
def test_the_gradient_is_that_of_a_dense_embedding(data: Any) -> None:
    n = data.draw(st.integers(1, 5))
    rest = data.draw(st.lists(st.integers(0, 3), max_size=2))
    length = data.draw(st.lists(st.integers(0, 4), max_size=2))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    index = np.array(rng.integers(-n, n, length))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, ">f8"]))
    W = table(n, *rest, dtype=dtype)
    y = tg.embedding(W, index, sparse=True)
    g = rng.integers(-9, 10, y.shape).astype(dtype)
    y.backward(g)
    sparse = W.grad
    assert type(sparse) is RowSparse
    assert (sparse.shape, sparse.dtype) == (W.shape, W.dtype)
    assert sparse.rows.tolist() == sorted({int(i) % n for i in index.ravel()})
    W.zero_grad()
    tg.embedding(W, index).backward(g)
    np.testing.assert_array_equal(sparse.dense(), W.grad)


def test_a_row_by_hand() -> None:
    W = table(4, 2)
    (
        tg.embedding(W, [2, -1, 2], sparse=True) * [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    ).sum().backward()
    assert W.grad.rows.tolist() == [2, 3]
    assert W.grad.values.tolist() == [[6.0, 8.0], [3.0, 4.0]]


def test_no_row_at_all() -> None:
    W = table(4, 2)
    tg.embedding(W, np.array([], int), sparse=True).sum().backward()
    assert (W.grad.rows.shape, W.grad.values.shape) == ((0,), (0, 2))
    assert not W.grad.dense().any()


@pytest.mark.parametrize(
    ("index", "error"), [([4], tg.IndexingError), ([-5], tg.IndexingError), (0.5, tg.DtypeError)]
)
def test_a_wrong_index_is_refused_as_without_sparse(index: Any, error: Any) -> None:
    with pytest.raises(error, match="embedding"):
        tg.embedding(table(4, 2), index, sparse=True)


def test_uses_add_up_within_a_pass_and_over_passes() -> None:
    W = table(5, 1)
    for _ in range(2):
        (
            tg.embedding(W, [0, 1], sparse=True) + tg.embedding(W, [3, 1], sparse=True)
        ).sum().backward()
        assert type(W.grad) is RowSparse
    assert W.grad.dense().ravel().tolist() == [2, 4, 0, 2, 0]
    W.zero_grad()
    assert W.grad is None


@pytest.mark.parametrize("dense_first", [True, False])
def test_a_dense_use_makes_it_dense(dense_first: bool) -> None:
    W = table(3, 1)
    uses = [W.sum(), tg.embedding(W, [1, 1], sparse=True).sum()]
    loss = uses[0] + uses[1] if dense_first else uses[1] + uses[0]
    loss.backward()
    assert type(W.grad) is np.ndarray
    assert W.grad.ravel().tolist() == [1, 3, 1]
    tg.embedding(W, 0, sparse=True).sum().backward()  # and so it stays
    assert type(W.grad) is np.ndarray
    assert W.grad.ravel().tolist() == [2, 3, 1]
    W.zero_grad()
    tg.embedding(W, 0, sparse=True).sum().backward()
    W.sum().backward()
    assert type(W.grad) is np.ndarray
    assert W.grad.ravel().tolist() == [2, 1, 1]


def test_what_was_computed_gets_a_dense_gradient() -> None:
    W = table(3, 1)
    doubled = W * 2
    doubled.retain_grad()
    tg.embedding(doubled, [1], sparse=True).sum().backward()
    assert type(doubled.grad) is type(W.grad) is np.ndarray
    assert W.grad.ravel().tolist() == [0, 2, 0]


def test_functions_of_functions_give_dense_gradients() -> None:
    W = table(3, 2)

    def cubes(W: Any) -> Any:
        return np.sum(tg.embedding(W, np.array([1, 1]), sparse=True) ** 3)

    used = np.array([[0.0], [1.0], [0.0]])
    expected = 6 * W.data**2 * used
    for result in (
        tg.gradients(cubes(W), W),
        tg.gradients(cubes(W), W, create_graph=True),
        tg.grad(cubes)(W.data),
        tg.grad(lambda W: tg.checkpoint(cubes)(W))(W.data),
    ):
        assert type(result) is not RowSparse
        np.testing.assert_allclose(
            Tensor(result).data if type(result) is not Tensor else result.detach().data, expected
        )
    v = np.ones((3, 2))
    np.testing.assert_allclose(tg.hvp(cubes, W.data, v), 12 * W.data * used)
    assert W.grad is None


def test_the_values_are_its_own() -> None:
    V, W = table(4, 2), table(4, 2)
    (tg.embedding(V, [1, 3], sparse=True) + tg.embedding(W, [1, 3], sparse=True)).backward(
        np.ones((2, 2))
    )
    V.grad.values[...] = 7
    assert (W.grad.values == 1).all()


def test_an_observer_sees_the_rows() -> None:
    W = table(4, 2)
    edges: list[Any] = []

    def keep(edge: Any) -> None:
        if edge.op == "embedding":
            edges.append(edge)
            edge.contribution.values[...] = 100  # may be written into

    with tg.observe(keep):
        y = tg.embedding(W, [0], sparse=True) + tg.embedding(W, [0, 2][:1], sparse=True)
        y.sum().backward()
    assert [type(edge.contribution) for edge in edges] == [RowSparse, RowSparse]
    assert edges[0].before is None
    assert edges[1].before.values.tolist() == [[1.0, 1.0]]
    assert edges[1].after.values.tolist() == [[2.0, 2.0]]
    assert W.grad.values.tolist() == [[2.0, 2.0]]


def test_an_anomaly_in_a_row_is_found() -> None:
    W = Tensor(np.ones((3, 1)), requires_grad=True)
    with tg.detect_anomaly():
        y = tg.embedding(W, [1], sparse=True)
        y.backward(np.ones((1, 1)))
        with pytest.raises(
            tg.AnomalyError, match=r"embedding: backward made a non-finite gradient"
        ):
            tg.embedding(W, [1], sparse=True).backward([[np.inf]])


def test_a_tensor_with_such_a_gradient_is_copied() -> None:
    W = table(4, 2)
    tg.embedding(W, [1], sparse=True).sum().backward()
    for other in (copy.deepcopy(W), pickle.loads(pickle.dumps(W))):
        other.grad.values[...] = 5
        assert other.grad.rows.tolist() == [1]
    assert (W.grad.values == 1).all()


def test_a_step_by_hand_touches_the_rows_used() -> None:
    W = table(4, 2)
    before = W.data.copy()
    tg.embedding(W, [1, 1], sparse=True).sum().backward()
    W.data -= 0.1 * W.grad
    np.testing.assert_array_equal(W.data[[0, 2, 3]], before[[0, 2, 3]])
    np.testing.assert_array_equal(W.data[1], before[1] - 0.1 * np.array([2.0, 2.0]))


def test_other_kinds_of_arrays_get_dense_gradients() -> None:
    program = tg.trace(
        lambda W: tg.embedding(W, np.array([1, 1]), sparse=True).sum(), np.ones((3, 1))
    )
    assert "d_W = tg.scatter_add(" in str(program)
    _, (gradient,) = program(np.ones((3, 1)))
    assert gradient.ravel().tolist() == [0, 2, 0]
