"""A traced program computes the same numbers, with public functions only, and can be read."""

import ast
import re
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.tracer import Tape, Tracer


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def mlp(x: Any, W1: Any, b1: Any, W2: Any, b2: Any, y: Any) -> Any:
    hidden = tg.sigmoid(tg.linear(x, W1, b1))
    return tg.mse_loss(tg.linear(hidden, W2, b2), y)


def classify(x: Any, W: Any, labels: Any) -> Any:
    return tg.cross_entropy(x @ W, labels)


def join(x: Any, y: Any) -> Any:
    return np.sum(np.concatenate([x, y * 2, x[:1]]) ** 2)


def divide(x: Any) -> Any:
    first, second, third = np.split(x, 3)
    return np.sum(first * third) + np.sum(second)


def pick(x: Any) -> Any:
    return np.sum(x[[0, 0, 2], 1] * x[-1, ::-1][:3] + x[1:, 0].sum() * x[None, 0, ..., 2:])


def mask(x: Any) -> Any:
    return np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x * 2)) + np.max(x, axis=1).mean()


def reduce(x: Any) -> Any:
    centred = x - np.mean(x, axis=1, keepdims=True)
    return np.sum(centred / np.std(x, axis=(0, 1)), axis=0)[1] * np.prod(x[0]) + np.min(x)


def stack(x: Any, y: Any) -> Any:
    return np.sum(np.stack([x, y, x], axis=1) @ normal(3, 2, seed=9))


def transpose(x: Any, y: Any) -> Any:
    return np.sum(np.transpose(x, (1, 0)) @ x.T.reshape(4, -1).T) * y


def attention(q: Any, k: Any, v: Any) -> Any:
    return np.sum(tg.softmax(q @ k.T / np.sqrt(4.0), axis=-1) @ v * normal(3, 4, seed=7))


def power(x: Any, n: Any) -> Any:
    return np.sum(x**n) + n


def unused(x: Any, y: Any) -> Any:
    return np.sum(x)


def wasteful(x: Any, y: Any) -> Any:
    np.exp(x) @ y
    kept, _ = np.split(x * 2, 2)
    return np.sum(kept)


def clipped(x: Any) -> Any:
    return np.sum(np.clip(x, -0.5, np.inf) + np.maximum(x, -np.inf))


MLP_SHAPES = [(4, 3), (3, 5), (5,), (5, 2), (2,), (4, 2)]
CASES: dict[str, Any] = {
    "mlp": (mlp, *(normal(*shape) for shape in MLP_SHAPES)),
    "cross-entropy": (classify, normal(4, 3), normal(3, 2), np.array([0, 1, 1, 0])),
    "concatenate": (join, normal(3, 2), normal(2, 2)),
    "split": (divide, normal(6)),
    "indexing": (pick, normal(4, 3)),
    "selection": (mask, normal(4, 3)),
    "reductions": (reduce, np.abs(normal(4, 3)) + 0.5),
    "stack": (stack, normal(4), normal(4)),
    "transpose": (transpose, normal(3, 4), np.array(2.0)),
    "attention": (attention, normal(3, 4), normal(5, 4), normal(5, 4)),
    "power": (power, np.abs(normal(3)), np.array(3.0)),
    "unused": (unused, normal(3), normal(2, 2)),
    "wasteful": (wasteful, normal(4), normal(4)),
    "infinities": (clipped, normal(4)),
    "float32": (mlp, *(normal(*s).astype("f4") for s in MLP_SHAPES)),
    "number": (lambda x: x * np.exp(x), np.array(0.5)),
    "trivial": (lambda x: x, np.array(0.5)),
    "reshape": (lambda x: np.sum(x.reshape(2, -1).ravel() * np.arange(6.0)), normal(3, 2)),
    "composite": (lambda x: np.trapezoid(x, dx=0.5) + np.trace(np.outer(x, x)), normal(4)),
}  # fmt: skip


def floats(inputs: Any) -> tuple[int, ...]:
    return tuple(i for i, x in enumerate(inputs) if x.dtype.kind == "f")


# --- the same numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_program_gives_exactly_what_value_and_grad_gives(name: str) -> None:
    f, *inputs = CASES[name]
    program = tg.trace(f, *inputs)
    value, gradients = program(*inputs)
    expected, expected_gradients = tg.value_and_grad(f, floats(inputs))(*inputs)
    assert np.asarray(value) == np.asarray(expected)
    assert len(gradients) == len(expected_gradients)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert np.asarray(gradient).dtype == wanted.dtype
        np.testing.assert_array_equal(gradient, wanted)


