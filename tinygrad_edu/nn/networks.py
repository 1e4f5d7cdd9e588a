"""Small networks: the perceptron, the multi-layer perceptron, and LLaMA's gated one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.mode import scope
from tinygrad_edu.nn.activations import activation as activation_of
from tinygrad_edu.nn.checks import check_sizes, shape_of, wrong_input
from tinygrad_edu.nn.containers import Sequential
from tinygrad_edu.nn.init import xavier_uniform
from tinygrad_edu.nn.linear import Linear
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops.activations import silu
from tinygrad_edu.ops.linalg import linear

Rng = np.random.Generator | None


class Perceptron(Sequential):
    """One layer, `f(x @ weight.T + bias)`: with "step" Rosenblatt's, with "sigmoid" a neuron.

    A step has derivative 0, so gradient descent cannot train it; the perceptron rule can.

    Args:
        in_features: numbers per example that go in.
        out_features: how many units.
        activation: f, as in `MLP`.
        bias: add one.
        rng: where the initial numbers come from.
        dtype: of the parameters; float64 by default.

    Attributes:
        linear: the `Linear` in it.
    """

    linear: Linear

    def __init__(
        self,
        in_features: int,
        out_features: int = 1,
        activation: Any = "sigmoid",
        bias: bool = True,
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        parts: dict[str, Module] = {
            "linear": Linear(in_features, out_features, bias, rng=rng, dtype=dtype)
        }
        f = activation_of(self, activation)
        super().__init__(parts if f is None else {**parts, "activation": f})


class MLP(Sequential):
    """A multi-layer perceptron: `Linear` layers with activations between them.

        net = nn.MLP([64, 32, 10], activation="tanh", rng=np.random.default_rng(0))

    Weights start as Glorot and Bengio (2010, equation 16) draw them, biases at 0.

    Args:
        widths: numbers per example that go in, of each hidden layer, and that come out.
        activation: between layers: a name ("relu", "tanh", "sigmoid", "identity", ...), a module
            class such as `nn.GELU`, a module (which all then share), or a list with one for each
            hidden layer.
        output: after the last layer, likewise; by default nothing, for losses take logits.
        bias: whether layers add one.
        init: how weights are drawn, a function of `nn.init`.
        rng: where the initial numbers come from.
        dtype: of the parameters; float64 by default.

    Raises:
        InputError: if there are less than two widths, or not an activation per hidden layer.
        DtypeError: if `rng` is no Generator.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Any = "relu",
        output: Any = "identity",
        bias: bool = True,
        *,
        init: Callable[..., Any] = xavier_uniform,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        if not hasattr(widths, "__len__") or len(widths) < 2:
            raise InputError(f"MLP: expected widths of at least two layers, got {widths!r}")
        hidden = len(widths) - 2
        several = isinstance(activation, list | tuple)
        between = list(activation) if several else [activation] * hidden
        if len(between) != hidden:
            raise InputError(
                f"MLP: expected an activation for each of {hidden} hidden layers, got "
                f"{len(between)}; that after the last layer is `output`"
            )
        parts: list[Module] = []
        for n_in, n_out, choice in zip(widths, widths[1:], [*between, output], strict=False):
            parts.append(Linear(n_in, n_out, bias, init=init, rng=rng, dtype=dtype))
            f = activation_of(self, choice)
            parts += [] if f is None else [f]
        super().__init__(*parts)


class GatedMLP(Module):
    """LLaMA's MLP: `down(silu(gate(x)) · up(x))`, without biases.

    Each of the `intermediate_size` units works by itself until `down` sums over them. So they can
    be split into parts that machines compute in parallel, each with its rows of gate and up and its
    columns of down; the sum of what they give is the same.

    Args:
        hidden_size: numbers per token that go in and come out.
        intermediate_size: how many units are between.
        parts: into how many slices the units are divided.
        rng: where the initial numbers come from.
        dtype: of the parameters; float64 by default.

    Attributes:
        gate_proj: `Linear` with weight (intermediate_size, hidden_size).
        up_proj: likewise.
        down_proj: `Linear` with weight (hidden_size, intermediate_size).

    Raises:
        InputError: if a size is not positive, parts do not divide the units, or at the call if the
            input does not fit.
        DtypeError: if `rng` is no Generator.

    Source: H. Touvron et al., "LLaMA" (2023), section 2.2; N. Shazeer, "GLU Variants Improve
    Transformer" (2020), equation 6.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        parts: int = 1,
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, hidden_size=hidden_size, intermediate_size=intermediate_size, parts=parts)
        if intermediate_size % parts:
            raise InputError(
                f"GatedMLP: expected parts to divide intermediate_size = {intermediate_size}, got "
                f"{parts}"
            )
        self.hidden_size, self.intermediate_size, self.parts = hidden_size, intermediate_size, parts
        self.gate_proj = Linear(hidden_size, intermediate_size, False, rng=rng, dtype=dtype)
        self.up_proj = Linear(hidden_size, intermediate_size, False, rng=rng, dtype=dtype)
        self.down_proj = Linear(intermediate_size, hidden_size, False, rng=rng, dtype=dtype)

    def forward(self, x: Any) -> Any:
        """(..., hidden_size) to (..., hidden_size)."""
        if shape_of(x)[-1:] != (self.hidden_size,):
            raise wrong_input(self, f"(..., {self.hidden_size})", x)
        if self.parts == 1:
            return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        total, size = None, self.intermediate_size // self.parts
        for part in range(self.parts):
            with scope(f"part{part}"):
                share = self._part(x, slice(part * size, (part + 1) * size))
            total = share if total is None else total + share
        return total

    def _part(self, x: Any, units: slice) -> Any:
        """What some of the units give."""
        gate, up = self.gate_proj.weight[units], self.up_proj.weight[units]
        down = self.down_proj.weight[:, units]
        gate, up = (linear(x, weight, transposed=True) for weight in (gate, up))
        return linear(silu(gate) * up, down, transposed=True)

    def extra_repr(self) -> str:
        """The sizes."""
        parts = "" if self.parts == 1 else f", parts={self.parts}"
        return f"{self.hidden_size}, {self.intermediate_size}{parts}"
