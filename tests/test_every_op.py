"""What every op in the registry must do; a new op is tested by being registered.

`check_op` does it, as users can for an op of their own: gradients of both orders against difference
quotients, forward mode, float32, values and types, layouts in memory, rules that run unasked or
write into what they are given, and the traced program. Here it is asked about all ops, and whether
it was shown all of an op.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import kill_rate
import numpy as np
import pytest
from hypothesis import settings
from samples import INTERNAL, NO_PROGRAM, NOT_ELEMENTWISE, SAMPLES

import tinygrad_edu as tg
from tinygrad_edu.backward import plain
from tinygrad_edu.errors import AutogradError
from tinygrad_edu.op import REGISTRY, Op
from tinygrad_edu.strategies import draw
from tinygrad_edu.subject import numerical_vjp, random_cotangent, several
from tinygrad_edu.testing import check_op, needs_samples, plan

# An op is cheap to search: what a property of a network needs in examples, five ops share.
EXAMPLES = max(settings().max_examples // 5, 2)

WITH_GRADIENT = [op for op in REGISTRY.values() if op.rules or op.composed]
WITHOUT_GRADIENT = [op for op in REGISTRY.values() if not (op.rules or op.composed)]
WITH_SAMPLES = [op for op in WITH_GRADIENT if op.function in SAMPLES]


def name(op: Op) -> str:
    module = getattr(op.function, "__module__", None) or "numpy"
    return f"{module}.{op.name}"


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=name)
def test_gradient_is_right_over_the_whole_domain(op: Op) -> None:
    if op.function in INTERNAL:
        pytest.skip(INTERNAL[op.function])
    assert op.function in SAMPLES or not needs_samples(op), (
        f"{op.name} cannot be checked from its rules' domains alone: how is it called? "
        "Add a line to the module of tests/samples that is named like that of the op"
    )
    if not needs_samples(op) and op.function not in NOT_ELEMENTWISE:
        check_op(op, examples=EXAMPLES)
    if op.function in SAMPLES:
        samples = SAMPLES[op.function]
        check_op(op, samples, examples=max(EXAMPLES, 2 * len(samples)))


@pytest.mark.parametrize("op", WITHOUT_GRADIENT, ids=name)
def test_op_without_rules_is_flat_wherever_it_returns_floats(op: Op) -> None:
    """To register a function without rules is to claim that its gradient is zero."""
    floats = np.array([[0.3, -1.7], [2.2, 0.9]]), np.array([[1.1, 0.4], [-0.6, 2.7]])
    answers = 0
    for args in (floats[:1], floats, (np.array([1]),), (np.array([1]), np.array([2]))):
        try:
            result: Any = op.function(*map(tg.Tensor, args))
        except (AutogradError, TypeError):  # it takes another number, or only integers
            continue
        answers += 1
        if isinstance(result, tg.Tensor) and result.dtype.kind == "f" and op.name != "empty_like":
            for slopes in numerical_vjp(op.function, *args, g=np.ones(result.shape)):
                assert not slopes.any(), f"{op.name} depends on its input, but has no rule"
    assert answers or op.function in INTERNAL


# --- the samples ------------------------------------------------------------------------------


def test_every_sample_is_of_a_registered_op() -> None:
    assert not set(SAMPLES) - set(REGISTRY)


def drawn(op: Op, samples: Any, count: int) -> list[Any]:
    found: list[Any] = []
    draw(found.append, plan(op, samples)[2], count, shrink=False)
    return found


# About memory and speed, not about numbers.
HOW = {"out", "order", "copy", "subok", "device", "like", "casting", "optimize", "kind"}


def options_of(op: Op) -> dict[str, Any]:
    """With their defaults; those of a composite stand in its signature."""
    found = dict(op.options)
    if op.composed:
        parameters = inspect.signature(op.composed).parameters.values()
        found = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {key: default for key, default in found.items() if key not in HOW}


def used_options(op: Op, args: Any, options: Any) -> dict[str, Any]:
    if op.composed:
        return dict(inspect.signature(op.composed).bind(*args, **options).arguments)
    return dict(op.bind(*args, **options)[1])


@pytest.mark.parametrize("op", [op for op in WITH_GRADIENT if options_of(op)], ids=name)
def test_every_option_has_another_value_than_its_default_in_some_sample(op: Op) -> None:
    if op.function in INTERNAL:
        pytest.skip(INTERNAL[op.function])
    missing = options_of(op)
    for sample in SAMPLES.get(op.function, []):
        (case,) = drawn(op, [sample], 1)
        for key, value in used_options(op, *case).items():
            if key in missing and not same(value, missing[key]):
                del missing[key]
    assert not missing, f"no sample of {op.name} in tests/samples has {sorted(missing)}"


def same(value: Any, default: Any) -> bool:
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        return np.array_equal(value, default)
    return type(value) is type(default) and bool(value == default)


@functools.cache
def telling_case(op: Op) -> Any:
    """Arguments for an op, with as many numbers as its samples have; None if there are none."""
    best, most = None, 0
    for samples in kill_rate.ways(op):
        for args, options in drawn(op, samples, 8):
            sizes = [x.size for x in floats_of(args, options)]
            if sizes and min(sizes) and sum(sizes) > most:
                best, most = (args, options), sum(sizes)
    return best


def floats_of(*parts: Any) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, dict):
            yield from floats_of(*part.values())
        elif isinstance(part, (tuple, list)):
            yield from floats_of(*part)
        elif isinstance(part, np.ndarray) and part.dtype.kind == "f":
            yield part


def with_floats(part: Any, queue: Iterator[Any]) -> Any:
    if isinstance(part, dict):
        return {key: with_floats(value, queue) for key, value in part.items()}
    if isinstance(part, (tuple, list)):
        return type(part)(with_floats(value, queue) for value in part)
    return next(queue) if isinstance(part, np.ndarray) and part.dtype.kind == "f" else part


# --- linear ops ---------------------------------------------------------------------------------


def slopes_of(f: Any, xs: list[Any], vs: list[Any]) -> list[Any]:
    return [np.asarray(plain(part)) for part in several(tg.jvp(f, tuple(xs), tuple(vs))[1])]


def test_linear_ops_are_their_own_derivative_to_rounding() -> None:
    """f(x + v) - f(x) = Jv: the adjoint identity of `check_op` then says that Jᵀ is right, too."""
    linear = []
    for op in WITH_GRADIENT:
        if op.function in INTERNAL or any(rule.domain.kinks for rule in op.rules if rule):
            continue  # a straight line with a corner, or a jump
        case = telling_case(op)
        f = functools.partial(called, op, case)
        xs = list(floats_of(*case))
        rng = np.random.default_rng(0)
        vs = [random_cotangent(rng, x) for x in xs]
        try:
            with np.errstate(all="ignore"):  # outside of its domain
                (here, *others) = (
                    slopes_of(f, [x + t * v for x, v in zip(xs, vs, strict=True)], vs)
                    for t in (0.0, 0.5, 1.0)
                )
        except AutogradError:  # there is nothing outside of its domain
            continue
        if not any(map(np.any, here)) or not all(map(close, others, [here] * len(others))):
            continue
        linear.append(op)
        ends = (several(f(*(x + v for x, v in zip(xs, vs, strict=True)))), several(f(*xs)))
        for end, start, slope in zip(*ends, here, strict=True):
            largest = max(np.abs(part).max(initial=0) for part in (end, start, slope))
            assert np.abs(end - start - slope).max(initial=0) <= 1e-14 * largest, name(op)
    assert len(linear) > 100


def close(one: list[Any], other: list[Any]) -> bool:
    return all(np.allclose(x, y, rtol=1e-13, atol=0) for x, y in zip(one, other, strict=True))


def called(op: Op, case: Any, *floats: Any) -> Any:
    args, options = with_floats(list(case), iter(floats))
    return op.function(*args, **options)


# --- programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=name)
def test_op_can_be_read_as_a_program(op: Op) -> None:
    """That the program is right is asked by `check_op`, which lets pass who refuses."""
    if op.function in INTERNAL or op.function in NO_PROGRAM:
        pytest.skip(INTERNAL.get(op.function) or NO_PROGRAM[op.function])
    case = telling_case(op)

    def total(*xs: Any) -> Any:
        return sum(np.sum(y) for y in several(called(op, case, *xs)))

    tg.trace(total, *floats_of(*case))


# --- Dask -------------------------------------------------------------------------------------

# What Dask cannot do and says in an unclear way. Anything else gives equal gradients, or raises an
# error of ours, NotImplementedError, TypeError (a protocol that Dask does not answer) or Dask's own
# FutureWarning (an error here): never a wrong number.
DASK_CANNOT: dict[Any, str] = {
    np.bincount: "wants the array that is counted from Dask, too",
    getattr(np, "cumulative_prod", None): "loses a part of its graph",
}
CLEAR = (AutogradError, NotImplementedError, FutureWarning, TypeError)


def gradients(op: Op, case: Any, leaves: list[tg.Tensor]) -> list[Any]:
    rng, total = np.random.default_rng(0), 0.0
    for y in several(called(op, case, *leaves)):
        total = total + np.sum(y * random_cotangent(rng, y))
    total.backward()
    return [np.zeros(x.shape) if x.grad is None else x.grad for x in leaves]


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=name)
def test_gradients_on_dask_are_equal_or_refused(op: Op) -> None:
    da = pytest.importorskip("dask.array")
    if op.function in INTERNAL:
        pytest.skip(INTERNAL[op.function])
    case = telling_case(op)
    assert case is not None
    arrays = list(floats_of(*case))
    expected = gradients(op, case, [tg.Tensor(x, requires_grad=True) for x in arrays])
    lazy = [tg.Tensor(da.from_array(x, chunks=x.shape), requires_grad=True) for x in arrays]
    if op.function in DASK_CANNOT:
        with pytest.raises(Exception):  # noqa: B017  # what it says is not ours
            gradients(op, case, lazy)
        return
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", da.PerformanceWarning)
            found = [np.asarray(g) for g in gradients(op, case, lazy)]
    except CLEAR:
        return
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-11)
