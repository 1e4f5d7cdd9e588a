"""The backward pass: the chain rule over graphs of every form, freeing, memory, refusals."""

import contextlib
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor, backward
from tinygrad_edu.backward import sum_to_shape

ROOT = Path(__file__).parent.parent


def leaf(data: Any, **options: Any) -> Tensor:
    return Tensor(data, requires_grad=True, **options)


def counted(calls: list[str], name: str, slope: float = 1.0) -> Callable[[Any], Any]:
    """An op with one argument that multiplies by `slope` and notes when its rule is called."""

    def rule(g: Any, out: Any, x: Any) -> Any:
        calls.append(name)
        return g * slope

    @tg.op(tg.wrt("x", rule), name=name)
    def scaled(x: Any) -> Any:
        return x * slope

    return scaled


# --- the form of the graph ------------------------------------------------------------------------


def test_a_tensor_used_twice_by_one_op_gets_both_contributions() -> None:
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad == 6


def test_fan_out_adds_up() -> None:
    x = leaf(2.0)
    (x * 3 + x * 5 + x**2 + x).backward()
    assert x.grad == 3 + 5 + 4 + 1


def test_a_diamond_is_passed_once() -> None:
    calls: list[str] = []
    x = leaf(2.0)
    h = counted(calls, "top", 10.0)(x)
    (counted(calls, "left", 2.0)(h) + counted(calls, "right", 3.0)(h)).backward()
    assert x.grad == 50
    assert sorted(calls) == ["left", "right", "top"]


def test_a_node_waits_for_contributions_on_paths_of_different_length() -> None:
    calls: list[str] = []
    x = leaf(1.0)
    h = counted(calls, "h", 2.0)(x)
    long = h
    for _ in range(5):
        long = long * 1.0
    (h + long + long * h).backward()
    assert calls == ["h"]
    assert x.grad == 2 + 2 + 2 * 2 * 2


def test_the_number_of_rule_calls_is_that_of_edges_not_of_paths() -> None:
    calls: list[str] = []
    double = counted(calls, "double", 1.0)
    y = x = leaf(1.0)
    for _ in range(60):  # 2**60 paths
        y = double(y) + double(y)
    y.backward()
    assert len(calls) == 120
    assert x.grad == 2.0**60


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_rule_calls_grow_linearly_with_the_length_of_a_chain(n: int) -> None:
    calls: list[str] = []
    step = counted(calls, "step")
    y = x = leaf(1.0)
    for _ in range(n):
        y = step(y)
    y.backward()
    assert len(calls) == n
    assert x.grad == 1


def test_unused_branches_get_nothing() -> None:
    calls: list[str] = []
    x, w = leaf(2.0), leaf(3.0)
    unused = counted(calls, "unused")(w) + x
    (x * 2).backward()
    assert w.grad is None
    assert calls == []
    unused.backward()
    assert w.grad == 1
    assert x.grad == 3


def test_rules_of_arguments_that_need_no_gradient_are_not_called() -> None:
    calls: list[str] = []

    @tg.op(
        tg.wrt("x", lambda g, out, x, y: calls.append("x") or g),
        tg.wrt("y", lambda g, out, x, y: calls.append("y") or g),
    )
    def plus(x: Any, y: Any) -> Any:
        return x + y

    x = leaf(1.0)
    plus(x, 2.0).backward()
    plus(x, np.float64(2)).backward()
    plus(x, Tensor(2.0)).backward()
    assert calls == ["x"] * 3


def test_rules_that_lead_to_no_wanted_tensor_are_not_called() -> None:
    calls: list[str] = []
    x, w = leaf(2.0), leaf(3.0)
    y = counted(calls, "to x")(x) * counted(calls, "to w")(w)
    tg.gradients(y, x)
    assert calls == ["to x"]


def test_a_frozen_leaf_gets_no_gradient() -> None:
    x, w = leaf(2.0), Tensor(3.0)
    (x * w).backward()
    assert x.grad == 3
    assert w.grad is None


def test_a_graph_may_end_in_several_leaves_and_constants() -> None:
    x, y, c = leaf([1.0, 2.0]), leaf(3.0), Tensor([4.0, 5.0])
    np.sum(x * y * c + y).backward()
    assert x.grad.tolist() == [12, 15]
    assert y.grad == 14 + 2


def test_a_graph_made_in_one_thread_runs_backward_in_another() -> None:
    x = leaf(3.0)
    y = x * x
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert x.grad == 6


