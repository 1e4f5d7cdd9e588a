"""Tensor as an array: making, reading, operators, indexing, methods, and the safety of its data."""

import copy
import math
import operator
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

RNG = np.random.default_rng(11)
POSITIVE = RNG.uniform(0.5, 2.0, size=(2, 3))


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def gradient(f: Callable[..., Any], x: Any) -> np.ndarray:
    """The gradient of <f(x), w> for fixed irregular weights w, as `.grad`."""
    t = leaf(x)
    y = f(t)
    y.backward(weights(y.shape))
    return t.grad


def differences(f: Callable[..., Any], x: np.ndarray) -> np.ndarray:
    """The same by central differences on plain arrays."""
    slopes = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-5
        rise = np.asarray(f(x + step)) - np.asarray(f(x - step))
        slopes[i] = np.sum(rise * weights(rise.shape)) / 2e-5
    return slopes


def weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.cos(np.arange(math.prod(shape)) + 1.0)).reshape(shape)


def pointer(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Foreign:
    """The least that an array of another kind must have."""

    def __init__(self, dtype: Any = float) -> None:
        self.dtype, self.shape, self.ndim, self.size = np.dtype(dtype), (2,), 1, 2

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return NotImplemented

    def astype(self, dtype: Any) -> "Foreign":
        return Foreign(dtype)


# --- the constructor --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3.0, "float64", ()),
        (3, "int64", ()),
        (True, "bool", ()),
        (1j, "complex128", ()),
        ([1.0, 2.0], "float64", (2,)),
        ((1, 2), "int64", (2,)),
        ([[1.0], [2.0]], "float64", (2, 1)),
        ([], "float64", (0,)),
        (range(3), "int64", (3,)),
        (np.float32(2), "float32", ()),
        (np.ones((2, 3), np.float16), "float16", (2, 3)),
        (np.ones(2, np.longdouble), str(np.dtype(np.longdouble)), (2,)),
        (np.zeros((0, 3)), "float64", (0, 3)),
        ([np.float32(1), np.float32(2)], "float32", (2,)),
    ],
)
def test_numbers_become_an_array(data: Any, dtype: str, shape: tuple[int, ...]) -> None:
    t = Tensor(data)
    assert type(t.data) is np.ndarray
    assert (str(t.dtype), t.shape) == (dtype, shape)
    np.testing.assert_array_equal(t.data, np.array(data))


def test_the_array_is_copied() -> None:
    array = np.ones(3)
    t = Tensor(array)
    array[0] = 9
    t.data[1] = 7
    assert t.tolist() == [1, 7, 1]
    assert array.tolist() == [9, 1, 1]


def test_a_read_only_array_becomes_a_writable_leaf() -> None:
    array = np.broadcast_to(1.0, (3,))
    t = Tensor(array)
    t.data[0] = 5
    assert t.tolist() == [5, 1, 1]


@pytest.mark.filterwarnings("ignore:.*matrix subclass:PendingDeprecationWarning")
def test_a_subclass_of_ndarray_becomes_a_plain_one() -> None:
    t = Tensor(np.matrix([[1.0, 2.0]]))
    assert type(t.data) is np.ndarray
    assert (t * t).tolist() == [[1, 4]]


def test_dtype_converts() -> None:
    assert Tensor([1, 2], dtype=float).dtype == np.float64
    assert Tensor(np.ones(2), dtype=np.float32).dtype == np.float32
    assert Tensor([1, 2], True, dtype=float).requires_grad


def test_an_array_of_another_kind_is_kept_as_it_is() -> None:
    array = Foreign()
    assert Tensor(array).data is array


def test_an_array_of_another_kind_is_converted_by_its_own_astype() -> None:
    data = Tensor(Foreign(int), dtype=np.float32).data
    assert isinstance(data, Foreign)
    assert data.dtype == np.float32


@pytest.mark.parametrize(
    "data",
    [
        "abc",
        None,
        object(),
        {"a": 1},
        [None],
        ["a"],
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(2, [("a", float)]),
        lambda: 0,
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_is_no_number_is_refused(data: Any) -> None:
    with pytest.raises(tg.DtypeError, match="expected numbers"):
        Tensor(data)


def test_a_ragged_list_is_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        Tensor([1.0, [2.0, 3.0]])


@pytest.mark.parametrize("data", [[1, 2], [True, False], [1j], np.uint8(3)])
def test_only_floats_can_require_a_gradient(data: Any) -> None:
    with pytest.raises(tg.DtypeError, match=r"w.*dtype=float") as caught:
        Tensor(data, requires_grad=True, name="w")
    assert isinstance(caught.value, TypeError)


def test_requires_grad_can_be_switched_on_a_leaf() -> None:
    t = Tensor([1.0, 2.0])
    assert t.requires_grad is False
    t.requires_grad = True
    np.sum(t * t).backward()
    assert t.grad.tolist() == [2, 4]
    t.requires_grad = False
    assert (t * t).requires_grad is False


def test_requires_grad_is_refused_on_integers_later_too() -> None:
    t = Tensor([1, 2])
    with pytest.raises(tg.DtypeError, match="dtype=float"):
        t.requires_grad = True
    assert t.requires_grad is False


def test_requires_grad_of_a_result_cannot_be_switched_off() -> None:
    y = leaf(1.0) * 2
    with pytest.raises(tg.GraphError, match="detach"):
        y.requires_grad = False
    assert y.requires_grad


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: [t], lambda t: [[t, 1.0]], lambda t: t * 2]
)
def test_a_tensor_of_a_tracked_tensor_is_refused(wrap: Callable[[Tensor], Any]) -> None:
    with pytest.raises((tg.GraphError, ValueError)) as caught:
        Tensor(wrap(leaf(1.0)))
    messages = f"{caught.value} {caught.value.__cause__}"
    assert "detach" in messages


def test_a_tensor_of_a_plain_tensor_is_a_copy() -> None:
    t = Tensor([1.0, 2.0])
    u = Tensor(t, requires_grad=True)
    u.data[0] = 9
    assert t.tolist() == [1, 2]


# --- what it is -------------------------------------------------------------------------------


def test_attributes_are_those_of_the_array() -> None:
    t = leaf(POSITIVE, name="x")
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3), 2, 6, np.float64, 2)
    assert (t.name, t.requires_grad, t.grad, t.node, t.is_leaf) == ("x", True, None, None, True)
    assert t.T.shape == (3, 2)


