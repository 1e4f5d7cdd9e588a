"""Recurrent layers: the fast ops, the cells applied step by step, and derivations by hand agree."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from examples import derivations_recurrent as by_hand
from tinygrad_edu.graph import snapshot
from tinygrad_edu.nn.cells import GRUCell, LSTMCell, RNNCell
from tinygrad_edu.nn.recurrent import GRU, LSTM, RNN
from tinygrad_edu.ops import recurrent

Array = Any
LAYERS: list[Any] = [RNN, GRU, LSTM]
CELLS: list[Any] = [RNNCell, GRUCell, LSTMCell]
GATES = {RNN: 1, GRU: 3, LSTM: 4, RNNCell: 1, GRUCell: 3, LSTMCell: 4}
each_layer = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
each_cell = pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def parts(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def outcome(layer: Any, x: Array, hx: Any = None, lengths: Any = None) -> list[Array]:
    """Outputs, final states, and the gradients of all that went in."""
    given = () if hx is None else parts(hx)
    leaves = [tg.Tensor(part, requires_grad=True) for part in (x, *given)]
    state = leaves[1] if len(given) == 1 else tuple(leaves[1:]) if given else None
    layer.zero_grad()
    output, end = layer(leaves[0], state, lengths)
    draw = rng(7)
    total = 0.0
    for result in (output, *parts(end)):
        total = total + np.sum(result * draw.normal(size=result.shape))
    total.backward()
    gradients = [p.grad for p in (*leaves, *layer.parameters())]
    return [result.data for result in (output, *parts(end))] + gradients


def agree(one: list[Array], other: list[Array], limit: float = 1e-12) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= limit * (1 + np.abs(b).max())


# --- fast = step by step -----------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(LAYERS))
    options: dict[str, Any] = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.4])),
    }
    if kind is RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    T, N, n_in, H = (draw(st.integers(1, 4)) for _ in range(4))
    batched = draw(st.booleans())
    lengths = draw(st.lists(st.integers(1, T), min_size=N, max_size=N)) if batched else None
    if draw(st.booleans()):
        lengths = None
    numbers = rng(draw(st.integers(0, 2**32 - 1)))
    shape = (T, n_in) if not batched else (N, T, n_in) if options["batch_first"] else (T, N, n_in)
    count = options["num_layers"] * (1 + options["bidirectional"])
    states = tuple(
        numbers.normal(size=(count, N, H) if batched else (count, H))
        for _ in range(2 if kind is LSTM else 1)
    )
    hx = draw(st.sampled_from([None, states if kind is LSTM else states[0]]))
    return kind, (n_in, H), options, numbers.normal(size=shape), hx, lengths


@given(cases())
def test_the_fast_op_equals_the_cell_step_by_step(case: Any) -> None:
    kind, sizes, options, x, hx, lengths = case
    fast, slow = (kind(*sizes, **options, stepwise=s, rng=rng(3)) for s in (False, True))
    agree(outcome(fast, x, hx, lengths), outcome(slow, x, hx, lengths))


@each_layer
def test_second_derivatives_agree_too(kind: Any) -> None:
    x, v = rng(1).normal(size=(2, 3, 2, 2))
    fast, slow = (kind(2, 2, bidirectional=True, stepwise=s, rng=rng(3)) for s in (False, True))

    def products(layer: Any) -> list[Array]:
        def loss(x: Any) -> Any:
            return np.sum(layer(x, lengths=[3, 2])[0] ** 3)

        leaf = tg.Tensor(x, requires_grad=True)
        gradient = tg.gradients(loss(leaf), leaf, create_graph=True)
        total = np.sum(gradient * v)
        mixed = tg.gradients(total, list(layer.parameters()))
        return [tg.hvp(loss, x, v), *(g.data for g in mixed)]

    agree(products(fast), products(slow))


def test_the_two_ways_back_through_an_lstm_agree() -> None:
    numbers = rng(2)
    z, W = numbers.normal(size=(4, 3, 8)), numbers.normal(size=(8, 2))
    h0, c0, (g_h, g_c) = *numbers.normal(size=(2, 3, 2)), numbers.normal(size=(2, 4, 3, 2))
    h, c = recurrent.lstm_steps(z, W, h0, c0)
    fast = recurrent._lstm_back_fast(g_h, g_c, h, c, recurrent._GATES[id(h)], W, c0)
    general = recurrent._lstm_back_general(g_h, g_c, h, c, z, W, h0, c0)
    agree(list(fast), list(general), 1e-14)
    del h
    assert not recurrent._GATES  # no longer than needed


# --- against difference quotients, and by hand ---------------------------------------------------


@each_layer
@pytest.mark.parametrize("lengths", [None, [1, 3]], ids=["full", "lengths"])
def test_gradients_of_both_orders_are_difference_quotients(kind: Any, lengths: Any) -> None:
    layer = kind(2, 2, 2, bidirectional=True, rng=rng(4))
    names = [name for name, _ in layer.named_parameters()][:4]

    def f(x: Any, *weights: Any) -> Any:
        vars(layer).update(zip(names, weights, strict=True))
        output, end = layer(x, lengths=lengths)
        return output, *parts(end)

    weights = [p.numpy().copy() for p in layer.parameters()][:4]
    tg.check_gradients(f, rng(5).normal(size=(3, 2, 2)), *weights, order=2, max_elements=6)


def gradients_of(cell: Any, gs: list[Array], x: Array, *state: Array) -> tuple[Any, list[Array]]:
    """What a cell gives, and the gradients of x, state, and parameters."""
    leaves = [tg.Tensor(part, requires_grad=True) for part in (x, *state)]
    new = parts(cell(leaves[0], leaves[1] if len(state) == 1 else tuple(leaves[1:])))
    sum(np.sum(g * part) for g, part in zip(gs, new, strict=True)).backward()
    return [part.data for part in new], [t.grad for t in (*leaves, *cell.parameters())]


@given(*(st.integers(1, 4),) * 3, st.sampled_from([0.1, 1.0, 5.0]), st.integers(0, 2**32 - 1))
def test_cells_equal_their_derivations(n_in: int, N: int, H: int, size: float, seed: int) -> None:
    numbers = rng(seed)
    x, (g, g_c, h, c) = numbers.normal(size=(N, n_in)), size * numbers.normal(size=(4, N, H))
    for kind in CELLS:
        cell = kind(n_in, H, rng=numbers)
        for p in cell.parameters():
            p.data = size * numbers.normal(size=p.shape)
        W, U, b, d = (p.numpy().copy() for p in cell.parameters())
        if kind is RNNCell:
            value, derived = by_hand.rnn_cell(g, x, h, W, U, b + d)
            engine = gradients_of(cell, [g], x, h)
        elif kind is GRUCell:
            value, derived = by_hand.gru_cell(g, x, h, W, U, b, d)
            engine = gradients_of(cell, [g], x, h)
        else:
            (value, memory), derived = by_hand.lstm_cell(g, g_c, x, h, c, W, U, b + d)
            engine = gradients_of(cell, [g, g_c], x, h, c)
            agree(engine[0][1:], [memory], 1e-10)
        derived = derived if kind is GRUCell else (*derived, derived[-1])  # of both biases
        agree(engine[0][:1], [value], 1e-10)
        agree(engine[1], list(derived), 1e-10)


@given(*(st.integers(1, 5),) * 4, st.integers(0, 2**32 - 1))
def test_rnn_equals_back_propagation_through_time(
    T: int, N: int, n_in: int, H: int, seed: int
) -> None:
    numbers = rng(seed)
    layer = RNN(n_in, H, rng=numbers)
    W, U, b, d = (p.numpy().copy() for p in layer.parameters())
    x, h, g = (numbers.normal(size=shape) for shape in ((T, N, n_in), (1, N, H), (T, N, H)))
    leaves = [tg.Tensor(part, requires_grad=True) for part in (x, h)]
    output, _ = layer(*leaves)
    np.sum(g * output).backward()
    value, derived = by_hand.rnn_through_time(g, x, h[0], W, U, b + d)
    g_x, g_h, *others = derived
    found = [leaves[0].grad, leaves[1].grad[0], *(p.grad for p in layer.parameters())]
    agree([output.data, *found], [value, g_x, g_h, *others, others[-1]], 1e-10)


def test_the_derivations_run_as_a_script() -> None:
    file = Path(by_hand.__file__)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(file.parent.parent)},  # installed or not
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("engine = derivation") == 4


@pytest.mark.parametrize("pair", list(zip(LAYERS, CELLS, strict=True)), ids=str)
def test_a_layer_is_its_cell_at_every_step(pair: Any) -> None:
    kind, cell_kind = pair
    layer, cell = kind(3, 2, rng=rng(6)), cell_kind(3, 2, rng=rng(6))  # draw the same numbers
    x, state = rng(8).normal(size=(4, 2, 3)), None
    output, end = layer(x)
    for x_t, expected in zip(x, output, strict=True):
        state = cell(x_t, state)
        np.testing.assert_allclose(parts(state)[0].data, expected.data, rtol=1e-13)
    for one, other in zip(parts(state), parts(end), strict=True):
        np.testing.assert_allclose(one.data, other.data[0], rtol=1e-13)


@each_layer
def test_batch_first_only_swaps_the_axes_of_inputs_and_outputs(kind: Any) -> None:
    x, hx = rng(1).normal(size=(4, 3, 2)), rng(2).normal(size=(2, 1, 3, 2))
    state = tuple(hx) if kind is LSTM else hx[0]
    usual, swapped = (kind(2, 2, batch_first=b, rng=rng()) for b in (False, True))
    output, end = usual(x, state, [1, 4, 2])
    other, same = swapped(x.swapaxes(0, 1), state, [1, 4, 2])
    assert np.array_equal(other.data, output.data.swapaxes(0, 1))
    assert all(np.array_equal(a.data, b.data) for a, b in zip(parts(end), parts(same), strict=True))


@each_layer
def test_one_sequence_is_a_batch_of_one_without_the_axis(kind: Any) -> None:
    x, hx = rng(1).normal(size=(4, 2)), rng(2).normal(size=(2, 4, 2))
    layer = kind(2, 2, 2, bidirectional=True, batch_first=True, rng=rng())
    output, end = layer(x, tuple(hx) if kind is LSTM else hx[0])
    batch = hx[:, :, None]
    other, same = layer(x[None], tuple(batch) if kind is LSTM else batch[0])
    assert np.array_equal(output.data, other.data[0])
    for a, b in zip(parts(end), parts(same), strict=True):
        assert np.array_equal(a.data, b.data[:, 0])


# --- lengths -------------------------------------------------------------------------------------


@each_layer
@pytest.mark.parametrize("stepwise", [False, True])
def test_each_sequence_of_a_batch_is_as_if_it_were_alone(kind: Any, stepwise: bool) -> None:
    layer = kind(3, 2, 2, bidirectional=True, stepwise=stepwise, rng=rng(9))
    x, lengths = rng(10).normal(size=(5, 4, 3)), [3, 5, 1, 4]
    output, end = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, its_end = layer(x[:length, n])
        np.testing.assert_allclose(output.data[:length, n], alone.data, rtol=1e-12)
        assert not output.data[length:, n].any()
        for one, other in zip(parts(end), parts(its_end), strict=True):
            np.testing.assert_allclose(one.data[:, n], other.data, rtol=1e-12)


@each_layer
def test_the_backward_direction_is_a_layer_on_the_reversed_sequence(kind: Any) -> None:
    both, one = kind(3, 2, bidirectional=True, rng=rng(11)), kind(3, 2, rng=rng(0))
    for name, p in one.named_parameters():
        p.data = getattr(both, f"{name}_reverse").data
    x, lengths = rng(12).normal(size=(4, 2, 3)), (2, 4)
    output, _ = both(x, lengths=lengths)
    for n, length in enumerate(lengths):
        backwards, _ = one(x[:length, n][::-1])
        np.testing.assert_allclose(output.data[:length, n, 2:], backwards.data[::-1], rtol=1e-12)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("stepwise", [False, True])
def test_what_lies_beyond_the_end_may_be_anything(nonlinearity: str, stepwise: bool) -> None:
    layer = RNN(1, 2, nonlinearity=nonlinearity, stepwise=stepwise, rng=rng(13))
    layer.weight_hh_l0.data = 1e6 * np.eye(2)  # with relu the state grows until it overflows
    x = rng(14).uniform(size=(80, 2, 1))
    short = outcome(layer, x[:2], lengths=[1, 2])
    x[1:, 0] = x[2:, 1] = np.nan
    long = outcome(layer, x, lengths=[1, 2])
    assert not long[0][2:].any() and not long[2][2:].any()
    # other random weights for more outputs: the values must agree, gradients be finite
    np.testing.assert_allclose(long[0][:2], short[0], rtol=1e-12)
    np.testing.assert_allclose(long[1], short[1], rtol=1e-12)
    assert all(np.isfinite(part).all() for part in long)


# --- names, shapes, numbers ---------------------------------------------------------------------


@each_layer
def test_parameters_have_the_names_and_shapes_of_pytorch(kind: Any) -> None:
    layer, n = kind(3, 5, 2, bidirectional=True, rng=rng()), 5 * GATES[kind]
    found = [(name, p.shape) for name, p in layer.named_parameters()]
    assert found == [
        (f"{name}_l{i}{end}", shape)
        for i in (0, 1)
        for end in ("", "_reverse")
        for name, shape in (
            ("weight_ih", (n, 10 if i else 3)),
            ("weight_hh", (n, 5)),
            ("bias_ih", (n,)),
            ("bias_hh", (n,)),
        )
    ]
    bare = kind(3, 5, bias=False, rng=rng())
    assert [name for name, _ in bare.named_parameters()] == ["weight_ih_l0", "weight_hh_l0"]


@each_cell
def test_cells_have_the_names_and_shapes_of_pytorch(kind: Any) -> None:
    n = 5 * GATES[kind]
    found = [(name, p.shape) for name, p in kind(3, 5, rng=rng()).named_parameters()]
    shapes = {"weight_ih": (n, 3), "weight_hh": (n, 5), "bias_ih": (n,), "bias_hh": (n,)}
    assert found == list(shapes.items())
    assert len(list(kind(3, 5, bias=False, rng=rng()).parameters())) == 2
    assert parts(kind(3, 5, rng=rng())(np.ones(3)))[0].shape == (5,)


def test_weights_start_evenly_on_one_over_the_root_of_the_hidden_size() -> None:
    layer = LSTM(50, 64, rng=rng(15))
    numbers = np.concatenate([p.numpy().ravel() for p in layer.parameters()])
    assert 0.99 / 8 < np.abs(numbers).max() <= 1 / 8
    assert abs(numbers.std() * np.sqrt(3) - 1 / 8) < 1e-3
    same = LSTM(50, 64, rng=rng(15))
    for p, q in zip(layer.parameters(), same.parameters(), strict=True):
        assert np.array_equal(p.data, q.data)


@each_layer
@pytest.mark.parametrize("stepwise", [False, True])
def test_float32_stays_float32(kind: Any, stepwise: bool) -> None:
    layer = kind(2, 3, 2, bidirectional=True, stepwise=stepwise, rng=rng(), dtype=np.float32)
    for lengths in (None, [2, 3]):
        found = outcome(layer, np.ones((3, 2, 2), np.float32), lengths=lengths)
        assert {part.dtype for part in found} == {np.dtype(np.float32)}


def test_dropout_is_between_layers_and_in_training_only() -> None:
    x = np.ones((3, 200, 2))
    one, two = (LSTM(2, 3, layers, dropout=0.5, rng=rng(1)) for layers in (1, 2))
    assert np.array_equal(one(x)[0].data, one(x)[0].data)  # there is nothing between
    assert not np.array_equal(two(x)[0].data, two(x)[0].data)
    ends = two(x)[1][0].data
    assert np.ptp(ends[0], axis=0).max() == 0  # the first layer's own state is not touched
    assert np.ptp(ends[1], axis=0).max() > 0
    two.eval()
    assert np.array_equal(two(x)[0].data, two(x)[0].data)


def test_numbers_are_saved_and_loaded() -> None:
    one, other = (GRU(2, 3, bidirectional=True, rng=rng(seed)) for seed in (1, 2))
    x = rng(3).normal(size=(4, 2, 2))
    assert not np.array_equal(one(x)[0].data, other(x)[0].data)
    other.load_state_dict(one.state_dict())
    assert np.array_equal(one(x)[0].data, other(x)[0].data)


# --- one pass through time, kept no longer than needed --------------------------------------------


@each_layer
def test_all_rules_share_one_pass_through_time(kind: Any) -> None:
    passes = []
    layer = kind(2, 2, rng=rng())
    x, h = tg.Tensor(np.ones((3, 1, 2)), True), tg.Tensor(np.ones((1, 1, 2)), True)
    output, _ = layer(x, (h, h) if kind is LSTM else h)
    original = np.zeros_like

    def counted(array: Any, *args: Any, **options: Any) -> Any:
        if array.shape == (1, 2):  # the state where a pass begins
            passes.append(1)
        return original(array, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent.np, "zeros_like", counted)
        np.sum(output).backward(retain_graph=True)
        assert len(passes) == 1
        first = x.grad.copy()
        np.sum(output).backward()
        assert len(passes) == 2
    np.testing.assert_allclose(x.grad, 2 * first, rtol=1e-15)


@each_layer
def test_two_layers_that_get_the_same_cotangent_are_not_confused(kind: Any) -> None:
    x = rng(3).normal(size=(3, 1, 2))

    def gradients(stepwise: bool) -> list[Array]:
        one, other = (kind(2, 2, stepwise=stepwise, rng=rng(seed)) for seed in (1, 2))
        for layer in (one, other):
            layer.requires_grad_(False)
        one.weight_hh_l0.requires_grad = other.weight_ih_l0.requires_grad = True
        np.sum((one(x)[0] + other(x)[0]) ** 2).backward(retain_graph=True)
        return [one.weight_hh_l0.grad, other.weight_ih_l0.grad]

    agree(gradients(stepwise=False), gradients(stepwise=True))


def test_the_shared_answer_is_forgotten_after_the_pass() -> None:
    answers = []

    @recurrent._shared
    def find(x: Array) -> Array:
        answers.append(weakref.ref(found := 2 * x))
        return found

    x = np.ones(3)
    assert find("W", x) is find("z", x)
    assert len(answers) == 1
    assert find("z", x) is not None  # the same rule again: another pass
    assert len(answers) == 2 and answers[0]() is None
    del x
    assert answers[1]() is None


@each_layer
def test_a_step_of_training_leaves_no_cycles(kind: Any) -> None:
    layer = kind(2, 2, 2, bidirectional=True, rng=rng())
    x = np.ones((3, 2, 2))

    def step() -> None:
        output, _ = layer(x, lengths=[2, 3])
        np.sum(output).backward()

    step()
    gc.collect()
    gc.disable()
    try:
        step()
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- pictures, programs, other arrays -------------------------------------------------------------


def test_step_by_step_every_step_is_a_scope() -> None:
    layer = GRU(2, 3, stepwise=True, rng=rng())
    vertices = snapshot([layer(np.ones((4, 1, 2)))[0]]).vertices
    cells = {vertex.entries for vertex in vertices if vertex.scope == "GRU/l0/cell"}
    assert len(cells) == 4


@each_layer
def test_a_layer_can_be_read_as_a_program(kind: Any) -> None:
    layer, x = kind(2, 2, rng=rng(1)), rng(2).normal(size=(2, 1, 2))

    def loss(x: Any) -> Any:
        return np.sum(layer(x)[0])

    program = tg.trace(loss, x)
    value, gradient = program(x)
    leaf = tg.Tensor(x, requires_grad=True)
    total = loss(leaf)
    total.backward()
    agree([np.asarray(value), np.reshape(gradient, x.shape)], [total.data, leaf.grad])


@each_layer
def test_a_layer_works_on_dask(kind: Any) -> None:
    da = pytest.importorskip("dask.array")
    layer, x = kind(2, 2, bidirectional=True, rng=rng(1)), rng(2).normal(size=(3, 2, 2))
    lazy = layer(tg.Tensor(da.from_array(x, chunks=(1, 2, 2))))[0]
    np.testing.assert_allclose(lazy.data.compute(), layer(x)[0].data, rtol=1e-12)


# --- wrong calls ---------------------------------------------------------------------------------

X = np.ones((4, 2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f(np.ones((4, 2, 5))), tg.InputError,
         r"GRU: expected input of shape \(T, N, 3\) or \(T, 3\).*got \(4, 2, 5\)"),
        (lambda f: f(np.ones(3)), tg.InputError, r"got \(3,\)"),
        (lambda f: f(np.ones((0, 2, 3))), tg.InputError, r"T, N >= 1, got \(0, 2, 3\)"),
        (lambda f: f(np.ones((4, 0, 3))), tg.InputError, r"T, N >= 1, got \(4, 0, 3\)"),
        (lambda f: f([[1.0, 2.0, 3.0]]), tg.InputError, "got list, which has no shape"),
        (lambda f: f(np.ones((4, 2, 3), int)), tg.DtypeError, "expected floats, got dtype int64"),
        (lambda f: f(X, np.ones((1, 2, 4))), tg.InputError,
         r"initial state h of shape \(1, 2, 5\), got \(1, 2, 4\)"),
        (lambda f: f(X, (np.ones((1, 2, 5)),) * 2), tg.InputError, "got tuple"),
        (lambda f: f(X, lengths=[0, 4]), tg.InputError, "expected 1 to 4, the length of x, got 0"),
        (lambda f: f(X, lengths=[2, 5]), tg.InputError, "expected 1 to 4, the length of x, got 5"),
        (lambda f: f(X, lengths=[2]), tg.InputError, r"shape \(2,\), one per sequence, got \(1,\)"),
        (lambda f: f(X, lengths=4), tg.InputError, r"shape \(2,\), one per sequence, got \(\)"),
        (lambda f: f(X, lengths=[2.0, 3.0]), tg.DtypeError, "expected integers, got float64"),
        (lambda f: f(X, lengths=[True, True]), tg.DtypeError, "expected integers, got bool"),
        (lambda f: f(X[:, 0], lengths=[4]), tg.InputError, "none for a single sequence"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stepwise", [False, True])
def test_wrong_input_is_refused(call: Any, error: Any, message: str, stepwise: bool) -> None:
    with pytest.raises(error, match=message):
        call(GRU(3, 5, stepwise=stepwise, rng=rng()))


def test_the_state_of_an_lstm_must_be_a_pair() -> None:
    layer, cell, h = LSTM(3, 5, rng=rng()), LSTMCell(3, 5, rng=rng()), np.ones((2, 5))
    wanted = r"initial state h, c of shape \(1, 2, 5\) each, as a tuple, got ndarray"
    with pytest.raises(tg.InputError, match=wanted):
        layer(X, np.ones((1, 2, 5)))
    with pytest.raises(tg.InputError, match=r"h, c of shape \(2, 5\).*got \(2, 5\)"):
        cell(X[0], (h,))
    with pytest.raises(tg.InputError, match=r"LSTMCell: expected input of shape \(N, 3\)"):
        cell(X, (h, h))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RNN(0, 5, rng=rng()), tg.InputError, "input_size to be a positive integer"),
        (lambda: GRU(3, -1, rng=rng()), tg.InputError, "hidden_size to be a positive integer"),
        (lambda: LSTM(3, 5, 0, rng=rng()), tg.InputError, "num_layers to be a positive integer"),
        (lambda: LSTM(3, 5, dropout=1.5, rng=rng()), tg.InputError, "dropout between 0 and 1"),
        (lambda: RNN(3, 5, nonlinearity="sin", rng=rng()), tg.InputError, "'tanh' or 'relu'"),
        (lambda: RNNCell(3, 5, nonlinearity="sin", rng=rng()), tg.InputError, "'tanh' or 'relu'"),
        (lambda: GRU(3, 5), tg.DtypeError, "GRU: expected rng to be a numpy.random.Generator"),
        (lambda: GRUCell(3, 5), tg.DtypeError, "GRUCell: expected rng"),
    ],
)
def test_wrong_settings_are_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0"])
def test_either_bias_may_be_left_out(kind: Any, name: str) -> None:
    layer, steps = (
        kind(2, 3, stepwise=stepwise, rng=np.random.default_rng(0)) for stepwise in (False, True)
    )
    for one in (layer, steps):
        for bias in (one.bias_ih_l0, one.bias_hh_l0):
            bias.data = np.arange(1.0, bias.size + 1) / 10
        setattr(one, name, None)
    x = np.random.default_rng(1).normal(size=(4, 2, 2))
    np.testing.assert_allclose(layer(x)[0].data, steps(x)[0].data, rtol=1e-12)