def test_threads_can_run_separate_graphs_at_the_same_time() -> None:
    leaves = [leaf(np.full(3, float(i))) for i in range(8)]
    barrier = threading.Barrier(len(leaves))

    def work(x: Tensor) -> None:
        barrier.wait()
        for _ in range(20):
            np.sum(np.tanh(x) * x).backward()

    threads = [threading.Thread(target=work, args=(x,)) for x in leaves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, x in enumerate(leaves):
        t = np.tanh(i)
        np.testing.assert_allclose(x.grad, np.full(3, 20 * (t + i * (1 - t * t))), rtol=1e-12)


# --- broadcasting ---------------------------------------------------------------------------------

STRETCHED: list[Any] = [
    ((), (2, 3)),
    ((1,), (2, 3)),
    ((3,), (2, 3)),
    ((2, 1), (2, 3)),
    ((1, 1), (2, 3)),
    ((2, 1, 3), (4, 1)),
    ((4, 1), (2, 1, 3)),
    ((1, 3), (0, 3)),
    ((), (0,)),
    ((1,), (0,)),
    ((2, 3), ()),
    ((5, 1, 1), (4, 3)),
]


@pytest.mark.parametrize(("shape", "other"), STRETCHED)
def test_a_stretched_operand_gets_the_sum(shape: Any, other: Any) -> None:
    rng = np.random.default_rng(3)
    x, c = leaf(rng.normal(size=shape)), rng.normal(size=other)
    y = x * c
    g = rng.normal(size=y.shape)
    y.backward(g)
    expected = np.zeros(shape)
    places = np.broadcast_to(np.arange(x.size).reshape(shape), y.shape)
    np.add.at(expected.reshape(-1), places.ravel(), (g * c).ravel())
    assert x.grad.shape == shape
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("shape", "other"), STRETCHED)
def test_broadcasting_is_undone_at_second_order_too(shape: Any, other: Any) -> None:
    rng = np.random.default_rng(4)
    x, c = leaf(rng.normal(size=shape)), leaf(rng.normal(size=other))
    y = np.sum(x * x * c)  # dy/dx = 2 x sum(c); its sum's gradient by c: 2 x at c's places
    (first,) = tg.gradients(y, [x], create_graph=True)
    assert first.shape == shape
    second_x, second_c = tg.gradients(np.sum(first), [x, c])
    wide = np.broadcast_shapes(shape, other)
    np.testing.assert_allclose(
        second_x.numpy(),
        sum_back(2 * np.broadcast_to(c.data, wide), shape),
        rtol=1e-12,
        atol=1e-13,
    )
    np.testing.assert_allclose(
        second_c.numpy(),
        sum_back(2 * np.broadcast_to(x.data, wide), other),
        rtol=1e-12,
        atol=1e-13,
    )


def sum_back(wide: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    total = np.zeros(shape)
    places = np.broadcast_to(np.arange(total.size).reshape(shape), wide.shape)
    np.add.at(total.reshape(-1), places.ravel(), wide.ravel())
    return total


@pytest.mark.parametrize(
    ("g", "shape"),
    [((2, 3), (3, 3)), ((3,), (2, 3)), ((2, 3), (4,)), ((), (1,)), ((1, 3), (2, 3))],
)
def test_what_cannot_come_from_broadcasting_is_not_summed(g: Any, shape: Any) -> None:
    assert sum_to_shape(np.ones(g), shape) is None


# --- seeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_the_seed_may_be_left_out_for_one_element(shape: tuple[int, ...]) -> None:
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, np.full(shape, 6.0))


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2)])
def test_the_seed_may_not_be_left_out_otherwise(shape: tuple[int, ...]) -> None:
    x = leaf(np.ones(shape))
    with pytest.raises(tg.InputError, match=r"one-element.*np\.sum"):
        (x * 2).backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "g",
    [
        np.array([1.0, 10.0]),
        [1.0, 10.0],
        [1, 10],
        np.array([1, 10]),
        np.array([1, 10], np.float32),
        Tensor([1.0, 10.0]),
        Tensor([1, 10]),
    ],
    ids=lambda g: f"{type(g).__name__} {getattr(g, 'dtype', '')}",
)
def test_the_seed_may_be_anything_of_the_right_shape(g: Any) -> None:
    x = leaf([2.0, 3.0])
    (x * x).backward(g)
    assert x.grad.tolist() == [4, 60]
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize("g", [np.ones(3), np.ones((2, 1)), 1.0, np.ones((1, 2)), [[1.0, 1.0]]])
def test_a_seed_of_another_shape_is_refused(g: Any) -> None:
    x = leaf([2.0, 3.0])
    with pytest.raises(tg.InputError, match=r"g must have the output's shape \(2,\)") as caught:
        (x * x).backward(g)
    assert isinstance(caught.value, ValueError)
    assert x.grad is None


