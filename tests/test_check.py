"""The checker rejects wrong rules and says what is wrong; it accepts right ones, at every scale."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import diagnosis, subject
from tinygrad_edu.check import check_gradients
from tinygrad_edu.diagnosis import Cause, common_cause
from tinygrad_edu.quotient import Quotient, difference_quotient, noise_level
from tinygrad_edu.subject import numerical_vjp

Function = Any


def op_of(forward: Any, *rules: Any, **options: Any) -> Function:
    """An op for one test; `tests/conftest.py` forgets it afterwards."""
    return tg.op(*rules, **options)(forward)


def with_rule(forward: Any, rule: Any, name: str = "mutant") -> Function:
    return op_of(forward, tg.wrt("x", rule), name=name)


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape)


def message(f: Function, *inputs: Any, **options: Any) -> str:
    with pytest.raises(tg.GradientError) as caught:
        check_gradients(f, *inputs, **options)
    return str(caught.value)


# --- wrong rules are rejected -----------------------------------------------------------------


def softmax_without_its_sum(g: Any, out: Any, x: Any) -> Any:
    return g * out


def one_element_off(g: Any, out: Any, x: Any) -> Any:
    slope = np.ones(x.shape)
    slope[-1, 0] = 1.5
    return g * np.cos(x) * slope


MUTANTS = {
    "sign": (np.sin, lambda g, out, x: -g * np.cos(x), "sign"),
    "factor 2": (np.square, lambda g, out, x: 4 * g * x, "factor 2"),
    "half": (np.square, lambda g, out, x: g * x, "factor 1/2"),
    "one per cent": (np.sin, lambda g, out, x: 1.01 * g * np.cos(x), "constant factor 1.01"),
    "1e-4 off": (np.exp, lambda g, out, x: 1.0001 * g * out, "constant factor 1.0001"),
    "1/n": (np.sum, lambda g, out, x: g * np.ones_like(x) / x.size, r"factor 1/12 \(n = 12 is"),
    "1/length": (
        lambda x: np.sum(x, axis=0),
        lambda g, out, x: g * np.ones_like(x) / 3,
        r"factor 1/3 \(n = 3 is the length of axis 0 of x",
    ),
    "n": (np.mean, lambda g, out, x: g * np.ones_like(x), r"factor 12 \(n = 12 is the size of x"),
    "zero": (tg.softmax, lambda g, out, x: np.zeros_like(x), "the gradient is zero although"),
    "nan": (np.tanh, lambda g, out, x: g * np.nan, "a division by zero or an overflow"),
    "constant added": (np.sin, lambda g, out, x: g * np.cos(x) + 0.25, "a constant is added"),
    "dropped term": (tg.softmax, softmax_without_its_sum, "no simple pattern: a term is missing"),
    "another function": (np.sin, lambda g, out, x: g * np.sin(x), "no simple pattern"),
    "one branch": (
        np.abs,
        lambda g, out, x: g * (x > 0),
        r"zero on one branch: .*, in \d of 12 elements only \(x < 0\)",
    ),
    "other branch": (
        lambda x: np.maximum(x, 0),
        lambda g, out, x: g,
        r"not zero on one branch: in \d of 12 elements \(x < 0\) the function is flat",
    ),
    "one element": (np.sin, one_element_off, "factor 1.5, in 1 of 12 elements only"),
    "ignores g": (np.sin, lambda g, out, x: np.cos(x), "g is not used"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_rule_is_rejected_with_op_argument_index_numbers_and_cause(name: str) -> None:
    forward, rule, cause = MUTANTS[name]
    text = message(with_rule(forward, rule, "wrong_op"), normal(3, 4))
    assert text.startswith("wrong_op: the gradient of argument 'x' is wrong at x[")
    assert "suspected op: wrong_op, the only one in the graph" in text
    assert "difference quotient" in text
    assert re.search(f"likely cause: .*{cause}", text), text


def test_transposed_gradient_is_recognised() -> None:
    f = op_of(
        np.matmul,
        tg.wrt("x", lambda g, out, x, y: (g @ y.T).T),
        tg.wrt("y", lambda g, out, x, y: x.T @ g),
    )
    assert "likely cause: transposed" in message(f, normal(3, 3), normal(3, 3, seed=1))
    negative = with_rule(np.sin, lambda g, out, x: -g * np.cos(x))
    assert "likely cause: sign" in message(negative, normal(3, 3))


@pytest.mark.parametrize("share", [lambda g: g[0], lambda g: g[-1]])
def test_missing_sum_over_the_batch_is_recognised(share: Any) -> None:
    f = op_of(
        np.add,
        tg.wrt("x", lambda g, out, x, b: g),
        tg.wrt("b", lambda g, out, x, b: share(g)),
    )
    text = message(f, normal(5, 3), normal(3))
    assert "argument 'b' is wrong at b[0]" in text
    assert "missing sum over axis 0 of the result" in text


def test_mean_instead_of_the_sum_over_the_batch_is_recognised() -> None:
    f = op_of(
        np.add,
        tg.wrt("x", lambda g, out, x, b: g),
        tg.wrt("b", lambda g, out, x, b: g.mean(axis=0)),
    )
    assert "factor 1/5 (n = 5 is the length of axis 0" in message(f, normal(5, 3), normal(3))


@pytest.mark.parametrize(
    "share",
    [
        lambda g, x: 0.5 * g * x,
        lambda g, x: (g * x)[0] if g.ndim > 1 else g * x,
    ],
)
def test_rule_that_is_wrong_only_for_broadcast_inputs_is_recognised(share: Any) -> None:
    f = op_of(
        np.multiply,
        tg.wrt("x", lambda g, out, x, y: g * y),
        tg.wrt("y", lambda g, out, x, y: share(g, x) if y.shape != g.shape else g * x),
        broadcasts=True,
        name="mutant",
    )
    check_gradients(f, normal(2, 3), normal(2, 3))
    text = message(f, normal(5, 3), normal(3))
    assert "only for broadcast inputs: its rule is right where all arguments have" in text
    text = message(lambda x, y: np.tanh(f(x, y)), normal(5, 3), normal(3))
    assert (
        "suspected op: mutant, whose rule of 'y' is wrong by itself\n  only for broadcast" in text
    )


def test_numbers_shown_are_local_gradients() -> None:
    """Not multiplied by the random cotangent with which the mistake was found."""
    f = with_rule(np.square, lambda g, out, x: 3 * g * x)
    text = message(f, np.array([0.5, 2.0]))
    assert "gradient             1.5\n" in text
    assert re.search(r"difference quotient  (1|0\.9999999\d*|1\.0000000\d*)  \(±", text)
    assert "upstream gradient    g = 1 at result[0], 0 elsewhere" in text
    several = message(lambda x: (np.sin(x), f(x)), np.array([0.5]))
    assert "upstream gradient    g = 1 at result 1[0], 0 elsewhere" in several
    alone = message(lambda x: np.sum(f(x)), np.array([0.5, 2.0]))
    assert "upstream gradient" not in alone
    assert "gradient             1.5\n" in alone
    nonlinear = with_rule(np.sin, lambda g, out, x: g * g * np.cos(x))
    assert "random numbers g; no single element of the result shows it" in message(nonlinear, 0.5)


def test_small_wrong_rule_is_not_lost_in_an_absolute_tolerance() -> None:
    f = with_rule(lambda x: 1e-7 * np.sin(x), lambda g, out, x: -5e-7 * g * np.cos(x))
    assert "ratio                -5" in message(f, np.array([0.3, 1.2]))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_wrong_rule_is_rejected_at_every_scale_of_input_and_output(scale: float) -> None:
    f = with_rule(lambda x: scale * np.sin(x), lambda g, out, x: 1.001 * scale * g * np.cos(x))
    assert "constant factor 1.001" in message(f, normal(3))
    f = with_rule(
        lambda x: np.sin(x / scale), lambda g, out, x: 1.001 * g * np.cos(x / scale) / scale
    )
    assert "constant factor 1.001" in message(f, scale * normal(3))


def test_two_per_cent_are_rejected_in_a_large_array() -> None:
    f = with_rule(np.sin, lambda g, out, x: 1.02 * g * np.cos(x))
    assert "constant factor 1.02" in message(f, normal(5000))


def test_one_wrong_element_of_a_large_array_is_found() -> None:
    wrong = np.ones(5000)
    wrong[3210] = 0.5
    f = with_rule(np.sin, lambda g, out, x: g * np.cos(x) * wrong)
    text = message(f, normal(5000))
    assert "wrong at x[3210]" in text
    assert "in 1 of" in text


def test_zero_dimensional_input_has_no_index() -> None:
    f = with_rule(np.sin, lambda g, out, x: -g * np.cos(x))
    assert "argument 'x' is wrong at x\n" in message(f, 0.5)


def test_wrong_op_is_found_in_a_larger_graph() -> None:
    square = with_rule(np.square, lambda g, out, x: g * x, "bad_square")

    def loss(x: Any, W: Any) -> Any:
        return np.mean(square(np.tanh(x @ W)) + 1)

    text = message(loss, normal(3, 2), normal(2, 2))
    assert "suspected op: bad_square, whose rule of 'x' is wrong by itself" in text


def test_cut_graph_is_recognised() -> None:
    text = message(lambda x, y: x * y.detach(), normal(3), normal(3))
    assert "argument 'y' is wrong at y[0]" in text
    assert "the graph is cut" in text
    assert "suspected op" not in message(lambda x: np.sin(x.data), normal(3))


def test_wrong_part_outside_the_ops_is_said_to_be_outside() -> None:
    text = message(lambda x, y: x * np.tanh(y.detach()) + y, normal(3), normal(3))
    assert "ops in the graph, each right by itself: " in text


def test_second_order_is_checked() -> None:
    # Right at first order; the derivative of cos(x) is lost.
    f = with_rule(np.sin, lambda g, out, x: g * np.cos(getattr(x, "data", x)), "half_way")
    check_gradients(f, normal(3))
    text = message(f, normal(3), order=2)
    assert text.startswith("gradient of half_way: the gradient of argument 'x' is wrong at x[")
    assert "random numbers g and v: this is the slope of <gradient, v>" in text
    assert "the gradient is zero although" in text


def test_forward_mode_is_compared_with_backward() -> None:
    # Right for arrays, and another function for Tensors.
    f = with_rule(
        np.sin, lambda g, out, x: g * np.cos(x) * (1 if isinstance(g, (np.ndarray, float)) else 2)
    )
    assert "forward mode disagrees with backward" in message(f, normal(3))


def test_rule_without_forward_mode_is_reported() -> None:
    def slope(g: Any, out: Any, x: Any) -> Any:
        return np.nextafter(g, g) * np.cos(x)  # has no rule

    report = check_gradients(with_rule(np.sin, slope), normal(3))
    assert report.forward is None
    assert "forward mode: not available" in str(report)


def test_rule_that_answers_differently_the_second_time_is_found() -> None:
    calls: list[int] = []

    def slope(g: Any, out: Any, x: Any) -> Any:
        calls.append(1)
        return g * np.cos(x) * len(calls)

    assert "another one when backward runs again" in message(with_rule(np.sin, slope), normal(3))


def test_gradient_of_another_shape_or_dtype_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The engine sees to both; this asks whether the check would see it if it did not.
    for wrong in (np.ones(2), np.ones(3, np.float32)):
        monkeypatch.setattr(subject, "vjp", lambda f, x, wrong=wrong: (f(x), lambda g: wrong))
        assert "expected a gradient of argument 'x' of shape (3,)" in message(np.sin, normal(3))


def test_functions_of_several_results_are_checked_in_all_of_them() -> None:
    halves = with_rule(
        lambda x: (x[:2] * 1.0, x[2:] * 2.0),
        lambda g, out, x: np.concatenate((g[0], 3 * g[1])),
        "halves",
    )
    text = message(lambda x: halves(x), normal(4))
    assert "halves" in text
    assert "factor 1.5, in 2 of 4 elements only" in text


def test_functions_that_tell_nothing_about_their_arguments_are_numbered() -> None:
    class Opaque:
        __signature__ = "none"

        def __call__(self, x: Any) -> Any:
            return -np.sin(x)

    (argument,) = check_gradients(Opaque(), normal(2)).arguments
    assert argument.name == "argument 0"


def test_gradient_that_overflows_in_float32_only_is_rejected() -> None:
    f = with_rule(np.sqrt, lambda g, out, x: g * (x * 1e30) * 1e30 / (out * x * 2e30) / 1e30)
    check_gradients(f, np.array([2.0, 3.0]))
    text = message(f, np.array([2.0, 3.0], np.float32))
    assert "is right in float64, but not in float32, at x[0]: got inf" in text


# --- what has no derivative, or no value ------------------------------------------------------


def test_all_elements_at_a_kink_fail_with_that_diagnosis() -> None:
    text = message(np.abs, np.zeros(3))
    assert "no element of argument 'x' could be compared" in text
    assert "kink suspected: the slopes to the left" in text


def test_element_at_a_kink_is_listed_and_not_compared() -> None:
    report = check_gradients(tg.relu, np.array([[-1.0, 0.0], [2.0, 0.5]]))
    (argument,) = report.arguments
    assert argument.kinks == ((0, 1),)
    assert argument.checked == 3
    assert "kink suspected, not compared: x[0, 1]" in str(report)


def test_gradient_at_a_kink_must_lie_between_the_slopes() -> None:
    f = with_rule(np.abs, lambda g, out, x: g * np.where(x == 0, 1.5, np.sign(x)))
    text = message(f, np.array([0.0, 1.0]))
    assert "kink suspected" in text
    assert "the gradient is not even between the two" in text


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-9])
def test_element_beside_a_kink_is_compared(distance: float) -> None:
    x = np.array([distance, -distance, 1.0])
    (argument,) = check_gradients(tg.relu, x).arguments
    assert argument.checked == 3
    f = with_rule(lambda x: np.maximum(x, 0), lambda g, out, x: 0.5 * g)
    assert "wrong at x[0]" in message(f, x)


def test_jump_is_no_derivative() -> None:
    assert "could be compared. kink suspected" in message(np.floor, np.array([1.0, 2.0]))


def test_end_of_the_domain_is_named() -> None:
    f = with_rule(lambda x: np.sqrt(x), lambda g, out, x: g)
    assert "the input is at the end of its domain" in message(f, np.zeros(2))


def test_function_that_refuses_inputs_outside_of_its_domain_is_checked_inside() -> None:
    def f(x: Any) -> Any:
        if np.any(getattr(x, "data", x) <= 0):
            raise ValueError("expected positive numbers")
        return np.log(x)

    (argument,) = check_gradients(f, np.array([1e-3, 1e-9, 2.0])).arguments
    assert argument.checked == 3


def test_random_function_is_called_not_deterministic() -> None:
    rng = np.random.default_rng(0)
    text = message(lambda x: x * rng.normal(size=3), np.ones(3))
    assert "is not deterministic" in text
    assert "the gradient" not in text


def test_value_that_is_not_finite_is_refused() -> None:
    with np.errstate(divide="ignore"), pytest.raises(tg.InputError, match="log: is not finite"):
        check_gradients(np.log, np.zeros(2))


def test_nothing_to_differentiate_is_refused() -> None:
    with pytest.raises(tg.InputError, match=r"sin: got no float input .*write 3.0 instead of 3"):
        check_gradients(np.sin, np.array([1, 2]))
    with pytest.raises(tg.InputError, match="argmax: must return a float"):
        check_gradients(np.argmax, normal(3))


def test_noise_is_not_taken_for_a_derivative() -> None:
    # A function that is all rounding at every step that is tried.
    f = with_rule(lambda x: np.sin(1e18 * x), lambda g, out, x: 1e18 * g * np.cos(1e18 * x))
    assert "could be compared" in message(f, normal(2))


# --- right ones are accepted ------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", [np.sin, np.square, np.cbrt, np.arctan, np.tanh, np.reciprocal])
def test_right_rule_is_accepted_at_every_scale(f: Any, dtype: Any, scale: float) -> None:
    check_gradients(f, (scale * normal(4)).astype(dtype), order=2 if scale == 1 else 1)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-3, 1.0, 30.0]),
    st.sampled_from([np.float64, np.float32]),
)
def test_small_network_is_accepted(seed: int, size: float, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    x, W, b, V = (
        (size * rng.normal(size=shape)).astype(dtype) for shape in ((4, 3), (3, 5), 5, (5, 2))
    )
    labels = rng.integers(0, 2, 4)
    check_gradients(
        lambda W, b, V: tg.cross_entropy(np.tanh(x @ W + b) @ V, labels), W, b, V, max_elements=4
    )


def test_nearly_flat_and_saturated_functions_are_accepted() -> None:
    check_gradients(np.tanh, np.array([15.0, 20.0, 40.0, -300.0]))
    check_gradients(tg.sigmoid, np.array([-700.0, -40.0, 36.0, 38.0, 800.0]))
    check_gradients(tg.softmax, np.array([[1e4, 0.0, -1e4], [40.0, 0.0, 1.0]]))
    check_gradients(np.cos, np.array([0.0, 1e-8, np.pi / 2, np.pi]))


def test_digits_lost_inside_of_a_function_are_no_wrong_gradient() -> None:
    x, noise = np.array([0.3, 0.7]), 1e4
    check_gradients(lambda x: (np.sin(x) + noise) - noise, x, order=2)
    check_gradients(lambda x: np.sin(x * 1e-9 + 1.0) * 1e3, x)
    equal = np.array([0.25, 0.5, 0.75])
    check_gradients(tg.binary_cross_entropy, equal, equal, order=2)
    check_gradients(np.std, np.array([5.0, 5.25]), order=2)


def test_digits_that_float32_cannot_hold_are_no_wrong_gradient() -> None:
    pytest.importorskip("scipy")
    check_gradients(tg.erf, np.linspace(3.5, 4.0, 9).astype(np.float32), order=2)


def test_noise_that_grows_with_the_distance_is_no_wrong_gradient() -> None:
    for x in (0.0, 1e-12, 1e-8, 1e-3):
        check_gradients(tg.gaussian_kl, np.zeros(3), np.full(3, x), order=2)


def test_every_kind_of_argument_is_understood() -> None:
    def f(x: Any, n: int, y: Any, *rest: Any) -> Any:
        return x * n + y, np.sum(rest[0]) * y, np.argmax(rest[0])

    report = check_gradients(f, 2.0, 3, tg.Tensor([0.5, 1.5], name="why"), normal(2, 2))
    assert [a.name for a in report.arguments] == ["x", "why", "rest[0]"]
    assert [a.shape for a in report.arguments] == [(), (2,), (2, 2)]
    assert report.function == "f"


def test_constant_arguments_and_empty_arrays_are_accepted() -> None:
    check_gradients(lambda x, y: np.exp(x) + 0 * y, normal(2), normal(2))
    check_gradients(lambda x, y: np.exp(x), normal(2), normal(2))
    (argument,) = check_gradients(np.exp, np.ones((0, 3))).arguments
    assert argument.checked == 0


def test_report_tells_what_was_checked() -> None:
    report = check_gradients(np.tanh, normal(2, 3).astype(np.float32), order=2, seed=1)
    first, second = report.arguments
    assert (first.name, first.order, first.dtype, first.checked) == ("x", 1, "float32", 6)
    assert second.order == 2
    assert max(first.error, second.error) < 1e-6
    assert 0 < first.steps[0] <= first.steps[1] < 1
    assert report.forward is not None
    assert report.forward < 1e-12
    lines = str(report).splitlines()
    assert lines[0] == "tanh: gradients agree with difference quotients"
    assert lines[1].startswith("  x (2, 3) float32: 6 of 6 elements, largest relative error ")
    assert lines[-1].startswith("  forward mode: <w, Jv> = <Jᵀw, v> to ")


def test_inputs_are_left_alone() -> None:
    x = tg.Tensor(normal(3), requires_grad=True)
    before = x.numpy().copy()
    check_gradients(np.sin, x, order=2)
    assert x.grad is None
    assert np.array_equal(x.numpy(), before)


def test_causes_of_several_cases_are_put_together() -> None:
    two = Cause({"2": "factor 2", "the size of x": "factor 2 (n = 2 is the size of x)"}, 2)
    six = Cause({"the size of x": "factor 6 (n = 6 is the size of x)"}, 6)
    chance = Cause({"constant factor 1.7": "constant factor 1.7"}, 1)
    none = Cause({diagnosis.NO_PATTERN: diagnosis.NO_PATTERN}, 6)
    unknown = Cause({diagnosis.UNKNOWN: diagnosis.UNKNOWN}, 0)
    assert common_cause([two]) == "factor 2"
    assert common_cause([two, six, chance]) == "factor 6 (n = 6 is the size of x)"
    assert common_cause([unknown, none, chance]) == diagnosis.NO_PATTERN
    assert common_cause([six, Cause({"sign": "sign"}, 5)]) == diagnosis.NOT_COMMON
    assert common_cause([unknown]) == diagnosis.UNKNOWN


# --- the quotient itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "slope", "scale"),
    [
        (lambda t: np.sin(1 + t), np.cos(1.0), 1.0),
        (lambda t: np.exp(10 + t), np.exp(10.0), 10.0),
        (lambda t: np.log(1e-8 + t), 1e8, 1.0),
        (lambda t: 1 / (1e-3 + t), -1e6, 1.0),
        (lambda t: np.cos(1e-8 + t), -1e-8, 1e-8),
        (lambda t: np.sin(1e6 * t), 1e6, 1.0),
        (lambda t: 1e9 + np.float64(t) * 3, 3.0, 1.0),
        (lambda t: abs(1e-5 + t), 1.0, 1.0),
    ],
)
def test_quotient_is_within_its_own_error(f: Any, slope: float, scale: float) -> None:
    q = difference_quotient(lambda t: np.array([f(t)]), scale)
    assert q.smooth
    assert abs(q.value - slope) <= q.error + 1e-12 * abs(slope)
    assert q.error <= 0.25 * abs(slope)


@pytest.mark.parametrize("f", [abs, lambda t: max(t, 0.0), lambda t: float(t > 0)])
def test_quotient_sees_corners_and_jumps(f: Any) -> None:
    q = difference_quotient(lambda t: np.array([f(t), 3.0]), 1.0)
    assert not q.smooth
    assert q.left < q.right
    assert q.accepts(0.5 * (q.left + q.right))
    assert not q.accepts(q.right + 0.1 * (q.right - q.left))


def test_quotient_without_any_value_accepts_what_is_finite() -> None:
    assert Quotient().accepts(1.0)
    assert not Quotient().accepts(np.nan)


def test_numerical_vjp_measures_every_element() -> None:
    x, W, g = normal(2, 3), normal(3, 4), normal(2, 4)
    by_x, by_W = numerical_vjp(np.matmul, x, W, g=g)
    np.testing.assert_allclose(by_x, g @ W.T, rtol=1e-9)
    np.testing.assert_allclose(by_W, x.T @ g, rtol=1e-9)
    (slopes,) = numerical_vjp(lambda x: np.sum(np.abs(x)), np.array([0.0, -2.0]))
    assert np.isnan(slopes[0])
    assert slopes[1] == -1
    with pytest.raises(tg.InputError, match="g may be left out for one-element outputs only"):
        numerical_vjp(np.sin, x)


def test_noise_level_measures_rounding_and_nothing_else() -> None:
    def rounded(t: float) -> Any:
        return np.array([(np.sin(0.3 + t) + 1e6) - 1e6])

    assert 1e-12 < noise_level(rounded, 1.0) < 1e-9
    assert noise_level(lambda t: np.array([np.exp(t)]), 1.0) < 1e-15
    assert noise_level(lambda t: np.array([abs(t) + 1.0]), 1.0) < 1e-15  # a corner is no noise
    assert noise_level(lambda t: np.array([np.sin(1e18 * (t + 1))]), 1.0) == 0  # too much