def test_a_result_knows_how_it_was_made() -> None:
    x = leaf([1.0, 2.0])
    y = np.sum(x, axis=0)
    assert not y.is_leaf
    assert y.requires_grad
    assert y.node is not None
    assert y.node.op.name == "sum"
    assert y.node.inputs is not None
    assert y.node.inputs[0] is x
    assert y.node.options == {"axis": 0}


def test_the_record_of_one_result_cannot_change_other_ops() -> None:
    options: Any = (leaf(1.0) * 2).node.options  # type: ignore[union-attr]
    try:
        options["k"] = 1
        assert (leaf(1.0) * 2).item() == 2
    except TypeError:
        return
    finally:
        if type(options) is dict:
            options.clear()


def test_a_result_of_constants_is_a_leaf() -> None:
    y = Tensor([1.0]) * 2
    assert (y.is_leaf, y.requires_grad, y.node) == (True, False, None)


def test_a_name_can_be_changed_and_taken_away() -> None:
    t = Tensor(1.0, name="a")
    t.name = "b"
    assert t.name == "b"
    t.name = None
    assert t.name is None


def test_a_result_can_be_named() -> None:
    y = leaf(1.0) * 2
    y.name = "loss"
    assert "loss" in repr(y)


def test_attributes_that_do_not_exist_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Tensor(1.0).weight = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Tensor(3.0), "Tensor(3., float64)"),
        (lambda: Tensor([1, 2]), "Tensor([1, 2], int64)"),
        (
            lambda: leaf([1.0, 2.0], name="w"),
            "Tensor([1., 2.], float64, name='w', requires_grad=True)",
        ),
        (lambda: leaf(2.0) * 3, "Tensor(6., float64, op=multiply, requires_grad=True)"),
        (lambda: Tensor(np.ones((3, 4))), "Tensor(shape=(3, 4), float64)"),
        (lambda: Tensor(np.ones((0, 4))), "Tensor([], float64)"),
        (lambda: Tensor(np.ones((2, 2))), "Tensor([[1., 1.], [1., 1.]], float64)"),
    ],
)
def test_repr_says_what_matters(make: Callable[[], Tensor], text: str) -> None:
    assert repr(make()).replace("  ", " ") == text


def test_repr_of_what_has_several_results_says_how_many() -> None:
    first, _ = np.split(leaf([1.0, 2.0]), 2)
    assert first.node is not None and first.node.inputs is not None
    assert repr(first.node.inputs[0]) == "Tensor(2 results, op=split, requires_grad=True)"


def test_tensors_are_hashed_by_identity_and_compared_by_element() -> None:
    t, u = Tensor([1.0, 2.0]), Tensor([1.0, 3.0])
    assert len({t, u, t}) == 2
    assert (t == u).tolist() == [True, False]
    assert (t != u).tolist() == [False, True]
    assert (t == None).tolist() == [False, False]  # noqa: E711  # elementwise, as ndarray


# --- operators --------------------------------------------------------------------------------

BINARY: list[Any] = [
    (operator.add, lambda x, y: 1, lambda x, y: 1),
    (operator.sub, lambda x, y: 1, lambda x, y: -1),
    (operator.mul, lambda x, y: y, lambda x, y: x),
    (operator.truediv, lambda x, y: 1 / y, lambda x, y: -x / y**2),
    (operator.pow, lambda x, y: y * x ** (y - 1), lambda x, y: x**y * np.log(x)),
    (operator.mod, lambda x, y: 1, lambda x, y: -np.floor(x / y)),
    (operator.floordiv, lambda x, y: 0, lambda x, y: 0),
]
OTHERS: list[Any] = [
    np.array([[1.25, 0.75, 2.5], [0.6, 1.1, 3.0]]),
    np.array([1.25, 0.75, 2.5]),
    np.array(1.25),
    np.float64(1.25),
    np.float32(1.25),
    np.int64(2),
    1.25,
    2,
    True,
    [1.25, 0.75, 2.5],
    Tensor([1.25, 0.75, 2.5]),
]
OTHER_NAMES = [f"{type(y).__name__}{np.shape(y)}" for y in OTHERS]


@pytest.mark.parametrize("other", OTHERS, ids=OTHER_NAMES)
@pytest.mark.parametrize(("apply", "by_x", "by_y"), BINARY, ids=[b[0].__name__ for b in BINARY])
def test_operators_take_any_kind_of_other_operand(
    apply: Any, by_x: Any, by_y: Any, other: Any, request: Any
) -> None:
    y = np.asarray(other.data if isinstance(other, Tensor) else other)
    wide = np.broadcast_to(y, POSITIVE.shape).astype(float)
    for left in (True, False):
        x = leaf(POSITIVE)
        result = apply(x, other) if left else apply(other, x)
        expected = apply(POSITIVE, y) if left else apply(y, POSITIVE)
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-15)
        result.backward(weights(result.shape))
        slope = by_x(POSITIVE, wide) if left else by_y(wide, POSITIVE)
        np.testing.assert_allclose(x.grad, slope * weights(POSITIVE.shape), rtol=1e-12)


@pytest.mark.parametrize(("apply", "by_x", "by_y"), BINARY, ids=[b[0].__name__ for b in BINARY])
def test_operators_give_both_operands_their_gradient(apply: Any, by_x: Any, by_y: Any) -> None:
    a, b = POSITIVE, OTHERS[0]
    x, y = leaf(a), leaf(b)
    apply(x, y).backward(weights(a.shape))
    np.testing.assert_allclose(x.grad, by_x(a, b) * weights(a.shape), rtol=1e-12)
    np.testing.assert_allclose(y.grad, by_y(a, b) * weights(a.shape), rtol=1e-12)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("kind", ["array", "list", "tensor"])
def test_matmul_takes_arrays_on_either_side(left: bool, kind: str) -> None:
    other = np.arange(6.0).reshape(3, 2) + 1
    operand = {"array": other, "list": other.tolist(), "tensor": Tensor(other)}[kind]

    def f(x: Any) -> Any:
        return x @ other if left else other @ x

    x = leaf(POSITIVE)
    y = x @ operand if left else operand @ x
    np.testing.assert_allclose(y.detach().numpy(), f(POSITIVE))
    y.backward(weights(y.shape))
    np.testing.assert_allclose(x.grad, differences(f, POSITIVE), rtol=1e-8)


@pytest.mark.parametrize(
    ("apply", "slope"),
    [(operator.neg, -1), (operator.pos, 1), (abs, np.array([-1, 1]))],
    ids=["neg", "pos", "abs"],
)
def test_unary_operators(apply: Any, slope: Any) -> None:
    x = leaf([-2.0, 3.0])
    y = apply(x)
    assert y.tolist() == apply(np.array([-2.0, 3.0])).tolist()
    y.backward(np.array([5.0, 7.0]))
    np.testing.assert_array_equal(x.grad, slope * np.array([5.0, 7.0]))