@pytest.mark.parametrize("g", [[1j, 1], np.array(["a", "b"]), [None, None]])
def test_a_seed_that_is_not_real_is_refused(g: Any) -> None:
    with pytest.raises(tg.DtypeError, match="real"):
        (leaf([2.0, 3.0]) * 2).backward(g)


def test_a_tracked_seed_is_refused_with_the_function_to_use() -> None:
    with pytest.raises(tg.GraphError, match=r"tg\.gradients.*create_graph=True.*detach\(\)"):
        (leaf(2.0) * 2).backward(leaf(1.0))


def test_the_seed_is_cast_to_the_outputs_dtype() -> None:
    x = leaf(np.ones(2, np.float32))
    (x * x).backward(np.ones(2))
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("g", [[3, 4], np.array([3.0, 4.0], np.float64), Tensor([3, 4])])
def test_the_seed_of_a_leaf_or_retained_output_is_cast_too(g: Any) -> None:
    x = leaf(np.ones(2, np.float32))
    x.backward(g)
    y = x * 2
    y.retain_grad()
    y.backward(g)
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float32)
    assert (x.grad.tolist(), y.grad.tolist()) == ([9, 12], [3, 4])


def test_a_zero_seed_gives_zeros() -> None:
    x = leaf([1.0, 2.0])
    (x * x).backward(np.zeros(2))
    assert x.grad.tolist() == [0, 0]


# --- accumulation, freeing ------------------------------------------------------------------------


def test_gradients_accumulate_over_two_graphs() -> None:
    x = leaf([1.0, 2.0])
    np.sum(x * x).backward()
    np.sum(x * 3).backward()
    assert x.grad.tolist() == [5, 7]


@pytest.mark.parametrize("assigned", [np.ones((2, 1)), np.ones(3), 1.0, "x"], ids=repr)
def test_a_grad_of_another_shape_is_not_added_to(assigned: Any) -> None:
    x, w = leaf([1.0, 2.0]), leaf([1.0, 2.0], name="w")
    w.grad = assigned
    with pytest.raises(tg.InputError, match=r"\.grad of 'w' of shape \(2,\) to add to, got .*None"):
        np.sum(x * w).backward()
    assert x.grad is None
    assert w.grad is assigned


def test_zero_grad_starts_anew() -> None:
    x = leaf([1.0, 2.0])
    np.sum(x * x).backward()
    x.zero_grad()
    assert x.grad is None
    np.sum(x * 3).backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize(
    "passes",
    [1, pytest.param(2)],
)
def test_the_gradient_of_a_number_is_an_array(passes: int) -> None:
    x = leaf(2.0)
    for _ in range(passes):
        (x * 3).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()
    assert x.grad == 3 * passes


@pytest.mark.parametrize("again", [lambda x, h, y: y, lambda x, h, y: h, lambda x, h, y: h * 2])
def test_a_second_pass_over_a_freed_graph_is_refused_and_changes_nothing(again: Any) -> None:
    x = leaf(2.0)
    h = x * x
    y = h * 3
    y.backward()
    with pytest.raises(tg.GraphError, match=r"freed.*retain_graph=True") as caught:
        again(x, h, y).backward()
    assert isinstance(caught.value, RuntimeError)
    assert x.grad == 12


def test_a_refused_second_consumer_leaves_its_own_part_usable() -> None:
    x, w = leaf(2.0), leaf(5.0)
    h = x * x
    first, second = h * 3, h * np.exp(w * 0)
    first.backward()
    with pytest.raises(tg.GraphError, match="multiply"):
        second.backward()
    assert w.grad is None
    assert x.grad == 12
    (w * 2).backward()
    assert w.grad == 2


def test_a_freed_tensor_can_still_be_read_and_computed_with() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward()
    assert y.item() == 4
    assert (y.shape, y.dtype, y.requires_grad, y.is_leaf) == ((), np.float64, True, False)
    assert (y + 1).item() == 5
    assert y.node is not None
    assert (y.node.op.name, y.node.inputs) == ("multiply", None)
    assert (y.detach() + leaf(1.0)).requires_grad


def test_what_is_not_below_the_output_is_not_freed() -> None:
    x = leaf(2.0)
    h = x * x
    other = np.exp(x)
    (h * 2).backward()
    other.backward()
    np.testing.assert_allclose(x.grad, 8 + np.exp(2.0))


def test_retain_graph_allows_another_pass() -> None:
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12
    with pytest.raises(tg.GraphError, match="freed"):
        y.backward()


def test_retain_grad_keeps_the_gradient_of_an_intermediate() -> None:
    x = leaf([1.0, 2.0])
    h = x * x
    h.retain_grad()
    np.sum(h * np.array([3.0, 5.0])).backward()
    assert h.grad.tolist() == [3, 5]
    assert x.grad.tolist() == [6, 20]


