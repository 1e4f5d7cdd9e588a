"""The registry: what a rule may look like, how ops are made, called, and refused."""

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Domain, Tensor
from tinygrad_edu.op import REGISTRY


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def twice(x: Any) -> Any:
    return x * 2


# --- register ---------------------------------------------------------------------------------


def test_a_registered_numpy_function_records() -> None:
    op = tg.register(np.spacing, tg.wrt("x", lambda g, out, x: g * 7))
    x = leaf([1.0, 2.0])
    y = np.spacing(x)
    assert y.tolist() == np.spacing([1.0, 2.0]).tolist()
    y.backward(np.ones(2))
    assert x.grad.tolist() == [7, 7]
    assert REGISTRY[np.spacing] is op
    assert (op.name, op.arguments, op.broadcasts) == ("spacing", ("x",), True)


def test_an_unregistered_function_is_refused_again() -> None:
    tg.register(np.spacing, tg.wrt("x", lambda g, out, x: g))
    tg.unregister(np.spacing)
    with pytest.raises(tg.UnsupportedError, match=r"np\.spacing"):
        np.spacing(leaf([1.0]))


def test_unregistering_what_is_not_registered_is_refused() -> None:
    with pytest.raises(tg.UnsupportedError, match="spacing: is not registered"):
        tg.unregister(np.spacing)


def test_a_ufunc_of_another_package_can_be_registered() -> None:
    cosdg = pytest.importorskip("scipy.special").cosdg
    with pytest.raises(tg.UnsupportedError, match="cosdg"):
        cosdg(leaf([0.0]))
    degree = math.pi / 180
    tg.register(cosdg, tg.wrt("x", lambda g, out, x: g * -degree * np.sin(degree * x)))
    x = leaf(np.array([[0.0, 30.0, -60.0]], np.float32))
    y = cosdg(x)
    assert y.dtype == np.float32
    np.sum(y).backward()
    np.testing.assert_allclose(x.grad, degree * np.array([[0, -0.5, math.sqrt(0.75)]]), rtol=1e-6)
    second = tg.grad(tg.grad(cosdg))(60.0)
    np.testing.assert_allclose(second, -0.5 * degree**2, rtol=1e-12)


def test_a_ufunc_broadcasts_without_being_told() -> None:
    ufunc = np.frompyfunc(lambda x, y: x + 2 * y, 2, 1)
    tg.register(
        ufunc,
        tg.wrt("x", lambda g, out, x, y: g),
        tg.wrt("y", lambda g, out, x, y: 2 * g),
        forward=lambda x, y: ufunc(x, y).astype(float),
        name="axpy",
    )
    x, y = leaf(np.ones((2, 1))), leaf(np.ones(3))
    np.sum(ufunc(x, y)).backward()
    assert x.grad.tolist() == [[3], [3]]
    assert y.grad.tolist() == [4, 4, 4]


def test_a_ufunc_with_a_core_signature_does_not_broadcast_unless_told() -> None:
    assert np.matmul.signature is not None
    assert not REGISTRY[np.matmul].broadcasts
    assert REGISTRY[np.hypot].broadcasts


def test_a_function_without_rules_gives_constants() -> None:
    tg.register(np.spacing)
    y = np.spacing(leaf([1.0]))
    assert isinstance(y, Tensor)
    assert not y.requires_grad


def test_a_composite_is_made_of_other_ops() -> None:
    tg.register(np.spacing, composed=lambda x: x * x)
    x = leaf(3.0)
    y = np.spacing(x)
    assert y.node is not None
    assert y.node.op.name == "multiply"
    y.backward()
    assert x.grad == 6


def test_a_second_registration_is_refused() -> None:
    with pytest.raises(tg.RuleError, match=r"tanh: is registered already.*unregister"):
        tg.register(np.tanh, tg.wrt("x", lambda g, out, x: g))