@pytest.mark.parametrize(
    "compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
)
@pytest.mark.parametrize("other", [2.0, np.array([1.0, 2.0, 3.0]), np.float64(2), Tensor(2.0)])
def test_comparisons_give_plain_truth_values(compare: Any, other: Any) -> None:
    numbers = np.array([1.0, 2.0, 2.5])
    plain = other.data if isinstance(other, Tensor) else other
    for result, expected in (
        (compare(leaf(numbers), other), compare(numbers, plain)),
        (compare(other, leaf(numbers)), compare(plain, numbers)),
    ):
        assert result.tolist() == expected.tolist()
        assert result.dtype == bool
        assert not result.requires_grad


def test_truth_values_combine() -> None:
    x = leaf([1.0, 2.0, 3.0])
    assert ((x > 1) & (x < 3)).tolist() == [False, True, False]
    assert ((x < 2) | (x > 2)).tolist() == [True, False, True]
    assert ((x > 1) ^ np.array([True, True, True])).tolist() == [True, False, False]
    assert (np.array([True, False, True]) & (x > 1)).tolist() == [False, False, True]
    assert (~(x > 1)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "other", ["a", object(), {"a": 1}, [None], None], ids=lambda other: type(other).__name__
)
@pytest.mark.parametrize("apply", [operator.add, operator.mul, operator.pow, operator.matmul])
def test_operands_that_are_no_numbers_are_refused(apply: Any, other: Any) -> None:
    with pytest.raises((tg.DtypeError, tg.InputError), match=apply.__name__[:3]):
        apply(leaf([1.0]), other)


def test_a_wrong_shape_is_refused_with_op_and_shapes() -> None:
    with pytest.raises(tg.InputError, match=r"(?s)add.*\(2, 3\).*\(4,\)") as caught:
        leaf(np.ones((2, 3)), name="x") + np.ones(4)
    assert isinstance(caught.value, ValueError)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        operator.iadd,
        operator.isub,
        operator.imul,
        operator.itruediv,
        operator.ipow,
        operator.imatmul,
    ],
)
def test_augmented_assignment_rebinds(change: Any) -> None:
    x = leaf([3.0, 4.0])
    y = change(x, np.array([2.0, 1.0]))
    assert y is not x
    assert x.tolist() == [3, 4]
    assert y.node is not None


def test_augmented_assignment_of_an_array_is_refused() -> None:
    array = np.zeros(2)
    with pytest.raises(tg.UnsupportedError, match=r"a = a \+ t"):
        array += leaf([1.0, 2.0])
    assert array.tolist() == [0, 0]


@pytest.mark.parametrize("tracked", ["target", "value"])
def test_assignment_to_elements_is_refused_with_the_functional_form(tracked: str) -> None:
    x = Tensor([1.0, 2.0], requires_grad=tracked == "target")
    with pytest.raises(tg.GraphError, match="index_update"):
        x[0] = leaf(3.0) if tracked == "value" else 3.0
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("index", [0, [0], slice(0, 1), np.array([True, False]), Tensor([0])])
def test_assignment_to_elements_works_without_a_graph(index: Any) -> None:
    x = Tensor([1.0, 2.0])
    x[index] = 9
    assert x.tolist() == [9, 2]