@pytest.mark.parametrize("name", CASES)
def test_a_program_is_no_recording_of_its_example(name: str) -> None:
    f, *inputs = CASES[name]
    program = tg.trace(f, *inputs)
    others = [np.abs(x) + x.dtype.type(0.25) if x.dtype.kind == "f" else x for x in inputs]
    value, gradients = program(*others)
    expected, expected_gradients = tg.value_and_grad(f, floats(inputs))(*others)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_the_text_alone_computes_it(name: str) -> None:
    f, *inputs = CASES[name]
    program = tg.trace(f, *inputs)
    scope: dict[str, Any] = {"np": np, "tg": tg, **program.constants}
    exec(program.source, scope)
    (function,) = (n.name for n in ast.parse(program.source).body if isinstance(n, ast.FunctionDef))
    value, gradients = scope[function](*inputs)
    again, gradients_again = program(*inputs)
    assert np.asarray(value) == np.asarray(again)
    for one, other in zip(gradients, gradients_again, strict=True):
        np.testing.assert_array_equal(one, other)


# --- the text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_program_is_straight_lines_of_public_functions(name: str) -> None:
    f, *inputs = CASES[name]
    source = tg.trace(f, *inputs).source
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    *lines, last = function.body
    assert isinstance(last, ast.Return)
    assert all(isinstance(line, ast.Assign) for line in lines)
    for node in ast.walk(function):
        assert not isinstance(node, (ast.For, ast.While, ast.If, ast.Import, ast.Lambda))
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("slice", "float"):
                continue
            module, _, rest = called.partition(".")
            assert module in ("np", "tg"), called
            thing: Any = {"np": np, "tg": tg}[module]
            for part in rest.split("."):
                assert not part.startswith("_"), called
                thing = getattr(thing, part)
            assert callable(thing)
            assert module == "np" or rest in tg.__all__


@pytest.mark.parametrize("name", CASES)
def test_every_name_is_defined_once_before_it_is_used(name: str) -> None:
    f, *inputs = CASES[name]
    program = tg.trace(f, *inputs)
    (function,) = ast.parse(program.source).body
    assert isinstance(function, ast.FunctionDef)
    known = {"np", "tg", "slice", "float", *program.constants}
    known |= {argument.arg for argument in function.args.args}
    for line in function.body:
        stored = set()
        for node in ast.walk(line):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    assert node.id in known, node.id
                else:
                    assert node.id not in known, f"{node.id} is defined twice"
                    stored.add(node.id)
        known |= stored


@pytest.mark.parametrize("name", CASES)
def test_no_line_is_written_in_vain(name: str) -> None:
    f, *inputs = CASES[name]
    source = tg.trace(f, *inputs).source
    (function,) = ast.parse(source).body
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
    used = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    for line in function.body[:-1]:  # type: ignore[attr-defined]
        targets = {n.id for n in ast.walk(line.targets[0]) if isinstance(n, ast.Name)}
        assert targets & used


def test_inputs_keep_their_names_and_order() -> None:
    f, *inputs = CASES["mlp"]
    program = tg.trace(f, *inputs)
    assert program.source.startswith("def mlp(x, W1, b1, W2, b2, y):\n")
    assert program.source.rstrip().endswith("(d_x, d_W1, d_b1, d_W2, d_b2, d_y)")
    for name, x in zip(["x", "W1", "b1", "W2", "b2", "y"], inputs, strict=True):
        assert f"# input {name}: float64 {x.shape}" in program.source


def test_every_line_says_its_shape() -> None:
    f, *inputs = CASES["mlp"]
    lines = [line for line in tg.trace(f, *inputs).source.splitlines() if " = " in line]
    assert len(lines) > 10
    assert all(re.search(r"# \([\d, ]*\)$", line) for line in lines)
    assert any(re.search(r"d_W2 = \w+ @ \w+ +# \(5, 2\)$", line) for line in lines)


def test_forward_and_backward_are_told_apart() -> None:
    f, *inputs = CASES["mlp"]
    source = tg.trace(f, *inputs).source
    forward, backward = source.split("# backward")
    assert "# forward" in forward
    assert "tg.mse_loss" in forward
    assert "d_W1" in backward


