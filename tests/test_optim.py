"""Optimisers against sequences written out from the papers; schedules, clipping, exact state."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import RowSparse, Tensor, optim
from tinygrad_edu.optim import SGD, Adam, AdamW, RMSprop

STEPS = 20
EXACT = {np.float64: 1e-13, np.float32: 2e-5}  # for the same formulas in another order


# -- the reference sequences: formulas of the papers, one array, nothing in place -----------------
# Each gets θ and an iterator of functions θ -> g, and gives θ after every step.


def sgd(x: Any, gradients: Any, lr: float, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False) -> Iterator[Any]:  # fmt: skip
    b = None
    for gradient in gradients:
        g = gradient(x) + weight_decay * x
        b = g if b is None else momentum * b + (1 - dampening) * g
        x = x - lr * (g + momentum * b if nesterov else b if momentum else g)
        yield x


def rmsprop(x: Any, gradients: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8,
            weight_decay: float = 0, momentum: float = 0,
            centered: bool = False) -> Iterator[Any]:  # fmt: skip
    v = a = b = 0 * x
    for gradient in gradients:
        g = gradient(x) + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(v - a**2 if centered else v) + eps)
        x = x - lr * b
        yield x


def adam(x: Any, gradients: Any, lr: float, betas: Any = (0.9, 0.999), eps: float = 1e-8,
         weight_decay: float = 0, decoupled: bool = False) -> Iterator[Any]:  # fmt: skip
    m = v = 0 * x
    for t, gradient in enumerate(gradients, start=1):
        g = gradient(x) + (0 if decoupled else weight_decay * x)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        decay = lr * weight_decay * x if decoupled else 0
        x = x - decay - lr * m_hat / (np.sqrt(v_hat) + eps)
        yield x


def adamw(x: Any, gradients: Any, lr: float, weight_decay: float = 1e-2, **options: Any) -> Any:
    return adam(x, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


CASES = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.8, "dampening": 0.4, "weight_decay": 0.1}),
    (SGD, sgd, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (RMSprop, rmsprop, {"lr": 0.01}),
    (RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.2}),
    (RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9, "centered": True, "eps": 0.1}),
    (RMSprop, rmsprop, {"lr": 0.01, "momentum": 0.9}),
    (RMSprop, rmsprop, {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 0.1,
                        "weight_decay": 0.1}),
    (Adam, adam, {"lr": 0.1}),
    (Adam, adam, {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-2, "weight_decay": 0.3}),
    (Adam, adam, {"lr": 0.1, "betas": (0.0, 0.9)}),
    (AdamW, adamw, {"lr": 0.1}),
    (AdamW, adamw, {"lr": 0.1, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.5}),
]  # fmt: skip
IDS = [f"{kind.__name__}-{i}" for i, (kind, _, _) in enumerate(CASES)]
each_case = pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
each_kind = pytest.mark.parametrize(
    "make",
    [
        lambda ps: SGD(ps, lr=0.1),
        lambda ps: SGD(ps, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.1),
        lambda ps: RMSprop(ps, momentum=0.5, centered=True),
        lambda ps: Adam(ps, lr=0.01, weight_decay=0.1),
        lambda ps: AdamW(ps, lr=0.01),
    ],
    ids=["SGD", "momentum", "RMSprop", "Adam", "AdamW"],
)


def leaf(data: Any, dtype: Any = float, name: str | None = None) -> Tensor:
    return Tensor(np.array(data, dtype), requires_grad=True, name=name)


def normal(seed: int, *shape: int, dtype: Any = float) -> Any:
    return np.array(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@each_case
def test_twenty_steps_are_those_of_the_formulas(
    kind: Any, reference: Any, options: Any, dtype: Any
) -> None:
    # Of a loss of which every element has another slope, and noise in it.
    x, scale, noise = (normal(seed, 3, 4) for seed in (0, 1, 2))
    p = leaf(x, dtype)
    optimizer = kind([p], **options)
    gradients = [lambda x, k=k: scale**2 * x + np.sin(k * noise) for k in range(STEPS)]
    for k, expected in enumerate(reference(x, gradients, **options)):
        wave = np.sin(k * noise).astype(dtype)
        (np.sum((scale**2).astype(dtype) * p**2) / 2 + np.sum(p * wave)).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert p.dtype == dtype
        np.testing.assert_allclose(p.data, expected, rtol=0, atol=EXACT[dtype])


@each_case
def test_the_state_stays_in_the_dtype_of_its_parameter(
    kind: Any, reference: Any, options: Any
) -> None:
    p = leaf([1.0, 2.0], np.float32)
    p.grad = np.ones(2, np.float32)
    optimizer = kind([p], **{**options, "lr": np.float64(0.1)})
    optimizer.param_groups[0]["lr"] = np.float64(0.1)
    optimizer.step()
    arrays = [a for a in optimizer.state[p].values() if isinstance(a, np.ndarray)]
    assert {a.dtype for a in [p.data, *arrays]} == {np.dtype(np.float32)}


@each_case
def test_options_may_be_numpy_numbers(kind: Any, reference: Any, options: Any) -> None:
    # As such they would make float64 of float32 on the way, and other bits.
    p, q = leaf(normal(0, 50), np.float32), leaf(normal(0, 50), np.float32)
    odd = {key: x if isinstance(x, bool | tuple) else np.float64(x) for key, x in options.items()}
    optimizers = kind([p], **options), kind([q], **odd)
    optimizers[1].param_groups[0]["lr"] = np.float64(options["lr"])
    for k in range(3):
        p.grad = q.grad = np.sin(k + normal(1, 50, dtype=np.float32))
        for optimizer in optimizers:
            optimizer.step()
    assert p.data.tobytes() == q.data.tobytes()


# -- on a quadratic ----------------------------------------------------------------------------


def test_gradient_descent_on_a_parabola_is_a_geometric_sequence() -> None:
    p = leaf([3.0, -2.0])
    slopes = np.array([1.0, 4.0])
    optimizer = SGD([p], lr=0.1)
    for t in range(1, STEPS + 1):
        p.grad = slopes * p.data
        optimizer.step()
        np.testing.assert_allclose(p.data, [3.0, -2.0] * (1 - 0.1 * slopes) ** t, rtol=1e-12)


def test_momentum_on_a_parabola_converges_at_its_known_rate() -> None:
    # Polyak: with β = (1 - √(lr a))² both roots of z² - (1 + β - lr a) z + β are √β, and
    # x_t = (x_0 + c t) √βᵗ, where the first step, x_1 = (1 - lr a) x_0, gives c.
    lr, a = 0.1, 2.5
    beta = (1 - math.sqrt(lr * a)) ** 2
    p = leaf(1.0)
    optimizer = SGD([p], lr=lr, momentum=beta)
    c = (1 - lr * a) / math.sqrt(beta) - 1
    for t in range(1, STEPS + 1):
        p.grad = np.asarray(a * p.data)
        optimizer.step()
        np.testing.assert_allclose(p.data, (1 + c * t) * math.sqrt(beta) ** t, rtol=1e-9)


@pytest.mark.parametrize("kind", [RMSprop, Adam, AdamW])
def test_adaptive_steps_reach_the_bottom_of_a_narrow_valley(kind: Any) -> None:
    # Slopes of 1 and 10,000: gradient descent needs some 10,000 steps, or diverges.
    p = leaf([1.0, 1.0])
    optimizer = kind([p], lr=0.05)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=300)
    for _ in range(300):
        p.grad = np.array([1.0, 10_000.0]) * p.data
        optimizer.step()
        schedule.step()
    assert np.abs(p.data).max() < 0.01


# -- properties --------------------------------------------------------------------------------

arrays = st.tuples(st.lists(st.integers(0, 3), max_size=3), st.integers(0, 99)).map(
    lambda drawn: normal(drawn[1], *drawn[0])
)
cases = st.sampled_from(CASES)


@given(arrays, cases)
def test_every_element_moves_as_if_it_were_alone(x: Any, case: Any) -> None:
    kind, _, options = case
    whole, alone = leaf(x), [leaf(element) for element in x.ravel()]
    optimizers = [kind([whole], **options)] + ([kind(alone, **options)] if alone else [])
    for k in range(3):
        g = np.cos(k + x)
        whole.grad = np.array(g)
        for p, element in zip(alone, g.ravel(), strict=True):
            p.grad = np.array(element)
        for optimizer in optimizers:
            optimizer.step()
    assert whole.shape == x.shape
    np.testing.assert_allclose(whole.data.ravel(), [p.item() for p in alone], rtol=1e-14)


@given(arrays, cases)
def test_a_step_leaves_the_gradient_as_it_is(x: Any, case: Any) -> None:
    kind, _, options = case
    p = leaf(x)
    optimizer = kind([p], **options)
    g = np.array(np.sin(x))
    p.grad = g.copy()
    p.grad.flags.writeable = False
    for _ in range(2):
        optimizer.step()
    np.testing.assert_array_equal(p.grad, g)
    assert not any(np.shares_memory(p.grad, a) for a in optimizer.state[p].values())


@given(arrays, st.floats(1e-3, 1e3))
def test_adam_does_not_care_for_the_scale_of_the_loss(x: Any, scale: float) -> None:
    p, q = leaf(x), leaf(x)
    for t, factor in ((p, 1.0), (q, scale)):
        optimizer = Adam([t], lr=0.1, eps=0.0)
        for k in range(3):
            t.grad = np.asarray(factor * (1.5 + np.cos(k + x)))
            optimizer.step()
    np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


def test_the_first_step_of_adam_is_the_learning_rate() -> None:
    p = leaf([1.0, 1.0, 1.0])
    p.grad = np.array([1e-3, -50.0, 0.0])
    Adam([p], lr=0.1).step()
    np.testing.assert_allclose(p.data, [0.9, 1.1, 1.0], rtol=1e-5)


def test_centering_survives_a_constant_gradient() -> None:
    # The mean square minus the squared mean is zero then, or by rounding less.
    p = leaf([1.0])
    optimizer = RMSprop([p], alpha=0.5, centered=True)
    for _ in range(100):
        p.grad = np.array([1.7])
        optimizer.step()
    assert np.isfinite(p.data).all()


# -- gradients of rows -------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=4))
def test_plain_sgd_on_rows_is_the_same_to_the_bit(uses: list[list[int]]) -> None:
    x = normal(0, 5, 2)
    sparse, dense = leaf(x), leaf(x)
    for p, flag in ((sparse, True), (dense, False)):
        optimizer = SGD([p], lr=0.3)
        for index in uses:
            rows = tg.embedding(p, np.array(index, int), sparse=flag)
            (rows**2).sum().backward()
            assert isinstance(p.grad, RowSparse) == flag
            optimizer.step()
            optimizer.zero_grad()
    np.testing.assert_allclose(sparse.data, dense.data, rtol=1e-15)


@each_case
def test_only_the_rows_used_are_touched(kind: Any, reference: Any, options: Any) -> None:
    x = normal(0, 4, 3)
    p = leaf(x)
    optimizer = kind([p], **options)
    gradients = normal(1, STEPS, 2, 3)
    for g in gradients:
        p.grad = RowSparse([3, 1], g[::-1], (4, 3))  # unsorted
        optimizer.step()
    *_, expected = reference(x[[1, 3]], [lambda x, g=g: g for g in gradients], **options)
    np.testing.assert_allclose(p.data[[1, 3]], expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(p.data[[0, 2]], x[[0, 2]])
    for key, a in optimizer.state[p].items():
        assert key == "step" or not a[[0, 2]].any()


def test_rows_wait_until_they_are_used() -> None:
    p = leaf(np.ones((2, 1)))
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    for row in (0, 1, 0):
        p.grad = RowSparse([row], [[1.0]], (2, 1))
        optimizer.step()
    # Row 0: b = 1, then 0.5 + 1; without waiting it would have gone on by 0.5 in between.
    np.testing.assert_array_equal(p.data, [[1 - 1 - 1.5], [1 - 1]])
    assert optimizer.state[p]["step"] == 3


# -- with the engine ---------------------------------------------------------------------------


@each_kind
def test_a_gradient_is_of_the_values_it_was_computed_from(make: Any) -> None:
    p = leaf([1.0, 2.0])
    optimizer = make([p])
    p.grad = np.ones(2)
    loss = np.sum(p**3)
    optimizer.step()
    moved = p.data.copy()
    p.zero_grad()
    loss.backward()
    np.testing.assert_array_equal(p.grad, [3.0, 12.0])
    np.testing.assert_array_equal(p.data, moved)
    assert (moved != [1.0, 2.0]).all()


def test_a_step_after_backward_copies_nothing() -> None:
    p = leaf([1.0, 2.0])
    optimizer = SGD([p], lr=0.1)
    address = p.data.ctypes.data
    for _ in range(3):
        np.sum(p**2).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert p.data.ctypes.data == address


@each_kind
def test_what_has_no_gradient_is_left_alone(make: Any) -> None:
    p, q = leaf([1.0]), leaf([1.0])
    optimizer = make([p, q])
    p.grad = np.array([1.0])
    optimizer.step()
    assert p.item() != 1.0
    assert q.item() == 1.0
    assert q not in optimizer.state
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.step()
    assert optimizer.state.get(p, {})["step"] == 1


def test_groups_have_options_of_their_own() -> None:
    p, q, r = leaf([0.0]), leaf([0.0]), leaf([0.0])
    optimizer = SGD([{"params": [p], "lr": 1.0}, {"params": [("q", q)]}], lr=0.5)
    optimizer.add_param_group({"params": r, "momentum": 0.9})
    for t in (p, q, r):
        t.grad = np.array([1.0])
    for _ in range(2):
        optimizer.step()
    assert [p.item(), q.item()] == [-2.0, -1.0]
    assert r.item() == pytest.approx(-0.5 - 0.5 * 1.9)
    assert [group["names"] for group in optimizer.param_groups] == [(None,), ("q",), (None,)]


def test_an_option_may_be_changed_between_steps() -> None:
    p = leaf([0.0])
    optimizer = SGD([p], lr=1.0)
    p.grad = np.array([1.0])
    optimizer.step()
    optimizer.param_groups[0] |= {"lr": 0.5, "momentum": 0.5}
    optimizer.step()
    optimizer.step()
    assert p.item() == -1 - 0.5 - 0.5 * 1.5


def test_its_repr_tells_the_options() -> None:
    assert repr(SGD([leaf([0.0])], lr=0.5)) == (
        "SGD(lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False) "
        "for 1 parameters"
    )


P = leaf([1.0], name="W")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SGD([]), tg.InputError, "expected parameters, got an empty list"),
        (lambda: SGD(P), tg.DtypeError, r"expected a list of parameters, got one: pass \[p\]"),
        (lambda: SGD(tg.nn.Identity()), tg.DtypeError, "got Identity: pass model.parameters"),
        (lambda: SGD(tg.nn.Identity().parameters), tg.DtypeError, "got method: pass model.param"),
        (lambda: SGD({"w": P}), tg.DtypeError, "a list of parameters, got dict"),
        (lambda: SGD([{"params": 3}]), tg.DtypeError, "a list of parameters, got int"),
        (lambda: SGD([P, P]), tg.InputError, "parameter W comes twice"),
        (lambda: SGD([{"params": [P]}, {"params": [P]}]), tg.InputError, "W comes twice"),
        (lambda: SGD([("a", P), ("b", P)]), tg.InputError, "parameter b comes twice"),
        (lambda: SGD([P * 2]), tg.GraphError, "parameter 0 is the result of an op"),
        (lambda: SGD([Tensor([1.0])]), tg.GraphError, "parameter 0 gets no gradient"),
        (lambda: SGD([np.ones(2)]), tg.DtypeError, "parameter 0: expected a Tensor, got ndarray"),
        (lambda: SGD([{"lr": 0.1}]), tg.InputError, "expected a group with 'params'"),
        (lambda: SGD([{"params": [P]}, P]), tg.InputError, "expected a group with 'params'"),
        (lambda: SGD([{"params": [P], "beta": 1}]), tg.InputError, "no option 'beta'; options: lr"),
        (lambda: SGD([P], lr=-0.1), tg.InputError, "expected a finite lr from 0 up, got -0.1"),
        (lambda: Adam([P], lr=math.nan), tg.InputError, "finite lr from 0 up, got nan"),
        (lambda: Adam([P], lr="fast"), tg.DtypeError, "expected a number for lr, got 'fast'"),
        (lambda: Adam([P], lr=(0.1, 0.2)), tg.DtypeError, "expected a number for lr"),
        (lambda: Adam([P], eps=-1), tg.InputError, "finite eps from 0 up, got -1"),
        (lambda: Adam([P], betas=(0.9, 1.0)), tg.InputError, "betas from 0 to below 1, got 1.0"),
        (lambda: Adam([P], betas=(0.9,)), tg.InputError, "Adam: expected two betas"),
        (lambda: AdamW([P], betas=0.9), tg.InputError, "AdamW: expected two betas, got 0.9"),
        (lambda: RMSprop([P], alpha=1), tg.InputError, "alpha from 0 to below 1"),
        (lambda: AdamW([P], weight_decay=math.inf), tg.InputError, "from 0 up, got inf"),
        (lambda: SGD([P], nesterov=True), tg.InputError, "nesterov=True expected momentum > 0"),
        (lambda: SGD([P], momentum=0.9, dampening=0.1, nesterov=True), tg.InputError,
         "dampening 0.1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_when_it_is_made(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_parameter_of_another_kind_of_array_is_refused() -> None:
    dask = pytest.importorskip("dask.array")
    p = Tensor(dask.ones(3), requires_grad=True)
    with pytest.raises(tg.DtypeError, match="holds an ndarray, got Array"):
        SGD([p])


@pytest.mark.parametrize("g", [np.ones(3), 1.0, leaf([1.0, 1.0]), RowSparse([0], [1.0], (3,))])
def test_a_gradient_that_does_not_fit_is_refused(g: Any) -> None:
    p = leaf([1.0, 2.0], name="W")
    p.grad = g
    with pytest.raises(tg.InputError, match=r"SGD: expected for Tensor.* of shape \(2,\), got "):
        SGD([p]).step()
    assert p.data.tolist() == [1.0, 2.0]


def test_a_gradient_that_does_not_fit_is_refused_before_any_parameter_moves() -> None:
    p, q = leaf([1.0, 2.0], name="p"), leaf([3.0], name="q")
    optimizer = SGD([p, q], lr=1.0, momentum=0.9)
    p.grad = np.ones(2)
    for g in (np.ones(3), np.array([1j])):
        q.grad = g
        with pytest.raises(tg.AutogradError, match=r"name='q'.* a gradient of"):
            optimizer.step()
    assert p.data.tolist() == [1.0, 2.0]
    assert not optimizer.state


def test_a_group_of_rate_zero_stands_still() -> None:
    p, q = leaf([1.0]), leaf([1.0])
    optimizer = SGD([{"params": [p], "lr": 0}, {"params": [q]}], lr=0.5)
    p.grad = q.grad = np.array([1.0])
    optimizer.step()
    assert [p.item(), q.item()] == [1.0, 0.5]


# -- state -------------------------------------------------------------------------------------


class Training:
    """A little net with an embedding, noise, a schedule and clipping: all that has state."""

    def __init__(self, make: Any, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        shapes = {"E": (6, 3), "W": (3, 2), "b": (2,), "scale": ()}
        self.parameters = {
            name: leaf(self.rng.normal(size=shape), np.float32, name)
            for name, shape in shapes.items()
        }
        self.optimizer = make(list(self.parameters.items()))
        self.schedule = optim.LinearWarmup(self.optimizer, 4, then=optim.cosine(20))

    def step(self) -> None:
        p = self.parameters
        words = self.rng.integers(6, size=4)
        noise = self.rng.normal(size=(4, 3)).astype(np.float32)
        h = tg.embedding(p["E"], words, sparse=True) + noise
        loss = np.mean((np.tanh(h @ p["W"] + p["b"]) * p["scale"] - 1) ** 2)
        loss.backward()
        optim.clip_grad_norm_(p.values(), 0.5)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()

    def save(self) -> dict[str, Any]:
        return {
            "parameters": {name: p.data.copy() for name, p in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load(self, saved: Any) -> None:
        for name, p in self.parameters.items():
            p.data = saved["parameters"][name]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.rng.bit_generator.state = saved["rng"]

    def bits(self) -> list[bytes]:
        states = list(self.optimizer.state_dict()["state"].values())
        arrays = [np.asarray(x) for state in states for x in state.values()]
        return [a.tobytes() for a in (*(p.data for p in self.parameters.values()), *arrays)]


@each_kind
def test_resumed_training_is_bit_equal_to_one_that_never_stopped(make: Any) -> None:
    straight = Training(make, seed=1)
    for _ in range(7):
        straight.step()
    saved = straight.save()
    kept = copy.deepcopy(saved)
    for _ in range(7):
        straight.step()
    np.testing.assert_equal(saved, kept)  # copies: what was saved did not move on
    resumed = Training(make, seed=2)  # other values, another generator
    resumed.step()
    resumed.load(saved)
    for _ in range(7):
        resumed.step()
    assert resumed.bits() == straight.bits()
    np.testing.assert_equal(saved, kept)  # and what was loaded neither
    assert resumed.schedule.get_last_lr() == straight.schedule.get_last_lr()


@each_kind
def test_the_state_may_go_through_json(make: Any) -> None:
    straight = Training(make, seed=1)
    for _ in range(3):
        straight.step()
    state = straight.optimizer.state_dict()
    text = json.dumps(state, default=lambda array: array.tolist())
    other = Training(make, seed=2)
    other.optimizer.load_state_dict(json.loads(text))
    np.testing.assert_equal(other.optimizer.state_dict(), state)


def broken(state: Any, what: str) -> Any:
    """A state with something wrong."""
    state = copy.deepcopy(state)
    group, first = state["param_groups"][0], state["state"][0]
    if what == "another optimiser":
        group["alpha"] = 0.9
    elif what == "no groups":
        del state["param_groups"]
    elif what == "fewer parameters":
        group["params"] = group["params"][:1]
    elif what == "other names":
        group["names"] = ["u", "v"]
    elif what == "another shape":
        first["exp_avg"] = np.ones(7)
    elif what == "half a state":
        del first["exp_avg_sq"]
    elif what == "a stranger":
        state["state"][5] = first
    elif what == "no state":
        state["state"] = None
    elif what == "text":
        first["exp_avg"] = "abc"
    elif what == "half a step":
        first["step"] = 1.5
    elif what == "a negative rate":
        group["lr"] = -1.0
    elif what == "one beta":
        group["betas"] = [0.9]
    return state


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("another optimiser", "missing or too many: alpha; is it of another optimiser"),
        ("no groups", "expected {'state': ..., 'param_groups': ...}"),
        ("fewer parameters", r"expected groups of \[2\] parameters, got \[1\]"),
        ("other names", r"expected parameters named \('a', 'b'\), got \('u', 'v'\)"),
        ("another shape", r"0: exp_avg: expected numbers of shape \(2,\), got float64 of .*7"),
        ("no state", "expected {'state': ..., 'param_groups': ...}"),
        ("text", r"exp_avg: expected numbers of shape \(2,\), got <U3"),
        ("half a step", "parameter 0: expected a whole number of steps, got 1.5"),
        ("a negative rate", "expected a finite lr from 0 up, got -1.0"),
        ("one beta", r"expected two betas, got \(0.9,\)"),
        ("half a state", "parameter 0: exp_avg_sq missing"),
        ("a stranger", "expected state of 2 parameters, got number 5"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(what: str, message: str) -> None:
    named = [("a", leaf([1.0, 2.0])), ("b", leaf([3.0]))]
    optimizer = Adam(named)
    for _, p in named:
        p.grad = np.ones(p.shape)
    optimizer.step()
    before = optimizer.state_dict()
    wrong = broken(before, what)
    if "param_groups" in wrong and what != "a negative rate":
        wrong["param_groups"][0]["lr"] = 99.0
    with pytest.raises(tg.InputError, match=f"Adam.*{message}"):
        optimizer.load_state_dict(wrong)
    np.testing.assert_equal(optimizer.state_dict(), before)


# -- schedules ---------------------------------------------------------------------------------


def rates(make: Any, steps: int, lr: float = 0.8) -> list[float]:
    optimizer = SGD([leaf([0.0])], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found += scheduler.get_last_lr()
        scheduler.step()
    return found


def test_step_lr() -> None:
    found = rates(lambda o: optim.StepLR(o, 3, gamma=0.5), 8)
    np.testing.assert_allclose(found, [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2])


def test_cosine_annealing_lr_stays_at_the_end() -> None:
    found = rates(lambda o: optim.CosineAnnealingLR(o, 4, eta_min=0.2), 7)
    root = math.sqrt(0.5)
    expected = [0.8, 0.5 + 0.3 * root, 0.5, 0.5 - 0.3 * root, 0.2, 0.2, 0.2]
    np.testing.assert_allclose(found, expected)


def test_linear_warmup() -> None:
    found = rates(lambda o: optim.LinearWarmup(o, 4, start_factor=0.5), 6)
    np.testing.assert_allclose(found, [0.4, 0.5, 0.6, 0.7, 0.8, 0.8])
    assert rates(lambda o: optim.LinearWarmup(o, 4), 1) == pytest.approx([0.8 / 3])


@given(st.integers(1, 6), st.integers(1, 6), st.floats(1e-3, 10))
def test_a_schedule_after_a_warmup_starts_from_its_beginning(
    steps: int, length: int, base: float
) -> None:
    def after(t: int, base: float) -> float:
        return 2 * optim.cosine(length)(t, base)

    whole = optim.warmup(steps, then=after)
    assert [whole(t + steps, base) for t in range(9)] == [after(t, base) for t in range(9)]
    line = [*(whole(t, base) for t in range(steps)), base]
    np.testing.assert_allclose(np.diff(line, n=2), 0, atol=1e-12 * base)
    assert line == sorted(line)


def test_a_schedule_is_any_function_of_the_step() -> None:
    found = rates(lambda o: optim.LRScheduler(o, lambda t, base: base / (1 + t)), 3)
    np.testing.assert_allclose(found, [0.8, 0.4, 0.8 / 3])
    assert rates(lambda o: optim.LRScheduler(o, optim.constant()), 2) == [0.8, 0.8]


def test_every_group_has_its_own_base_rate() -> None:
    optimizer = SGD([{"params": [leaf([0.0])], "lr": 1.0}, {"params": [leaf([0.0])]}], lr=0.1)
    scheduler = optim.StepLR(optimizer, 1)
    optimizer.add_param_group({"params": [leaf([0.0])], "lr": 10.0})
    scheduler.step()
    np.testing.assert_allclose(scheduler.get_last_lr(), [0.1, 0.01, 1.0])
    assert scheduler.base_lrs == [1.0, 0.1, 10.0]


def test_the_state_of_a_schedule_holds_the_base_rates() -> None:
    optimizer = SGD([leaf([0.0])], lr=0.8)
    scheduler = optim.StepLR(optimizer, 1)
    scheduler.step()
    saved = scheduler.state_dict()
    optimizer.add_param_group({"params": [leaf([0.0])]})
    scheduler.step()
    assert saved == {"t": 1, "base_lrs": [0.8]}
    other = optim.StepLR(SGD([leaf([0.0])], lr=5.0), 1)
    other.load_state_dict(saved)
    np.testing.assert_allclose(other.get_last_lr(), [0.08])
    other.step()
    np.testing.assert_allclose(other.get_last_lr(), [0.008])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: optim.StepLR(o, 0), "step_size to be 1 step or more, got 0"),
        (lambda o: optim.CosineAnnealingLR(o, 2.5), "T_max to be 1 step or more, got 2.5"),
        (lambda o: optim.LinearWarmup(o, -1), "steps to be 1 step or more, got -1"),
        (lambda o: optim.LinearWarmup(o, 2, start_factor=-1.0), "got -0.8 for the base rate 0.8"),
        (lambda o: optim.LRScheduler(o, lambda t, base: math.nan), "got nan for the base rate"),
        (lambda o: optim.StepLR(o.param_groups, 1), "StepLR: expected an optimiser, got list"),
        (lambda o: optim.StepLR(o, 1).load_state_dict({"t": 1}), "expected {'t': ..., 'base_lrs'"),
        (lambda o: optim.StepLR(o, 1).load_state_dict({"t": "x", "base_lrs": [1]}), "got {'t': 'x"),
        (lambda o: optim.StepLR(o, 1).load_state_dict({"t": -3, "base_lrs": [1]}), "t from 0 up"),
        (lambda o: optim.StepLR(o, 1).load_state_dict({"t": 1, "base_lrs": [1.0, 2.0]}),
         "expected rates of 1 groups, got 2"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_is_refused(call: Any, message: str) -> None:
    with pytest.raises(tg.InputError, match=message):
        call(SGD([leaf([0.0])], lr=0.8))


@pytest.mark.parametrize(
    "call",
    [
        lambda o: optim.StepLR(o, 2, gamma="x"),
        lambda o: optim.CosineAnnealingLR(o, 2, eta_min=None),
        lambda o: optim.LinearWarmup(o, 2, start_factor="x"),
        lambda o: optim.LRScheduler(o, 0.1),
    ],
)
def test_a_schedule_of_no_number_or_function_is_refused_when_it_is_made(call: Any) -> None:
    with pytest.raises(tg.DtypeError, match=r"expected .* got "):
        call(SGD([leaf([0.0])]))


def test_a_rate_that_is_none_changes_nothing() -> None:
    optimizer = SGD([{"params": [leaf([0.0])]}, {"params": [leaf([0.0])], "lr": 2.0}], lr=0.1)
    scheduler = optim.LRScheduler(optimizer, lambda t, base: base * (1 - t if base > 1 else 0.5))
    scheduler.step()
    before = scheduler.get_last_lr()
    for wrong in (scheduler.step, lambda: scheduler.load_state_dict({"t": 9, "base_lrs": [1, 2]})):
        with pytest.raises(tg.InputError, match="from 0 up at step"):
            wrong()
        assert (scheduler.t, scheduler.base_lrs) == (1, [0.1, 2.0])
        assert scheduler.get_last_lr() == before == [0.05, 0.0]


# -- clipping ----------------------------------------------------------------------------------


def with_gradients(*gradients: Any) -> list[Tensor]:
    tensors = []
    for g in gradients:
        tensors.append(leaf(np.zeros(g.shape), g.dtype))
        tensors[-1].grad = g.copy()
    return tensors


@pytest.mark.parametrize("norm_type", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_clipping_by_norm_scales_all_gradients_alike(norm_type: float, dtype: Any) -> None:
    gradients = [normal(0, 3, 2, dtype=dtype), normal(1, dtype=dtype), normal(2, 0, dtype=dtype)]
    joined = np.concatenate([g.ravel() for g in gradients]).astype(float)
    norm = np.linalg.norm(joined, norm_type)
    tensors = [*with_gradients(*gradients), leaf([1.0])]
    assert optim.clip_grad_norm_(tensors, norm / 2, norm_type) == pytest.approx(norm, rel=1e-6)
    for p, g in zip(tensors, gradients, strict=False):
        assert (type(p.grad), p.grad.dtype) == (np.ndarray, dtype)
        np.testing.assert_allclose(p.grad, g / 2, rtol=1e-6)
    assert tensors[-1].grad is None


def test_what_is_within_the_norm_is_left_to_the_bit() -> None:
    g = normal(0, 5)
    (p,) = with_gradients(g)
    assert optim.clip_grad_norm_(p, 1e3) == pytest.approx(np.linalg.norm(g))
    np.testing.assert_array_equal(p.grad, g)
    assert optim.clip_grad_norm_([], 1.0) == 0.0
    assert optim.clip_grad_norm_(with_gradients(np.zeros(2)), 1.0) == 0.0


@pytest.mark.parametrize(("size", "dtype"), [(1e200, float), (1e-200, float), (1e30, np.float32)])
def test_the_norm_neither_overflows_nor_vanishes(size: float, dtype: Any) -> None:
    (p,) = with_gradients(np.array([3 * size, 4 * size], dtype))
    assert optim.clip_grad_norm_(p, size) == pytest.approx(5 * size)
    np.testing.assert_allclose(p.grad, np.array([0.6, 0.8]) * size, rtol=1e-6)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_norm_that_is_not_finite_scales_nothing(value: float) -> None:
    g = np.array([1.0, value])
    p, q = with_gradients(g, np.array([2.0]))
    assert not math.isfinite(optim.clip_grad_norm_([p, q], 1.0))
    np.testing.assert_array_equal(p.grad, g)
    assert q.grad.tolist() == [2.0]
    with pytest.raises(tg.AnomalyError, match=r"clip_grad_norm_: the norm .*: Tensor"):
        optim.clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)


def test_clipping_by_value() -> None:
    p, q, r = *with_gradients(np.array([-3.0, 0.5, 2.0]), np.array(-7.0)), leaf([1.0])
    optim.clip_grad_value_([p, q, r], 1.0)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]
    assert (type(q.grad), q.grad.tolist()) == (np.ndarray, -1.0)
    assert r.grad is None


def test_gradients_of_rows_are_clipped_as_dense_ones() -> None:
    g = RowSparse([2, 0], [[3.0, -4.0], [0.0, 12.0]], (4, 2))
    p, q = leaf(np.zeros((4, 2))), leaf(np.zeros((4, 2)))
    for clip in (
        lambda t: optim.clip_grad_norm_(t, 6.5),
        lambda t: optim.clip_grad_value_(t, 3.5),
    ):
        p.grad, q.grad = g.copy(), g.dense()
        assert clip(p) == clip(q)
        assert type(p.grad) is RowSparse
        np.testing.assert_array_equal(p.grad.dense(), q.grad)
    assert optim.clip_grad_norm_(p, 1e9) == optim.clip_grad_norm_(q, 1e9)


def test_a_parameter_that_comes_twice_is_clipped_once() -> None:
    (p,) = with_gradients(np.array([3.0, 4.0]))
    assert optim.clip_grad_norm_([p, p], 1.0) == pytest.approx(5)
    np.testing.assert_allclose(p.grad, [0.6, 0.8])


def test_a_limit_of_infinity_only_measures() -> None:
    g = normal(0, 5)
    (p,) = with_gradients(g)
    assert optim.clip_grad_norm_(p, math.inf) == pytest.approx(np.linalg.norm(g))
    optim.clip_grad_value_(p, math.inf)
    np.testing.assert_array_equal(p.grad, g)


@pytest.mark.parametrize("clip", [optim.clip_grad_norm_, optim.clip_grad_value_])
def test_clipping_what_is_no_tensor_or_by_no_number_is_refused(clip: Any) -> None:
    for wrong in (3, [3], [np.ones(2)], tg.nn.Identity()):
        with pytest.raises(tg.DtypeError, match=r"clip_.*: expected Tensors, got .*parameters\(\)"):
            clip(wrong, 1.0)
    for limit in ("1", None, [1.0], tg.Tensor(1.0)):
        with pytest.raises(tg.DtypeError, match=r"clip_.*: expected a number for .*, got"):
            clip([P], limit)


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_a_limit_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(tg.InputError, match="clip_grad_norm_: expected a positive max_norm"):
        optim.clip_grad_norm_([P], value)
    with pytest.raises(tg.InputError, match="clip_grad_value_: expected a positive clip_value"):
        optim.clip_grad_value_([P], value)
    with pytest.raises(tg.InputError, match="norm_type from 1 up"):
        optim.clip_grad_norm_([P], 1.0, norm_type=0.5)


def test_clipping_scales_once_an_array_that_two_parameters_were_given() -> None:
    shared = np.ones(3)
    shared.flags.writeable = False
    a, b = (tg.Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    a.grad = b.grad = shared
    tg.optim.clip_grad_norm_([a, b], 1.0)
    assert math.hypot(*a.grad, *b.grad) == pytest.approx(1.0)
