"""Formulas: what a rule computes, read off the rule."""

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.op import REGISTRY

A = np.ones((2, 3))
S = np.eye(3) + 1.0


def formulas(function: Any, *inputs: Any, **options: Any) -> list[str]:
    op = REGISTRY[function]
    return [
        tg.formula(op, i, inputs, options)
        for i, x in enumerate(inputs)
        if op.rule(i) and np.asarray(x).dtype.kind == "f"
    ]


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        (np.sin, (A,), ["g * np.cos(x)"]),
        (np.exp, (A,), ["g * out"]),
        (np.add, (A, A), ["g", "g"]),
        (np.multiply, (A, A), ["g * y", "g * x"]),
        (np.subtract, (A, A), ["g", "-g"]),
        (np.tanh, (A,), ["g * (1 - out * out)"]),
        (np.matmul, (A, A.T), ["g @ y.T", "x.T @ g"]),
        (np.log2, (A,), ["g * (1 / (np.log(2) * x))"]),
        (np.degrees, (A,), ["g * (180 / np.pi)"]),
        (np.sum, (A,), ["np.broadcast_to(g, x.shape)"]),
        (np.linalg.inv, (S,), ["-(out.T @ g @ out.T)"]),
        (tg.relu, (A,), ["g * (out > 0)"]),
        (np.transpose, (A,), ["g.T"]),
        (np.concatenate, (A, A), ["g[0:2]", "g[2:4]"]),
        (np.logical_and, (A, A), []),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_formulas_read_as_in_a_book(function: Any, inputs: Any, expected: list[str]) -> None:
    assert formulas(function, *inputs) == expected


@pytest.mark.parametrize(
    ("function", "inputs", "options"),
    [
        (np.tanh, (A,), {}),
        (np.power, (A + 0.5, A * 1.5), {}),
        (np.divide, (A, A + 1), {}),
        (np.hypot, (A, A), {}),
        (np.log10, (A,), {}),
        (np.arcsin, (A / 3,), {}),
        (np.logaddexp, (A, 2 * A), {}),
        (np.matmul, (A, A.T), {}),
        (np.mean, (A,), {"axis": 1}),
        (np.var, (np.arange(6.0).reshape(2, 3),), {"axis": 0, "ddof": 1}),
        (np.std, (np.arange(6.0).reshape(2, 3),), {}),
        (tg.softmax, (np.arange(6.0).reshape(2, 3),), {"axis": 0}),
        (tg.logsumexp, (np.arange(6.0).reshape(2, 3),), {"axis": -1}),
        (np.linalg.inv, (S,), {}),
        (tg.linear, (A, A.T, np.ones(2)), {}),
        (tg.gelu, (A,), {"approximate": "tanh"}),
        (np.swapaxes, (A,), {"axis1": 0, "axis2": 1}),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_formula_computes_what_the_rule_does(function: Any, inputs: Any, options: Any) -> None:
    op = REGISTRY[function]
    inputs, options = op.bind(*inputs, **options)
    out = op.forward(*inputs, **options)
    g = np.random.default_rng(0).normal(size=out.shape)
    scope = {"np": np, "tg": tg, "g": g, "out": out} | dict(zip(op.arguments, inputs, strict=True))
    for position in range(len(op.arguments)):
        text = tg.formula(op, position, inputs, options, longest=1000)
        expected = op.vjps[position](g, out, *inputs, **options)
        np.testing.assert_allclose(eval(text, scope), expected, rtol=1e-12)


def test_values_are_named_as_one_likes() -> None:
    op = REGISTRY[np.matmul]
    h, W = tg.Tensor(A, name="h"), tg.Tensor(A.T, name="W2")
    assert tg.formula(op, 0, (h, W), names=("h", "W2"), g="d_y") == "d_y @ W2.T"
    assert tg.formula(op, 1, (h, W), names=("layer 1", "W2")) == "layer 1.T @ g"
    assert tg.formula(REGISTRY[np.exp], 0, (A,), out="y") == "g * y"


def test_an_index_is_named_not_spelled_out() -> None:
    op = REGISTRY[tg.getitem]
    assert tg.formula(op, 0, (A, (slice(None), 1))) == "tg.scatter_add(g, index, x.shape)"


def test_a_shape_that_is_the_input_s_is_written_so() -> None:
    assert formulas(np.reshape, A, shape=(3, 2)) == ["np.reshape(g, x.shape)"]


def test_several_results_are_numbered() -> None:
    op = REGISTRY[np.split]
    text = tg.formula(op, 0, (A,), {"indices_or_sections": [1], "axis": 0})
    assert text == "np.concatenate((g[0], g[1]), axis=0)"


def test_what_is_made_of_other_ops_is_written_forward() -> None:
    assert tg.formula(REGISTRY[np.ptp], None, (A,), {"axis": 0}, names=["a"]) == (
        "np.max(a, axis=0) - np.min(a, axis=0)"
    )
    joined = tg.formula(REGISTRY[np.vstack], None, ([A, A],), names=["tup"])
    assert "tup[0]" in joined and "tup[1]" in joined


def test_what_is_long_is_left_out() -> None:
    assert formulas(np.sinc, A) == ["..."]
    assert tg.formula(REGISTRY[np.tanh], 0, (A,), longest=10) == "..."


def test_what_grows_with_every_step_ends() -> None:
    def doubled(g: Any, out: Any, x: Any) -> Any:
        for _ in range(60):  # inlined, 2^60 terms
            g = g + g * x
        return g

    @tg.op(tg.wrt("x", doubled))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        assert tg.formula(REGISTRY[f], 0, (A,), longest=10**9) == "..."
    finally:
        tg.unregister(f)


def test_negative_numbers_and_sums_get_their_brackets() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        return (g + x) * -2.5 - (x - (g - x)) ** -1 / (x * x)

    @tg.op(tg.wrt("x", rule))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        text = tg.formula(REGISTRY[f], 0, (A,))
        scope = {"g": 0.3, "x": 0.7}
        assert eval(text, scope) == pytest.approx(rule(0.3, 0, 0.7), rel=1e-12)
        assert "((" not in text
    finally:
        tg.unregister(f)


def test_numbers_are_rounded_for_reading() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: (g * 0.123456789 + 1 / 3) * np.inf))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        assert tg.formula(REGISTRY[f], 0, (A,)) == "(g * 0.123457 + 1 / 3) * np.inf"
    finally:
        tg.unregister(f)