def test_index_update_is_the_functional_assignment() -> None:
    x, v = leaf([1.0, 2.0, 3.0]), leaf(9.0)
    y = tg.index_update(x, slice(0, 2), v)
    assert y.tolist() == [9, 9, 3]
    y.backward(np.array([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [0, 0, 100]
    assert v.grad.tolist() == 11


# --- indexing ---------------------------------------------------------------------------------

INDICES: list[Any] = [
    0,
    -1,
    np.int64(1),
    slice(None),
    slice(1, None),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(2, 2),
    None,
    ...,
    (),
    (1, 2),
    (slice(None), 1),
    (..., 0),
    (None, 1, ..., None),
    (slice(1, 3), slice(None, None, 2)),
    [0, 2],
    [0, 0, 2],
    [-1, 0],
    [],
    np.array([[0, 1], [1, 1]]),
    np.array([], dtype=int),
    ([0, 1, 0], [2, 1, 2]),
    (np.array([[0], [2]]), np.array([0, 2])),
    (slice(None), [0, 0]),
    ([0, 1], slice(None), None),
    np.array([True, False, True, False]),
    np.arange(12).reshape(4, 3) % 5 == 0,
    [True, False, False, True],
    (np.array([True, False, True, False]), 1),
    (slice(None), np.array([True, False, True])),
    np.array(True),
    False,
    Tensor([0, 0, 3]),
    Tensor(2),
    (Tensor([0, 1]), Tensor([1, 1])),
]


@pytest.mark.parametrize("index", INDICES, ids=[str(i) for i in range(len(INDICES))])
def test_indexing_is_numpys_and_its_gradient_counts_every_use(index: Any) -> None:
    def plain(part: Any) -> Any:
        return part.data if isinstance(part, Tensor) else part

    ours = tuple(map(plain, index)) if isinstance(index, tuple) else plain(index)
    numbers = np.arange(12.0).reshape(4, 3)
    x = leaf(numbers)
    y = x[index]
    np.testing.assert_array_equal(y.detach().numpy(), numbers[ours])
    y.backward(weights(y.shape))
    taken = np.arange(12).reshape(4, 3)[ours]
    expected = np.bincount(taken.ravel(), weights(y.shape).ravel(), minlength=12).reshape(4, 3)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-15)


@pytest.mark.parametrize("index", [4, -5, (0, 3), [0, 9], (0, 0, 0), 1.5, "a", [0.5]], ids=repr)
def test_an_index_that_does_not_fit_is_refused(index: Any) -> None:
    with pytest.raises(tg.IndexingError, match=r"getitem.*\(4, 3\)") as caught:
        leaf(np.zeros((4, 3)))[index]
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize(
    "index",
    [
        lambda i: i,
        pytest.param(lambda i: (0, i)),
        pytest.param(
            lambda i: (slice(None), i),
        ),
    ],
)
def test_a_tracked_index_is_refused_by_name(index: Callable[[Tensor], Any]) -> None:
    with pytest.raises(tg.AutogradError, match=r"getitem.*\bindex\b.*'i'"):
        leaf(np.zeros((4, 3)))[index(leaf(1.0, name="i"))]


def test_iteration_goes_over_the_first_axis_and_keeps_the_graph() -> None:
    x = leaf(np.arange(6.0).reshape(2, 3))
    first, second = x
    assert first.tolist() == [0, 1, 2]
    np.sum(first * second).backward()
    assert x.grad.tolist() == [[3, 4, 5], [0, 1, 2]]


def test_a_tensor_of_no_rows_has_none_to_iterate_over() -> None:
    assert list(Tensor(np.zeros((0, 3)))) == []


@pytest.mark.parametrize("use", [len, iter, list, sum])
def test_a_number_has_no_length_and_is_not_iterated_over(use: Any) -> None:
    with pytest.raises(TypeError, match="0-d"):
        use(leaf(1.0))


def test_membership_looks_at_the_elements() -> None:
    t = leaf([1.0, 2.0])
    assert 2 in t
    assert 3 not in t


# --- ndarray's methods ------------------------------------------------------------------------

METHODS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "sum 0": lambda x: x.sum(0),
    "sum axes": lambda x: x.sum(axis=(0, 1), keepdims=True),
    "mean": lambda x: x.mean(axis=-1),
    "mean keepdims": lambda x: x.mean(1, keepdims=True),
    "max": lambda x: x.max(),
    "max 1": lambda x: x.max(1),
    "min": lambda x: x.min(axis=0, keepdims=True),
    "prod": lambda x: x.prod(),
    "prod 0": lambda x: x.prod(0),
    "var": lambda x: x.var(axis=1, ddof=1),
    "std": lambda x: x.std(0),
    "cumsum": lambda x: x.cumsum(),
    "cumsum 1": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(),
    "cumprod 0": lambda x: x.cumprod(axis=0),
    "clip": lambda x: x.clip(0.9, 1.4),
    "clip below": lambda x: x.clip(min=1.0),
    "reshape": lambda x: x.reshape(3, 2),
    "reshape tuple": lambda x: x.reshape((-1, 2)),
    "reshape int": lambda x: x.reshape(-1),
    "reshape F": lambda x: x.reshape(3, 2, order="F"),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(),
    "transpose axes": lambda x: x.transpose(1, 0),
    "transpose tuple": lambda x: x.transpose((1, 0)),
    "transpose None": lambda x: x.transpose(None),
    "T": lambda x: x.T,
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: x.reshape(1, 6, 1).squeeze(),
    "squeeze axis": lambda x: x.reshape(1, 6, 1).squeeze(axis=0),
    "diagonal": lambda x: x.diagonal(1),
    "trace": lambda x: x.trace(),
    "take": lambda x: x.take([2, 0, 0], axis=1),
    "take flat": lambda x: x.take([5, 1]),
    "compress": lambda x: x.compress([True, False, True], axis=1),
    "choose": lambda x: (x > 1.2).choose([x, 2 * x]),
    "mT": lambda x: x.reshape(1, 2, 3).mT,
    "real": lambda x: x.real * x,
    "imag": lambda x: x.imag,
    "conj": lambda x: x.conj() * x.conjugate(),
    "divmod": lambda x: sum(divmod(x, 1.5)),
    "rdivmod": lambda x: sum(divmod(5.0, x)),
    "dot": lambda x: x.dot(np.arange(3.0)),
    "copy": lambda x: x.copy(),
    "astype": lambda x: x.astype(np.float64),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_ndarrays_and_differentiable(name: str) -> None:
    method = METHODS[name]
    y = method(leaf(POSITIVE))
    expected = np.asarray(method(POSITIVE))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-14)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(
        gradient(method, POSITIVE), differences(method, POSITIVE), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("name", ["argmax", "argmin", "all", "any"])
@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"axis": 0, "keepdims": True}])
def test_methods_without_a_gradient_give_constants(name: str, options: dict[str, Any]) -> None:
    y = getattr(leaf(POSITIVE), name)(**options)
    np.testing.assert_array_equal(y.data, getattr(POSITIVE, name)(**options))
    assert not y.requires_grad


@pytest.mark.parametrize(
    "method",
    [
        lambda x: x.sum(0, None, None, True),
        lambda x: x.ravel("F"),
        lambda x: x.flatten("F"),
        lambda x: x.copy("C"),
        lambda x: x.astype(np.float64, copy=False),
        lambda x: x.take([7], mode="clip"),
    ],
    ids=["sum", "ravel", "flatten", "copy", "astype", "take"],
)
def test_methods_take_all_of_ndarrays_arguments(method: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(method(leaf(POSITIVE)).detach().numpy(), method(POSITIVE))


@pytest.mark.parametrize(
    "method",
    [
        lambda x: x.argpartition(1),
        lambda x: x.argpartition(1, axis=0),
        lambda x: x.ravel()[:2].searchsorted([0.1, 2.0], side="right"),
        lambda x: (x.itemsize, x.nbytes),
    ],
)
def test_methods_whose_result_is_no_float(method: Callable[[Any], Any]) -> None:
    y = method(leaf(POSITIVE))
    np.testing.assert_array_equal(plain(y), method(POSITIVE))
    assert not getattr(y, "requires_grad", False)


def plain(y: Any) -> Any:
    return y.data if isinstance(y, Tensor) else y


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("sort", "np.sort(t), which returns a new Tensor"),
        ("fill", "np.full_like(t, value)"),
        ("put", "tg.index_update(t, index, value)"),
        ("exp", "np.exp(t)"),
        ("relu", "tg.relu(t)"),
        ("unsqueeze", "np.expand_dims(t, axis)"),
        ("numel", "t.size"),
    ],
)
def test_what_tensors_lack_is_an_attribute_error_that_says_what_to_write(
    name: str, instead: str
) -> None:
    t = Tensor([1.0])
    with pytest.raises(AttributeError, match=re.escape(f"no attribute {name!r}; use {instead}")):
        getattr(t, name)
    assert not hasattr(t, name)


def test_the_matrices_of_a_vector_cannot_be_transposed() -> None:
    with pytest.raises(tg.InputError, match=r"mT: expected two axes or more, got shape \(2,\)"):
        _ = Tensor([1.0, 2.0]).mT


def test_detach_leaves_the_graph() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).detach()
    assert (y.requires_grad, y.is_leaf, y.tolist()) == (False, True, [1, 4])
    np.sum(x * y).backward()
    assert x.grad.tolist() == [1, 4]


def test_detach_of_a_leaf_shares_nothing_that_can_be_written() -> None:
    x = leaf([1.0, 2.0])
    d = x.detach()
    d.data[0] = 9
    assert x.tolist() == [1, 2]
    x.data[1] = 7
    assert d.tolist() == [9, 2]


