"""What is in force around a computation: recording, scopes, observers, anomaly detection."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.graph import snapshot


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def records() -> bool:
    """Whether a graph is really made here, not only said to be."""
    recorded = (leaf(1.0) * 2).requires_grad
    assert recorded == tg.is_grad_enabled()
    return recorded


# --- no_grad, enable_grad -------------------------------------------------------------------------


def test_nothing_is_recorded_inside_no_grad() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        y = x * x
        assert not records()
    assert (y.requires_grad, y.node, y.is_leaf, y.item()) == (False, None, True, 4)
    assert records()


def test_no_grad_is_a_decorator() -> None:
    @tg.no_grad()
    def predict(x: Tensor) -> Tensor:
        """Predict."""
        return x * 2

    assert not predict(leaf(1.0)).requires_grad
    assert not predict(leaf(1.0)).requires_grad
    assert records()
    assert predict.__doc__ == "Predict."


def test_modes_nest() -> None:
    with tg.no_grad():
        with tg.no_grad():
            assert not records()
        assert not records()
        with tg.enable_grad():
            assert records()
            with tg.no_grad():
                assert not records()
            assert records()
        assert not records()
    assert records()


def test_enable_grad_is_a_decorator() -> None:
    with tg.no_grad():
        assert tg.enable_grad()(records)()
        assert not records()


@pytest.mark.parametrize("manager", [tg.no_grad, tg.enable_grad, tg.detect_anomaly])
def test_a_mode_ends_with_an_exception(manager: Any) -> None:
    with pytest.raises(ZeroDivisionError), manager():
        _ = 1 / 0
    assert records()
    assert np.log(leaf(0.0) + 1).item() == 0


def test_recursive_use_of_a_decorated_function() -> None:
    @tg.no_grad()
    def countdown(n: int) -> bool:
        assert not records()
        return n == 0 or countdown(n - 1)

    assert countdown(3)
    assert records()


def test_leaves_made_inside_no_grad_can_be_trained_outside() -> None:
    with tg.no_grad():
        x = leaf(3.0)
    assert x.requires_grad
    (x * x).backward()
    assert x.grad == 6


def test_a_result_from_inside_no_grad_is_a_constant_outside() -> None:
    x = leaf(3.0)
    with tg.no_grad():
        c = x * x
    (x * c).backward()
    assert x.grad == 9


def test_several_outputs_are_constants_inside_no_grad() -> None:
    with tg.no_grad():
        parts = np.split(leaf([1.0, 2.0]), 2)
    assert [part.requires_grad for part in parts] == [False, False]


def test_no_grad_is_local_to_the_thread() -> None:
    seen: list[bool] = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(records()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_thread_does_not_change_its_parent() -> None:
    entered, finish = threading.Event(), threading.Event()

    def work() -> None:
        with tg.no_grad():
            entered.set()
            finish.wait()

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait()
    assert records()
    finish.set()
    thread.join()


def test_no_grad_is_local_to_the_asyncio_task() -> None:
    async def without(entered: asyncio.Event, finish: asyncio.Event) -> bool:
        with tg.no_grad():
            entered.set()
            await finish.wait()
            return records()

    async def main() -> tuple[bool, bool]:
        entered, finish = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(without(entered, finish))
        await entered.wait()
        here = records()
        finish.set()
        return here, await task

    assert asyncio.run(main()) == (True, False)


def test_a_task_inherits_the_mode_it_was_started_in() -> None:
    async def main() -> bool:
        async def inner() -> bool:
            return records()

        with tg.no_grad():
            task = asyncio.create_task(inner())
        return await task

    assert asyncio.run(main()) is False


def test_a_decorated_generator_records_nothing_and_lets_its_consumer_record() -> None:
    @tg.no_grad()
    def batches() -> Iterator[bool]:
        yield records()
        yield records()

    seen = [(inside, records()) for inside in batches()]
    assert seen == [(False, True), (False, True)]


def test_a_decorated_generator_takes_what_is_sent_and_returns_its_value() -> None:
    @tg.no_grad()
    def echo() -> Generator[Any, int, str]:
        received = yield records()
        assert received == 7
        return "done"

    steps = echo()
    assert next(steps) is False
    with pytest.raises(StopIteration) as end:
        steps.send(7)
    assert end.value.value == "done"


def test_a_decorated_async_generator_is_refused() -> None:
    async def ticks() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(tg.DtypeError, match=r"ticks.*inside"):
        tg.no_grad()(ticks)


def test_a_manager_can_be_used_again() -> None:
    quiet = tg.no_grad()
    for _ in range(2):
        with quiet:
            assert not records()
    assert records()


def test_a_decorated_coroutine_records_nothing() -> None:
    @tg.no_grad()
    async def predict() -> bool:
        return records()

    assert asyncio.run(predict()) is False


@pytest.mark.parametrize("manager", [tg.no_grad, tg.enable_grad, tg.detect_anomaly])
def test_a_manager_written_without_brackets_is_refused_at_once(manager: Any) -> None:
    with pytest.raises(TypeError):

        @manager
        def f() -> None: ...


# --- scope ----------------------------------------------------------------------------------------


def scopes(y: Tensor) -> list[str]:
    return [v.scope for v in snapshot([y]).vertices if v.op]


def test_scopes_name_the_nodes_made_inside_and_nest() -> None:
    x = leaf(1.0)
    with tg.scope("net"):
        h = x * 2
        with tg.scope("layer1"):
            h = h * 3
        h = h * 4
    assert scopes(h * 5) == ["net", "net/layer1", "net", ""]


def test_a_scope_that_is_entered_again_can_be_told_apart() -> None:
    y, cell = leaf(1.0), tg.scope("cell")
    with tg.scope("net/rnn"):
        for _ in range(2):
            with cell:
                y = np.sin(y) * 2
    entries = [v.entries for v in snapshot([y]).vertices if v.op]
    assert entries[0] == entries[1] != entries[2] == entries[3]
    assert [len(entry) for entry in entries] == [3] * 4, "one for each part of the scope"
    assert entries[0][0] == entries[0][1] == entries[2][0]


def test_a_scope_is_a_decorator() -> None:
    @tg.scope("block")
    def block(x: Tensor) -> Tensor:
        return x * 2

    with tg.scope("net"):
        y = block(block(leaf(1.0)))
    assert scopes(y) == ["net/block", "net/block"]


def test_a_scope_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), tg.scope("net"):
        _ = 1 / 0
    assert scopes(leaf(1.0) * 2) == [""]


def test_a_scope_names_all_parts_of_an_op_with_several_outputs() -> None:
    with tg.scope("net"):
        y = np.split(leaf([1.0, 2.0]), 2)[0]
    assert scopes(y) == ["net", "net"]


# --- observe --------------------------------------------------------------------------------------


def watched(y: Tensor, g: Any = None) -> list[tg.Edge]:
    edges: list[tg.Edge] = []
    with tg.observe(edges.append):
        y.backward(g)
    return edges


def test_every_edge_is_seen_once() -> None:
    x, w = leaf(2.0, name="x"), leaf(3.0, name="w")
    h = x * w
    h.name = "h"
    product = h * x
    product.name = "product"
    y = h + product
    y.name = "y"
    edges = [(e.output.name, e.op, e.argument, e.input.name) for e in watched(y)]
    assert sorted(edges) == [
        ("h", "multiply", "x", "x"),
        ("h", "multiply", "y", "w"),
        ("product", "multiply", "x", "h"),
        ("product", "multiply", "y", "x"),
        ("y", "add", "x", "h"),
        ("y", "add", "y", "product"),
    ]


def test_an_edge_shows_the_step_of_the_chain_rule() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = x * w
    edges = watched(y, [10.0, 100.0])
    for edge, by, expected in zip(edges, (x, w), ([30, 400], [10, 200]), strict=True):
        assert edge.op == "multiply"
        assert edge.input is by
        assert edge.output is y
        assert edge.upstream.tolist() == [10, 100]
        assert edge.contribution.tolist() == expected
        assert edge.before is None
        assert edge.after.tolist() == expected


def test_contributions_add_up_to_the_gradient() -> None:
    rng = np.random.default_rng(0)
    x, b = leaf(rng.normal(size=(4, 3))), leaf(rng.normal(size=3))
    edges = watched(np.sum(np.tanh(x + b) * x + np.exp(b) * b))
    for t in (x, b):
        total: Any = None
        for edge in edges:
            if edge.input is t:
                if total is None:
                    assert edge.before is None
                else:
                    np.testing.assert_array_equal(edge.before, total)
                total = edge.contribution if total is None else total + edge.contribution
                np.testing.assert_array_equal(edge.after, total)
                assert edge.contribution.shape == t.shape
        np.testing.assert_array_equal(t.grad, total)


def test_edges_carry_plain_arrays_at_every_order() -> None:
    x = leaf([1.0, 2.0])
    edges: list[tg.Edge] = []
    with tg.observe(edges.append):
        first = tg.gradients(np.sum(x**3), x, create_graph=True)
        tg.gradients(np.sum(first), x)
    assert edges
    for edge in edges:
        for value in (edge.upstream, edge.contribution, edge.after):
            assert isinstance(value, (np.ndarray, np.generic))


def test_edges_to_several_outputs_show_single_arrays() -> None:
    x = leaf([1.0, 2.0])
    first, second = np.split(x, 2)
    edges = watched(np.sum(first * second))
    shown = [e for e in edges if e.op == "select"]
    assert sorted(e.contribution.tolist() for e in shown) == [[1.0], [2.0]]
    assert sorted(e.after.tolist() for e in shown) == [[1.0], [2.0]]
    assert [e.before for e in shown] == [None, None]


def test_an_edge_that_is_kept_does_not_change_with_the_gradient() -> None:
    x = leaf([1.0, 2.0])
    edges = watched(np.sum(x * 3))
    x.grad[...] = 0
    assert [e.contribution.tolist() for e in edges if e.input is x] == [[3, 3]]


def test_observers_nest_and_end() -> None:
    outer: list[Any] = []
    inner: list[Any] = []
    with tg.observe(outer.append):
        (leaf(1.0) * 2).backward()
        with tg.observe(inner.append):
            (leaf(1.0) * 2).backward()
    (leaf(1.0) * 2).backward()
    assert (len(outer), len(inner)) == (2, 1)


def test_an_observer_changes_nothing() -> None:
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    watched(np.sum(np.exp(x) * x))
    np.sum(np.exp(y) * y).backward()
    np.testing.assert_array_equal(x.grad, y.grad)


def test_an_exception_in_an_observer_reaches_the_caller_and_leaves_no_gradient() -> None:
    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError), tg.observe(lambda edge: 1 / 0):
        (x * 2).backward()
    assert x.grad is None
    (x * 2).backward()
    assert x.grad == 2


def test_nothing_outlives_the_block() -> None:
    x = leaf([1.0, 2.0])
    h = np.exp(x)
    watch = weakref.ref(h)
    gc.disable()
    try:
        with tg.observe(lambda edge: None):
            np.sum(h).backward()
        del h
        assert watch() is None
    finally:
        gc.enable()


def test_an_observer_may_run_a_backward_pass_of_its_own() -> None:
    inner: list[Any] = []

    def observer(edge: tg.Edge) -> None:
        with tg.observe(inner.append):
            pass
        assert records()

    x = leaf(3.0)
    with tg.observe(observer):
        (x * x).backward()
    assert x.grad == 6


def test_contributions_through_a_checkpoint_add_up_too() -> None:
    x, w = leaf(3.0), leaf(2.0)
    edges = watched(tg.checkpoint(lambda x: x * w)(x))
    assert sum(e.contribution for e in edges if e.input is w) == w.grad


# --- detect_anomaly -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "op"),
    [
        (lambda x: np.log(x), "log"),
        (lambda x: 1 / x, "divide"),
        (lambda x: np.exp(x + 1000.0), "exp"),
        (lambda x: np.sqrt(x - 1), "sqrt"),
        (lambda x: np.sum(np.log(x)) * 2, "log"),
    ],
)
def test_the_first_op_that_makes_a_non_finite_value_is_named(
    call: Callable[[Tensor], Tensor], op: str
) -> None:
    with (
        np.errstate(all="ignore"),
        tg.detect_anomaly(),
        pytest.raises(tg.AnomalyError, match=rf"^{op}: .*\(2,\).*test_mode\.py:\d+") as caught,
    ):
        call(leaf([0.0, 0.5], name="x"))
    assert isinstance(caught.value, FloatingPointError)


def test_the_line_is_that_of_the_caller() -> None:
    x = leaf(0.0)
    with np.errstate(all="ignore"), tg.detect_anomaly(), pytest.raises(tg.AnomalyError) as caught:
        np.log(x)
    line = caught.traceback[0].lineno + 1
    assert f"test_mode.py:{line}" in str(caught.value)


def test_the_first_rule_that_makes_a_non_finite_gradient_is_named_with_its_line() -> None:
    x = leaf([0.0, 1.0])
    with tg.detect_anomaly():
        y = np.sqrt(x)
        z = np.sum(y * 2)
        with pytest.raises(tg.AnomalyError, match=r"^sqrt: backward .*'x'.*test_mode\.py:\d+"):
            z.backward()
    assert x.grad is None


def test_detect_anomaly_is_silent_when_all_is_finite() -> None:
    x = leaf([1.0, 2.0])
    with tg.detect_anomaly():
        np.sum(np.log(x) * x).backward()
    np.testing.assert_allclose(x.grad, np.log([1.0, 2.0]) + 1)


def test_anomalies_pass_outside_the_block() -> None:
    with np.errstate(all="ignore"):
        assert np.log(leaf(0.0)).item() == -np.inf


def test_anomalies_of_constants_are_found_too() -> None:
    with np.errstate(all="ignore"), tg.detect_anomaly(), pytest.raises(tg.AnomalyError):
        np.log(Tensor(0.0))


@pytest.mark.parametrize("name", [None, "w"])
def test_a_write_through_an_alias_from_before_the_forward_pass_is_found(name: str | None) -> None:
    x = leaf([1.0, 2.0], name=name)
    alias = x.data
    with tg.detect_anomaly():
        y = np.sum(x * x)
        alias[0] = 9
        with pytest.raises(tg.AnomalyError, match=r"multiply: data of argument 'x'.*changed") as e:
            y.backward()
    assert ("'w'" in str(e.value)) == (name == "w")
    assert "test_mode.py" in str(e.value)


def test_a_write_through_the_tensor_itself_is_no_anomaly() -> None:
    x = leaf([1.0, 2.0])
    with tg.detect_anomaly():
        y = np.sum(x * x)
        x.data[0] = 9
        y.backward()
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize(
    "create_graph",
    [
        False,
        pytest.param(True),
    ],
)
def test_a_write_through_an_alias_is_found_at_every_order(create_graph: bool) -> None:
    x = leaf([1.0, 2.0])
    alias = x.data
    with tg.detect_anomaly():
        y = np.sum(x * x)
        alias[0] = 9
        with pytest.raises(tg.AnomalyError, match="changed"):
            tg.gradients(y, x, create_graph=create_graph)


def test_a_write_into_an_array_of_several_outputs_is_found() -> None:
    x = leaf([1.0, 2.0])
    alias = x.data
    with tg.detect_anomaly():
        y = np.sum(np.split(x, 2)[0])
        alias[0] = 9
        with pytest.raises(tg.AnomalyError, match="changed"):
            y.backward()


def test_observers_are_joined_when_the_block_is_entered() -> None:
    first: list[tg.Edge] = []
    second: list[tg.Edge] = []
    block = tg.observe(first.append)
    with tg.observe(second.append), block:
        (leaf(2.0) * 3).backward()
    assert len(first) == len(second) == 1


def test_a_block_shared_by_threads_leaves_each_as_it_was() -> None:
    block, inside, leave = tg.no_grad(), threading.Barrier(2), threading.Barrier(2)
    after: list[bool] = []

    def use() -> None:
        with block:
            inside.wait()
            leave.wait()
        after.append(tg.is_grad_enabled())

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == [True, True]


def test_generators_that_end_in_the_order_they_began_leave_recording_on() -> None:
    def batches() -> Iterator[int]:
        with tg.no_grad():
            yield 1

    first, second = batches(), batches()
    next(first)
    next(second)
    first.close()
    second.close()
    assert tg.is_grad_enabled()


def test_an_exception_thrown_into_a_decorated_generator_arrives() -> None:
    @tg.no_grad()
    def careful() -> Iterator[str]:
        try:
            yield "first"
        except ValueError:
            yield "caught"

    steps = careful()
    next(steps)
    assert steps.throw(ValueError("boo")) == "caught"


def test_detect_anomaly_looks_into_lists_of_results() -> None:
    x = Tensor([1.0, np.inf], requires_grad=True)
    with tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="split: made a non-finite"):
        np.split(x, 2)
