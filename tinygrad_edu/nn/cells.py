"""Recurrent cells: one step of an RNN, a GRU, an LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn.checks import (
    check_floats,
    check_sizes,
    shape_of,
    title,
    wrong_input,
)
from tinygrad_edu.nn.linear import Rng, default_uniform
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.activations import sigmoid
from tinygrad_edu.ops.linalg import linear
from tinygrad_edu.ops.random import check_rng
from tinygrad_edu.ops.rectifiers import relu
from tinygrad_edu.ops.recurrent import gru_steps, lstm_steps, rnn_steps

Array = Any
State = tuple[Array, ...]  # (h,), of an LSTM (h, c)
Weights = tuple[Array, Array, Array, Array]  # weight_ih, weight_hh, bias_ih, bias_hh


# -- one step, from primitive ops ----------------------------------------------------------------


class Kind(Module):
    """What distinguishes the three kinds: a step, and a sequence of steps as one op."""

    gates: int = 1  # by how much weights are longer than the hidden size
    states: tuple[str, ...] = ("h",)
    hidden_size: int

    def _step(self, x: Array, state: State, weights: Weights) -> State:
        """The state after a step."""
        raise NotImplementedError

    def _sequence(self, x: Array, state: State, weights: Weights, inside: Array) -> State:
        """The states after each step, (T, N, H), by the fast op."""
        raise NotImplementedError

    def _initial(self, hx: Any, shape: tuple[int, ...], dtype: Any) -> State:
        """The given state, each part of `shape`, or zeros."""
        if hx is None:
            return tuple(np.zeros(shape, dtype) for _ in self.states)
        several = len(self.states) > 1
        parts = (hx,) if not several else hx if isinstance(hx, tuple | list) else ()
        shapes = [getattr(part, "shape", type(part).__name__) for part in parts]
        if shapes != [shape] * len(self.states):
            raise InputError(
                f"{title(self)}: expected the initial state {', '.join(self.states)} of shape "
                f"{shape}{' each, as a tuple' if several else ''}, got "
                + (", ".join(map(str, shapes)) or type(hx).__name__)
            )
        return tuple(parts)


class Simple(Kind):
    """One tanh, or one relu."""

    nonlinearity: str

    def _set_nonlinearity(self, nonlinearity: str) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise InputError(
                f"{type(self).__name__}: expected nonlinearity 'tanh' or 'relu', got "
                f"{nonlinearity!r}"
            )
        self.nonlinearity = nonlinearity

    def _step(self, x: Array, state: State, weights: Weights) -> State:
        W, U, b_ih, b_hh = weights
        z = linear(x, W, b_ih, transposed=True) + linear(state[0], U, b_hh, transposed=True)
        return (np.tanh(z) if self.nonlinearity == "tanh" else relu(z),)

    def _sequence(self, x: Array, state: State, weights: Weights, inside: Array) -> State:
        W, U, b_ih, b_hh = weights
        z = linear(x, W, _sum_of(b_ih, b_hh), transposed=True)
        if inside is not None and self.nonlinearity == "relu":
            # Beyond the end the state is not asked for, but it may grow until it is infinite.
            z = np.where(inside, z, np.finfo(z.dtype).min / 2)
        return (rnn_steps(z, U, *state, nonlinearity=self.nonlinearity),)


class Gated(Kind):
    """The gates r and z, and the new n."""

    gates = 3

    def _step(self, x: Array, state: State, weights: Weights) -> State:
        (h,), (W, U, b_ih, b_hh) = state, weights
        from_x = np.split(linear(x, W, b_ih, transposed=True), 3, axis=-1)
        from_h = np.split(linear(h, U, b_hh, transposed=True), 3, axis=-1)
        r, z = (sigmoid(a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
        n = np.tanh(from_x[2] + r * from_h[2])
        return ((1 - z) * n + z * h,)

    def _sequence(self, x: Array, state: State, weights: Weights, inside: Array) -> State:
        W, U, b_ih, b_hh = weights
        return gru_steps(linear(x, W, b_ih, transposed=True), U, b_hh, *state)[:1]


class LongShortTerm(Kind):
    """The gates i, f, o, and the new g."""

    gates = 4
    states = ("h", "c")

    def _step(self, x: Array, state: State, weights: Weights) -> State:
        (h, c), (W, U, b_ih, b_hh) = state, weights
        i, f, g, o = np.split(
            linear(x, W, b_ih, transposed=True) + linear(h, U, b_hh, transposed=True), 4, axis=-1
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def _sequence(self, x: Array, state: State, weights: Weights, inside: Array) -> State:
        W, U, b_ih, b_hh = weights
        z = linear(x, W, _sum_of(b_ih, b_hh), transposed=True)
        return lstm_steps(z, U, *state)


def _sum_of(b_ih: Array, b_hh: Array) -> Array:
    """Both biases as one; each may have been set to None."""
    return b_hh if b_ih is None else b_ih if b_hh is None else b_ih + b_hh


# -- cells ---------------------------------------------------------------------------------------


class _Cell(Kind):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        check_rng(type(self).__name__, rng)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = default_uniform((rows, input_size), hidden_size, rng, dtype)
        self.weight_hh = default_uniform((rows, hidden_size), hidden_size, rng, dtype)
        self.bias_ih = default_uniform(rows, hidden_size, rng, dtype) if bias else None
        self.bias_hh = default_uniform(rows, hidden_size, rng, dtype) if bias else None

    def forward(self, x: Any, hx: Any = None) -> Any:
        """One step.

        Args:
            x: (N, input_size) or (input_size,), float.
            hx: the state before, (N, hidden_size) or (hidden_size,); of an LSTM (h, c); by
                default zeros.

        Returns:
            The state after, as `hx`.
        """
        shape = shape_of(x)
        if shape[-1:] != (self.input_size,) or len(shape) > 2:
            raise wrong_input(self, f"(N, {self.input_size}) or ({self.input_size},)", x)
        check_floats(self, x)
        hidden = (*shape[:-1], self.hidden_size)
        state = self._initial(hx, hidden, self.weight_hh.dtype)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        state = self._step(x, state, weights)
        return state if len(state) > 1 else state[0]

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias_ih is not None}"


class RNNCell(_Cell, Simple):
    """One step of the simple recurrent net: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Args:
        input_size: numbers per example that go in.
        hidden_size: numbers in the state.
        bias: add both biases.
        nonlinearity: "tanh" or "relu".
        rng: where the initial numbers come from, even on ±1/√hidden_size.
        dtype: of the parameters.

    Attributes:
        weight_ih: (hidden_size, input_size).
        weight_hh: (hidden_size, hidden_size).
        bias_ih, bias_hh: (hidden_size,), or None.

    Raises:
        InputError: if a size or the nonlinearity is wrong, or at the call if shapes do not fit.
        DtypeError: if `rng` is no Generator.

    Source: J. Elman, "Finding Structure in Time" (1990).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        self._set_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng, dtype=dtype)