def test_detach_keeps_the_numbers_that_the_leaf_had() -> None:
    x = leaf([1.0, 2.0])
    d = x.detach()
    x.data[0] = 9
    assert d.tolist() == [1, 2]


def test_astype_lets_the_gradient_through_and_casts_it_back() -> None:
    x = leaf(np.ones(2, np.float32))
    y = x.astype(float)
    assert y.dtype == np.float64
    y.backward(np.array([1.0, 2.0]))
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_astype_to_integers_needs_no_gradient(dtype: Any) -> None:
    y = leaf([1.5, 0.0]).astype(dtype)
    assert not y.requires_grad
    assert y.dtype == np.dtype(dtype)


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [2.5, [2.5], [[[2.5]]]])
def test_one_element_can_be_read(data: Any) -> None:
    t = leaf(data)
    assert type(t.item()) is float
    assert t.item() == 2.5
    assert f"{t:.3f}" == "2.500"
    assert f"{t:>8.1f}" == "     2.5"
    assert bool(t)
    assert not bool(t * 0)


def test_reading_does_not_end_the_graph() -> None:
    x = leaf(3.0)
    y = x * x
    assert y.item() == 9
    y.backward()
    assert x.grad == 6


@pytest.mark.parametrize("read", [lambda t: t.item(), lambda t: f"{t:.3f}", bool])
@pytest.mark.parametrize("data", [[1.0, 2.0], []])
def test_several_elements_are_not_read_as_one(read: Any, data: Any) -> None:
    with pytest.raises(tg.InputError) as caught:
        read(leaf(data))
    assert isinstance(caught.value, ValueError)


def test_an_empty_format_is_the_text() -> None:
    t = leaf([1.0, 2.0])
    assert f"{t}" == str(t) == repr(t)


@pytest.mark.parametrize(
    "read",
    [float, int, complex, math.exp, math.sqrt, math.floor, round, lambda t: [0.0][int(t)]],
)
@pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 2], ids=["leaf", "result"])
def test_python_numbers_of_tracked_tensors_are_refused(read: Any, make: Any) -> None:
    with pytest.raises(TypeError if read is round else tg.GraphError) as caught:
        read(make(leaf(1.0)))
    assert read is round or "detach()" in str(caught.value)


def test_python_numbers_of_plain_tensors() -> None:
    t = Tensor(2.0)
    assert (float(t), int(t), complex(t), math.exp(t)) == (2.0, 2, 2 + 0j, math.exp(2.0))
    assert [10, 20, 30][Tensor(1)] == 20
    assert list(range(Tensor(2))) == [0, 1]


@pytest.mark.parametrize("t", [Tensor(1.0), Tensor([1])])
def test_only_a_single_integer_is_an_index(t: Tensor) -> None:
    with pytest.raises(tg.DtypeError, match="0-d integer"):
        [1, 2][t]


def test_the_builtin_sum_adds_tensors() -> None:
    t, u = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    total = sum([t, u, t])
    assert total.tolist() == [5, 8]
    total.backward(np.array([1.0, 10.0]))
    assert t.grad.tolist() == [2, 20]
    assert u.grad.tolist() == [1, 10]


def test_numpy_gives_the_leafs_own_memory_and_a_read_only_view_of_a_result() -> None:
    x = leaf([1.0, 2.0])
    assert pointer(x.numpy()) == pointer(x.data)
    x.numpy()[0] = 5
    assert x.tolist() == [5, 2]
    with pytest.raises(ValueError, match="read-only"):
        (x * 2).numpy()[0] = 1


# --- what would lose the graph ----------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.ascontiguousarray,
        lambda t: np.array([t, t]),
        lambda t: np.array([t, 1.0]),
        lambda t: np.asarray([t]),
        lambda t: np.full(3, t),
        lambda t: np.full_like(np.zeros(3), t),
        lambda t: np.zeros(3).dot(t),
        lambda t: np.arange(t),
        lambda t: np.asarray(t, dtype=np.float32),
    ],
)
def test_conversions_of_tracked_tensors_are_refused(convert: Any) -> None:
    with pytest.raises(tg.AutogradError):
        convert(leaf(2.0))


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda t: np.array([t, t]),
        lambda t: np.full(3, t),
        pytest.param(
            lambda t: np.full_like(np.zeros(3), t),
        ),
        float,
        math.exp,
    ],
    ids=["asarray", "array", "full", "full_like", "float", "exp"],
)
def test_refused_conversions_say_detach(convert: Any) -> None:
    with pytest.raises(tg.AutogradError, match=r"detach\(\)"):
        convert(leaf(2.0))


def test_the_hint_for_copyto_names_who_calls_it() -> None:
    with pytest.raises(tg.UnsupportedError, match=r"instead of np\.full or np\.full_like"):
        np.full_like(np.zeros(3), leaf(2.0))


@pytest.mark.parametrize("convert", [np.asarray, lambda t: np.array([t, t])])
def test_refused_conversions_name_stack_and_broadcast_to(convert: Any) -> None:
    with pytest.raises(tg.GraphError, match=r"np\.stack.*np\.broadcast_to"):
        convert(leaf(2.0))


@pytest.mark.parametrize("index", [0, slice(None), [0, 1]])
def test_a_tracked_tensor_cannot_be_written_into_an_array(index: Any) -> None:
    array = np.zeros(3)
    with pytest.raises((tg.GraphError, ValueError)):
        array[index] = leaf(2.0)
    assert array.tolist() == [0, 0, 0]


def test_plain_tensors_convert() -> None:
    t = Tensor([1.0, 2.0])
    assert np.asarray(t).tolist() == [1, 2]
    assert np.array([t, t]).tolist() == [[1, 2], [1, 2]]
    assert np.array(t, dtype=np.float32).dtype == np.float32


def test_a_converted_plain_tensor_is_a_copy() -> None:
    t = Tensor([1.0, 2.0])
    np.asarray(t)[0] = 9
    assert t.tolist() == [1, 2]


def test_full_like_a_tensor_is_differentiable() -> None:
    x = leaf(2.0)
    y = np.full_like(Tensor(np.zeros((2, 3))), x)
    assert y.tolist() == [[2, 2, 2], [2, 2, 2]]
    np.sum(y * np.arange(6.0).reshape(2, 3)).backward()
    assert x.grad == 15