def test_a_failed_registration_leaves_nothing_behind() -> None:
    with pytest.raises(tg.RuleError):
        tg.register(np.spacing, tg.wrt("y", lambda g, out, x: g))
    tg.register(np.spacing, tg.wrt("x", lambda g, out, x: g))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([tg.wrt("y", lambda g, out, x: g)], r"spacing: .*'y'.*\(g, out, x\).*no such argument"),
        ([tg.wrt("k", lambda g, out, x, k=1: g)], r"spacing: .*'k'"),
        ([tg.wrt("x", lambda g: g)], r"spacing: .*'x'.*\(g, out, \.\.\.\)"),
        ([tg.wrt("x", lambda g, out: g)], r"spacing: .*'x'"),
        (
            [tg.wrt("x", lambda g, out, x, y: g), tg.wrt("y", lambda g, out, y, x: g)],
            "spacing: all rules must take the same inputs",
        ),
        (
            [tg.wrt("x", lambda g, out, x, y: g), tg.wrt("y", lambda g, out, x, y, k=1: g)],
            "spacing: all rules must take the same inputs and options",
        ),
        (
            [tg.wrt("x", lambda g, out, x: g), tg.wrt("x", lambda g, out, x: g)],
            "spacing: an argument has two rules",
        ),
        ([tg.wrt("*xs", lambda g, out, x, position: g)], r"spacing: .*'\*xs'"),
    ],
)
def test_rules_that_do_not_fit_are_refused_by_name(rules: Any, message: str) -> None:
    with pytest.raises(tg.RuleError, match=message):
        tg.register(np.spacing, *rules)


def test_rules_and_a_composite_exclude_each_other() -> None:
    with pytest.raises(tg.RuleError, match="either rules or composed"):
        tg.register(np.spacing, tg.wrt("x", lambda g, out, x: g), composed=lambda x: x)


def test_an_argument_without_a_rule_is_refused_when_recording() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, k: g * k))
    def scaled(x: Any, k: Any) -> Any:
        return x * k

    assert scaled(leaf(2.0), 3.0).item() == 6
    assert scaled(leaf(2.0), Tensor(3.0)).item() == 6
    with pytest.raises(tg.UnsupportedError, match=r"scaled: .*'k'.*'factor'.*detach\(\)"):
        scaled(leaf(2.0), leaf(3.0, name="factor"))


def test_an_argument_without_a_rule_is_fine_where_nothing_is_recorded() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, k: g * k))
    def scaled(x: Any, k: Any) -> Any:
        return x * k

    with tg.no_grad():
        assert scaled(leaf(2.0), leaf(3.0)).item() == 6


def test_a_tracked_option_is_refused_by_name() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, k=1.0: g * k))
    def scaled(x: Any, k: Any = 1.0) -> Any:
        return x * k

    with pytest.raises(tg.UnsupportedError, match=r"scaled: .*'k'.*'factor'.*detach\(\)"):
        scaled(leaf(2.0), k=leaf(3.0, name="factor"))


# --- op ---------------------------------------------------------------------------------------


def make_powers() -> Any:
    @tg.op(tg.wrt("x", lambda g, out, x, n=2: g * n * x ** (n - 1)))
    def powers(x: Any, n: int = 2) -> Any:
        """Raise x to the power n."""
        return x**n

    return powers


def test_an_op_of_ours_stays_a_function_on_arrays() -> None:
    powers = make_powers()
    y = powers(np.array([1.0, 3.0]))
    assert type(y) is np.ndarray
    assert y.tolist() == [1, 9]
    assert powers(3.0) == 9
    assert (powers.__name__, powers.__doc__) == ("powers", "Raise x to the power n.")


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(x, 3),
        lambda f, x: f(x, n=3),
        lambda f, x: f(x=x, n=3),
        lambda f, x: f(n=3, x=x),
    ],
)
def test_options_can_be_given_in_every_way(call: Any) -> None:
    x = leaf([1.0, 2.0])
    y = call(make_powers(), x)
    assert y.tolist() == [1, 8]
    assert y.node.options == {"n": 3}
    y.backward(np.ones(2))
    assert x.grad.tolist() == [3, 12]


def test_options_left_out_have_their_defaults() -> None:
    x = leaf([1.0, 2.0])
    make_powers()(x).backward(np.ones(2))
    assert x.grad.tolist() == [2, 4]


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(tg.UnsupportedError, match=r"powers: has no option 'm'; options: n"):
        make_powers()(leaf([1.0]), m=3)


def test_a_missing_argument_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="shape"):
        np.reshape(leaf([1.0]))  # type: ignore[call-overload]
    with pytest.raises(tg.UnsupportedError, match="powers: argument 'x' is missing"):
        make_powers()(n=leaf(2.0).detach())


def test_too_many_arguments_are_refused() -> None:
    with pytest.raises((tg.AutogradError, TypeError)):
        make_powers()(leaf([1.0]), 2, 3)


def test_keyword_only_options_without_default_are_required() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, *, k: g * k))
    def scaled(x: Any, *, k: float) -> Any:
        return x * k

    x = leaf(2.0)
    scaled(x, k=5.0).backward()
    assert x.grad == 5
    with pytest.raises(tg.AutogradError, match=r"scaled.*'k'"):
        scaled(x)


