"""Sorting and selecting: against NumPy, by hand at ties and NaN."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

nan = math.nan


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(9).permutation(math.prod(shape)).reshape(shape) / 4


def gradient(f: Callable[[Any], Any], x: Any, g: Any = None) -> Any:
    t = Tensor(x, requires_grad=True)
    y = f(t)
    y.backward(1.0 + np.arange(y.size).reshape(y.shape) if g is None else g)
    return t.grad


# -- sort ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_sort(axis: Any) -> None:
    x = drawn(3, 4)
    y = np.sort(Tensor(x), axis=axis)
    np.testing.assert_array_equal(y.data, np.sort(x, axis=axis))
    tg.check_gradients(lambda t: np.sort(t, axis=axis), x, order=2)


def test_sort_sends_each_cotangent_where_the_element_came_from() -> None:
    assert gradient(np.sort, [5.0, 3, 4]).tolist() == [3, 1, 2]
    assert gradient(np.sort, [[5.0, 3], [1, 2]], [[1.0, 2], [3, 4]]).tolist() == [[2, 1], [3, 4]]


@pytest.mark.parametrize("kind", [None, "quicksort", "stable"])
def test_of_equal_elements_the_lower_index_comes_first(kind: Any) -> None:
    assert gradient(lambda t: np.sort(t, kind=kind), [2.0, 1, 2, 2, 1]).tolist() == [3, 1, 4, 5, 2]
    many = np.zeros(1000)
    assert gradient(lambda t: np.sort(t, kind=kind), many).tolist() == list(range(1, 1001))


def test_nan_is_sorted_to_the_end() -> None:
    assert gradient(np.sort, [nan, 1, nan, 0]).tolist() == [3, 2, 4, 1]


@pytest.mark.parametrize("axis", [0, -1])
def test_stable_argsort(axis: int) -> None:
    for x in (drawn(5, 6), drawn(5, 6) // 2, np.full((5, 6), nan), np.zeros((0, 3)), np.ones(1)):
        np.testing.assert_array_equal(
            tg.stable_argsort(x, axis), np.argsort(x, axis, kind="stable")
        )
    assert tg.stable_argsort(Tensor([2.0, 1.0], requires_grad=True)).tolist() == [1, 0]


# -- partition -----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("kth", [0, 2, -1, [1, 2]])
def test_partition(kth: Any, axis: Any) -> None:
    x = drawn(4, 5)
    y = np.partition(Tensor(x), kth, axis=axis)
    np.testing.assert_array_equal(y.data, np.partition(x, kth, axis=axis))
    tg.check_gradients(lambda t: np.partition(t, kth, axis=axis), x, order=2)


def test_partition_of_many() -> None:
    x = np.random.default_rng(0).normal(size=2000)
    g = np.random.default_rng(1).normal(size=2000)
    # The gradient follows the values: what stands at the same place in both.
    found = gradient(lambda t: np.partition(t, 700), x, g)
    y = np.partition(x, 700)
    np.testing.assert_array_equal(found[np.argsort(x)], g[np.argsort(y)])


def test_kth_is_no_argument_to_differentiate_by() -> None:
    with pytest.raises(tg.UnsupportedError, match=r"partition: no gradient.*'kth'"):
        np.partition(Tensor([1.0, 2]), Tensor(1.0, requires_grad=True))


# -- topk ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_topk(k: int, largest: bool, axis: int) -> None:
    x = drawn(3, 4)
    values, indices = tg.topk(x, k, axis, largest)
    ranked = np.sort(x, axis)
    ranked = np.flip(ranked, axis) if largest else ranked
    np.testing.assert_array_equal(values, np.take(ranked, range(k), axis))
    np.testing.assert_array_equal(np.take_along_axis(x, indices, axis), values)
    tg.check_gradients(lambda t: tg.topk(t, k, axis, largest)[0], x, order=2)


def test_topk_of_tensors_and_lists() -> None:
    t = Tensor([3.0, 1, 4, 1, 5], requires_grad=True)
    values, indices = tg.topk(t, 2)
    assert (values.tolist(), indices.tolist()) == ([5, 4], [4, 2])
    assert values.requires_grad
    assert not indices.requires_grad
    (values * np.array([1.0, 10])).sum().backward()
    assert t.grad.tolist() == [0, 0, 10, 0, 1]
    assert tg.topk([3.0, 1, 4], 1)[1].tolist() == [2]


def test_topk_unsorted_keeps_the_order_of_the_array() -> None:
    values, indices = tg.topk(np.array([3.0, 1, 4, 1, 5]), 3, sorted=False)
    assert (values.tolist(), indices.tolist()) == ([3, 4, 5], [0, 2, 4])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_of_equal_elements_takes_the_lower_index(k: int, largest: bool) -> None:
    x = np.array([[2.0, 1, 2, 2, 1], [nan, 3, nan, 1, 3], [np.inf, np.inf, -np.inf, nan, -np.inf]])
    order = np.argsort(x, kind="stable")
    if largest:
        order = 4 - np.flip(np.argsort(np.flip(x, 1), kind="stable"), 1)
    assert tg.topk(x, k, largest=largest)[1].tolist() == order[:, :k].tolist()
    unsorted = tg.topk(x, k, largest=largest, sorted=False)[1]
    assert unsorted.tolist() == np.sort(order[:, :k]).tolist()


def test_topk_ties_and_nan() -> None:
    assert tg.topk(np.full(3, 2.0), 3)[1].tolist() == [0, 1, 2]
    assert tg.topk(np.full(3, 2.0), 3, largest=False)[1].tolist() == [0, 1, 2]
    assert tg.topk(np.array([1.0, nan, 3, nan]), 3)[1].tolist() == [1, 3, 2]
    assert tg.topk(np.array([1.0, nan, 3]), 2, largest=False)[1].tolist() == [0, 2]


@pytest.mark.parametrize("k", [-1, 4])
def test_topk_of_too_many(k: int) -> None:
    with pytest.raises(tg.InputError, match=f"0 <= k <= 3, the length of axis -1, got {k}"):
        tg.topk(np.zeros(3), k)


# -- unique --------------------------------------------------------------------------------------


def test_unique_sends_the_gradient_to_the_first_occurrence() -> None:
    assert gradient(np.unique, [2.0, 1, 2, 1, 3]).tolist() == [2, 1, 0, 0, 3]
    tg.check_gradients(np.unique, drawn(2, 3), order=2)
    tg.check_gradients(lambda t: np.unique(t, axis=0), drawn(3, 2), order=2)


@pytest.mark.parametrize("flags", [(True, False, False), (False, True, True), (True, True, True)])
def test_unique_returns_what_numpy_returns(flags: Any) -> None:
    x = np.array([2.0, 1, 2, 1, 3])
    for one, other in zip(np.unique(x, *flags), np.unique(Tensor(x), *flags), strict=True):
        np.testing.assert_array_equal(other.data, one)
        assert isinstance(other, Tensor)


# -- no gradient ---------------------------------------------------------------------------------


def test_questions_of_order_need_no_gradient() -> None:
    x = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 1.0]])
    t = Tensor(x, requires_grad=True)
    for f in (
        lambda x: np.argsort(x, axis=0),
        lambda x: np.argsort(x, kind="stable"),
        lambda x: np.argpartition(x, 1, axis=-1),
        lambda x: np.lexsort((x[0], x[1])),
        lambda x: np.searchsorted(np.sort(x[0]), x[1], side="right"),
        lambda x: np.searchsorted([0.0, 1.0], x),
        lambda x: np.digitize(x, [0.0, 1.0], right=True),
        lambda x: np.isin(x, [0.0, 2.0], invert=True),
        lambda x: np.flatnonzero(x),
        lambda x: np.argwhere(x),
        lambda x: np.nanargmax(x, axis=1),
        lambda x: np.nanargmin(x, axis=0, keepdims=True),
    ):
        found = f(t)
        np.testing.assert_array_equal(found.data, f(x))
        assert not found.requires_grad