# --- NumPy's protocols ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.frexp(t), "np.frexp"),
        (lambda t: np.frompyfunc(abs, 1, 1)(t), "abs"),
        (lambda t: np.linalg.eig(t), "np.linalg.eig"),
        (lambda t: np.add.at(t, 0, 1.0), "np.add.at"),
        (lambda t: np.subtract.reduce(t), "np.subtract.reduce"),
        (lambda t: np.multiply.reduceat(t, [0]), "np.multiply.reduceat"),
        (lambda t: np.copyto(np.zeros(2), t), "np.copyto"),
        (lambda t: np.put(t, 0, 1.0), "np.put"),
        (lambda t: np.putmask(t, [True, False], 1.0), "np.putmask"),
        (lambda t: np.place(t, [True, False], [1.0]), "np.place"),
    ],
)
@pytest.mark.parametrize("tracked", [True, False])
def test_a_function_without_a_rule_is_refused_at_the_call_by_name(
    call: Any, name: str, tracked: bool
) -> None:
    with pytest.raises(tg.UnsupportedError, match=rf"{name}\b") as caught:
        call(Tensor([1.0, 2.0], requires_grad=tracked))
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda t: np.exp(t, where=np.array([True, False])), "where"),
        (lambda t: np.add(t, 1.0, dtype=int), "dtype"),
        (lambda t: np.add(t, 1.0, casting="no"), "casting"),
        (lambda t: np.sum(t, out=np.zeros(())), "out"),
        (lambda t: np.concatenate([t, t], out=np.zeros(4)), "out"),
    ],
)
def test_an_option_without_a_rule_is_refused_at_the_call_by_name(call: Any, option: str) -> None:
    with pytest.raises(tg.UnsupportedError, match=f"'({option})'"):
        call(leaf([1.0, 2.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.exp(t, out=np.zeros(2)),
        lambda t: np.exp(np.zeros(2), out=t),
        lambda t: np.add(t, 1.0, np.zeros(2)),
        lambda t: np.sum(np.ones((2, 2)), axis=0, out=t),
    ],
)
def test_writing_into_an_existing_array_is_refused(call: Any) -> None:
    with pytest.raises(tg.UnsupportedError, match="out"):
        call(leaf([1.0, 2.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.sum(a=t),
        lambda t: np.sum(t, None),
        lambda t: np.sum(t, axis=None, dtype=None, out=None),
        lambda t: np.sum(t, keepdims=False),
        lambda t: np.sum(t, axis=np.int64(0)),
        lambda t: np.sum(t, axis=(0,)),
        lambda t: np.dot(a=t, b=np.ones(2)),
        lambda t: np.dot(t, b=np.ones(2)),
        lambda t: (
            np.sum(np.concatenate(arrays=[t], axis=0))
            if False
            else np.sum(np.concatenate((t,), axis=0))
        ),
    ],
)
def test_all_ways_to_write_a_call_mean_the_same(call: Any) -> None:
    t = leaf([1.0, 2.0])
    y = call(t)
    assert y.item() == 3
    y.backward(np.ones(y.shape))
    assert t.grad.tolist() == [1, 1]


@pytest.mark.parametrize(
    "call", [np.shape, np.ndim, np.size, lambda t: np.result_type(t, np.float32), np.isrealobj]
)
def test_questions_about_the_array_get_plain_answers(call: Any) -> None:
    numbers = np.ones((2, 3))
    assert call(leaf(numbers)) == call(numbers)
    assert type(call(leaf(numbers))) is type(call(numbers))


def test_a_tensor_from_another_type_of_array_priority_wins() -> None:
    t = leaf([1.0, 2.0])
    for y in (np.float64(2) * t, np.ones(2) * t, np.array(2.0) * t, np.add(np.ones(2), t)):
        assert isinstance(y, Tensor)
        assert y.requires_grad


# --- dtypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + 1.5,
        lambda x: 1.5 - x,
        lambda x: x * 2,
        lambda x: 2 / x,
        lambda x: x**2,
        lambda x: 2.0**x,
        lambda x: x % 3,
        lambda x: x * True,
        lambda x: np.maximum(x, 0.5),
        lambda x: np.where(x > 1, x, 0.0),
        lambda x: np.clip(x, 0.1, 3.0),
        lambda x: np.mean(x),
        lambda x: np.std(x),
        lambda x: np.sum(x, axis=0, keepdims=True),
        lambda x: tg.softmax(x),
        lambda x: tg.gelu(x, approximate="tanh"),
        lambda x: x[[0, 0]],
    ],
)
def test_python_numbers_never_widen(f: Callable[[Any], Any], dtype: Any) -> None:
    x = leaf(np.array([1.25, 2.5], dtype))
    y = f(x)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape, dtype))
    assert x.grad.dtype == dtype
    assert x.grad.shape == (2,)


@pytest.mark.parametrize("first", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("second", [np.float16, np.float32, np.float64])
def test_each_gradient_has_its_own_tensors_dtype(first: Any, second: Any) -> None:
    x, y = leaf(np.ones((2, 3), first)), leaf(np.ones(3, second))
    np.sum((x * y + x @ y.reshape(3, 1)).astype(np.float64)).backward()
    assert x.grad.dtype == first
    assert y.grad.dtype == second


def test_integer_and_boolean_operands_do_not_change_the_gradients_dtype() -> None:
    x = leaf(np.ones(3, np.float32))
    np.sum(x * np.array([1, 2, 3], np.int8) + x * np.array([True, False, True])).backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2, 2, 4]


def test_a_complex_result_of_a_tracked_tensor_is_refused() -> None:
    with pytest.raises(tg.DtypeError, match="real floats"):
        leaf([1.0]) * 1j


def test_other_byte_orders_keep_theirs() -> None:
    x = leaf(np.array([1.0, 2.0], ">f8"))
    np.sum(x * x).backward()
    assert x.grad.dtype == np.dtype(">f8")
    assert x.grad.tolist() == [2, 4]


# --- arrays of other kinds as operands --------------------------------------------------------

OPERANDS = [
    lambda x, other: x * other,
    lambda x, other: other * x,
    lambda x, other: np.multiply(other, x),
]


