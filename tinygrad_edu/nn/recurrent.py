"""Recurrent layers: one cell, with the same weights, at every step of a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.mode import scope
from tinygrad_edu.nn.cells import Array, Gated, Kind, LongShortTerm, Simple, State, Weights
from tinygrad_edu.nn.checks import (
    check_floats,
    check_probability,
    check_sizes,
    shape_of,
    title,
    wrong_input,
)
from tinygrad_edu.nn.linear import Rng, default_uniform
from tinygrad_edu.nn.module import Parameter
from tinygrad_edu.ops.random import check_rng, dropout


class _Layers(Kind):
    weight_ih_l0: Parameter  # these in any case; those of further layers are set alike
    weight_hh_l0: Parameter
    bias_ih_l0: Parameter
    bias_hh_l0: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        stepwise: bool = False,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_probability(self, "dropout", dropout)
        self.rng = check_rng(type(self).__name__, rng)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.stepwise = bidirectional, stepwise
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            below = hidden_size * self._directions if layer else input_size
            for end in self._ends(layer):
                shapes: dict[str, Any] = {
                    "weight_ih": (rows, below), "weight_hh": (rows, hidden_size)
                }  # fmt: skip
                shapes |= {"bias_ih": rows, "bias_hh": rows} if bias else {}
                for name, shape in shapes.items():
                    setattr(self, name + end, default_uniform(shape, hidden_size, rng, dtype))

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _ends(self, layer: int) -> list[str]:
        """How the names of a layer's parameters end, per direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    def _weights(self, end: str) -> Weights:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        W, U, b_ih, b_hh = (getattr(self, name + end, None) for name in names)
        return W, U, b_ih, b_hh

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> Any:
        """Run through sequences.

        Args:
            x: (T, N, input_size), with `batch_first` (N, T, input_size), or one sequence
                (T, input_size); float.
            hx: the initial state, (num_layers · directions, N, hidden_size), for one sequence
                without N; of an LSTM (h, c); by default zeros.
            lengths: (N,), integers from 1 to T: how long each sequence is. What lies beyond
                changes nothing; outputs there are 0, and the reverse direction starts at the end.

        Returns:
            output: as x, of the last layer, with hidden_size · directions instead of input_size.
            h_n: as hx: the state after the last step; of an LSTM (h_n, c_n).
        """
        x, lone = self._time_first(x)
        count = self.num_layers * self._directions
        batch = x.shape[1:2]
        shape = (count, *(() if lone else batch), self.hidden_size)
        state = self._initial(hx, shape, self.weight_hh_l0.dtype)
        if lone:
            state = tuple(part.reshape((count, 1, self.hidden_size)) for part in state)
        lengths = None if lengths is None else self._checked(lengths, x, lone)
        output, ends = self._run(x, state, lengths)
        if lone:
            output, ends = output[:, 0], tuple(end[:, 0] for end in ends)
        elif self.batch_first:
            output = np.swapaxes(output, 0, 1)
        return output, ends if len(ends) > 1 else ends[0]

    def _run(self, x: Array, state: State, lengths: Any) -> tuple[Array, State]:
        """All layers, one after the other."""
        inside = None
        if lengths is not None:
            inside = (np.arange(len(x))[:, None] < lengths)[..., None]
            x = np.where(inside, x, 0)  # there may be anything, even NaN
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for backwards, end in enumerate(self._ends(layer)):
                first = tuple(part[len(ends)] for part in state)
                with scope(end[1:]):
                    one = self._direction(x, first, end, bool(backwards), lengths, inside)
                outputs.append(one[0])
                ends.append(one[1])
            x = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)
            if self.dropout and layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training, rng=self.rng)
        return x, tuple(np.stack(parts) for parts in zip(*ends, strict=True))

    def _direction(
        self, x: Array, state: State, end: str, backwards: bool, lengths: Any, inside: Array
    ) -> tuple[Array, State]:
        """One layer in one direction: its output, and its state after the last step."""
        weights = self._weights(end)
        if self.stepwise or not _are_arrays(x, *state, *weights):
            return self._step_by_step(x, state, weights, backwards, inside)
        columns = np.arange(x.shape[1])
        order: Any = slice(None, None, -1)
        if lengths is not None:  # turn each sequence round within its length
            steps = np.arange(len(x))[:, None]
            order = (np.where(steps < lengths, lengths - 1 - steps, steps), columns)
        states = self._sequence(x[order] if backwards else x, state, weights, inside)
        output = states[0][order] if backwards else states[0]
        if lengths is None:
            return output, tuple(part[-1] for part in states)
        last = (lengths - 1, columns)
        return np.where(inside, output, 0), tuple(part[last] for part in states)

    def _step_by_step(
        self, x: Array, state: State, weights: Weights, backwards: bool, inside: Array
    ) -> tuple[Array, State]:
        """The same from primitive ops, on every kind of array, and to be seen in pictures."""
        outputs: list[Array] = []
        times = range(len(x))
        for t in reversed(times) if backwards else times:
            with scope("cell"):
                new = self._step(x[t], state, weights)
                if inside is not None:
                    pairs = zip(new, state, strict=True)
                    new = tuple(np.where(inside[t], after, before) for after, before in pairs)
                state = new
            outputs.append(state[0] if inside is None else np.where(inside[t], state[0], 0))
        return np.stack(outputs[::-1] if backwards else outputs), state

    # -- what it is given --------------------------------------------------------------------

    def _time_first(self, x: Any) -> tuple[Array, bool]:
        """The input as (T, N, input_size), and whether it was a single sequence."""
        shape = shape_of(x)
        usual = f"(N, T, {self.input_size})" if self.batch_first else f"(T, N, {self.input_size})"
        if len(shape) not in (2, 3) or shape[-1] != self.input_size or 0 in shape:
            raise wrong_input(self, f"{usual} or (T, {self.input_size}), with T, N >= 1", x)
        check_floats(self, x)
        if len(shape) == 2:
            return np.expand_dims(x, 1), True
        return (np.swapaxes(x, 0, 1) if self.batch_first else x), False

    def _checked(self, lengths: Any, x: Array, lone: bool) -> Any:
        """The lengths as an array of integers."""
        lengths = np.asarray(plain(lengths))
        steps, batch = x.shape[:2]
        if lone or lengths.shape != (batch,):
            wanted = "none for a single sequence" if lone else f"shape ({batch},), one per sequence"
            raise InputError(f"{title(self)}: lengths: expected {wanted}, got {lengths.shape}")
        if lengths.dtype.kind not in "iu":
            raise DtypeError(f"{title(self)}: lengths: expected integers, got {lengths.dtype}")
        if wrong := [int(n) for n in lengths if not 1 <= n <= steps]:
            raise InputError(
                f"{title(self)}: lengths: expected 1 to {steps}, the length of x, got {wrong[0]}"
            )
        return lengths.astype(np.intp)

    def extra_repr(self) -> str:
        """The sizes, and what is not as by default."""
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        usual |= {"bidirectional": False, "stepwise": False}
        told = [f"{k}={v}" for k, default in usual.items() if (v := getattr(self, k)) != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *told])


