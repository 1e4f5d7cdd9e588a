"""The derivations in `examples/derivations.py`, the engine and central differences agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from examples import derivations

Array = Any
KINK = 1e-3  # closer to relu's corner a central difference is not asked

# The same in the engine, of primitive ops.
ENGINE_ACTIVATIONS: dict[str, Any] = {
    "identity": lambda z: z,
    "sigmoid": tg.sigmoid,
    "tanh": np.tanh,
    "relu": tg.relu,
}
ENGINE_LOSSES: dict[str, Any] = {
    "squared error": lambda O, t: 0.5 * np.sum((O - t) ** 2),  # noqa: E741
    "mean squared error": lambda O, t: np.mean((O - t) ** 2),  # noqa: E741
    "cross-entropy": tg.cross_entropy,
}


class Net(NamedTuple):
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    samples: int
    size: float  # of inputs and weights, in terms of what keeps the variance level
    seed: int

    def draw(self) -> tuple[Array, Array, list[Array], list[Array]]:
        """x, t, weights, biases."""
        rng = np.random.default_rng(self.seed)
        shapes = list(zip(self.widths, self.widths[1:], strict=False))
        weights = [
            self.size * rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in shapes
        ]
        biases = [self.size * rng.uniform(-1, 1, n_out) for _, n_out in shapes]
        x = self.size * rng.normal(size=(self.samples, self.widths[0]))
        if self.loss == "cross-entropy":
            return x, rng.integers(0, self.widths[-1], self.samples), weights, biases
        return x, rng.uniform(-1, 1, (self.samples, self.widths[-1])), weights, biases

    def of_engine(self, x: Array, t: Array, parameters: Any) -> tg.Tensor:
        """The loss; `parameters` are all weights, then all biases."""
        O = x  # noqa: E741
        depth = len(self.activations)
        for W, b, f in zip(parameters[:depth], parameters[depth:], self.activations, strict=True):
            O = ENGINE_ACTIVATIONS[f](O @ W + b)  # noqa: E741
        return ENGINE_LOSSES[self.loss](O, t)


@st.composite
def nets(draw: st.DrawFn, depth: int = 6, width: int = 32, samples: int = 8) -> Net:
    depth = draw(st.integers(1, depth))
    return Net(
        widths=tuple(draw(st.integers(1, width)) for _ in range(depth + 1)),
        activations=tuple(draw(st.sampled_from(list(ENGINE_ACTIVATIONS))) for _ in range(depth)),
        loss=draw(st.sampled_from(list(ENGINE_LOSSES))),
        samples=draw(st.integers(1, samples)),
        size=draw(st.sampled_from([1.0, 0.1, 2.0])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def assert_equal(engine: list[Array], formula: list[Array]) -> None:
    largest = max(np.abs(gradient).max(initial=0) for gradient in formula)
    for one, other in zip(engine, formula, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max(initial=0) <= 1e-12 * (1 + largest)


@given(nets())
def test_mlp_of_any_depth_equals_the_engine(net: Net) -> None:
    x, t, weights, biases = net.draw()
    value, *gradients = derivations.mlp(x, t, weights, biases, net.activations, net.loss)
    parameters = [tg.Tensor(array, requires_grad=True) for array in (*weights, *biases)]
    loss = net.of_engine(x, t, parameters)
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert_equal([p.grad for p in parameters], [g for part in gradients for g in part])


@given(nets(samples=2))
def test_mlp_equals_central_differences(net: Net) -> None:
    x, t, weights, biases = net.draw()
    if nearest_kink(net, x, weights, biases) < KINK:
        return
    _, *gradients = derivations.mlp(x, t, weights, biases, net.activations, net.loss)
    flat = [g for part in gradients for g in part]
    arrays = [*weights, *biases]
    rng = np.random.default_rng(net.seed)
    for position, gradient in enumerate(flat):
        index = np.unravel_index(rng.integers(gradient.size), gradient.shape)

        def value(step: float, position: int = position, index: Any = index) -> float:
            moved = [a.copy() for a in arrays]
            moved[position][index] += step
            depth = len(weights)
            return derivations.mlp(x, t, moved[:depth], moved[depth:], net.activations, net.loss)[0]

        h = 1e-5  # smaller than KINK, and rounding and truncation errors are about equal
        slope = (value(h) - value(-h)) / (2 * h)
        assert abs(gradient[index] - slope) <= 1e-6 * max(1, abs(slope), abs(value(0)))


def nearest_kink(net: Net, x: Array, weights: list[Array], biases: list[Array]) -> float:
    """How close any relu's input is to 0."""
    O, nearest = x, np.inf  # noqa: E741
    for W, b, activation in zip(weights, biases, net.activations, strict=True):
        z = O @ W + b
        if activation == "relu":
            nearest = min(nearest, np.abs(z).min())
        O = derivations.ACTIVATIONS[activation][0](z)  # noqa: E741
    return float(nearest)


