"""What every op in the registry must do; a new op is tested by being registered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from samples import INTERNAL, NOT_ELEMENTWISE, SAMPLES

import tinygrad_edu as tg
from tinygrad_edu.check import numerical_vjp
from tinygrad_edu.errors import AutogradError
from tinygrad_edu.op import REGISTRY, Op
from tinygrad_edu.testing import check_op, needs_samples

# An op is cheap to search: what a property of a network needs in examples, five ops share.
EXAMPLES = max(settings().max_examples // 5, 2)

WITH_GRADIENT = [op for op in REGISTRY.values() if op.rules or op.composed]
WITHOUT_GRADIENT = [op for op in REGISTRY.values() if not (op.rules or op.composed)]


def name(op: Op) -> str:
    module = getattr(op.function, "__module__", None) or "numpy"
    return f"{module}.{op.name}"


@pytest.mark.parametrize("op", WITH_GRADIENT, ids=name)
def test_gradient_is_right_over_the_whole_domain(op: Op) -> None:
    if op.function in INTERNAL:
        pytest.skip(INTERNAL[op.function])
    assert op.function in SAMPLES or not needs_samples(op), (
        f"{op.name} cannot be checked from its rules' domains alone: how is it called? "
        "Add a line to tests/samples.py"
    )
    if not needs_samples(op) and op.function not in NOT_ELEMENTWISE:
        check_op(op, examples=EXAMPLES)
    if op.function in SAMPLES:
        samples = SAMPLES[op.function]
        check_op(op, samples, examples=max(EXAMPLES, 3 * len(samples)))


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


def test_every_sample_is_of_a_registered_op() -> None:
    assert not set(SAMPLES) - set(REGISTRY)