def test_the_formulas_are_those_of_the_rules() -> None:
    def f(h: Any, W: Any) -> Any:
        return np.sum(h @ W)

    source = tg.trace(f, normal(2, 3), normal(3, 4)).source
    assert re.search(r"(t\d+) = np\.transpose\(W\)", source)
    assert re.search(r"d_W = t\d+ @ t\d+", source)


def test_a_program_prints_as_its_text() -> None:
    program = tg.trace(mask, normal(4, 3))
    assert str(program) == repr(program) == program.source


def test_a_lambda_and_variable_arguments_get_a_title_and_names() -> None:
    program = tg.trace(lambda *xs: np.sum(xs[0] * xs[1]), normal(2), normal(2))
    assert program.source.startswith("def program(xs1, xs2):")


def test_constants_are_kept_by_name() -> None:
    c = np.array([1.0, 2.0, 3.0])
    program = tg.trace(lambda x: np.sum(x * c), normal(3))
    c[...] = 0
    assert [v.tolist() for v in program.constants.values()] == [[1, 2, 3]]
    assert program(np.ones(3))[0] == 6


# --- which gradients --------------------------------------------------------------------------


def test_gradients_are_those_of_the_tensors_that_require_one() -> None:
    program = tg.trace(lambda x, W: np.sum(x @ W), normal(2, 3), Tensor(normal(3, 4), True))
    (gradient,) = program(normal(2, 3), normal(3, 4))[1]
    assert gradient.shape == (3, 4)


def test_gradients_are_those_of_all_floats_otherwise() -> None:
    program = tg.trace(classify, *CASES["cross-entropy"][1:])
    assert len(program(*CASES["cross-entropy"][1:])[1]) == 2


def test_a_program_can_be_run_on_tensors_of_its_own_making() -> None:
    x = normal(4, 3)
    program = tg.trace(mask, x)
    assert program(x)[0] == program(x.copy())[0]


def test_tracing_leaves_no_gradient_on_its_inputs() -> None:
    x = Tensor(normal(4, 3), requires_grad=True)
    tg.trace(mask, x)
    assert x.grad is None
    np.sum(x * x).backward()
    assert isinstance(x.grad, np.ndarray)


def test_tracing_leaves_no_gradient_on_what_the_function_closes_over() -> None:
    w = Tensor(normal(3), requires_grad=True)
    tg.trace(lambda x: np.sum(x * w), normal(3))
    assert w.grad is None


# --- refusals ---------------------------------------------------------------------------------


def test_inputs_of_other_shapes_are_refused() -> None:
    program = tg.trace(join, normal(3, 2), normal(2, 2))
    with pytest.raises(tg.InputError, match=r"join: .*y of shape \(2, 2\), got \(2, 3\)"):
        program(normal(3, 2), normal(2, 3))
    with pytest.raises(tg.InputError, match="join"):
        program(normal(3, 2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 2 if x > 0 else x,
        lambda x: x * x.item(),
        lambda x: x * float(x.detach()),
        lambda x: x * np.asarray(x.detach()),
        lambda x: x * f"{x:.1f}".count("0"),
        lambda x: [x][int(x.detach())],
    ],
)
def test_a_function_that_reads_the_numbers_is_refused(f: Any) -> None:
    with pytest.raises(tg.UnsupportedError, match=r"trace: .*reads the numbers"):
        tg.trace(f, np.array(0.5))


def test_a_branch_on_a_shape_is_fine() -> None:
    program = tg.trace(lambda x: np.sum(x) if x.shape[0] > 1 else x[0] * 2, np.ones(1))
    value, (gradient,) = program(np.array([3.0]))
    assert value == 6
    assert gradient.tolist() == [2]


@pytest.mark.parametrize("f", [lambda x: x * 2, lambda x: x[:0]])
def test_a_function_of_several_elements_is_refused(f: Any) -> None:
    with pytest.raises(tg.InputError, match="one element"):
        tg.trace(f, normal(3))


@pytest.mark.parametrize("f", [lambda x: 5.0, lambda x: Tensor(1.0), lambda x: np.sum(x > 0)])
def test_a_function_that_does_not_depend_on_its_inputs_is_refused(f: Any) -> None:
    with pytest.raises(tg.GraphError, match="does not depend"):
        tg.trace(f, normal(3))