def test_intermediates_keep_no_gradient_otherwise() -> None:
    x = leaf([1.0, 2.0])
    h = x * x
    np.sum(h).backward()
    assert h.grad is None


def test_retain_grad_on_the_output_gives_the_seed() -> None:
    y = leaf([1.0, 2.0]) * 2
    y.retain_grad()
    g = np.array([3.0, 4.0])
    y.backward(g)
    assert y.grad.tolist() == [3, 4]
    y.grad[0] = 9
    assert g.tolist() == [3, 4]


def test_retained_gradients_accumulate() -> None:
    h = leaf([1.0, 2.0]) * 2
    h.retain_grad()
    y = np.sum(h)
    y.backward(retain_graph=True)
    y.backward()
    assert h.grad.tolist() == [2, 2]


def test_retain_grad_of_a_constant_is_refused() -> None:
    with pytest.raises(tg.GraphError, match="no gradient"):
        Tensor(1.0).retain_grad()


def test_retain_grad_of_a_leaf_changes_nothing() -> None:
    x = leaf(1.0)
    x.retain_grad()
    (x * 2).backward()
    assert x.grad == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tensor(1.0),
        lambda: Tensor(1.0) * 2,
        lambda: leaf(1.0).detach() * 2,
        lambda: leaf(1.0) > 0,
        lambda: Tensor(3),
    ],
)
def test_backward_of_a_constant_is_refused(make: Callable[[], Tensor]) -> None:
    with pytest.raises(tg.GraphError, match="requires_grad=True"):
        make().backward()


def test_backward_of_what_was_computed_inside_no_grad_is_refused() -> None:
    with tg.no_grad():
        y = leaf(1.0) * 2
        with pytest.raises(tg.GraphError, match="inside no_grad"):
            y.backward()


def test_backward_of_a_leaf_gives_the_seed() -> None:
    x = leaf([1.0, 2.0])
    x.backward([3.0, 4.0])
    assert x.grad.tolist() == [3, 4]


def test_backward_inside_no_grad_runs_over_a_graph_from_outside() -> None:
    x = leaf(3.0)
    y = x * x
    with tg.no_grad():
        y.backward()
    assert x.grad == 6


# --- leaf gradients are nobody else's -------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: np.concatenate([x, y]),
        lambda x, y: np.stack([x, y]),
        lambda x, y: np.stack([x, y, x + y]),
        lambda x, y: +x + +y,
        lambda x, y: x.reshape(2, 1) + y.reshape(2, 1),
        lambda x, y: np.copy(x) + np.broadcast_to(y, (2,)),
        lambda x, y: x.T + y[::-1],
        lambda x, y: np.split(np.concatenate([x, y]), 2)[0] + y,
        lambda x, y: np.where(True, x, y),
        lambda x, y: x[:] + np.squeeze(y),
        lambda x, y: tg.index_update(x, 0, 0.0) + y,
    ],
)
def test_gradients_share_no_memory_with_each_other_or_the_seed(f: Any) -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    out = f(x, y)
    g = np.ones(out.shape)
    out.backward(g)
    assert not np.shares_memory(x.grad, y.grad)
    for t in (x, y):
        assert not np.shares_memory(t.grad, g)
        assert not np.shares_memory(t.grad, t.data)
        assert t.grad.flags.writeable
        t.grad *= 2.0
    assert g.tolist() == np.ones(out.shape).tolist()


def test_the_gradient_of_a_leaf_that_is_the_output_is_not_the_seed() -> None:
    x, g = leaf([1.0, 2.0]), np.ones(2)
    x.backward(g)
    x.grad[0] = 9
    assert g.tolist() == [1, 1]


def test_accumulating_does_not_write_into_an_array_taken_before() -> None:
    x = leaf([1.0, 2.0])
    np.sum(x).backward()
    taken = x.grad
    np.sum(x).backward()
    assert taken.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("view", [False, True], ids=["array", "view"])
def test_contributions_are_not_added_into_an_array_that_someone_else_holds(view: bool) -> None:
    kept = []

    def rule(g: Any, out: Any, x: Any) -> Any:
        share = g * 2
        kept.append(share[:1] if view else share)
        return share

    double = tg.op(tg.wrt("x", rule), name="double")(lambda x: x * 2)
    x = leaf(np.ones(3))
    np.sum(double(x) + double(x) + double(x)).backward()
    assert [np.all(share == 2) for share in kept] == [True] * 3
    np.testing.assert_array_equal(x.grad, np.full(3, 6.0))