def test_an_argument_without_a_rule_is_refused() -> None:
    with pytest.raises(tg.UnsupportedError, match=r"take has no rule .*'indices'"):
        tg.formula(REGISTRY[np.take], 1, (A, np.array([0])), {"axis": 0})


def test_the_forward_pass_is_written_as_users_write_it() -> None:
    A_, matmul = np.ones((2, 2)), REGISTRY[np.matmul]
    assert tg.formula(matmul, None, (A_, A_), names=("X", "W.1")) == "X @ W.1"
    assert tg.formula(REGISTRY[np.tanh], None, (A_,)) == "np.tanh(x)"
    assert tg.formula(REGISTRY[tg.relu], None, (A_,), names=["h"]) == "tg.relu(h)"


def test_a_formula_leaves_its_inputs_alone() -> None:
    x = tg.Tensor(A.copy(), requires_grad=True)
    y = np.tanh(x)
    assert y.node is not None
    assert tg.formula(y.node.op, 0, y.node.inputs, y.node.options) == "g * (1 - out * out)"
    y.backward(A)
    assert x.grad is not None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda g, out, x: 0.0, "0.0"),
        (lambda g, out, x: np.array([1.0, 2.0]), "np.array([1.0, 2.0])"),
        (lambda g, out, x: np.arange(20.0), "..."),
        (lambda g, out, x: g, "g"),
        (lambda g, out, x: g.reshape(x.shape[::-1]).sum(axis=-1), "np.sum(g.T, axis=-1)"),
    ],
)
def test_a_rule_may_return_anything(rule: Any, expected: str) -> None:
    @tg.op(tg.wrt("x", rule))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        found = tg.formula(REGISTRY[f], 0, (A,))
        assert found == expected.replace("g.T", "np.reshape(g, (3, 2))")
    finally:
        tg.unregister(f)


def test_what_is_used_twice_gets_its_own_brackets_each_time() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        same = x == out
        return g * same * np.sum(same)

    @tg.op(tg.wrt("x", rule))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        assert tg.formula(REGISTRY[f], 0, (A,)) == "g * (x == out) * np.sum(x == out)"
    finally:
        tg.unregister(f)


def test_what_was_drawn_is_called_noise() -> None:
    options = {"rng": np.random.default_rng(0)}
    text = tg.formula(REGISTRY[tg.dropout], None, (A,), options, names=["x"])
    assert "x * noise" in text


def test_an_option_that_is_off_is_shown_where_it_is_on_by_default() -> None:
    assert tg.formula(REGISTRY[np.sort], None, (A,), {"axis": None}) == "np.sort(a, axis=None)"
    assert tg.formula(REGISTRY[np.sum], None, (A,), {"axis": None}) == "np.sum(x)"
    assert tg.formula(REGISTRY[tg.softmax], None, (A,), {"axis": None}) == (
        "tg.softmax(x, axis=None)"
    )


def test_an_input_without_a_name_is_written_out() -> None:
    op, index = REGISTRY[tg.getitem], (slice(1, None), ..., 0)
    inputs: tuple[Any, ...] = (np.ones((3, 2, 2)), index)
    assert tg.formula(op, None, inputs, names=("x", "")) == "x[1:, ..., 0]"
    assert tg.formula(op, 0, inputs, names=("x", "")) == (
        "tg.scatter_add(g, (slice(1, None, None), ..., 0), x.shape)"
    )


def test_a_formula_does_not_draw_from_the_user_s_generator() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, *, rng: g * rng.normal()))
    def noisy(x: Any, *, rng: Any) -> Any:
        return x * rng.normal()

    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    try:
        assert tg.formula(REGISTRY[noisy], 0, (A,), {"rng": rng}).startswith("g * ")
    finally:
        tg.unregister(noisy)
    assert rng.bit_generator.state == state
