"""Methods of ufuncs: what NumPy answers, with the gradient of the function that means the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.ops.ufunc_methods import ACCUMULATE, REDUCE

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
BOOLEAN = {np.logical_and, np.logical_or}


def name(value: Any) -> str | None:
    return getattr(value, "__name__", None)


def check(f: Callable[..., Any], *xs: Any) -> None:
    """Values are NumPy's, gradients those of difference quotients."""
    y, expected = f(*map(Tensor, xs)), f(*xs)
    np.testing.assert_allclose(y.data, expected, rtol=1e-14)
    assert (y.shape, y.dtype) == (np.shape(expected), expected.dtype)
    if y.dtype.kind == "f":
        tg.check_gradients(f, *xs, order=2)


@pytest.mark.parametrize("ufunc", REDUCE, ids=name)
@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": None}, {"axis": (0, 1)}],
    ids=str,
)
def test_reduce(ufunc: Any, options: dict[str, Any]) -> None:
    if ufunc in (np.logaddexp, np.logaddexp2) and not isinstance(options.get("axis", 0), int):
        options = {"axis": 0, "keepdims": True}  # NumPy does not reorder these
    check(lambda x: ufunc.reduce(x, **options), X)


def test_reduce_goes_along_the_first_axis() -> None:
    x = Tensor(X, requires_grad=True)
    y = np.multiply.reduce(x)
    assert y.shape == (3,)
    y.backward(np.array([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [[1.5, 7.5, -50], [0.5, -12.5, 200]]


def test_reduce_takes_numpys_options() -> None:
    mask = np.array([[True, False, True], [True, True, False]])
    for f in (
        lambda x: np.add.reduce(x, 1, None, None, True),
        lambda x: np.add.reduce(x, initial=2.0, where=mask),
        lambda x: np.multiply.reduce(x, axis=1, initial=3.0, where=mask),
        lambda x: np.maximum.reduce(x, axis=1, initial=-1.0, where=mask),
        lambda x: np.fmin.reduce(x, axis=1, initial=5.0, where=mask),
        lambda x: np.add.reduce(x, dtype=np.float64),
    ):
        check(f, X)
    assert np.add.reduce(Tensor(X), dtype=np.float32).dtype == np.float32
    assert np.add.reduce(Tensor(2.5)).item() == 2.5


@pytest.mark.parametrize("ufunc", ACCUMULATE, ids=name)
@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"axis": -2}], ids=str)
def test_accumulate(ufunc: Any, options: dict[str, Any]) -> None:
    check(lambda x: ufunc.accumulate(x, **options), X)


def test_a_number_is_not_accumulated() -> None:
    with pytest.raises(tg.InputError, match=r"np.add.accumulate: a number cannot be accumulated"):
        np.add.accumulate(Tensor(1.0))


OUTER = [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.hypot, np.logaddexp]


@pytest.mark.parametrize("ufunc", OUTER, ids=name)
def test_outer(ufunc: Any) -> None:
    x, y = abs(X), np.array([0.25, 3.0])
    check(ufunc.outer, x, y)
    check(ufunc.outer, x, np.array(2.125))
    check(lambda x: ufunc.outer(x, [1.0, 3.0]), x)
    check(lambda x: ufunc.outer([1.0, 3.0], x), x)
    check(lambda x: ufunc.outer(y, x, dtype=np.float64), x)


def test_outer_of_what_has_no_gradient_or_two_results() -> None:
    assert np.less.outer(Tensor([1.0, 2.0]), [1.5]).tolist() == [[True], [False]]
    x = Tensor([7.0, 8.0], requires_grad=True)
    _, rest = np.divmod.outer(x, np.array([2.0, 3.0]))
    assert rest.tolist() == [[1, 1], [0, 2]]
    np.sum(rest).backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("indices", [[0], [0, 2], [1, 3], [3, 1, 2], [2, 2, 0], [0, 1, 2, 3]])
def test_add_reduceat(indices: list[int]) -> None:
    x = np.array([[0.5, -1.25], [2.0, 1.5], [0.75, -0.5], [3.0, 0.25]])
    check(lambda x: np.add.reduceat(x, indices), x)
    check(lambda x: np.add.reduceat(x, np.array(indices), axis=1), x.T)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.add.at(t, 0, 1.0), tg.UnsupportedError, r"np.add.at: .*tg.scatter_add"),
        (lambda t: np.add.at(np.zeros(2), [0], t), tg.UnsupportedError, "tg.index_update"),
        (lambda t: np.subtract.reduce(t), tg.UnsupportedError, "np.subtract.reduce: this ufunc"),
        (lambda t: np.hypot.accumulate(t), tg.UnsupportedError, "np.hypot.accumulate"),
        (lambda t: np.maximum.reduceat(t, [0]), tg.UnsupportedError, "np.maximum.reduceat"),
        (lambda t: np.add.reduce(t, out=np.zeros(())), tg.UnsupportedError, "out="),
        (lambda t: np.logaddexp.reduce(t, initial=0.0), tg.UnsupportedError, "'initial'"),
        (lambda t: np.maximum.accumulate(t, dtype=np.float32), tg.UnsupportedError, "'dtype'"),
        (lambda t: np.add.outer(t, t, where=[True]), tg.UnsupportedError, "'where'"),
        (lambda t: np.nextafter.outer(t, t), tg.UnsupportedError, "nextafter"),
        (lambda t: np.add.reduceat(t, [2]), tg.IndexingError, "expected indices from 0 to 1"),
        (lambda t: np.add.reduceat(t, [0.5]), tg.IndexingError, "expected indices from 0 to 1"),
        (lambda t: np.add.reduceat(t, [0], 1), tg.IndexingError, r"axis of shape \(2,\), got 1"),
        (lambda t: np.maximum.reduce(t, dtype="f4"), tg.UnsupportedError, r"maximum.reduce.*'dt"),
        (lambda t: np.fmax.reduce(t, dtype="f4"), tg.UnsupportedError, r"fmax.reduce: .*'dtype'"),
        (lambda t: np.logical_and.reduce(t, initial=True), tg.UnsupportedError, "'initial'"),
    ],
)
@pytest.mark.parametrize("tracked", [True, False])
def test_what_is_refused(call: Any, error: Any, message: str, tracked: bool) -> None:
    with pytest.raises(error, match=message):
        call(Tensor([1.0, 2.0], requires_grad=tracked))


def test_reduceat_without_indices_is_empty() -> None:
    check(lambda x: np.add.reduceat(x, [], axis=1), X)