def test_a_function_of_integers_is_refused() -> None:
    with pytest.raises(tg.GraphError, match="float"):
        tg.trace(np.sum, np.arange(3))


def test_too_many_inputs_are_refused() -> None:
    with pytest.raises(tg.InputError, match="takes 1 arguments, got 2"):
        tg.trace(lambda x: x, 1.0, 2.0)


# --- names that could collide -----------------------------------------------------------------


@pytest.mark.parametrize("names", ["t1, t2", "d_x, x", "x, d_x", "t1, d_t1", "program, f"])
def test_inputs_may_be_called_like_results(names: str) -> None:
    first, second = names.split(", ")
    f = eval(f"lambda {names}: np.sum({first} * {second} * {first})", {"np": np})
    a, b = normal(3), normal(3, seed=1)
    value, (by_a, by_b) = tg.trace(f, a, b)(a, b)
    np.testing.assert_allclose(value, np.sum(a * a * b))
    np.testing.assert_allclose(by_a, 2 * a * b)
    np.testing.assert_allclose(by_b, a * a)


def test_inputs_may_be_called_like_constants() -> None:
    c = np.array([1.0, 2.0, 3.0])
    program = tg.trace(lambda c1: np.sum(c1 * c), normal(3))
    value, (gradient,) = program(np.ones(3))
    assert value == 6
    assert gradient.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["np", "tg"])
def test_inputs_may_be_called_like_modules(name: str) -> None:
    f = eval(f"lambda {name}: m.softplus(n.sum({name}))", {"n": np, "m": tg})
    value, _ = tg.trace(f, normal(3))(np.zeros(3))
    np.testing.assert_allclose(value, np.log(2))


@pytest.mark.parametrize(
    "number",
    [
        2,
        2.5,
        -2.5,
        True,
        np.float64(2.5),
        np.float32(0.1),
        np.int8(-3),
        1e-300,
        np.float64(1e300),
        np.array(2.5),
        np.array(7),
        np.float32(-3e38),
    ],
    ids=repr,
)
def test_numbers_are_written_exactly(number: Any) -> None:
    x = np.array([1.5, -2.0])
    program = tg.trace(lambda x: np.sum(np.minimum(x * number, number)), x)
    assert program(x)[0] == np.sum(np.minimum(x * number, number))


def test_a_negative_base_is_written_in_brackets() -> None:
    x = np.array([2.0, 3.0])
    program = tg.trace(lambda x: np.sum((-2.0) ** x), x)
    assert program(x)[0] == 4 - 8


@pytest.mark.parametrize(
    "number",
    [
        float("inf"),
        float("-inf"),
        np.float64("-inf"),
        pytest.param(
            np.float32("inf"),
        ),
        np.array(np.inf),
    ],
    ids=repr,
)
def test_infinities_are_written_so_that_they_can_be_read(number: Any) -> None:
    x = np.array([1.5, -2.0])
    program = tg.trace(lambda x: np.sum(np.maximum(x, -abs(number)) + x), x)
    assert program(x)[0] == 2 * np.sum(x)


# --- engine and tracer ------------------------------------------------------------------------


def test_tracing_twice_gives_the_same_text() -> None:
    f, *inputs = CASES["mlp"]
    assert tg.trace(f, *inputs).source == tg.trace(f, *inputs).source


def test_tracing_does_not_call_the_function_on_plain_arrays() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x)
        return np.sum(x)

    tg.trace(f, normal(3))
    (t,) = seen
    assert isinstance(t, Tensor)
    assert t.requires_grad
    assert t.shape == (3,)


def test_a_program_of_users_own_op_is_refused_or_runs() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g * 3 * x**2))
    def cubed(x: Any) -> Any:
        return x**3

    x = normal(3)
    try:
        program = tg.trace(lambda x: np.sum(cubed(x)), x)
        value, (gradient,) = program(x)
    except tg.AutogradError:
        return
    np.testing.assert_allclose(value, np.sum(x**3))
    np.testing.assert_allclose(gradient, 3 * x**2)


def test_gradients_inside_a_traced_function() -> None:
    x = normal(3)
    program = tg.trace(lambda x: np.sum(tg.grad(lambda y: np.sum(y**3))(x) * x), x)
    value, (gradient,) = program(x)
    np.testing.assert_allclose(value, 3 * np.sum(x**3))
    np.testing.assert_allclose(gradient, 9 * x**2)