def test_a_list_argument_has_one_rule_for_every_position() -> None:
    @tg.op(tg.wrt("*terms", lambda g, out, *terms, position, start=0: g * (start + position)))
    def weighted(*terms: Any, start: int = 0) -> Any:
        return sum((start + i) * t for i, t in enumerate(terms))

    assert weighted(1.0, 2.0, start=1) == 5
    a, b = leaf(1.0), leaf(2.0)
    y = weighted(a, b, 7.0, a, start=10)
    assert y.item() == 10 + 22 + 84 + 13
    y.backward()
    assert (a.grad, b.grad) == (23, 11)
    op = REGISTRY[weighted]
    assert (op.variadic, op.argument(2)) == (True, "terms[2]")
    assert op.rule(0) is op.rule(5)


def test_a_list_argument_can_be_bound_from_a_list() -> None:
    REGISTRY.pop(np.lexsort, None)
    tg.register(
        np.lexsort,  # a function of a list of arrays, whatever it does
        tg.wrt("*keys", lambda g, out, *keys, position: g * (1 + position)),
        bind=lambda keys: (tuple(keys), {}),
        forward=lambda *keys: sum((1 + i) * key for i, key in enumerate(keys)),
        name="weighted",
    )
    a, b = leaf(1.0), leaf(2.0)
    y: Any = np.lexsort((a, b, 3.0))  # type: ignore[arg-type]
    assert (y.item(), y.node.op.name) == (14, "weighted")
    y.backward()
    assert (a.grad, b.grad) == (1, 2)


def test_several_outputs_are_a_tuple_in_rule_and_result() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g[0] * out[1] + g[1] * 2 * x))
    def value_and_slope(x: Any) -> Any:
        return x**2, 2 * x

    x = leaf(3.0)
    value, slope = value_and_slope(x)
    assert (value.item(), slope.item()) == (9, 6)
    value.backward()
    assert x.grad == 6
    assert [part.item() for part in value_and_slope(Tensor(3.0))] == [9, 6]
    assert value_and_slope(3.0) == (9, 6)


def test_an_op_of_ours_works_on_tensors_in_keyword_arguments() -> None:
    powers = make_powers()
    assert isinstance(powers(x=Tensor([1.0, 2.0])), Tensor)


def test_an_op_of_ours_differentiates_twice() -> None:
    powers = make_powers()
    assert tg.grad(tg.grad(lambda x: powers(x, 4)))(2.0) == 48


def test_an_op_whose_forward_fails_says_which_and_with_what() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g))
    def picky(x: Any) -> Any:
        raise ValueError("not today")

    with pytest.raises(tg.InputError, match=r"picky\(x: Tensor 'w' of shape \(2,\).*not today"):
        picky(leaf([1.0, 2.0], name="w"))


def test_an_op_prints_its_signature() -> None:
    assert repr(REGISTRY[make_powers()]) == "Op(powers(x, n))"
    assert repr(REGISTRY[np.add]) == "Op(add(x, y))"


def test_an_op_names_its_arguments_and_finds_its_rules() -> None:
    op = REGISTRY[np.multiply]
    assert [op.argument(i) for i in range(3)] == ["x", "y", "#2"]
    assert op.rule(0) is not None
    assert op.rule(1) is not None
    assert op.rule(2) is None


def test_a_rule_is_a_record() -> None:
    rule = tg.wrt("x", twice, Domain(low=0.0))
    assert (rule.argument, rule.vjp, rule.domain.low) == ("x", twice, 0.0)
    with pytest.raises(AttributeError):
        rule.argument = "y"  # type: ignore[misc]


# --- Domain -----------------------------------------------------------------------------------


def test_a_domain_is_the_real_line_unless_told() -> None:
    assert Domain() == Domain(low=-math.inf, high=math.inf, kinks=(), distinct=False)


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan)])
def test_an_empty_domain_is_refused(bounds: Any) -> None:
    with pytest.raises(ValueError, match="low < high"):
        Domain(*bounds)


@pytest.mark.parametrize("kink", [0.0, 1.0, -1.0, 5.0, math.nan])
def test_a_kink_outside_the_domain_is_refused(kink: float) -> None:
    with pytest.raises(ValueError, match="kink"):
        Domain(0.0, 1.0, kinks=(kink,))


@pytest.mark.parametrize("make", [lambda: Domain(1, 0), lambda: Domain(0, 1, kinks=(2,))])
def test_domain_errors_are_of_the_family(make: Any) -> None:
    with pytest.raises(tg.AutogradError):
        make()
