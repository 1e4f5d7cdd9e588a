"""Functions of functions against closed forms, nested, with closures, and inside no_grad."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3,))
A = RNG.normal(size=(3, 3))


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def close(actual: Any, expected: Any) -> None:
    if isinstance(actual, Tensor):
        actual = actual.detach().numpy()
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


def quadratic(x: Any) -> Any:
    return x @ A @ x


def quartic(x: Any) -> Any:
    return np.sum(x**4)


# --- grad, value_and_grad, elementwise_grad ---------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x**3, 2.0, 12.0),
        (np.exp, 1.5, math.exp(1.5)),
        (lambda x: np.sin(x) * x, 0.7, math.cos(0.7) * 0.7 + math.sin(0.7)),
        (quadratic, X, (A + A.T) @ X),
        (quartic, X, 4 * X**3),
        (lambda x: np.sqrt(np.sum(x * x)), X, X / np.sqrt(X @ X)),
        (lambda x: x[0] * x[2], X, np.array([X[2], 0, X[0]])),
        (lambda x: np.sum(x, keepdims=True), X, np.ones(3)),
        (lambda x: x, 3.0, 1.0),
        (lambda x: 5.0, 3.0, 0.0),
        (lambda x: 5, X, np.zeros(3)),
        (lambda x: np.float64(5), X, np.zeros(3)),
        (lambda x: Tensor(5.0), X, np.zeros(3)),
        (lambda x: x.item() * 2.0, 3.0, 0.0),
    ],
)
def test_grad_is_the_gradient(f: Any, x: Any, expected: Any) -> None:
    close(tg.grad(f)(x), expected)
    value, gradient = tg.value_and_grad(f)(x)
    close(gradient, expected)
    plain = f(np.asarray(x)) if not isinstance(f(np.asarray(x)), Tensor) else 5.0
    close(np.reshape(value, ()), np.reshape(plain, ()))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_grad_nests_to_any_order(order: int) -> None:
    f: Any = lambda x: x**5 + np.exp(2 * x)  # noqa: E731
    for _ in range(order):
        f = tg.grad(f)
    x = 0.8
    close(f(x), math.perm(5, order) * x ** (5 - order) + 2**order * math.exp(2 * x))


def test_elementwise_grad_nests_too() -> None:
    f: Any = np.sin
    for expected in (np.cos(X), -np.sin(X), -np.cos(X)):
        f = tg.elementwise_grad(f)
        close(f(X), expected)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_elementwise_grad_keeps_the_shape(shape: Any) -> None:
    x = RNG.normal(size=shape)
    close(tg.elementwise_grad(lambda x: x**3)(x), 3 * x**2)


def test_perturbations_are_not_confused() -> None:
    # d/dx (x * d/dy (x y)) = d/dx x^2 = 2x; who mixes up the two d's gets 1.
    close(tg.grad(lambda x: x * tg.grad(lambda y: x * y)(3.0))(2.0), 4.0)


def test_perturbations_are_not_confused_with_the_same_point() -> None:
    close(tg.grad(lambda x: x * tg.grad(lambda y: x + y)(x))(1.0), 1.0)
    close(tg.grad(lambda x: tg.grad(lambda y: x * y * y)(x))(3.0), 4 * 3.0)
    close(tg.grad(lambda x: x * tg.grad(lambda y: y * y)(2.0))(5.0), 4.0)


def test_jvp_and_grad_are_not_confused_either() -> None:
    close(tg.jvp(lambda x: x * tg.jvp(lambda y: x * y, 3.0, 1.0)[1], 2.0, 1.0)[1], 4.0)
    close(tg.grad(lambda x: x * tg.jvp(lambda y: x * y, 3.0, 1.0)[1])(2.0), 4.0)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 15.0),
        (1, 10.0),
        (-1, 6.0),
        (2, 6.0),
        ((0, 2), (15.0, 6.0)),
        ((2, 0), (6.0, 15.0)),
        ((1,), (10.0,)),
        ((0, 1, 2), (15.0, 10.0, 6.0)),
        ((), ()),
        ([0, 1], (15.0, 10.0)),
    ],
)
def test_argnums_choose_the_arguments(argnums: Any, expected: Any) -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return x * y * z

    found = tg.grad(f, argnums)(2.0, 3.0, 5.0)
    assert found == expected
    value, again = tg.value_and_grad(f, argnums)(2.0, 3.0, 5.0)
    assert (value, again) == (30.0, expected)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2), "x", (0, "y"), 1.0, (0.0,), None])
def test_argnums_that_do_not_fit_are_refused(argnums: Any) -> None:
    with pytest.raises((tg.InputError, TypeError)):
        tg.grad(lambda x, y: x * y, argnums)(2.0, 3.0)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -1)])
def test_the_same_argument_twice_gives_its_gradient_twice_or_is_refused(argnums: Any) -> None:
    try:
        found = tg.grad(lambda x: x * x, argnums)(3.0)
    except tg.InputError:
        return
    assert found == (6.0, 6.0)


def test_arguments_that_are_not_differentiated_by_are_passed_as_they_are() -> None:
    seen: list[Any] = []

    def f(x: Any, mode: str, *, scale: float) -> Any:
        seen.append((mode, scale))
        return x * scale

    assert tg.grad(f)(2.0, "train", scale=3.0) == 3.0
    assert seen == [("train", 3.0)]


def test_unused_arguments_get_zeros() -> None:
    by_x, by_y = tg.grad(lambda x, y: np.sum(x * x), (0, 1))(X, np.ones((2, 2), np.float32))
    close(by_x, 2 * X)
    assert by_y.tolist() == [[0, 0], [0, 0]]
    assert by_y.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "kind", "dtype"),
    [
        (2.0, np.floating, "float64"),
        (np.float32(2), np.floating, "float32"),
        (np.array(2.0), np.ndarray, "float64"),
        (np.ones(2, np.float32), np.ndarray, "float32"),
        ([1.0, 2.0], np.ndarray, "float64"),
    ],
)
def test_plain_arguments_give_plain_gradients(x: Any, kind: type, dtype: str) -> None:
    value, gradient = tg.value_and_grad(lambda x: np.sum(x * x))(x)
    assert isinstance(gradient, kind)
    assert gradient.dtype == dtype
    assert isinstance(value, (float, np.floating, np.ndarray))
    close(gradient, 2 * np.asarray(x))


@pytest.mark.parametrize("tracked", [False, True])
def test_tensors_give_tensors(tracked: bool) -> None:
    x = Tensor(X, requires_grad=tracked)
    value, gradient = tg.value_and_grad(quartic)(x)
    assert isinstance(value, Tensor)
    assert isinstance(gradient, Tensor)
    close(gradient, 4 * X**3)
    assert gradient.requires_grad == tracked
    assert x.grad is None


def test_gradients_by_a_tracked_tensor_can_be_differentiated() -> None:
    x = leaf(X)
    np.sum(tg.grad(quartic)(x) * x).backward()
    close(x.grad, 16 * X**3)


def test_a_tracked_closure_keeps_its_graph() -> None:
    w = leaf(3.0)
    y = tg.grad(lambda x: w * x * x)(2.0)
    assert isinstance(y, Tensor)
    assert y.item() == 12
    y.backward()
    assert w.grad == 4


def test_a_closure_over_an_intermediate_result_keeps_its_graph() -> None:
    w = leaf(3.0)
    h = w * w
    value, y = tg.value_and_grad(lambda x: h * x * x)(2.0)
    (value + y).backward()
    assert w.grad == 2 * 3 * (4 + 4)


def test_a_closure_over_a_constant_is_plain() -> None:
    w = Tensor(3.0)
    assert isinstance(tg.grad(lambda x: w * x * x)(2.0), np.floating)


def test_transforms_leave_no_gradient_on_what_they_close_over() -> None:
    w = leaf(3.0)
    tg.grad(lambda x: w * x)(2.0)
    tg.jacobian(lambda x: w * x)(X)
    tg.hvp(lambda x: np.sum(w * x * x), X, X)
    assert w.grad is None


@pytest.mark.parametrize("x", [3, [1, 2], np.array([1, 2]), True, 1j, np.int64(3)])
@pytest.mark.parametrize(
    "transform", [tg.grad, tg.value_and_grad, tg.elementwise_grad, tg.jacobian, tg.hessian]
)
def test_integers_are_refused_with_what_to_write(transform: Any, x: Any) -> None:
    with pytest.raises(tg.DtypeError, match=r"argument 0 .*must be float"):
        transform(np.sum)(x)


def test_the_refusal_names_function_and_argument() -> None:
    def loss(x: Any, y: Any) -> Any:
        return x * y

    with pytest.raises(tg.DtypeError, match=r"grad: argument 1 of loss must be float.*3\.0"):
        tg.grad(loss, 1)(2.0, 3)


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2)])
def test_grad_of_several_elements_is_refused_with_alternatives(shape: Any) -> None:
    with pytest.raises(tg.InputError, match=r"one element.*tg\.jacobian.*tg\.vjp"):
        tg.grad(lambda x: x * 2)(np.ones(shape))


@pytest.mark.parametrize("result", [None, "text", {"loss": 1}, object()])
def test_what_is_no_number_cannot_be_differentiated(result: Any) -> None:
    with pytest.raises(tg.DtypeError, match="must return a number"):
        tg.grad(lambda x: result)(2.0)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.elementwise_grad])
def test_a_tuple_is_refused_where_one_result_is_needed(transform: Any) -> None:
    with pytest.raises(tg.DtypeError, match="2-tuple"):
        transform(lambda x: (x, x))(2.0)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad, tg.jacobian, tg.checkpoint])
def test_the_new_function_has_the_old_ones_name_and_text(transform: Any) -> None:
    def loss(x: Any) -> Any:
        """Measure how bad it is."""
        return x

    new = transform(loss)
    assert (new.__name__, new.__doc__) == ("loss", "Measure how bad it is.")


def test_an_exception_of_the_function_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        tg.grad(lambda x: x * (1 / 0))(2.0)
    assert tg.is_grad_enabled()


def test_a_function_may_return_a_tensor_from_outside() -> None:
    w = leaf(3.0)
    y = tg.grad(lambda x: w)(2.0)
    assert float(y.detach() if isinstance(y, Tensor) else y) == 0


def test_arguments_are_not_changed() -> None:
    x = X.copy()
    tg.grad(quartic)(x)
    np.testing.assert_array_equal(x, X)


def test_a_gradient_may_be_written_into() -> None:
    gradient = tg.grad(np.sum)(X)
    gradient *= 2.0
    close(gradient, 2 * np.ones(3))


# --- jacobian, hessian ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: A @ x, X, A),
        (lambda x: x**2, X, np.diag(2 * X)),
        (lambda x: np.sum(x), X, np.ones(3)),
        (lambda x: x * 2.0, 3.0, 2.0),
        (lambda x: np.stack([x, x**2]), 3.0, np.array([1.0, 6.0])),
        (lambda x: np.ones(2), X, np.zeros((2, 3))),
        (lambda x: x[:0], X, np.zeros((0, 3))),
        (lambda x: np.sum(x), np.zeros(0), np.zeros(0)),
        (lambda x: x.T, np.ones((2, 3)), np.eye(6).reshape(2, 3, 2, 3).transpose(1, 0, 2, 3)),
    ],
)
def test_jacobian_has_the_shape_of_the_output_times_the_input(
    f: Any, x: Any, expected: Any
) -> None:
    close(tg.jacobian(f)(x), expected)


def test_jacobian_by_several_arguments() -> None:
    by_W, by_x = tg.jacobian(lambda W, x: W @ x, (0, 1))(A, X)
    close(by_W, np.einsum("ik,j->ikj", np.eye(3), X))
    close(by_x, A)


def test_jacobian_of_a_tuple_is_a_tuple() -> None:
    first, second = tg.jacobian(lambda x: (x**2, np.sum(x)))(X)
    close(first, np.diag(2 * X))
    close(second, np.ones(3))


def test_jacobian_of_a_tuple_by_several_arguments() -> None:
    (xx, xy), (yx, yy) = tg.jacobian(lambda x, y: (x * y, y), (0, 1))(2.0, 3.0)
    assert (xx, xy, yx, yy) == (3, 2, 0, 1)


def test_jacobian_keeps_the_dtype() -> None:
    assert tg.jacobian(lambda x: x * 2)(np.ones(2, np.float32)).dtype == np.float32


def test_jacobian_takes_plain_and_tracked_tensors() -> None:
    x = leaf(X)
    J = tg.jacobian(lambda x: x**3)(x)
    close(J, np.diag(3 * X**2))
    np.sum(J).backward()
    close(x.grad, 6 * X)
    assert isinstance(tg.jacobian(lambda x: x**3)(Tensor(X)), Tensor)


def test_jacobians_nest() -> None:
    second = tg.jacobian(tg.jacobian(lambda x: x**3))(X)
    expected = np.zeros((3, 3, 3))
    expected[np.arange(3), np.arange(3), np.arange(3)] = 6 * X
    close(second, expected)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (quadratic, X, A + A.T),
        (quartic, X, np.diag(12 * X**2)),
        (lambda x: x**3, 2.0, 12.0),
        (np.sum, X, np.zeros((3, 3))),
        (lambda x: 5.0, X, np.zeros((3, 3))),
        (lambda x: np.prod(x), X, np.outer(1 / X, 1 / X) * np.prod(X) * (1 - np.eye(3))),
    ],
)
def test_hessian(f: Any, x: Any, expected: Any) -> None:
    close(tg.hessian(f)(x), expected)


def test_hessian_by_several_arguments_has_all_blocks() -> None:
    (xx, xy), (yx, yy) = tg.hessian(lambda x, y: np.sum(x**2) * y**3, (0, 1))(X, 2.0)
    close(xx, 16 * np.eye(3))
    close(xy, 2 * X * 12)
    close(yx, 2 * X * 12)
    close(yy, X @ X * 12)


# --- vjp, jvp, hvp ----------------------------------------------------------------------------


def test_vjp_pulls_back_again_and_again() -> None:
    y, pull = tg.vjp(lambda x: A @ x, X)
    close(y, A @ X)
    for g in np.eye(3):
        close(pull(g), A.T @ g)
    close(pull([1.0, 2.0, 3.0]), A.T @ [1, 2, 3])


def test_vjp_of_several_arguments_and_outputs() -> None:
    (first, second), pull = tg.vjp(lambda x, y: (x * y, np.sum(x)), X, 2.0)
    close(first, 2 * X)
    close(second, X.sum())
    by_x, by_y = pull((np.ones(3), 10.0))
    close(by_x, np.full(3, 12.0))
    close(by_y, X.sum())


@pytest.mark.parametrize("g", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_vjp_refuses_a_wrong_number_of_cotangents(g: Any) -> None:
    _, pull = tg.vjp(lambda x: (x, x), 2.0)
    with pytest.raises(tg.InputError, match="expected 2 cotangents"):
        pull(g)


def test_vjp_refuses_a_cotangent_of_another_shape() -> None:
    _, pull = tg.vjp(lambda x: A @ x, X)
    with pytest.raises(tg.InputError, match=r"\(3,\)"):
        pull(np.ones(2))


def test_vjp_of_an_output_used_twice_adds_up() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        return y, y

    assert tg.vjp(f, 1.0)[1]((3.0, 5.0)) == 16


def test_vjp_with_a_tracked_cotangent_can_be_differentiated() -> None:
    g = leaf(np.ones(3))
    _, pull = tg.vjp(lambda x: x**2, X)
    np.sum(pull(g) * X).backward()
    close(g.grad, 2 * X * X)


@pytest.mark.parametrize("f", [np.exp, np.tanh, np.sqrt])
def test_vjp_is_that_of_the_values_it_was_computed_from(f: Any) -> None:
    x = np.array([0.5, 1.0])
    y, pull = tg.vjp(f, x)
    expected = pull(np.ones(2))
    y[...] = 7.0
    close(pull(np.ones(2)), expected)


def test_vjp_does_not_look_at_its_arguments_again() -> None:
    x = X.copy()
    _, pull = tg.vjp(lambda x: x**2, x)
    x[...] = 0
    close(pull(np.ones(3)), 2 * X)


def test_the_pulled_back_cotangent_is_not_the_cotangent_itself() -> None:
    g = np.ones(3)
    _, pull = tg.vjp(lambda x: x, X)
    pull(g)[0] = 9
    assert g.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: A @ x, lambda v: A @ v),
        (np.exp, lambda v: np.exp(X) * v),
        (lambda x: np.stack([x**2, -(x**2)]), lambda v: np.stack([2 * X * v, -2 * X * v])),
        (lambda x: np.where(x > 0, x**2, 0.0), lambda v: np.where(X > 0, 2 * X * v, 0)),
        (lambda x: np.concatenate([x, x[:1]]), lambda v: np.concatenate([v, v[:1]])),
        (lambda x: x, lambda v: v),
        (lambda x: np.ones(2), lambda v: np.zeros(2)),
        (lambda x: 5.0, lambda v: 0.0),
        (np.sum, lambda v: v.sum()),
        (lambda x: np.max(x), lambda v: v[np.argmax(X)]),
        (lambda x: np.split(x, 3)[1] ** 2, lambda v: 2 * X[1:2] * v[1:2]),
        (lambda x: np.prod(x), lambda v: np.prod(X) * np.sum(v / X)),
    ],
)
def test_jvp_pushes_tangents_forward(f: Any, slope: Callable[[np.ndarray], Any]) -> None:
    v = RNG.normal(size=3)
    y, dy = tg.jvp(f, X, v)
    close(y, np.asarray(f(X)))
    close(dy, np.asarray(slope(v)))


def test_jvp_of_several_arguments_and_outputs() -> None:
    (p, s), (dp, ds) = tg.jvp(lambda x, y: (x * y, x + y), (2.0, 3.0), (0.5, 10.0))
    assert (p, s) == (6, 5)
    assert (dp, ds) == (0.5 * 3 + 2 * 10, 10.5)


def test_jvp_is_the_adjoint_of_vjp() -> None:
    v, g = RNG.normal(size=3), RNG.normal(size=3)

    def f(x: Any) -> Any:
        return np.tanh(A @ x) * x

    close(tg.jvp(f, X, v)[1] @ g, tg.vjp(f, X)[1](g) @ v)


def test_jvp_nests() -> None:
    inner = lambda x: tg.jvp(lambda y: y**3, x, 1.0)[1]  # noqa: E731
    assert tg.jvp(inner, 2.0, 1.0)[1] == 12
    assert tg.grad(inner)(2.0) == 12
    close(tg.jvp(tg.grad(quartic), X, np.ones(3))[1], 12 * X**2)


def test_jvp_is_differentiable_by_its_tangent() -> None:
    v = leaf(np.ones(3))
    _, dy = tg.jvp(lambda x: x**2, X, v)
    np.sum(dy).backward()
    close(v.grad, 2 * X)


def test_jvp_of_a_closure() -> None:
    w = leaf(3.0)
    _, dy = tg.jvp(lambda x: w * x**2, 2.0, 1.0)
    dy.backward()
    assert w.grad == 4


@pytest.mark.parametrize(
    ("xs", "vs"), [((1.0, 2.0), (1.0,)), (1.0, (1.0, 2.0)), ((1.0,), (1.0, 1.0))]
)
def test_jvp_refuses_a_wrong_number_of_tangents(xs: Any, vs: Any) -> None:
    with pytest.raises(tg.InputError, match="one tangent per argument"):
        tg.jvp(lambda *xs: xs[0], xs, vs)


@pytest.mark.parametrize("v", [np.ones(2), 1.0, np.ones((3, 1))])
def test_jvp_and_hvp_refuse_a_direction_of_another_shape(v: Any) -> None:
    with pytest.raises(tg.InputError, match=r"\(3,\)"):
        tg.jvp(np.exp, X, v)
    with pytest.raises(tg.InputError, match=r"\(3,\)"):
        tg.hvp(quartic, X, v)


@pytest.mark.parametrize(
    ("f", "H"),
    [
        (quadratic, A + A.T),
        (quartic, np.diag(12 * X**2)),
        (np.sum, np.zeros((3, 3))),
        (lambda x: 5.0, np.zeros((3, 3))),
        (lambda x: np.sum(np.where(x > 0, x**2, 0.0)), np.diag(2.0 * (X > 0))),
    ],
)
def test_hvp_is_the_hessian_times_the_vector(f: Any, H: np.ndarray) -> None:
    v = RNG.normal(size=3)
    close(tg.hvp(f, X, v), H @ v)


def test_hvp_refuses_several_outputs() -> None:
    with pytest.raises(tg.InputError):
        tg.hvp(lambda x: x**2, X, X)


def test_hvp_can_be_differentiated() -> None:
    x = leaf(X)
    y = tg.hvp(quartic, x, np.ones(3))
    np.sum(y).backward()
    close(x.grad, 24 * X)


# --- gradients --------------------------------------------------------------------------------


def test_gradients_by_leaves_and_intermediates() -> None:
    x = leaf(X)
    h = x**2
    y = np.sum(h * x)
    by_x, by_h = tg.gradients(y, [x, h])
    close(by_x, 3 * X**2)
    close(by_h, X)
    assert x.grad is None


def test_gradients_by_the_output_itself_is_the_seed() -> None:
    y = leaf(2.0) * 3
    assert tg.gradients(y, y).item() == 1
    y = leaf(2.0) * 3
    assert tg.gradients(y, y, g=5.0).item() == 5


def test_gradients_by_an_intermediate_stop_there() -> None:
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    y = h * h
    assert tg.gradients(y, h).item() == 12
    h.backward()
    assert x.grad == 3


def test_gradients_of_several_outputs_add_up() -> None:
    x = leaf(2.0)
    y, z = x * 3, x * x
    assert tg.gradients([y, z], x).item() == 7
    y, z = x * 3, x * x
    assert tg.gradients([y, z, z], x, [1.0, 10.0, 100.0]).item() == 3 + 110 * 4


def test_gradients_of_an_output_that_is_below_another() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * 3
    assert tg.gradients([z, y], x).item() == 12 + 4


@pytest.mark.parametrize("tracked", [False, True])
def test_gradients_take_a_cotangent(tracked: bool) -> None:
    x = leaf(X)
    g = Tensor([1.0, 10.0, 100.0], requires_grad=tracked)
    found = tg.gradients(x**2, x, g=g, create_graph=True)
    close(found, 2 * X * [1, 10, 100])
    if tracked:
        np.sum(found).backward()
        close(g.grad, 2 * X)


def test_gradients_free_the_graph_unless_told() -> None:
    x = leaf(2.0)
    y = x * x
    tg.gradients(y, x, retain_graph=True)
    tg.gradients(y, x)
    with pytest.raises(tg.GraphError, match="freed"):
        tg.gradients(y, x)


def test_create_graph_keeps_the_graph() -> None:
    x = leaf(2.0)
    y = x**3
    first = tg.gradients(y, x, create_graph=True)
    second = tg.gradients(first, x, create_graph=True)
    third = tg.gradients(second, x)
    assert (first.item(), second.item(), third.item()) == (12, 12, 6)


def test_gradients_without_a_graph_are_constants() -> None:
    x = leaf(2.0)
    assert not tg.gradients(x**3, x).requires_grad


def test_a_gradient_penalty_trains_through_the_gradient() -> None:
    x, w = leaf(X), leaf(2.0)
    y = np.sum(w * x**2)
    norm = np.sum(tg.gradients(y, x, create_graph=True) ** 2)  # 4 w^2 sum x^2
    norm.backward()
    close(w.grad, 8 * 2 * (X @ X))
    close(x.grad, 8 * 4 * X)


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_unused_tensor_is_refused_or_given_zeros(create_graph: bool) -> None:
    x, w = leaf(X), leaf(np.ones((2, 2), np.float32), name="w")
    y = np.sum(x)
    with pytest.raises(tg.GraphError, match=r"x\[1\] \('w'\).*allow_unused"):
        tg.gradients(y, [x, w], create_graph=create_graph, retain_graph=True)
    _, by_w = tg.gradients(y, [x, w], create_graph=create_graph, allow_unused=True)
    assert by_w.tolist() == [[0, 0], [0, 0]]
    assert by_w.dtype == np.float32


@pytest.mark.parametrize(
    ("y", "x", "what"),
    [
        (Tensor(1.0), leaf(1.0), "y"),
        (1.0, leaf(1.0), "y"),
        (leaf(1.0), Tensor(1.0), "x"),
        (leaf(1.0), np.ones(2), "x"),
    ],
)
def test_gradients_of_or_by_constants_are_refused(y: Any, x: Any, what: str) -> None:
    with pytest.raises((tg.GraphError, TypeError), match=rf"{what}\[0\]|not iterable"):
        tg.gradients(y, x)


def test_gradients_refuse_missing_and_surplus_cotangents() -> None:
    x = leaf(X)
    with pytest.raises(tg.InputError, match="one-element"):
        tg.gradients(x * 2, x)
    with pytest.raises(tg.InputError, match="one g per y"):
        tg.gradients([x * 2, x * 3], x, [np.ones(3)])


# --- checkpoint -------------------------------------------------------------------------------


def block(x: Any, W: Any) -> Any:
    return np.tanh(x @ W) * x


@pytest.mark.parametrize("form", ["arguments", "closure", "mixed"])
def test_a_checkpoint_has_the_values_and_gradients_of_its_function(form: str) -> None:
    found = []
    for wrap in (lambda f: f, tg.checkpoint):
        x, W = leaf(X), leaf(A)
        h, V = x * 2, W + 1  # intermediates that are used elsewhere too
        if form == "arguments":
            y = wrap(block)(h, V)
        elif form == "closure":
            y = wrap(lambda h=h, V=V: block(h, V))()
        else:
            y = wrap(lambda h, V=V: block(h, V))(h)
        loss = np.sum(y**2 + h) + np.sum(V * W)
        loss.backward()
        found.append((loss.item(), x.grad, W.grad))
    for plain, checkpointed in zip(*found, strict=True):
        close(checkpointed, plain)


@pytest.mark.parametrize("nested", [1, 2, 3])
def test_checkpoints_nest(nested: int) -> None:
    x, w = leaf(X), leaf(0.5)
    f: Any = lambda x: np.sin(x * w) * w  # noqa: E731
    for _ in range(nested):
        f = tg.checkpoint(f)
    np.sum(f(f(x))).backward()

    def plain(x: Any, w: Any) -> Any:
        return np.sum(np.sin(np.sin(x * w) * w * w) * w)

    by_x, by_w = tg.grad(plain, (0, 1))(X, 0.5)
    close(x.grad, by_x)
    close(w.grad, by_w)


def test_a_checkpoint_differentiates_twice() -> None:
    w = leaf(0.5)

    def f(x: Any) -> Any:
        return np.sum(np.sin(x * w) * x)

    def checkpointed(x: Any) -> Any:
        return tg.checkpoint(f)(x)

    first = tg.hessian(checkpointed)(Tensor(X))
    expected = tg.hessian(f)(Tensor(X))
    close(first, expected.detach().numpy())
    x = leaf(X)
    for function in (f, tg.checkpoint(f)):
        w.zero_grad()
        (g,) = tg.gradients(function(x), [x], create_graph=True)
        np.sum(g * g).backward()
        if function is f:
            by_w, by_x = w.grad, x.grad
            x.zero_grad()
    close(w.grad, by_w)
    close(x.grad, by_x)


def test_a_checkpoint_keeps_none_of_its_intermediates() -> None:
    calls: list[int] = []

    @tg.op(tg.wrt("x", lambda g, out, x: g * 2))
    def noted(x: Any) -> Any:
        calls.append(1)
        return x * 2

    x = leaf(X)
    y = np.sum(tg.checkpoint(lambda x: noted(noted(x)))(x))
    assert len(calls) == 2
    y.backward()
    assert len(calls) == 4
    close(x.grad, np.full(3, 4.0))


def test_a_checkpoint_calls_its_function_once_more_for_all_arguments() -> None:
    calls: list[int] = []

    def f(x: Any, y: Any) -> Any:
        calls.append(1)
        return x * y

    x, y = leaf(2.0), leaf(3.0)
    tg.checkpoint(f)(x, y).backward()
    assert (x.grad, y.grad) == (3, 2)
    assert len(calls) == 2


def test_a_checkpoint_inside_no_grad_is_its_function() -> None:
    with tg.no_grad():
        y = tg.checkpoint(lambda x: x * 2)(leaf(3.0))
    assert (y.item(), y.requires_grad) == (6, False)


def test_a_checkpoint_of_constants_is_a_constant() -> None:
    y = tg.checkpoint(lambda x: x * 2)(Tensor(3.0))
    assert (y.item(), y.requires_grad) == (6, False)


def test_a_checkpoint_takes_options_and_constants() -> None:
    x = leaf(2.0)
    y = tg.checkpoint(lambda x, c, *, k: x * c * k)(x, Tensor(3.0), k=5.0)
    y.backward()
    assert x.grad == 15


def test_a_tracked_option_of_a_checkpoint_gets_its_gradient() -> None:
    x, k = leaf(2.0), leaf(5.0)
    tg.checkpoint(lambda x, *, k: x * k)(x, k=k).backward()
    assert (x.grad, k.grad) == (5, 2)


def test_a_checkpoint_of_an_unused_argument_gives_zeros() -> None:
    x, y = leaf(2.0), leaf(3.0)
    tg.checkpoint(lambda x, y: x * 2)(x, y).backward()
    assert x.grad == 2
    assert y.grad == 0


@pytest.mark.parametrize("form", ["text", "numbers", "index", "None"])
def test_a_checkpoint_takes_arguments_of_other_kinds(form: str) -> None:
    other = {"text": "train", "numbers": [1, 2, 3], "index": Tensor([0, 0]), "None": None}[form]
    x = leaf(X)
    y = tg.checkpoint(lambda x, other: np.sum(x * 2))(x, other)
    y.backward()
    close(x.grad, np.full(3, 2.0))


@pytest.mark.parametrize("kind", [dict, list, object])
def test_a_checkpoint_takes_structures_and_objects(kind: type) -> None:
    x, w = leaf(2.0), leaf(3.0)
    other: Any = {dict: {"w": w}, list: [w, 1.0], object: object()}[kind]

    def f(x: Any, other: Any) -> Any:
        return x * (other["w"] if kind is dict else other[0] if kind is list else w)

    tg.checkpoint(f)(x, other).backward()
    assert (x.grad, w.grad) == (3, 2)


def test_a_checkpoint_of_the_same_tensor_twice_adds_up() -> None:
    x = leaf(3.0)
    tg.checkpoint(lambda x, y: x * y)(x, x).backward()
    assert x.grad == 6


def test_a_checkpoint_that_returns_its_argument() -> None:
    x = leaf(X)
    np.sum(tg.checkpoint(lambda x: x)(x) * 2).backward()
    close(x.grad, np.full(3, 2.0))


@pytest.mark.parametrize("tracked", [False, True])
def test_a_checkpoint_that_returns_a_tensor_from_outside(tracked: bool) -> None:
    w = leaf(3.0)
    y = tg.checkpoint(lambda x: w)(Tensor(2.0, requires_grad=tracked))
    y.backward()
    assert w.grad == 1


def test_a_function_that_is_not_deterministic_is_refused() -> None:
    rng = np.random.default_rng(0)
    x = leaf(X)
    y = tg.checkpoint(lambda x: x * rng.normal(size=3))(x)
    with pytest.raises(tg.GraphError, match=r"checkpoint.*deterministic"):
        y.backward(np.ones(3))
    assert x.grad is None


def test_a_checkpoint_with_nan_in_its_result_is_deterministic() -> None:
    x = leaf([1.0, 2.0])
    np.sum(tg.checkpoint(lambda x: np.where([True, False], x * 2, np.nan))(x)).backward()
    assert x.grad.tolist() == [2, 0]


@pytest.mark.parametrize("result", [None, "text"])
def test_a_checkpoint_that_returns_no_tensor_is_refused(result: Any) -> None:
    with pytest.raises(tg.DtypeError):
        tg.checkpoint(lambda x: result)(leaf(1.0))


def test_a_checkpoint_that_returns_several_is_refused() -> None:
    with pytest.raises(tg.DtypeError, match="tuple"):
        tg.checkpoint(lambda x: (x, x))(leaf(1.0))


def test_a_checkpoint_is_of_the_values_it_was_computed_from() -> None:
    x, c, w = leaf([1.0, 2.0]), np.array([5.0, 6.0]), leaf([7.0, 8.0])
    y = np.sum(tg.checkpoint(lambda x, c: x * x * c * w)(x, c))
    x.data[...] = 100
    c[...] = 100
    y.backward()
    np.testing.assert_allclose(x.grad, [2 * 5 * 7, 2 * 2 * 6 * 8])
    np.testing.assert_allclose(w.grad, [5, 24])


@pytest.mark.parametrize(
    "now",
    [
        100.0,
        pytest.param(
            -3.0,
        ),
    ],
)
def test_a_checkpoint_is_of_the_values_of_its_closure_or_refuses(now: float) -> None:
    x, w = leaf(2.0), leaf(3.0)
    y = tg.checkpoint(lambda x: x * w * w)(x)
    w.data[...] = now
    try:
        y.backward()
    except tg.GraphError:
        assert w.grad is None
    else:
        assert (x.grad, w.grad) == (9, 12)


def test_a_checkpoint_pulls_back_a_cotangent_that_was_written_into() -> None:
    a, b, g = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.ones(2)
    y = tg.checkpoint(lambda a, b: a * b)(a, b)
    tg.gradients(y, a, g=g, retain_graph=True)
    g *= 2.0
    close(tg.gradients(y, a, g=g), [6.0, 8.0])


def test_a_checkpoint_in_every_transform() -> None:
    f = tg.checkpoint(lambda x: np.sum(x**4))
    v = np.ones(3)
    close(tg.grad(f)(X), 4 * X**3)
    close(tg.hessian(f)(X), np.diag(12 * X**2))
    close(tg.hvp(f, X, v), 12 * X**2)
    close(tg.jvp(f, X, v)[1], np.sum(4 * X**3))
    close(tg.elementwise_grad(tg.elementwise_grad(tg.checkpoint(np.sin)))(X), -np.sin(X))


def test_a_chain_of_checkpoints() -> None:
    x = leaf(1.0)
    y: Any = x
    step = tg.checkpoint(lambda y: y * 1.0 + 1.0)
    for _ in range(2_000):
        y = step(y)
    y.backward()
    assert x.grad == 1


# --- inside no_grad ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: tg.grad(quartic)(x), 4 * X**3),
        (lambda x: tg.value_and_grad(quartic)(x)[1], 4 * X**3),
        (lambda x: tg.jacobian(lambda x: x**2)(x), np.diag(2 * X)),
        (lambda x: tg.hessian(quartic)(x), np.diag(12 * X**2)),
        (lambda x: tg.hvp(quartic, x, np.ones(3)), 12 * X**2),
        (lambda x: tg.jvp(np.exp, x, np.ones(3))[1], np.exp(X)),
        (lambda x: tg.vjp(np.exp, x)[1](np.ones(3)), np.exp(X)),
        (lambda x: tg.grad(tg.checkpoint(quartic))(x), 4 * X**3),
    ],
)
@pytest.mark.parametrize("wrap", [lambda x: x, Tensor, leaf], ids=["array", "Tensor", "tracked"])
def test_transforms_differentiate_inside_no_grad_but_leave_no_graph(
    call: Any, expected: Any, wrap: Any
) -> None:
    w = wrap(X)
    with tg.no_grad():
        found = call(w)
        assert not tg.is_grad_enabled()
    close(found, expected)
    assert not (isinstance(found, Tensor) and found.requires_grad)
    assert isinstance(found, Tensor) == isinstance(w, Tensor)


def test_a_tracked_closure_leaves_no_graph_inside_no_grad() -> None:
    w = leaf(3.0)
    with tg.no_grad():
        y = tg.grad(lambda x: w * x * x)(2.0)
        hessian = tg.hessian(lambda x: w * x * x)(2.0)
    assert isinstance(y, np.floating)
    assert (y, hessian) == (12, 6)


def test_no_grad_inside_a_differentiated_function_is_respected() -> None:
    def f(x: Any) -> Any:
        with tg.no_grad():
            c = x * x
        return c * x

    assert tg.grad(f)(3.0) == 9


# --- one tensor in two roles ----------------------------------------------------------------------


def test_jvp_of_an_output_returned_twice_gives_both_tangents() -> None:
    y, dy = tg.jvp(lambda x: (x, x), 1.0, 1.0)
    assert (y, dy) == ((1.0, 1.0), (1.0, 1.0))


def test_jvp_adds_up_arguments_that_share_a_cotangent() -> None:
    x, y = Tensor(1.0, requires_grad=True), Tensor(2.0, requires_grad=True)
    assert tg.jvp(lambda a, b: a + b, (x, y), (1.0, 1.0))[1].item() == 2.0
    twice = tg.grad(lambda x: tg.jvp(lambda a, b: a + b, (x, x), (x, x))[1])
    assert twice(3.0) == 2.0


def test_a_checkpoint_does_not_answer_from_what_a_cotangent_held_before() -> None:
    a, b = leaf([1.0, 2.0]), leaf([4.0, 5.0])
    y = tg.checkpoint(lambda a, b: a * b)(a, b)
    g = leaf(np.ones(2))
    tg.gradients(y, a, g=g, create_graph=True)
    g.data = np.full(2, 10.0)
    np.testing.assert_array_equal(tg.gradients(y, b, g=g, create_graph=True).data, [10, 20])


def test_a_checkpoint_that_was_freed_holds_neither_arguments_nor_shares() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    middle = x * 2
    watch = weakref.ref(middle)
    h = tg.checkpoint(np.tanh)(middle)
    np.sum(h).backward()
    del middle
    assert watch() is None
    assert h.node.op.rules[0].vjp.known == (None, None, {})


def test_a_point_given_as_argnums_is_refused_at_once() -> None:
    with pytest.raises(tg.DtypeError, match=r"argnums.*2\.0.*grad\(f\)\(x\)"):
        tg.grad(np.sin, 2.0)


def test_values_of_dask_arrays_stay_lazy() -> None:
    da = pytest.importorskip("dask.array")
    value, gradient = tg.value_and_grad(lambda x: np.sum(x * x))(da.ones(4))
    assert isinstance(value, da.Array)
    assert isinstance(gradient, da.Array)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad])
def test_gradient_of_what_is_no_function_is_refused(transform: Any) -> None:
    loss = tg.Tensor(2.0, requires_grad=True) ** 2
    with pytest.raises(tg.DtypeError, match=r"expected a function, got Tensor\(4.*t.backward\(\)"):
        transform(loss)