@pytest.mark.filterwarnings("ignore:.*matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("apply", OPERANDS)
def test_a_matrix_operand_is_an_array_in_the_graph(apply: Any) -> None:
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = leaf(np.full((2, 2), 0.1))
    np.sum(np.tanh(apply(x, np.matrix(numbers)))).backward()
    np.testing.assert_allclose(x.grad, numbers * (1 - np.tanh(0.1 * numbers) ** 2))


@pytest.mark.parametrize("apply", OPERANDS)
def test_a_subclass_of_ndarray_does_not_spread(apply: Any) -> None:
    class Special(np.ndarray):
        pass

    x = leaf([1.0, 2.0])
    y = apply(x, np.array([3.0, 4.0]).view(Special))
    y.backward(np.ones(2))
    assert type(y.data) is np.ndarray
    assert type(x.grad) is np.ndarray


@pytest.mark.parametrize("apply", OPERANDS)
def test_a_masked_operand_loses_neither_graph_nor_mask(apply: Any) -> None:
    masked = np.ma.array([3.0, 4.0], mask=[False, True])
    with pytest.raises(tg.AutogradError):
        apply(leaf([1.0, 2.0]), masked)


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(tg.DtypeError):
        Tensor(np.ma.array([3.0, 4.0], mask=[False, True]))


# --- .data ------------------------------------------------------------------------------------


def test_data_of_a_leaf_is_one_and_the_same_array() -> None:
    x = leaf([1.0, 2.0])
    assert x.data is x.data
    x.data[0] = 5
    assert x.tolist() == [5, 2]


def test_data_of_a_leaf_is_fresh_while_a_graph_holds_it() -> None:
    x = leaf([1.0, 2.0])
    before = pointer(x.data)
    y = x * x
    assert pointer(x.data) != before
    assert x.data is x.data
    assert y.tolist() == [1, 4]


def test_data_of_a_leaf_is_the_same_again_when_the_graph_is_gone() -> None:
    x = leaf([1.0, 2.0])
    before = pointer(x.data)
    y = np.sum(x * x)
    y.backward()
    assert pointer(x.data) == before, "a freed graph holds nothing"
    del y
    assert pointer(x.data) == before


def test_data_of_a_result_is_a_read_only_look() -> None:
    y = leaf([1.0, 2.0]) * 2
    assert not y.data.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        y.data += 1


def test_data_of_a_0d_result_is_an_array() -> None:
    y = np.sum(leaf([1.0, 2.0]))
    assert type(y.data) is np.ndarray
    assert y.data.shape == ()


def test_data_of_a_result_cannot_be_assigned() -> None:
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(tg.GraphError, match=r"multiply.*detach\(\)"):
        y.data = np.zeros(2)


def test_assigned_data_is_copied() -> None:
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    x.data = array
    array[0] = 9
    assert x.tolist() == [3, 4]


@pytest.mark.parametrize(
    "value",
    [np.zeros(3), np.zeros((2, 1)), np.zeros(2, np.float32), np.zeros(2, int), [0.0, 0.0], 0.0],
)
def test_assigned_data_of_another_shape_or_dtype_is_refused(value: Any) -> None:
    x = leaf([1.0, 2.0], name="w")
    with pytest.raises(tg.InputError, match=r"\(2,\) and dtype float64.*'w'"):
        x.data = value
    assert x.tolist() == [1, 2]


def test_a_tensor_cannot_be_assigned_as_data() -> None:
    with pytest.raises(tg.InputError, match="Tensor"):
        leaf([1.0, 2.0]).data = Tensor([1.0, 2.0])


# --- a gradient is that of the values it was computed from ------------------------------------


def subtract(p: Tensor) -> None:
    p.data -= 5


def fill(p: Tensor) -> None:
    p.data[...] = 5


def rebind(p: Tensor) -> None:
    p.data = np.full_like(p.data, 5)


def through_numpy(p: Tensor) -> None:
    p.numpy()[...] = 5


def twice(p: Tensor) -> None:
    p.data *= 2
    p.data[...] = 7


CHANGES = [subtract, fill, rebind, through_numpy, twice]
FORWARDS: dict[str, Any] = {
    "square": (lambda p: p * p, lambda x: 2 * x),
    "exp": (np.exp, np.exp),
    "T": (lambda p: p.T * p.T, lambda x: 2 * x),
    "rows": (lambda p: p[1:] * p[1:], lambda x: np.vstack([0 * x[:1], 2 * x[1:]])),
    "reshape": (lambda p: p.reshape(-1) * p.ravel(), lambda x: 2 * x),
    "broadcast": (lambda p: np.broadcast_to(p, (4, 3, 2)) ** 2, lambda x: 8 * x),
    "mul of views": (lambda p: p.T * p.T[...] * 1.0, lambda x: 2 * x),
    "linear": (
        lambda p: tg.linear(p, p.T),
        lambda x: 2 * x.sum(0) * np.ones_like(x),
    ),
    "detached": (lambda p: p.detach() * p, lambda x: x),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("forward", FORWARDS)
def test_a_leaf_that_changes_after_the_forward_pass_leaves_its_gradient_right(
    forward: str, change: Callable[[Tensor], None]
) -> None:
    function, slope = FORWARDS[forward]
    numbers = np.arange(6.0).reshape(3, 2) / 3
    p = leaf(numbers)
    y = np.sum(function(p))
    change(p)
    y.backward()
    np.testing.assert_allclose(p.grad, slope(numbers), rtol=1e-14)
    assert not np.array_equal(p.data, numbers)


@pytest.mark.parametrize("change", CHANGES)
def test_each_forward_pass_keeps_its_own_values(change: Callable[[Tensor], None]) -> None:
    p = leaf([3.0])
    first = np.sum(p * p)
    change(p)
    now = p.item()
    second = np.sum(p * p)
    change(p)
    first.backward()
    assert p.grad.tolist() == [6]
    second.backward()
    assert p.grad.tolist() == [6 + 2 * now]


def test_an_update_between_forward_and_a_second_backward_changes_nothing() -> None:
    p = leaf([3.0])
    y = np.sum(p * p)
    y.backward(retain_graph=True)
    p.data -= p.grad
    y.backward()
    assert p.grad.tolist() == [12]


def view_of(array: np.ndarray) -> np.ndarray:
    view = array[:]
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(
    "form",
    [
        lambda a: a,
        lambda a: a[::1],
        view_of,
        Tensor,
        lambda a: np.broadcast_to(a, (3, 2)),
        lambda a: a.T,
        memoryview,
    ],
    ids=["array", "view", "read-only view", "Tensor", "broadcast", "T", "memoryview"],
)
@pytest.mark.parametrize("left", [True, False])
def test_an_operand_that_its_owner_changes_leaves_the_gradient_right(form: Any, left: bool) -> None:
    p, array = leaf(np.ones((3, 2))), np.array([5.0, 6.0])
    operand = form(array)
    y = np.sum(p * operand if left else np.multiply(operand, p))
    array[...] = 0
    if isinstance(operand, Tensor):
        operand.data[...] = 0
        operand[0] = 0
    y.backward()
    assert p.grad.tolist() == [[5, 6]] * 3


def test_a_list_operand_that_changes_leaves_the_gradient_right() -> None:
    p, numbers = leaf([1.0, 1.0]), [5.0, 6.0]
    y = np.sum(p * numbers)
    numbers[0] = 0.0
    y.backward()
    assert p.grad.tolist() == [5, 6]


@pytest.mark.parametrize(
    "index", [np.array([0, 1]), [0, 1], np.array([True, True, False]), Tensor([0, 1])]
)
@pytest.mark.parametrize("nested", [False, True])
def test_an_index_that_changes_leaves_the_gradient_right(index: Any, nested: bool) -> None:
    index, p = copy.deepcopy(index), leaf([1.0, 2.0, 3.0])
    y = np.sum(p[(index,) if nested else index] * np.array([10.0, 20.0]))
    if isinstance(index, Tensor):
        index.data[...] = 2
    else:
        index[0] = index[1] = 0
    y.backward()
    assert p.grad.tolist() == [10, 20, 0]


def test_labels_that_change_leave_the_gradient_right() -> None:
    logits, labels = leaf(np.zeros((2, 2))), np.array([0, 1])
    loss = tg.cross_entropy(logits, labels, reduction="sum")
    labels[...] = 0
    loss.backward()
    np.testing.assert_allclose(logits.grad, [[-0.5, 0.5], [0.5, -0.5]])


def test_a_condition_that_changes_leaves_the_gradient_right() -> None:
    p, condition = leaf([1.0, 2.0]), np.array([True, False])
    y = np.sum(np.where(condition, p, 0.0))
    condition[...] = False
    y.backward()
    assert p.grad.tolist() == [1, 0]


def test_options_that_change_leave_the_gradient_right() -> None:
    p, axes = leaf(np.arange(24.0).reshape(2, 3, 4)), [1, 2, 0]
    y = np.transpose(p, axes)
    axes[:] = [2, 0, 1]
    g = weights((3, 4, 2))
    y.backward(g)
    np.testing.assert_array_equal(p.grad, g.transpose(2, 0, 1))


def test_a_seed_that_changes_while_its_graph_lives_leaves_the_gradient_right() -> None:
    p, g = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    (p + 1).backward(g)
    g[...] = 0
    assert p.grad.tolist() == [3, 4]


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh"])
def test_a_result_cannot_be_changed_through_detach(name: str) -> None:
    p = leaf([0.25, 1.0])
    y = getattr(np, name)(p)
    y.detach().data[...] = 0
    y.backward(np.ones(2))
    np.testing.assert_allclose(p.grad, differences_1d(getattr(np, name), p.data), rtol=1e-8)


def differences_1d(f: Any, x: np.ndarray) -> np.ndarray:
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6


def test_writing_into_a_constant_view_does_not_reach_the_graph() -> None:
    p, c = leaf([1.0, 1.0, 1.0]), Tensor([5.0, 6.0, 7.0])
    tail = c[1:]
    y = np.sum(p * c)
    tail.data[...] = 0
    y.backward()
    assert p.grad.tolist() == [5, 6, 7]


def test_the_gradient_is_not_the_graphs_own_array() -> None:
    p = leaf([1.0, 2.0])
    y = p * np.array([3.0, 4.0])
    y.backward(np.ones(2), retain_graph=True)
    p.grad[...] = 0
    p.grad = None
    y.backward(np.ones(2))
    assert p.grad.tolist() == [3, 4]


# --- copying ----------------------------------------------------------------------------------

COPIES = [copy.copy, copy.deepcopy, *(
    lambda t, protocol=protocol: pickle.loads(pickle.dumps(t, protocol))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
)]  # fmt: skip


@pytest.mark.parametrize("duplicate", COPIES)
def test_leaves_are_copied_with_everything_they_have(duplicate: Any) -> None:
    t = leaf(np.array([1.0, 2.0], np.float32), name="w")
    np.sum(t * t).backward()
    u = duplicate(t)
    assert type(u) is Tensor
    assert (u.name, u.requires_grad, u.dtype, u.is_leaf) == ("w", True, np.float32, True)
    assert u.tolist() == [1, 2]
    assert u.grad.tolist() == [2, 4]
    u.data[0] = 9
    assert t.tolist() == [1, 2]


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_copy_does_not_share_its_gradient(duplicate: Any) -> None:
    t = leaf([1.0, 2.0])
    np.sum(t * t).backward()
    duplicate(t).grad[...] = 0
    assert t.grad.tolist() == [2, 4]


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize("freed", [False, True])
def test_copying_a_tracked_result_is_refused(duplicate: Any, freed: bool) -> None:
    y = leaf(2.0) * 3
    if freed:
        y.backward()
    with pytest.raises(tg.GraphError, match=r"detach\(\)"):
        duplicate(y)


def test_a_structure_that_holds_a_leaf_twice_is_copied_with_one() -> None:
    t = leaf([1.0])
    first, second = copy.deepcopy([t, t])
    assert first is second
    assert first is not t


def test_a_copied_leaf_trains_on_its_own() -> None:
    t = leaf([1.0, 2.0])
    u = copy.deepcopy(t)
    np.sum(u * u).backward()
    assert t.grad is None
    assert u.grad.tolist() == [2, 4]


def test_a_leaf_held_by_a_graph_can_be_copied() -> None:
    t = leaf([1.0, 2.0])
    y = np.sum(t * t)
    u = copy.deepcopy(t)
    u.data[...] = 0
    y.backward()
    assert t.grad.tolist() == [2, 4]


def test_the_method_copy_keeps_the_graph() -> None:
    t = leaf([1.0, 2.0])
    np.sum(t.copy() * 3).backward()
    assert t.grad.tolist() == [3, 3]


def test_data_assigned_a_numpy_scalar_is_an_array() -> None:
    x = leaf(2.0)
    x.data = x.data - 0.5
    assert type(x.data) is np.ndarray
    x.data[...] = 1.0
    assert x.item() == 1.0


def test_data_takes_no_subclass_of_ndarray() -> None:
    x = leaf(np.ones((2, 2)))
    x.data = np.zeros((2, 2)).view(type("Other", (np.ndarray,), {}))
    assert type(x.data) is np.ndarray
    with pytest.raises(tg.DtypeError, match="mask"):
        x.data = np.ma.ones((2, 2))


def test_function_of_math_is_refused_with_the_one_to_use() -> None:
    with pytest.raises(tg.GraphError, match=r"for math.sin\(t\) and the like write np.sin\(t\)"):
        math.tanh(Tensor(2.0, requires_grad=True))