class GRUCell(_Cell, Gated):
    """One step of the gated recurrent unit.

        r  = σ(W_ir x + b_ir + W_hr h + b_hr)            what of the past is used for the new
        z  = σ(W_iz x + b_iz + W_hz h + b_hz)            how much of the past is kept
        n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))   the new
        h' = (1 - z) ⊙ n + z ⊙ h

    This is PyTorch's convention: the paper has `W_hn (r ⊙ h)`, and z and 1 - z the other way round.

    Args:
        input_size, hidden_size, bias, rng, dtype: as in `RNNCell`.

    Attributes:
        weight_ih: (3 hidden_size, input_size), for r, z, n.
        weight_hh: (3 hidden_size, hidden_size).
        bias_ih, bias_hh: (3 hidden_size,), or None.

    Raises:
        InputError: if a size is wrong, or at the call if shapes do not fit.
        DtypeError: if `rng` is no Generator.

    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
        Statistical Machine Translation" (2014).
    """


class LSTMCell(_Cell, LongShortTerm):
    """One step of the long short-term memory.

        i = σ(W_ii x + b_ii + W_hi h + b_hi)      input gate: how much of the new is written
        f = σ(W_if x + b_if + W_hf h + b_hf)      forget gate: how much of the old is kept
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)   the new
        o = σ(W_io x + b_io + W_ho h + b_ho)      output gate: how much is shown
        c' = f ⊙ c + i ⊙ g,    h' = o ⊙ tanh(c')

    Args:
        input_size, hidden_size, bias, rng, dtype: as in `RNNCell`.

    Attributes:
        weight_ih: (4 hidden_size, input_size), for i, f, g, o.
        weight_hh: (4 hidden_size, hidden_size).
        bias_ih, bias_hh: (4 hidden_size,), or None.

    Raises:
        InputError: if a size is wrong, or at the call if shapes do not fit.
        DtypeError: if `rng` is no Generator.

    Source: S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory" (1997); F. Gers et al.,
        "Learning to Forget" (2000), for the forget gate.
    """
