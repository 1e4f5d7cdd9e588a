"""Every gradient that the examples derive by hand equals a central difference of its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from examples import derivations as networks
from examples import derivations_networks as ends
from examples import derivations_recurrent as recurrent
from examples import derivations_sequences as sequences

Array = Any
# The value and its gradients as a function of the arrays; those arrays.
Case = tuple[Callable[..., Any], list[Array]]
KINK = 1e-3  # closer to relu's corner a central difference is not asked


def weighted(derivation: Callable[..., Any], *cotangents: Array) -> Callable[..., Any]:
    """Of a derivation that starts from cotangents: the value Σ cotangent ⊙ result."""

    def case(*arrays: Array) -> Any:
        results, gradients = derivation(*cotangents, *arrays)
        results = results if isinstance(results, tuple) else (results,)
        pairs = zip(cotangents, results, strict=True)
        return sum(np.sum(g * result) for g, result in pairs), gradients

    return case


def cases(rng: np.random.Generator) -> dict[str, Case]:
    """Each derivation, with random numbers in arrays of random sizes."""
    N, n, J, K = (int(size) for size in rng.integers(1, 5, 4))

    def draw(*shape: int) -> Array:
        return rng.normal(size=shape)

    x, t, g, labels = draw(N, n), rng.uniform(size=(N, K)), draw(N, K), rng.integers(K, size=N)
    hidden, h, W = [draw(n, J), draw(J), draw(J, K), draw(K)], draw(N, K), draw(4 * K, n)
    U, b, states = draw(4 * K, K), draw(4 * K), draw(3, N, K)
    given_words, nodes = rng.integers(5, size=(N, 3)), rng.integers(5, size=(N, 4))
    signs, image = rng.integers(-1, 2, size=(N, 4)), draw(N, n, 5, 4)
    settings = (int(rng.integers(1, 3)), int(rng.integers(2)), 1)
    kernel = draw(K, n, 2, 3)
    places = [(size + 2 * settings[1] - k) // settings[0] + 1 for size, k in ((5, 2), (4, 3))]
    g_image, g_x, g_c = draw(N, K, *places), draw(N, n), draw(N, K)
    return {
        "perceptron": (lambda w: networks.perceptron(x, w, t[:, :1]), [draw(1, n)]),
        "perceptron_mean": (lambda w: networks.perceptron_mean(x, w, t[:, :1]), [draw(1, n)]),
        "several_outputs": (lambda W: networks.several_outputs(x, W, t), [draw(n, K)]),
        "one_hidden_layer": (
            lambda *W: networks.one_hidden_layer(x, *W, t),
            [draw(n, J), draw(J, K)],
        ),
        "linear_mse": (lambda z: ends.linear_mse(z, t), [draw(N, K)]),
        "sigmoid_bce": (lambda z: ends.sigmoid_bce(z, t), [draw(N, K)]),
        "sigmoid_bce_from_logits": (lambda z: ends.sigmoid_bce_from_logits(z, t), [draw(N, K)]),
        "softmax_ce": (lambda z: ends.softmax_ce(z, labels), [draw(N, K)]),
        "softmax_ce_from_logits": (lambda z: ends.softmax_ce_from_logits(z, labels), [draw(N, K)]),
        "softmax_regression": (
            lambda x, W, b: ends.softmax_regression(x, W, b, labels),
            [x, draw(n, K), draw(K)],
        ),
        "relu_network": (lambda *p: ends.relu_network(*p, labels), [x, *hidden]),
        "two_linear_layers": (weighted(ends.two_linear_layers, g), [x, *hidden]),
        "prelu": (weighted(ends.prelu, g), [draw(N, K), rng.uniform(size=1)]),
        "rnn_cell": (weighted(recurrent.rnn_cell, g), [x, h, W[:K], U[:K], b[:K]]),
        "gru_cell": (
            weighted(recurrent.gru_cell, g),
            [x, h, W[K:], U[K:], b[K:], draw(3 * K)],
        ),
        "lstm_cell": (weighted(recurrent.lstm_cell, g, g_c), [x, h, draw(N, K), W, U, b]),
        "rnn_through_time": (
            weighted(recurrent.rnn_through_time, states),
            [draw(3, N, n), h, W[:K], U[:K], b[:K]],
        ),
        "word_vector": (
            weighted(lambda g, W: sequences.word_vector(g, W, given_words), g_x),
            [draw(5, n)],
        ),
        "full_softmax": (lambda h, U: sequences.full_softmax(h, U, labels), [x, draw(K, n)]),
        "binary_decisions": (
            lambda h, U: sequences.binary_decisions(h, U, nodes, signs),
            [x, draw(5, n)],
        ),
        "convolution": (
            weighted(lambda g, *p: sequences.convolution(g, *p, *settings), g_image),
            [image, kernel, draw(K)],
        ),
        "grouped_convolution": (
            weighted(
                lambda g, *p: sequences.grouped_convolution(g, *p, 2, *settings),
                np.tile(g_image, (1, 2, 1, 1)),
            ),
            [np.tile(image, (1, 2, 1, 1)), np.tile(kernel, (2, 1, 1, 1)), draw(2 * K)],
        ),
        "gated_mlp": (
            weighted(sequences.gated_mlp, g_x),
            [x, draw(n, J), draw(n, J), draw(J, n)],
        ),
    }


def corners(name: str, arrays: list[Array]) -> Array:
    """The numbers at which a function with a corner at 0 is asked."""
    if name == "relu_network":
        return arrays[0] @ arrays[1] + arrays[2]
    return arrays[0] if name == "prelu" else np.ones(1)


@pytest.mark.parametrize("name", cases(np.random.default_rng(0)))
@given(st.integers(0, 2**32 - 1))
def test_derived_gradient_equals_a_central_difference(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case, arrays = cases(rng)[name]
    assume(np.abs(corners(name, arrays)).min() > KINK)
    value, derived = case(*arrays)
    derived = derived if isinstance(derived, tuple) else (derived,)
    assert len(derived) == len(arrays)
    h = 1e-5  # smaller than KINK, and rounding and truncation errors are about equal
    for position, gradient in enumerate(derived):
        assert gradient.shape == arrays[position].shape
        direction = rng.choice([-1.0, 1.0], size=gradient.shape)  # all numbers of it at once
        direction /= np.sqrt(direction.size)

        def moved(step: float, position: int = position, by: Array = direction) -> float:
            near = [*arrays]
            near[position] = arrays[position] + step * by
            return float(case(*near)[0])

        slope = (moved(h) - moved(-h)) / (2 * h)
        assert abs(np.sum(gradient * direction) - slope) <= 1e-6 * max(1, abs(slope), abs(value))


def test_every_derivation_is_asked() -> None:
    known = {"sigmoid", "softmax", "main", "mlp", "cross_entropy"}  # the last two have their own
    known |= {"squared_error", "mean_squared_error"}
    for module in (networks, ends, recurrent, sequences):
        written = {name for name, f in vars(module).items() if getattr(f, "__code__", None)}
        assert written - known <= cases(np.random.default_rng(0)).keys(), module.__name__