@given(nets(depth=3, width=4, samples=3))
@settings(max_examples=max(settings().max_examples // 5, 2))
def test_engine_passes_its_own_check(net: Net) -> None:
    x, t, weights, biases = net.draw()
    if nearest_kink(net, x, weights, biases) < KINK:
        return
    tg.check_gradients(
        lambda *parameters: net.of_engine(x, t, parameters), *weights, *biases, max_elements=4
    )


sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


@given(sizes, sizes, sizes, sizes, seeds)
def test_neurons_and_one_hidden_layer_equal_the_engine(
    N: int, n_in: int, J: int, K: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def gradients(loss: Any, *arrays: Array) -> list[Array]:
        return list(tg.grad(loss, tuple(range(len(arrays))))(*arrays))

    x, t = rng.normal(size=(N, n_in)), rng.uniform(size=(N, K))
    w, W = rng.normal(size=(1, n_in)), rng.normal(size=(n_in, K))
    W_ij, W_jk = rng.normal(size=(n_in, J)), rng.normal(size=(J, K))
    one = t[:, :1]
    for formula, loss, arrays, target in (
        (derivations.perceptron, lambda w: half(tg.sigmoid(x @ w.T) - one), (w,), one),
        (
            derivations.perceptron_mean,
            lambda w: tg.mse_loss(tg.sigmoid(x @ w.T), one),
            (w,),
            one,
        ),
        (derivations.several_outputs, lambda W: half(tg.sigmoid(x @ W) - t), (W,), t),
        (
            derivations.one_hidden_layer,
            lambda W_ij, W_jk: half(tg.sigmoid(tg.sigmoid(x @ W_ij) @ W_jk) - t),
            (W_ij, W_jk),
            t,
        ),
    ):
        value, derived = formula(x, *arrays, target)
        derived = derived if isinstance(derived, tuple) else (derived,)
        assert value == pytest.approx(float(loss(*arrays)), rel=1e-12)
        assert_equal(gradients(loss, *arrays), list(derived))


def half(error: Any) -> Any:
    return 0.5 * np.sum(error**2)


def test_mean_squared_error_has_twice_the_gradient_over_the_number_of_outputs() -> None:
    rng = np.random.default_rng(0)
    x, w, t = rng.normal(size=(5, 3)), rng.normal(size=(1, 3)), rng.uniform(size=(5, 1))
    _, half_sum = derivations.perceptron(x, w, t)
    _, mean = derivations.perceptron_mean(x, w, t)
    assert np.allclose(mean, half_sum * 2 / 5, rtol=1e-15)


def test_check_derivation_accepts_every_loss_and_activation() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 2))
    W1, b1, W2, b2 = (rng.normal(size=shape) for shape in ((2, 4), 4, (4, 3), 3))
    for loss, t in {
        "squared error": rng.normal(size=(3, 3)),
        "mean squared error": rng.normal(size=(3, 3)),
        "cross-entropy": np.array([0, 2, 1]),
    }.items():
        for hidden in ENGINE_ACTIVATIONS:
            net = Net((2, 4, 3), (hidden, "tanh"), loss, 3, 1.0, 0)

            def value(W1: Any, b1: Any, W2: Any, b2: Any, net: Net = net, t: Array = t) -> Any:
                return net.of_engine(x, t, (W1, W2, b1, b2))

            def derivation(
                W1: Any, b1: Any, W2: Any, b2: Any, net: Net = net, t: Array = t
            ) -> dict[str, Array]:
                _, by_weights, by_biases = derivations.mlp(
                    x, t, [W1, W2], [b1, b2], net.activations, net.loss
                )
                return dict(zip(("W1", "W2", "b1", "b2"), by_weights + by_biases, strict=True))

            tg.check_derivation(value, derivation, W1, b1, W2, b2, examples=10)


def test_the_file_runs_as_a_script() -> None:
    file = Path(derivations.__file__)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(file.parent.parent)},  # installed or not
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("engine = derivation") == 5
