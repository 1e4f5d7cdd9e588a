"""What the searches draw, what they reject, and how they show it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import testing
from tinygrad_edu.domain import DISTINCT, NONZERO, POSITIVE, REAL, Domain
from tinygrad_edu.op import REGISTRY
from tinygrad_edu.testing import operands, values

Array = Any


traceable = (np.ndarray, np.generic, float, tg.Tensor)


def mutant(forward: Any, *rules: Any, **options: Any) -> Any:
    """An op for one test; `tests/conftest.py` forgets it afterwards."""
    function = tg.op(*rules, name="mutant", **options)(forward)
    function.__module__ = getattr(forward, "__module__", "numpy")  # NumPy 2.0's ufuncs have none
    return function


def rejected(check: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(tg.GradientError) as caught:
        check(*args, examples=30, **options)
    return str(caught.value)


# --- what is drawn ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "domain",
    [
        REAL, POSITIVE, NONZERO, DISTINCT, Domain(-1, 1), Domain(low=100.0), Domain(high=-7.5),
        Domain(-3, 3, kinks=(-1.5, 0.0, 1.5)), Domain(0, 1e-3), Domain(0, 1, distinct=True),
        Domain(low=0.0, kinks=(2.0,), distinct=True),
    ],
    ids=repr,
)  # fmt: skip
@given(st.data())
def test_values_lie_in_the_domain_away_from_its_ends_and_kinks(
    domain: Domain, data: st.DataObject
) -> None:
    x = data.draw(values(domain, (2, 3)))
    assert (x.shape, x.dtype) == ((2, 3), np.float64)
    gap = min(domain.high - domain.low, 1) / 100
    assert np.all((x > domain.low + gap) & (x < domain.high - gap))
    assert all(np.all(np.abs(x - kink) > 0.05) for kink in domain.kinks)
    assert np.array_equal(x, x.astype(np.float32))
    if domain.distinct:
        assert np.diff(np.sort(x.ravel())).min() > gap


def test_values_have_the_dtype_asked_for() -> None:
    assert find(values(REAL, 3, np.float32), lambda x: True).dtype == np.float32
    assert find(values(DISTINCT, 3, np.float32), lambda x: True).dtype == np.float32


@given(operands([REAL, POSITIVE, NONZERO]))
def test_operands_broadcast_and_keep_to_their_domains(arrays: tuple[Array, ...]) -> None:
    assert np.broadcast_shapes(*(x.shape for x in arrays)) is not None
    assert np.all(arrays[1] > 0)
    assert np.all(arrays[2] != 0)


def test_operands_include_scalars_empty_arrays_and_both_sides_stretched() -> None:
    drawn: list[tuple[Array, Array]] = []

    @settings(max_examples=500)
    @given(operands([REAL, REAL]))
    def draw(pair: tuple[Array, Array]) -> None:
        drawn.append(pair)

    draw()
    for wanted in (
        lambda x, y: x.shape == () and y.ndim == 2,
        lambda x, y: x.size == 1 and x.ndim and y.size == 0,
        lambda x, y: x.ndim < y.ndim and y.size > x.size > 1,
        lambda x, y: x.shape[-1:] == (1,) and y.shape[:1] == (1,) and x.size > 1 < y.size,
    ):
        assert any(wanted(*pair) for pair in drawn)
    assert sum(max(x.size, y.size) > 1 for x, y in drawn) > len(drawn) / 3, "many tell something"


@given(operands([DISTINCT, REAL]))
def test_distinct_operands_differ_from_each_other(pair: tuple[Array, Array]) -> None:
    together = np.concatenate([x.ravel() for x in pair])
    assert np.unique(together).size == together.size


# --- check_op ---------------------------------------------------------------------------------


def test_op_is_searched_from_its_domain_alone() -> None:
    report = tg.check_op(np.tanh, examples=20)
    assert (report.subject, report.cases) == ("tanh", 20)
    assert str(report) == "tanh: no counter-example in 20 cases"
    assert tg.check_op(REGISTRY[np.hypot], examples=5).subject == "hypot"


@pytest.mark.parametrize(
    "f",
    [np.sum, np.concatenate, np.expand_dims, tg.mse_loss, np.trapezoid, np.flip],
    ids=lambda f: f.__name__,
)
def test_op_that_needs_samples_shows_a_line_that_works(f: Any) -> None:
    with pytest.raises(tg.InputError, match=r"check_op: \w+ needs samples.*\(args, options\)") as e:
        tg.check_op(f)
    *_, imports, line = (line.strip() for line in str(e.value).splitlines())
    line = line.replace("...", "0")  # what has no default
    scope: dict[str, Any] = {"np": np, "tg": tg}
    exec(imports, scope)
    assert eval(line, scope).cases > 1


def test_function_that_needs_samples_is_called_f() -> None:
    with pytest.raises(tg.InputError, match=r"tg.check_op\(f, \[\(\(values.*, values.*\), \{\}\)"):
        tg.check_op(lambda x, y: x)


@pytest.mark.parametrize(
    "samples",
    [
        [((values(REAL, (2, 3)),), {"axis": 0}), ((values(REAL, (3, 1)),), {"keepdims": True})],
        lambda rng: ((rng.normal(size=(2, 3)),), {"axis": int(rng.integers(2))}),
        st.tuples(st.tuples(values(REAL, 4)), st.just({})),
    ],
)
def test_samples_are_a_list_a_function_or_a_strategy(samples: Any) -> None:
    assert tg.check_op(np.sum, samples, examples=10).cases == 10


def test_every_sample_of_a_list_is_tried() -> None:
    seen: list[int] = []

    def f(x: Any, n: int) -> Any:
        seen.append(n)
        return x * n

    samples = [((values(REAL, 2), n), {}) for n in range(8)]
    assert tg.check_op(f, samples, examples=3).cases == 16
    assert set(seen) == set(range(8))


def test_any_function_made_of_ops_can_be_searched() -> None:
    samples = [((values(REAL, (3, 2)), values(REAL, (2, 4))), {})]
    assert tg.check_op(lambda x, W: np.tanh(x @ W), samples, examples=5).cases == 5


def test_an_op_that_widens_float32_is_refused() -> None:
    rule = tg.wrt("x", lambda g, out, x: g)
    text = rejected(tg.check_op, mutant(lambda x: x - np.log(2), rule))
    assert "expected float32 for float32, got float64" in text
    tg.check_op(mutant(lambda x: x - float(np.log(2)), rule), examples=5)
    numpys_own = [((values(POSITIVE, 2), values(REAL, 2)), {})]
    assert np.float_power(np.float32(1), np.float32(1)).dtype == np.float64
    tg.check_op(np.float_power, numpys_own, examples=5)


def test_lists_and_options_are_differentiated_too() -> None:
    def joined(parts: Any, *, scale: Any) -> Any:
        return np.concatenate(parts) * scale

    tg.check_op(joined, [(([values(REAL, 2), values(REAL, 1)],), {"scale": values(REAL)})])
    wrong = mutant(
        lambda x, y: x * y,
        tg.wrt("x", lambda g, out, x, y: g * y),
        tg.wrt("y", lambda g, out, x, y: g),
        broadcasts=True,
    )
    text = rejected(
        tg.check_op,
        lambda parts, *, scale: wrong(parts[0], scale),
        [(([values(REAL, 2)],), {"scale": values(REAL)})],
    )
    assert "argument 'scale' is wrong" in text


def test_wrong_rule_is_shown_with_the_smallest_case() -> None:
    f = mutant(np.square, tg.wrt("x", lambda g, out, x: g * x))
    text = rejected(tg.check_op, f)
    assert text.startswith("mutant: the gradient of argument 'x' is wrong at x\n")
    assert "likely cause: factor 1/2" in text
    assert text.endswith("smallest case found: [[1.]]")


def test_cause_is_that_of_all_failing_cases() -> None:
    """The smallest, x = 1, shows a factor of 2/3 for a rule of 2x² instead of 3x²."""
    f = mutant(lambda x: x**3, tg.wrt("x", lambda g, out, x: g * 2 * x))
    assert "likely cause: no simple pattern" in rejected(tg.check_op, f)
    leaky = mutant(
        lambda x: np.where(x > 0, x, 0.1 * x),
        tg.wrt("x", lambda g, out, x: g * (x > 0), Domain(kinks=(0.0,))),
    )
    text = rejected(tg.check_op, leaky)
    assert "likely cause: zero on one branch" in text
    assert "elements only (x < 0)" in text


def test_kink_in_the_domain_is_to_be_declared() -> None:
    f = mutant(np.abs, tg.wrt("x", lambda g, out, x: g * np.sign(x), Domain(low=-2, kinks=(1.0,))))
    text = rejected(tg.check_op, f)
    assert "kink suspected" in text
    assert 'say so, and it is left out: tg.wrt("x", rule, tg.Domain(kinks=(0.0, 1.0)))' in text
    larger = mutant(
        np.maximum,
        tg.wrt("x", lambda g, out, x, y: g * (x > y)),
        tg.wrt("y", lambda g, out, x, y: g * (y > x)),
        broadcasts=True,
    )
    assert "because two numbers are equal (max, sort): Domain(distinct=True)" in rejected(
        tg.check_op, larger
    )
    text = rejected(tg.check_op, np.abs, [((values(REAL, 2),), {})])
    assert "tg.Domain(kinks=(0.0,))" in text


def test_end_of_the_domain_is_to_be_declared() -> None:
    for f in (
        mutant(np.log, tg.wrt("x", lambda g, out, x: g / x)),
        mutant(np.sqrt, tg.wrt("x", lambda g, out, x: g * 0.5 / out, Domain(low=-1))),
    ):
        with pytest.raises((tg.InputError, tg.GradientError)) as caught:
            tg.check_op(f, examples=30)
        assert 'as in tg.wrt("x", rule, tg.Domain(low=0.0))' in str(caught.value)


def test_op_that_cannot_be_called_like_this_is_told_how_to_say_so() -> None:
    f = mutant(np.linalg.inv, tg.wrt("x", lambda g, out, x: -out.T @ g @ out.T))
    with pytest.raises(np.linalg.LinAlgError) as caught:
        tg.check_op(f, examples=5)
    assert any("Say in samples how it is called" in note for note in caught.value.__notes__)


def test_seed_draws_other_cases() -> None:
    drawn: dict[Any, list[Any]] = {None: [], 1: [], 2: []}
    for seed, cases in drawn.items():

        def f(x: Any, cases: Any = cases) -> Any:
            cases.append(np.asarray(getattr(x, "data", x)).tolist())
            return np.sin(x)

        tg.check_op(f, [((values(REAL, 3),), {})], examples=5, seed=seed)
    assert drawn[1] != drawn[2] != drawn[None] != drawn[1]


def test_forgotten_broadcasting_is_found() -> None:
    with pytest.raises(tg.RuleError, match=r"mutant: .* 'y' must return shape"):
        tg.check_op(
            mutant(
                np.add, tg.wrt("x", lambda g, out, x, y: g), tg.wrt("y", lambda g, out, x, y: g)
            ),
            [((values(REAL, (2, 3)), values(REAL, 3)), {})],
        )


def test_rule_that_writes_into_g_is_found() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        if isinstance(g, np.ndarray):
            g *= np.cos(x)
            return g
        return g * np.cos(x)

    text = rejected(tg.check_op, mutant(np.sin, tg.wrt("x", rule)))
    assert text.startswith("mutant: a rule writes into g, out or x")


def test_rule_that_writes_into_its_input_is_found() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        share = g * np.cos(x)
        if isinstance(x, np.ndarray):
            x += 0
        return share

    assert "a rule writes into g, out or x" in rejected(
        tg.check_op, mutant(np.sin, tg.wrt("x", rule))
    )


def test_other_value_errors_of_a_rule_are_passed_on() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        if isinstance(x, np.ndarray) and not x.flags.writeable:
            raise ValueError("out of order")
        return g * np.cos(x)

    with pytest.raises(ValueError, match="out of order"):
        tg.check_op(mutant(np.sin, tg.wrt("x", rule)), examples=5)


def test_rule_that_depends_on_the_layout_in_memory_is_found() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        contiguous = getattr(x, "flags", {"C": True})["C"]
        return g * np.cos(x) * (1 if contiguous else 2)

    text = rejected(tg.check_op, mutant(np.sin, tg.wrt("x", rule)), [((values(REAL, (2, 3)),), {})])
    assert "for contiguous arrays, and" in text
    assert "when they are every second element of larger arrays" in text


def test_forward_that_treats_tensors_differently_is_found() -> None:
    def composed(x: Any) -> Any:
        return np.multiply(x, 3) if isinstance(x, tg.Tensor) else np.multiply(x, 2)

    samples = [((values(REAL, 2),), {})]
    assert "as for arrays, got" in rejected(tg.check_op, composed, samples)
    assert "expected arrays for arrays" in rejected(tg.check_op, lambda x: tg.Tensor(x), samples)


def test_rule_that_cannot_be_differentiated_is_found() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        return np.nextafter(g, g) * np.cos(x)  # has no rule

    with pytest.raises(tg.UnsupportedError, match=r"np\.nextafter: has no gradient rule"):
        tg.check_op(mutant(np.sin, tg.wrt("x", rule)), examples=5)


def test_rule_that_is_not_linear_in_g_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    f = mutant(np.sin, tg.wrt("x", lambda g, out, x: abs(g) * np.cos(x)))
    monkeypatch.setattr(testing, "compare_gradients", lambda *args, **options: None)
    assert "is not linear in g: for -2 g it gives" in rejected(tg.check_op, f)


def test_composite_that_depends_on_the_layout_in_memory_is_found() -> None:
    def composed(x: Any) -> Any:
        array = x.data if isinstance(x, tg.Tensor) else x
        return np.sin(x) * (
            1 if not isinstance(array, np.ndarray) or array.flags.c_contiguous else 2
        )

    text = rejected(tg.check_op, composed, [((values(REAL, (2, 3)),), {})])
    assert "composed: the gradient of 'x' gives" in text
    assert "when they are" in text


def test_program_that_computes_something_else_is_found() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g * np.cos(x) * (1 if isinstance(g, traceable) else 2)))
    def traced_sine(x: Any) -> Any:
        return np.sin(x)

    text = rejected(tg.check_op, traced_sine)
    assert "in a program" in text


def test_program_that_calls_what_is_not_public_is_found() -> None:
    source = "def f(x):\n    a = np.sin(x)\n    b = hidden(a)\n    return np._core.add(a, b)"
    assert testing.private_names(source, {"hidden": testing.shown}) == {"hidden", "np._core.add"}
    assert testing.private_names("a = np.sin(mine(x))", {"mine": lambda x: x}) == set()


def test_rule_that_runs_unasked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(seeds: Any) -> None:
        (node,) = seeds
        for rule in node.node.op.vjps:
            rule(1.0, node.data, *node._values)

    monkeypatch.setattr(testing, "backpropagate", careless)
    assert "only 0 was asked for" in rejected(tg.check_op, np.add)


# --- check_derivation -------------------------------------------------------------------------


def squared_error(x: Any, w: Any, t: Any) -> Any:
    return 0.5 * np.sum((x @ w - t) ** 2)


def by_w(x: Array, w: Array, t: Array) -> Array:
    return x.T @ (x @ w - t)


EXAMPLE = (np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]]), np.ones(2), np.zeros(3))


def test_right_derivation_is_accepted_in_every_form() -> None:
    for derivation in (
        lambda x, w, t: {"w": by_w(x, w, t)},
        lambda x, w, t: {"w": by_w(x, w, t), "t": t - x @ w},
        lambda x, w, t: (None, by_w(x, w, t), None),
        lambda x, w, t: (np.outer(x @ w - t, w), by_w(x, w, t), t - x @ w),
        lambda x, w, t: np.outer(x @ w - t, w),
    ):
        report = tg.check_derivation(squared_error, derivation, *EXAMPLE, examples=20)
        assert str(report) == "squared_error: no counter-example in 20 cases"


@pytest.mark.parametrize(
    ("derivation", "cause"),
    [
        (lambda x, w, t: 2 * by_w(x, w, t), "factor 2"),
        (lambda x, w, t: -by_w(x, w, t), "sign"),
        (lambda x, w, t: by_w(x, w, t) / len(t), "factor 1/3 (n = 3 is"),
        (lambda x, w, t: 1.01 * by_w(x, w, t), "constant factor 1.01"),
        (lambda x, w, t: by_w(x, w, t) * [1, 0], "unknown"),
        (lambda x, w, t: x.T @ (x @ w), "no simple pattern"),
        (lambda x, w, t: 0 * w, "the derivation is zero although"),
    ],
)
def test_wrong_derivation_is_shown_with_the_smallest_case_and_its_cause(
    derivation: Any, cause: str
) -> None:
    text = rejected(
        tg.check_derivation, squared_error, lambda *args: {"w": derivation(*args)}, *EXAMPLE
    )
    assert text.startswith("squared_error: the derivation of argument 'w' is wrong at w[")
    for line in (
        "  derivation  ",
        "  engine  ",
        "  difference quotient  ",
        "  smallest case found: [",
    ):
        assert line in text
    if cause != "unknown":
        assert f"likely cause: {cause}" in text


def test_the_smallest_case_is_small() -> None:
    text = rejected(
        tg.check_derivation, squared_error, lambda x, w, t: {"w": -by_w(x, w, t)}, *EXAMPLE
    )
    numbers = text.split("smallest case found: ")[1]
    assert set(numbers) <= set("[]01. ,")
    assert numbers.count("1.") <= 8


def test_forgotten_sum_over_the_batch_is_told_from_the_shape() -> None:
    def f(x: Any, b: Any) -> Any:
        return np.sum((x + b) ** 2)

    text = rejected(
        tg.check_derivation, f, lambda x, b: {"b": 2 * (x + b)}, np.ones((4, 3)), np.ones(3)
    )
    assert "expected a derivation of argument 'b' of shape (3,), got (4, 3)" in text
    assert "missing sum over axis 0" in text
    text = rejected(tg.check_derivation, lambda W: np.sum(W**2), lambda W: 2 * W.T, np.ones((4, 3)))
    assert "transposed" in text
    text = rejected(tg.check_derivation, f, lambda x, b: {"b": 1.0}, np.ones((4, 3)), np.ones(3))
    assert "got ()\n  smallest" in text


def test_wrong_engine_is_not_blamed_on_the_derivation() -> None:
    f = mutant(np.square, tg.wrt("x", lambda g, out, x: g * x))
    text = rejected(tg.check_derivation, lambda x: np.sum(f(x)), lambda x: 2 * x, np.ones(2))
    assert "the gradient of argument 'x' is wrong at x[" in text
    assert "suspected op: mutant" in text


def test_inputs_come_from_strategies_too() -> None:
    @st.composite
    def cases(draw: st.DrawFn) -> tuple[Array, ...]:
        n, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        return draw(values(REAL, (n, k))), draw(values(REAL, k)), draw(values(REAL, n))

    def derivation(x: Array, w: Array, t: Array) -> tuple[Array | None, ...]:
        return None, by_w(x, w, t), None

    tg.check_derivation(squared_error, derivation, cases(), examples=20)
    tg.check_derivation(lambda x: np.sum(x**2), lambda x: 2 * x, values(REAL, 3), examples=20)
    text = rejected(
        tg.check_derivation, squared_error, lambda x, w, t: {"w": 2 * by_w(x, w, t)}, cases()
    )
    assert "inputs x (1, 1) float64, w (1,) float64, t (1,) float64" in text


def test_strategies_examples_and_other_arguments_may_be_mixed() -> None:
    def f(x: Any, n: int, y: Any) -> Any:
        return np.sum(x**n) + np.sum(y)

    text = rejected(
        tg.check_derivation,
        f,
        lambda x, n, y: {"x": x, "y": 2 * y / y},
        values(POSITIVE, 2),
        3,
        1.0,
    )
    assert ", 3, " in text.split("smallest case found: ")[1]


def test_a_derivation_may_differ_by_what_no_quotient_can_tell() -> None:
    tg.check_derivation(
        lambda x: np.sum(np.sin(x)), lambda x: np.cos(x) * (1 + 1e-8), np.ones(3), examples=10
    )


def test_examples_say_in_which_range_to_search() -> None:
    seen: list[Array] = []

    def derivation(p: Array, x: Array, n: int, free: Array) -> Array:
        seen.append((p, x, free))
        return 1 / p

    def f(p: Any, x: Any, n: int, free: Any) -> Any:
        assert n == 3
        return np.sum(np.log(p)) + np.sum(np.log(x)) + np.sum(free)

    tg.check_derivation(
        f,
        lambda *args: (derivation(*args), None, None),
        np.array([0.2, 0.7]),
        5.0,
        3,
        np.array([-1.0, 1.0]),
        examples=20,
    )
    assert all(np.all((p > 0) & (p < 1)) and x > 0 for p, x, _ in seen)
    assert any(np.any(free < 0) for *_, free in seen)
    assert any(np.array_equal(p, [0.2, 0.7]) for p, *_ in seen), "the example itself is tried"


def test_kinks_and_values_that_are_not_finite_are_left_out() -> None:
    tg.check_derivation(
        lambda x: np.sum(np.maximum(x, 0)), lambda x: x >= 0, np.array([-1.0, 1.0]), examples=50
    )
    with np.errstate(all="ignore"):
        tg.check_derivation(
            lambda x: np.sum(np.log(x)), lambda x: 1 / x, np.array([-1.0, 1.0]), examples=50
        )


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(tg.InputError, match="must return one element"):
        tg.check_derivation(np.sin, np.cos, np.ones(2), examples=3)
    with pytest.raises(tg.InputError, match=r"by \['x', 'w', 't'\].*got \['v'\]"):
        tg.check_derivation(squared_error, lambda *args: {"v": 1.0}, *EXAMPLE, examples=3)
    with pytest.raises(tg.InputError, match="one per float argument, got 2"):
        tg.check_derivation(squared_error, lambda *args: (1.0, 2.0), *EXAMPLE, examples=3)


@given(st.integers(1, 4))
@settings(max_examples=3, suppress_health_check=[HealthCheck.nested_given])
def test_a_search_may_run_inside_a_test_that_draws(n: int) -> None:
    assert tg.check_op(np.exp, [((values(REAL, n),), {})], examples=n).cases == n


# --- Hypothesis is an extra -------------------------------------------------------------------


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_does_not_import_hypothesis() -> None:
    assert run("import sys, tinygrad_edu; print('hypothesis' in sys.modules)") == "False\n"


def test_without_hypothesis_the_error_names_the_extra() -> None:
    printed = run(
        "import sys; sys.modules['hypothesis'] = None\n"
        "import numpy as np, tinygrad_edu as tg\n"
        "print(tg.check_gradients(np.sin, np.ones(2)).function)\n"
        "try: tg.check_op(np.sin)\n"
        "except ImportError as error: print(error)"
    )
    assert printed.startswith("sin\n")
    assert "pip install 'tinygrad-edu[check]'" in printed


def test_function_that_writes_into_its_argument_is_found() -> None:
    def twice(x: Any) -> Any:
        x *= 2
        return x

    with pytest.raises(tg.GradientError, match="twice: the function writes into its arguments"):
        tg.check_op(tg.op(tg.wrt("x", lambda g, out, x: 2 * g))(twice), examples=10)