def test_contributions_are_added_into_the_first_where_nobody_else_holds_it() -> None:
    made = []

    def rule(g: Any, out: Any, x: Any) -> Any:
        share = g * 2
        made.append(weakref.ref(share))
        return share

    double = tg.op(tg.wrt("x", rule), name="double")(lambda x: x * 2)
    x = leaf(np.ones(3))
    np.sum(double(x) + double(x) + double(x)).backward()
    assert x.grad is made[0]()
    np.testing.assert_array_equal(x.grad, np.full(3, 6.0))


def test_the_gradient_of_a_leaf_is_not_an_array_that_a_rule_kept() -> None:
    kept: list[Any] = []

    def rule(g: Any, out: Any, a: Any, b: Any) -> Any:
        kept[:] = kept or [g * 2]
        return kept[0]

    both = tg.op(tg.wrt("a", rule), tg.wrt("b", rule), name="both")(lambda a, b: 2 * a + 2 * b)
    a, b = leaf(np.ones(3)), leaf(np.ones(3))
    np.sum(both(a, b)).backward()
    a.grad *= 10
    np.testing.assert_array_equal(b.grad, np.full(3, 2.0))
    np.testing.assert_array_equal(kept[0], np.full(3, 2.0))


@pytest.mark.parametrize("uses", [1, 2])
def test_a_rule_may_return_a_read_only_array(uses: int) -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        share = g * 2
        share.flags.writeable = False
        return share

    double = tg.op(tg.wrt("x", rule), name="double")(lambda x: x * 2)
    x = leaf(np.ones(3))
    np.sum(sum(double(x) for _ in range(uses))).backward()
    np.testing.assert_array_equal(x.grad, np.full(3, 2.0 * uses))
    assert x.grad.flags.writeable