class RNN(_Layers, Simple):
    """Simple recurrent layers: `RNNCell` at every step, stacked, in one direction or both.

    Args:
        input_size: numbers per step that go in.
        hidden_size: numbers in the state.
        num_layers: how many are stacked: each goes through the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: add both biases.
        batch_first: inputs and outputs are (N, T, ...) instead of (T, N, ...).
        dropout: probability of an output to be dropped on its way to the next layer, in training.
        bidirectional: a second set of weights goes from the end to the start; the outputs of both
            stand side by side.
        stepwise: compute step by step from primitive ops: slower, and pictures show every step.
        rng: where the initial numbers, even on ±1/√hidden_size, and those of dropout come from.
        dtype: of the parameters.

    Attributes:
        weight_ih_l0: (hidden_size, input_size), and _l1, ...: (hidden_size, hidden_size ·
            directions); of the backward direction weight_ih_l0_reverse, ...
        weight_hh_l0: (hidden_size, hidden_size), ...
        bias_ih_l0, bias_hh_l0: (hidden_size,), ..., if there are biases.

    Raises:
        InputError: if a size, the nonlinearity or the dropout is wrong, or at the call if shapes
            or lengths do not fit.
        DtypeError: if `rng` is no Generator, or at the call if x is no float or lengths no
            integers.

    Source: J. Elman, "Finding Structure in Time" (1990); M. Schuster, K. Paliwal, "Bidirectional
        Recurrent Neural Networks" (1997).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        stepwise: bool = False,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        self._set_nonlinearity(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            stepwise=stepwise, rng=rng, dtype=dtype,
        )  # fmt: skip


class GRU(_Layers, Gated):
    """Layers of gated recurrent units: `GRUCell` at every step.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, stepwise,
            rng, dtype: as in `RNN`.

    Attributes:
        weight_ih_l0: (3 hidden_size, input_size), for r, z, n; weight_hh_l0, bias_ih_l0,
            bias_hh_l0, and so on: as in `RNN`, three times as long.

    Raises:
        InputError, DtypeError: as in `RNN`.

    Source: see `GRUCell`.
    """


class LSTM(_Layers, LongShortTerm):
    """Layers of long short-term memories: `LSTMCell` at every step.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, stepwise,
            rng, dtype: as in `RNN`.

    Attributes:
        weight_ih_l0: (4 hidden_size, input_size), for i, f, g, o; weight_hh_l0, bias_ih_l0,
            bias_hh_l0, and so on: as in `RNN`, four times as long.

    Raises:
        InputError, DtypeError: as in `RNN`.

    Source: see `LSTMCell`.
    """


def _are_arrays(*parts: Any) -> bool:
    """Whether all are NumPy's, which the fast ops take, or Tensors of these."""
    return all(part is None or isinstance(plain(part), np.ndarray) for part in parts)