def test_inside_no_grad_nothing_can_be_traced() -> None:
    with tg.no_grad(), pytest.raises(tg.GraphError):
        tg.trace(np.sum, normal(3))


# --- what the tracer answers to -----------------------------------------------------------------


def test_a_tuple_of_one_result_is_unpacked() -> None:
    x = normal(1, 3)
    program = tg.trace(lambda x: np.sum(tg.unstack(x)[0] ** 2), x)
    assert "(t1,) = tg.unstack(x" in program.source
    assert program(x)[0] == np.sum(x**2)


def test_a_named_tuple_of_results_stays_one() -> None:
    x = normal(3, 3) + 4 * np.eye(3)
    program = tg.trace(lambda x: np.linalg.slogdet(x).logabsdet, x)
    value, (gradient,) = program(x)
    np.testing.assert_allclose(value, np.linalg.slogdet(x)[1])
    np.testing.assert_allclose(gradient, np.linalg.inv(x).T)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(0, keepdims=True),
        lambda x: x.mean(axis=1),
        lambda x: x.max(1),
        lambda x: x.min(),
        lambda x: x.prod(axis=0),
        lambda x: x.var(axis=0, ddof=1),
        lambda x: x.std(1),
        lambda x: x.cumsum(0),
        lambda x: x.clip(-0.5, 0.5),
        lambda x: x.reshape(3, -1),
        lambda x: x.reshape((2, 6)),
        lambda x: x.ravel(),
        lambda x: x.flatten(),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
        lambda x: x.T,
        lambda x: x.swapaxes(0, 1),
        lambda x: x[None].squeeze(0),
        lambda x: x.diagonal(),
        lambda x: x.trace(),
        lambda x: x.take(np.array([2, 0]), axis=0),
        lambda x: x.repeat(2, axis=0),
        lambda x: x.dot(x.T),
        lambda x: x.copy(),
        lambda x: x.astype(np.float32),
        lambda x: x.argmax(axis=0),
        lambda x: x.argsort(axis=-1),
        lambda x: x.nonzero()[1],
        lambda x: (x > 0).any(axis=0),
        lambda x: (x > 0).all(),
        lambda x: x.round(1),
        lambda x: x[x.argmax()] if x.ndim < 2 else x[len(x) - 1],
    ],
)
def test_a_rule_may_call_the_methods_of_arrays(call: Any) -> None:
    """Second readings of one rule: on an array, and written down and run."""
    x = normal(3, 4)

    @tg.op(tg.wrt("x", lambda g, out, x: g * np.sum(call(x))))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        program = tg.trace(lambda x: np.sum(f(x)), x)
        _, (gradient,) = program(x)
        np.testing.assert_array_equal(gradient, np.ones((3, 4)) * np.sum(call(x)))
    finally:
        tg.unregister(f)


def test_what_arrays_have_not_the_tracer_has_not_either() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g * x.summ()))
    def f(x: Any) -> Any:
        return x * 1.0

    try:
        with pytest.raises(AttributeError, match="'summ'"):
            tg.trace(lambda x: np.sum(f(x)), normal(3))
    finally:
        tg.unregister(f)


def test_astype_is_written_by_its_public_name() -> None:
    x = normal(3)
    program = tg.trace(lambda x: np.sum(x.astype(np.float32) * 2), x)
    assert not set(program.constants)
    assert "tg.astype(x, dtype=np.float32)" in program.source
    assert program(x)[0].dtype == np.float32


def test_parts_of_ops_are_written_so_that_the_text_alone_runs() -> None:
    x = normal(1, 1, 6)
    program = tg.trace(lambda x: np.sum(tg.max_pool1d(x, 2)), x)
    assert not program.constants
    scope: dict[str, Any] = {"np": np, "tg": tg}
    exec(program.source, scope)
    np.testing.assert_array_equal(scope["program"](x)[0], program(x)[0])


def test_beside_a_tensor_it_is_the_tensor_that_answers() -> None:
    t, x = Tensor(np.ones(2)), Tracer(np.ones(2), Tape(), "x")
    for y in (np.add(x, t), np.concatenate([x, t]), tg.linear(x, t[:, None], t[:1])):
        assert isinstance(y, Tensor)
    with pytest.raises(TypeError):
        np.add.reduce(x)