def test_a_debugger_at_import_does_not_make_gradients_wrong() -> None:
    code = """
        import sys
        sys.setprofile(lambda frame, event, argument: frame.f_locals)  # which holds the locals too
        import numpy as np, tinygrad_edu as tg
        sys.setprofile(None)
        x, p = (tg.Tensor(np.full(3, value), requires_grad=True) for value in (1.0, 2.0))
        a = x * 1
        np.sum((a + a * (p * 1)) * 3).backward()
        print(p.grad)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout == "[3. 3. 3.]\n"


@pytest.mark.parametrize("turned", [False, True])
def test_one_array_that_a_rule_gives_to_two_arguments_is_not_written_into(turned: bool) -> None:
    x, y = leaf(np.ones(3)), leaf(np.ones(3))
    a, b = x * 1, y * 1
    terms = [(a + b) * 3, a * 5 + b * 7]  # the rule of a + b gives both the same array
    np.sum(terms[turned] + terms[not turned]).backward()
    np.testing.assert_array_equal(x.grad, np.full(3, 8.0))
    np.testing.assert_array_equal(y.grad, np.full(3, 10.0))


# --- wrong rules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "got"),
    [
        (lambda g, out, x: g[:1], r"\(1,\)"),
        (lambda g, out, x: np.ones((2, 2)), r"\(2, 2\)"),
        (lambda g, out, x: np.sum(g), r"\(\)"),
        (lambda g, out, x: None, "NoneType"),
        (lambda g, out, x: 1.0, "float"),
        (lambda g, out, x: [1.0, 1.0], "list"),
    ],
)
def test_a_rule_that_returns_no_array_of_the_shape_is_refused_by_name(rule: Any, got: str) -> None:
    @tg.op(tg.wrt("x", rule), name="wrong")
    def wrong(x: Any) -> Any:
        return x * 2

    x = leaf([1.0, 2.0])
    y = wrong(x)
    with pytest.raises(tg.RuleError, match=rf"wrong: .*'x'.*\(2,\).*{got}") as caught:
        y.backward(np.ones(2))
    assert isinstance(caught.value, RuntimeError)
    assert x.grad is None


def test_a_rule_of_an_op_that_does_not_broadcast_is_not_summed() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x, y: g), tg.wrt("y", lambda g, out, x, y: g))
    def plus(x: Any, y: Any) -> Any:
        return x + y

    with pytest.raises(tg.RuleError, match=r"plus: .*'x'.*\(3,\).*\(2, 3\).*broadcasts=True"):
        np.sum(plus(leaf(np.ones(3)), np.ones((2, 3)))).backward()


def test_a_rule_of_an_op_that_broadcasts_is_summed() -> None:
    @tg.op(
        tg.wrt("x", lambda g, out, x, y: g), tg.wrt("y", lambda g, out, x, y: g), broadcasts=True
    )
    def plus(x: Any, y: Any) -> Any:
        return x + y

    x = leaf(np.ones(3))
    np.sum(plus(x, np.ones((2, 3)))).backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_a_rule_of_an_op_that_broadcasts_is_still_checked() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: np.ones((2, 5))), broadcasts=True, name="wrong")
    def wrong(x: Any) -> Any:
        return x * 2

    with pytest.raises(tg.RuleError, match=r"wrong: .*\(3,\).*\(2, 5\)"):
        np.sum(wrong(leaf(np.ones(3)))).backward()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, bool])
def test_the_engine_casts_what_a_rule_returns(dtype: Any) -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: np.ones(x.shape, dtype)))
    def careless(x: Any) -> Any:
        return np.sum(x)

    x = leaf(np.ones(2, np.float32))
    careless(x).backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1, 1]


def test_an_exception_in_a_rule_reaches_the_caller_and_leaves_no_gradient() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: 1 / 0))
    def broken(x: Any) -> Any:
        return x * 1

    x, w = leaf(1.0), leaf(2.0)
    with pytest.raises(ZeroDivisionError):
        (broken(x) * w).backward()
    assert x.grad is None
    assert w.grad is None


# --- several outputs, lists, empty arrays ---------------------------------------------------------


def test_outputs_that_nobody_used_get_zeros() -> None:
    x = leaf(np.arange(6.0))
    _, middle, _ = np.split(x, 3)
    np.sum(middle * np.array([5.0, 7.0])).backward()
    assert x.grad.tolist() == [0, 0, 5, 7, 0, 0]


def test_an_output_used_twice_adds_up() -> None:
    x = leaf(np.arange(4.0))
    first, second = np.split(x, 2)
    np.sum(first * first + first * second).backward()
    assert x.grad.tolist() == [0 + 2, 2 + 3, 0, 1]


def test_each_output_can_be_pulled_back_with_a_retained_graph() -> None:
    x = leaf(np.arange(4.0))
    first, second = np.split(x, 2)
    np.sum(first).backward(retain_graph=True)
    np.sum(second * 3).backward()
    assert x.grad.tolist() == [1, 1, 3, 3]


def test_several_outputs_at_second_order() -> None:
    x = leaf(np.arange(4.0))
    first, second = np.split(x, 2)
    y = np.sum(first**2 * second)  # d/da = 2ab, d/db = a^2
    (g,) = tg.gradients(y, [x], create_graph=True)
    assert g.tolist() == [0, 6, 0, 1]
    assert tg.gradients(np.sum(g), x).tolist() == [2 * 2, 2 * 3 + 2, 0, 2]


def test_rules_that_use_their_outputs_at_second_order() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g[0] * out[1] + g[1] * 2))
    def square_and_slope(x: Any) -> Any:
        return x * x, 2 * x

    def f(x: Any) -> Any:
        square, slope = square_and_slope(x)
        return square * slope  # 2 x^3

    assert tg.grad(f)(3.0) == 54
    assert tg.grad(tg.grad(f))(3.0) == 36
    assert tg.grad(tg.grad(tg.grad(f)))(3.0) == 12


def test_an_op_with_several_outputs_of_different_shape_and_dtype() -> None:
    seen: list[Any] = []

    def rule(g: Any, out: Any, x: Any) -> Any:
        seen.append([(part.shape, part.dtype) for part in g])
        return g[0] * 2 + g[1]

    @tg.op(tg.wrt("x", rule))
    def twice_and_sum(x: Any) -> Any:
        return x * 2, x.sum()

    x = leaf(np.ones(3, np.float32))
    _, total = twice_and_sum(x)
    total.backward()
    assert x.grad.tolist() == [1, 1, 1]
    assert seen == [[((3,), np.float32), ((), np.float32)]]


def test_a_list_argument_gives_every_position_its_part() -> None:
    a, b, c = leaf([1.0]), Tensor([2.0]), leaf([3.0, 4.0])
    y = np.concatenate([a, b, c, a, np.ones(1)])
    y.backward(np.array([1.0, 10.0, 100.0, 1000.0, 1e4, 1e5]))
    assert a.grad.tolist() == [10001]
    assert c.grad.tolist() == [100, 1000]
    assert b.grad is None


def test_an_empty_array_has_an_empty_gradient() -> None:
    x = leaf(np.zeros((0, 3)))
    y = np.sum(np.tanh(x) * 2 + np.ones(3))
    assert y.item() == 0
    y.backward()
    assert x.grad.shape == (0, 3)


def test_an_empty_output_takes_an_empty_seed() -> None:
    x = leaf([1.0, 2.0])
    x[2:].backward(np.zeros(0))
    assert x.grad.tolist() == [0, 0]


def test_a_composite_records_what_it_is_made_of() -> None:
    x = leaf([1.0, 2.0, 4.0])
    y = np.trapezoid(x, dx=2.0)
    y.backward()
    assert y.item() == 9
    assert x.grad.tolist() == [1, 2, 1]


# --- depth and memory -----------------------------------------------------------------------------


def chain(x: Tensor, n: int = 100_000) -> Tensor:
    for _ in range(n):
        x = x + 1.0
    return x


def test_a_long_chain_runs_backward_and_is_freed() -> None:
    x = leaf(0.0)
    y = chain(x)
    y.backward()
    assert x.grad == 1
    del y


def test_a_long_chain_is_freed_without_a_backward_pass() -> None:
    x = leaf(0.0)
    y = chain(x)
    watch = weakref.ref(y)
    assert y.item() == 100_000
    del y
    assert watch() is None


def test_a_long_chain_of_operators_with_two_tracked_inputs_is_freed() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y * x
    del y
    assert x.item() == 1


def test_a_long_chain_of_several_outputs_is_freed() -> None:
    y = leaf([1.0, 2.0])
    for _ in range(20_000):
        first, second = np.split(y, 2)
        y = np.concatenate([second, first])
    watch = weakref.ref(y)
    del y, first, second
    assert watch() is None


def test_a_long_chain_differentiates_twice() -> None:
    x = leaf(2.0)
    y = x * x
    for _ in range(5_000):
        y = y + 1.0
    first = tg.gradients(y, x, create_graph=True)
    assert tg.gradients(first, x).item() == 2


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def train_step(parameters: list[Tensor]) -> None:
    W1, b1, W2, b2 = parameters
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    hidden = tg.relu(tg.linear(x, W1, b1))
    first, second = np.split(hidden, [2], axis=1)
    hidden = np.concatenate([first, second], axis=1)
    loss = tg.cross_entropy(tg.linear(hidden, W2, b2), np.array([0, 1, 1, 0]))
    loss.backward()
    for p in parameters:
        p.data -= 0.1 * p.grad
        p.zero_grad()


def make_parameters() -> list[Tensor]:
    rng = np.random.default_rng(0)
    return [leaf(rng.normal(size=shape)) for shape in [(3, 5), (5,), (5, 2), (2,)]]


STEPS: dict[str, Callable[[], Any]] = {
    "training step": lambda: train_step(make_parameters()),
    "no backward": lambda: np.exp(leaf([1.0]) * 2),
    "retained graph": lambda: (leaf(2.0) ** 2).backward(retain_graph=True),
    "several outputs": lambda: np.sum(np.split(leaf([1.0, 2.0]), 2)[0]).backward(),
    "second order": lambda: tg.hvp(lambda x: np.sum(x**3), np.ones(3), np.ones(3)),
    "create_graph": lambda: (lambda x: tg.gradients(x * x, x, create_graph=True))(leaf(2.0)),
    "jvp": lambda: tg.jvp(np.exp, np.ones(3), np.ones(3)),
    "vjp": lambda: tg.vjp(np.exp, np.ones(3))[1](np.ones(3)),
    "jacobian": lambda: tg.jacobian(np.exp)(np.ones(3)),
    "nested grad": lambda: tg.grad(tg.grad(lambda x: x**3))(2.0),
    "checkpoint": lambda: np.sum(tg.checkpoint(np.exp)(leaf([1.0]))).backward(),
    "scope and anomaly": lambda: scoped(),
    "refused backward": lambda: refused(),
}


def scoped() -> None:
    with tg.scope("layer"), tg.detect_anomaly(), tg.observe(lambda edge: None):
        np.sum(np.exp(leaf([1.0]))).backward()


def refused() -> None:
    y = leaf(2.0) ** 2
    y.backward()
    with contextlib.suppress(tg.GraphError):
        y.backward()


@pytest.mark.parametrize("name", STEPS)
def test_the_garbage_collector_finds_nothing(name: str) -> None:
    STEPS[name]()  # what is only made once (caches of NumPy and Python) is made here
    with collector_off():
        STEPS[name]()
        assert gc.collect() == 0


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("make", [np.exp, lambda x: np.split(x, 2)[0], lambda x: x.T * 2])
def test_reference_counting_alone_frees_a_graph(make: Any, backward: bool) -> None:
    with collector_off():
        x = leaf([1.0, 2.0])
        h = make(x)
        y = np.sum(h * 2)
        watch = weakref.ref(h)
        if backward:
            del h
            y.backward()
            assert watch() is None, "a backward pass frees the graph at once"
        else:
            del h, y
            assert watch() is None


def test_a_backward_pass_drops_the_saved_arrays() -> None:
    x, big = leaf(np.ones(3)), Tensor(np.ones(3))
    y = np.sum(x * big)
    watch = weakref.ref(big)
    del big
    y.backward()
    assert watch() is None


def test_a_training_loop_keeps_nothing_but_its_parameters() -> None:
    parameters = make_parameters()
    train_step(parameters)
    gc.collect()
    before = sum(isinstance(thing, Tensor) for thing in gc.get_objects())
    with collector_off():
        for _ in range(5):
            train_step(parameters)
        after = sum(isinstance(thing, Tensor) for thing in gc.get_objects())
    assert after == before


# --- what a rule or an op returns -----------------------------------------------------------------


def test_a_rule_that_returns_a_tensor_is_refused() -> None:
    outside = Tensor([2.0, 3.0])

    @tg.op(tg.wrt("x", lambda g, out, x: g * outside))
    def scaled(x: Any) -> Any:
        return x * 2.0

    with pytest.raises(tg.RuleError, match=r"scaled.*'x'.*Tensor"):
        scaled(Tensor([1.0, 1.0], requires_grad=True)).backward(np.ones(2))


def test_a_gradient_is_never_the_data_itself() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: x))
    def half_square(x: Any) -> Any:
        return 0.5 * np.sum(x * x)

    x = Tensor([1.0, 2.0], requires_grad=True)
    half_square(x).backward()
    x.grad *= 10
    np.testing.assert_array_equal(x.data, [1.0, 2.0])


def test_an_error_in_a_rule_says_which_rule() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g @ np.ones((7, 7))))
    def broken(x: Any) -> Any:
        return x * 1.0

    with pytest.raises(ValueError, match="mismatch") as error:
        broken(Tensor([1.0, 2.0], requires_grad=True)).backward(np.ones(2))
    assert error.value.__notes__ == ["in the rule of argument 'x' of broken"]


def test_a_named_tuple_of_results_keeps_its_names() -> None:
    class Parts(NamedTuple):
        double: Any
        square: Any

    @tg.op(tg.wrt("x", lambda g, out, x: 2 * g[0] + 2 * x * g[1]))
    def parts(x: Any) -> Any:
        return Parts(2 * x, x * x)

    x = Tensor(3.0, requires_grad=True)
    found = parts(x)
    assert type(found) is Parts
    (found.double + found.square).backward()
    assert x.grad == 8.0
    assert type(parts(Tensor(3.0))) is Parts


def test_an_op_that_returns_no_array_is_refused_by_name() -> None:
    @tg.op(tg.wrt("x", lambda g, out, x: g))
    def number(x: Any) -> Any:
        return float(np.sum(x))

    with pytest.raises(tg.RuleError, match=r"number.*array.*float"):
        number(Tensor([1.0], requires_grad=True))


def test_what_was_a_constant_when_it_was_used_stays_one() -> None:
    condition, x = Tensor([0.0, 1.0]), Tensor([1.0, 2.0], requires_grad=True)
    y = np.where(condition, x, 0.0)
    condition.requires_grad = True
    np.sum(y).backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0])
    assert condition.grad is None


def test_many_results_of_one_op_are_added_without_copying(monkeypatch: Any) -> None:
    merged: list[int] = []
    original = backward._merged

    def counted(before: Any, share: Any, in_place: bool) -> Any:
        after = original(before, share, in_place)
        merged.append(after is before)
        return after

    monkeypatch.setattr(backward, "_merged", counted)
    x = Tensor(np.ones(50), requires_grad=True)
    sum(x).backward()
    np.testing.assert_array_equal(x.grad, np.ones(50))
    assert len(merged) == 49
    assert all(merged)


@pytest.mark.parametrize("f", [lambda x: np.modf(x)[0], lambda x: np.divmod(x, 2.0)[1]])
def test_leaves_do_not_share_what_an_op_with_several_results_passes_on(f: Any) -> None:
    x, y = Tensor([1.5, 2.5], requires_grad=True), Tensor([3.5, 4.5], requires_grad=True)
    (f(x) + f(y)).backward(np.ones(2))
    x.grad *= 2
    assert y.grad.tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6,)])
def test_a_gradient_is_an_array_of_its_own_whatever_shape_the_rule_gave_it(shape: Any) -> None:
    kept = np.arange(6.0)

    @tg.op(tg.wrt("x", lambda g, out, x: kept.reshape(shape)))
    def stuck(x: Any) -> Any:
        return x

    @tg.op(tg.wrt("x", lambda g, out, x: (g.ravel() * 2).reshape(shape)))
    def doubled(x: Any) -> Any:
        return x * 2

    x = Tensor(np.zeros(shape), requires_grad=True)
    stuck(x).backward(np.ones(shape))
    x.grad += 1
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]
    y = Tensor(np.zeros(shape), requires_grad=True)
    g = np.ones(shape)
    doubled(y).backward(g)
    y.grad += 1
    assert g.tolist() == np.ones(shape).tolist()
    assert y.grad.tolist() == np.full(shape, 3.0).tolist()
