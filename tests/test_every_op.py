"""What every op in the registry must do; a new op is tested by being registered.

`check_op` does it, as users can for an op of their own: gradients of both orders against difference
quotients, forward mode, float32, values and types, layouts in memory, rules that run unasked or
write into what they are given, and the traced program. Here it is asked about all ops, and whether
it was shown all of an op.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import kill_rate
import numpy as np
import pytest
from hypothesis import settings
from samples import INTERNAL, NO_PROGRAM, NOT_ELEMENTWISE, SAMPLES

import tinygrad_edu as tg
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


# --- programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=name)
def test_op_can_be_read_as_a_program(op: Op) -> None:
    """That the program is right is asked by `check_op`, which lets pass who refuses."""
    if op.function in INTERNAL or op.function in NO_PROGRAM:
        pytest.skip(INTERNAL.get(op.function) or NO_PROGRAM[op.function])
    args, options = telling_case(op)
    call = functools.partial(with_floats, [args, options])

    def total(*xs: Any) -> Any:
        given, chosen = call(iter(xs))
        return sum(np.sum(y) for y in several(op.function(*given, **chosen)))

    tg.trace(total, *floats_of(args, options))


# --- Dask -------------------------------------------------------------------------------------

# What Dask cannot do and says in an unclear way. Anything else gives equal gradients, or raises an
# error of ours, NotImplementedError, TypeError (a protocol that Dask does not answer) or Dask's own
# FutureWarning (an error here): never a wrong number.
DASK_CANNOT: dict[Any, str] = {
    np.bincount: "wants the array that is counted from Dask, too",
    getattr(np, "cumulative_prod", None): "loses a part of its graph",
}
CLEAR = (AutogradError, NotImplementedError, FutureWarning, TypeError)


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


def gradients(op: Op, case: Any, leaves: list[tg.Tensor]) -> list[Any]:
    args, options = with_floats(list(case), iter(leaves))
    rng, total = np.random.default_rng(0), 0.0
    for y in several(op.function(*args, **options)):
        total = total + np.sum(y * random_cotangent(rng, y))
    total.backward()
    return [np.zeros(x.shape) if x.grad is None else x.grad for x in leaves]


@pytest.mark.filterwarnings("ignore::dask.array.PerformanceWarning")
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
        with np.errstate(all="ignore"):
            found = [np.asarray(g) for g in gradients(op, case, lazy)]
    except CLEAR:
        return
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-11)
