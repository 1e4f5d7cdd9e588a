"""What `check_derivation` tells a student: typical mistakes, and the words that point at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis.strategies import just

import tinygrad_edu as tg

Array = Any

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]])
SQUARE = np.array([[0.5, 0.25], [1.0, -0.5]])
ROW, ZEROS = np.array([0.5, -0.25]), np.zeros((3, 2))


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def mse(x: Any, W: Any, b: Any, t: Any) -> Any:
    return np.mean((x @ W + b - t) ** 2)


def net(x: Any, W: Any, b: Any, t: Any) -> Any:
    return 0.5 * np.sum((tg.sigmoid(x @ W + b) - t) ** 2)


def layer(x: Any, W: Any, b: Any, t: Any) -> Any:
    return 0.5 * np.sum((tg.sigmoid(tg.linear(x, W, b, transposed=True)) - t) ** 2)


def deep(x: Any, W: Any, V: Any) -> Any:
    return np.sum(np.tanh(x @ W) @ V)


def weighted(z: Any, c: Any) -> Any:
    return np.sum(tg.softmax(z, axis=1) * c)


def jumps(x: Any) -> Any:
    return np.sum((x[1:] - x[:-1]) ** 2)


def lagged(x: Any, c: Any) -> Any:
    return np.sum(c * np.sin(x))


def grown(x: Any, y: Any) -> Any:
    return np.sum(np.sin(x) * np.exp(y))


def upstream(x: Array, W: Array, b: Array, t: Array, slope: Any) -> Array:
    """What reaches z = x @ W + b in `net`, with a given local gradient of sigma."""
    z = x @ W + b
    return (sigmoid(z) - t) * slope(z, sigmoid(z))


def right(z: Array, a: Array) -> Array:
    return a * (1 - a)


NET = (X, SQUARE, ROW, ZEROS)
ONE = np.ones((2, 2))
INPUTS, TABLE = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [1], [1], [1]])
MISTAKES: dict[str, tuple[Any, Any, tuple[Any, ...], str]] = {
    "1/n is forgotten": (
        mse,
        lambda x, W, b, t: {"W": 2 * x.T @ (x @ W + b - t)},
        NET,
        "factor 6 (n = 6 is the size of",
    ),
    "a transpose is missing": (
        deep,
        lambda x, W, V: {"W": x.T @ ((np.ones_like(x) @ V) * (1 - np.tanh(x @ W) ** 2))},
        (X[:2], SQUARE, ONE),
        "g @ V where the chain rule has g @ V.T (in matmul 2 of 2",
    ),
    "the bias is not summed over the batch": (
        net,
        lambda x, W, b, t: {"b": upstream(x, W, b, t, right)},
        NET,
        "missing sum over axis 0: 'b' was used 3 times",
    ),
    "the bias is averaged over the batch": (
        net,
        lambda x, W, b, t: {"b": upstream(x, W, b, t, right).mean(axis=0)},
        NET,
        "the shares of add by 'y' are averaged, where they add up",
    ),
    "the sign": (
        net,
        lambda x, W, b, t: {"W": x.T @ -upstream(x, W, b, t, right)},
        NET,
        "likely cause: sign",
    ),
    "z where a belongs": (
        net,
        lambda x, W, b, t: {"W": x.T @ upstream(x, W, b, t, lambda z, a: z * (1 - z))},
        NET,
        "sigmoid is taken with its input z where its result a = sigmoid(z) belongs",
    ),
    "a where z belongs": (
        net,
        lambda x, W, b, t: {
            "W": x.T @ upstream(x, W, b, t, lambda z, a: sigmoid(a) * (1 - sigmoid(a)))
        },
        NET,
        "sigmoid is taken with its result a = sigmoid(z) where its input z belongs",
    ),
    "off by one": (
        lagged,
        lambda x, c: {"x": np.roll(c * np.cos(x), 1)},
        (np.arange(5.0), np.arange(5.0)),
        "the right numbers, but shifted by one place along axis 0",
    ),
    "one of two uses is forgotten": (
        jumps,
        lambda x: np.concatenate(([0.0], 2 * (x[1:] - x[:-1]))),
        (np.arange(4.0),),
        "'x' is used 2 times, and the shares add up; missing is the one through getitem",
    ),
    "the derivative by another variable": (
        grown,
        lambda x, y: {"x": np.sin(x) * np.exp(y)},
        (np.ones(3), np.ones(3)),
        "this is the gradient by 'y', not by 'x'",
    ),
    "a factor of the chain is forgotten": (
        net,
        lambda x, W, b, t: {"W": x.T @ upstream(x, W, b, t, lambda z, a: 1)},
        NET,
        "the local gradient of sigmoid by 'x' is left out",
    ),
    "a factor is forgotten, for one number": (  # at z = 0 it is 1/4, and there are 4 examples
        net,
        lambda x, w, b, t: {"b": upstream(x, w, b, t, lambda z, a: 1).sum(axis=0)},
        tuple(map(just, (INPUTS, np.zeros((2, 1)), np.zeros(1), TABLE))),
        "likely cause: the local gradient of sigmoid by 'x' is left out",
    ),
    "the weight of a layer is transposed": (
        layer,
        lambda x, W, b, t: {"x": upstream(x, W.T, b, t, right) @ W.T},
        (X[:2], SQUARE, ROW, ZEROS[:2]),
        "g @ W.T where the chain rule has g @ W (in linear",
    ),
    "the gradient of a layer's weight is transposed": (
        layer,
        lambda x, W, b, t: {"W": x.T @ upstream(x, W.T, b, t, right)},
        (X[:2], SQUARE, ROW, ZEROS[:2]),
        "x.T @ g where the chain rule has g.T @ x (in linear",
    ),
    "two factors are swapped": (
        deep,
        lambda x, W, V: {"W": ((np.ones_like(x) @ V.T) * (1 - np.tanh(x @ W) ** 2)) @ x.T},
        (X[:2], SQUARE, ONE),
        "g @ x.T where the chain rule has x.T @ g (in matmul 1 of 2",
    ),
    "another axis of the softmax": (
        weighted,
        lambda z, c: {
            "z": (s := tg.softmax(z, axis=1)) * (c - np.sum(c * s, axis=0, keepdims=True))
        },
        (ZEROS, X),
        "the local gradient of softmax is taken over axis 0, where it has axis 1",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_student_is_told_what_is_wrong(mistake: str) -> None:
    f, derivation, inputs, words = MISTAKES[mistake]
    with pytest.raises(tg.GradientError) as caught:
        tg.check_derivation(f, derivation, *inputs, examples=20)
    text = str(caught.value)
    assert words in text
    assert "smallest case found: [" in text
    if "shape" not in text.splitlines()[0]:
        assert numbers_shown(text) == ["derivation", "engine", "difference quotient"]


def numbers_shown(text: str) -> list[str]:
    rows = [line[2:22].strip() for line in text.splitlines()]
    return [row for row in rows if row in ("derivation", "engine", "difference quotient")]


def test_without_a_pattern_the_steps_of_the_chain_rule_are_shown() -> None:
    def derivation(x: Array, W: Array, b: Array, t: Array) -> dict[str, Array]:
        return {"W": x.T @ upstream(x, W, b, t, lambda z, a: a * (1 - a**2))}

    with pytest.raises(tg.GradientError) as caught:
        tg.check_derivation(net, derivation, *NET, examples=20)
    text = str(caught.value)
    assert "likely cause: no simple pattern" in text
    head, *steps = text.split("the engine's chain rule in the smallest case")[1].splitlines()
    assert head == ", from the result to the inputs:"
    assert [step.split()[1] for step in steps[:6]] == [
        "multiply", "sum", "power", "subtract", "sigmoid", "add"
    ]  # fmt: skip
    assert steps[6].startswith("    through matmul to its 'y' (W): [[")


def test_derivation_that_raises_is_passed_on_with_the_shapes() -> None:
    with pytest.raises(ValueError, match="mismatch in its core dimension") as caught:
        tg.check_derivation(
            mse, lambda x, W, b, t: {"W": 2 * x @ (x @ W + b - t)}, *NET, examples=5
        )
    assert any("in the derivation, called with arrays (3, 2)" in n for n in caught.value.__notes__)


def test_a_graph_with_an_op_of_several_results_is_explained_too() -> None:
    def parts(x: Any) -> Any:
        return np.sum(np.split(x, 3)[0] ** 2)

    with pytest.raises(tg.GradientError, match="the derivation of argument 'x' is wrong at x"):
        tg.check_derivation(parts, lambda x: 2 * x, np.arange(1.0, 4.0), examples=10)


def test_a_function_that_cuts_the_graph_is_explained_too() -> None:
    with pytest.raises(tg.GradientError, match="the derivation of argument 'x' is wrong at x"):
        tg.check_derivation(lambda x: np.sum(x * x).item(), lambda x: 3 * x, np.ones(2))


@pytest.mark.parametrize("nothing", [None, {}, (None, None, None, None)])
def test_derivation_without_a_gradient_is_refused(nothing: Any) -> None:
    with pytest.raises(tg.InputError, match="the derivation gave no gradient; return one for"):
        tg.check_derivation(net, lambda x, W, b, t: nothing, *NET, examples=5)
