"""The benchmarks compare what computes the same; that is tested here, speed never is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import need

import tinygrad_edu as tg
from viz.layout import layout

pytest.importorskip("scipy", reason="the hand-written forms of gelu and others need it")
pytest.importorskip("rich", reason="benchmarks print their tables with it")

from benchmarks import hand, layouts, ops, timing
from benchmarks.engines import ours
from benchmarks.hand_ops import LEFT_OUT, Case, cases, key
from benchmarks.hand_ops.elementwise import ELEMENTWISE
from benchmarks.workloads import WORKLOADS, Workload
from tinygrad_edu.op import REGISTRY

SMALL = 40  # arrays of 1,600 elements


@pytest.mark.parametrize("case", cases(SMALL), ids=lambda case: case.name)
def test_the_gradients_of_an_op_are_those_written_by_hand(case: Case) -> None:
    ops.check(case, ops.set_up(case))


def test_every_op_with_a_rule_has_a_hand_written_form_or_a_reason() -> None:
    assert ops.without_hand_form() == []


def test_every_hand_written_form_is_of_a_registered_op() -> None:
    listed = {*map(key, ELEMENTWISE), *(key(case.function) for case in cases(SMALL)), *LEFT_OUT}
    assert sorted(listed - set(map(key, REGISTRY))) == []


def test_an_op_without_a_hand_written_form_stops_the_benchmark() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g))
    def newcomer(x: Any) -> Any:
        return x

    assert ops.without_hand_form() == [key(newcomer)]
    with pytest.raises(AssertionError, match=r"no line in benchmarks/hand_ops/ for .*newcomer"):
        next(ops.measure(rounds=1))


def test_a_wrong_hand_written_form_is_found() -> None:
    case = next(case for case in cases(SMALL) if case.function is np.exp)
    with pytest.raises(AssertionError, match="exp, input 0"):
        ops.check(case, ops.set_up(replace(case, hand=ELEMENTWISE[np.sin])))


def test_ops_are_timed_round_by_round() -> None:
    name, ours_seconds, hand_seconds = next(ops.measure(rounds=2, side=SMALL))
    assert name == "safe_multiply"
    assert ours_seconds.shape == hand_seconds.shape == (2,)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_a_step_of_ours_changes_what_a_step_by_hand_changes(workload: Workload) -> None:
    runs = {engine.name: workload.set_up(engine) for engine in ours.VARIANTS}
    able = {name: run for name, run in runs.items() if run is not None}
    assert able == runs, "ours can do everything"
    timing.check(workload, {hand.NAME: hand.set_up(workload)} | able)


def test_an_engine_with_a_wrong_gradient_is_found() -> None:
    wrong = replace(ours.VARIANTS[0], relu=lambda x: tg.leaky_relu(x, 0.1))
    workload = WORKLOADS["W3"]
    run = workload.set_up(wrong)
    assert run is not None
    with pytest.raises(AssertionError, match="W3, wrong, array 0, step 1: relative error"):
        timing.check(workload, {hand.NAME: hand.set_up(workload), "wrong": run})


@pytest.mark.parametrize(
    "case",
    [
        layouts.residual(),
        layouts.recurrent(4),
        layouts.tensor_net(100, 0),
        layouts.tensor_net(300, 1),
        layouts.scalar_mlp(3, 4, 3, 1),
        layouts.scalar_mlp(4, 7, 5, 1),
    ],
    ids=lambda case: f"{case.name}, {case.count} nodes",
)
def test_our_layout_crosses_little_more_than_graphviz(case: layouts.Case) -> None:
    need("dot", "graphviz")
    placed = layout(case.sizes, case.arrows, [layouts.LABEL] * len(case.arrows))
    ours = layouts.crossings(layouts.curves(placed), case.arrows)
    theirs = layouts.crossings(layouts.dot_curves(case)[0], case.arrows)
    assert ours <= max(layouts.TIMES_DOT[case.family] * theirs, 3)
