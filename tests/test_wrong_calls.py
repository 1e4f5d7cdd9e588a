"""Calls that NumPy refuses, refused here too, and forms of calls that it takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg


def T(*shape: int) -> tg.Tensor:
    return tg.Tensor(np.ones(shape), requires_grad=True)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "scatter_add above": (lambda: tg.scatter_add(T(2), np.array([0, 4]), (4,)), IndexError),
    "scatter_add below": (lambda: tg.scatter_add(T(2), np.array([0, -5]), (4,)), IndexError),
    "vector_norm": (lambda: np.linalg.vector_norm(T(2, 3), axis=5), IndexError),
    "diff": (lambda: np.diff(T(2, 3), axis=7), IndexError),
    "diff, negative": (lambda: np.diff(T(2, 3), axis=-3), IndexError),
    "rollaxis": (lambda: np.rollaxis(T(2, 3), 5), IndexError),
    "rollaxis, start": (lambda: np.rollaxis(T(3), 0, -2), IndexError),
    "trapezoid": (lambda: np.trapezoid(T(3), np.ones((2, 3)), axis=1), IndexError),
    "trapezoid of a number": (lambda: np.trapezoid(T()), IndexError),
    "rot90 of a number": (lambda: np.rot90(T()), IndexError),
    "vecdot with a number": (lambda: np.vecdot(T(3), 2.0), IndexError),
    "vsplit of a line": (lambda: np.vsplit(T(4), 2), ValueError),
    "topk of too many": (lambda: tg.topk(T(3), 4), ValueError),
    "topk along nothing": (lambda: tg.topk(T(3), 1, axis=2), IndexError),
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_lies_outside_of_an_array_is_refused(call: str) -> None:
    function, kind = REFUSED[call]
    with pytest.raises(tg.AutogradError, match=call.split()[0].strip(",")) as caught:
        function()
    assert isinstance(caught.value, kind)


def test_negative_indices_of_scatter_add_count_from_the_end() -> None:
    assert tg.scatter_add(np.ones(3), np.array([-4, -1, 0]), (4,)).tolist() == [2, 0, 0, 1]


def test_an_axis_may_stand_alone() -> None:
    x = T(3)
    np.sum(np.transpose(x, 0) * np.arange(3.0)).backward()
    assert x.grad.tolist() == [0, 1, 2]


def test_a_number_counts_as_an_array_of_one() -> None:
    x = T()
    (np.sum(np.repeat(x, 2, axis=0)) + np.sum(np.compress([True], x, axis=0))).backward()
    assert x.grad == 3


def test_lists_are_taken_where_numpy_takes_them() -> None:
    y = T(1)
    found = np.insert([1.0, 2.0], [0], y, axis=0)
    assert found.data.tolist() == [1, 1, 2]
    assert np.vecdot(T(3), T(3), dtype=None).item() == 3
