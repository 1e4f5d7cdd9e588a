"""Activations as modules: each is the op of the same name, to stand in a `Sequential`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn import init
from tinygrad_edu.nn.checks import check_sizes, numbers
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops import activations as ops
from tinygrad_edu.ops import rectifiers
from tinygrad_edu.ops.reduce import softmax

# -- without settings ------------------------------------------------------------------------------


class ReLU(Module):
    """max(0, x), with derivative 0 at 0."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.relu(numbers(self, x))


class ReLU6(Module):
    """min(max(0, x), 6)."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.relu6(numbers(self, x))


class SELU(Module):
    """An ELU that keeps mean 0 and variance 1 from layer to layer."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.selu(numbers(self, x))


class Hardsigmoid(Module):
    """A sigmoid of three straight pieces."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.hardsigmoid(numbers(self, x))


class Hardswish(Module):
    """x · hardsigmoid(x)."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.hardswish(numbers(self, x))


class Sigmoid(Module):
    """The logistic function 1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.sigmoid(numbers(self, x))


class LogSigmoid(Module):
    """log(sigmoid(x)), without underflow."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.log_sigmoid(numbers(self, x))


class Tanh(Module):
    """The hyperbolic tangent, 2 · sigmoid(2x) - 1."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return np.tanh(numbers(self, x))


class SiLU(Module):
    """x · sigmoid(x), also called swish."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.silu(numbers(self, x))


class Mish(Module):
    """x · tanh(softplus(x))."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.mish(numbers(self, x))


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.softsign(numbers(self, x))


class Step(Module):
    """1 where x > 0, else 0: Rosenblatt's unit. Its derivative is 0, so that no gradient passes."""

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return np.heaviside(numbers(self, x), 0.0)


# -- with settings ---------------------------------------------------------------------------------


class LeakyReLU(Module):
    """x where it is positive, else negative_slope · x.

    Args:
        negative_slope: a number.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.leaky_relu(numbers(self, x), self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """max(0, x) + weight · min(0, x), with a slope that is learnt.

    Args:
        num_parameters: one slope, or one for each channel.
        init: where the slopes start.
        dtype: of the slopes; float64 by default.

    Attributes:
        weight: (num_parameters,).

    Source: K. He et al., "Delving Deep into Rectifiers" (2015), equation 1.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = float) -> None:
        check_sizes(self, num_parameters=num_parameters)
        self.weight = Parameter(_constant(num_parameters, init, dtype=dtype))

    def forward(self, x: Any) -> Any:
        """(N, C, ...) with C slopes; any shape with one."""
        return rectifiers.prelu(numbers(self, x), self.weight)


_constant = init.constant  # inside PReLU `init` is a number, as in PyTorch


class ELU(Module):
    """x where it is positive, else alpha (exp(x) - 1).

    Args:
        alpha: a number.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.elu(numbers(self, x), self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"alpha={self.alpha}"


class CELU(Module):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)).

    Args:
        alpha: a positive number.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.celu(numbers(self, x), self.alpha)

    def extra_repr(self) -> str:
        """Alpha."""
        return f"alpha={self.alpha}"


class Hardtanh(Module):
    """x, but at least min_val and at most max_val.

    Args:
        min_val: a number.
        max_val: a larger number.

    Raises:
        InputError: if it is not larger.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        if not min_val < max_val:
            raise InputError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = float(min_val), float(max_val)

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return rectifiers.hardtanh(numbers(self, x), self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The ends."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class GELU(Module):
    """x · Φ(x), with the distribution function of the normal distribution.

    Args:
        approximate: "none", which needs SciPy, or "tanh".
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise InputError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        return ops.gelu(numbers(self, x), self.approximate)

    def extra_repr(self) -> str:
        """Which formula."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta: a smooth ReLU.

    PyTorch has a threshold beyond which it takes x itself; exact as it is here, none is needed.

    Args:
        beta: a positive number, how sharp the bend is.
    """

    def __init__(self, beta: float = 1.0) -> None:
        if not beta > 0:
            raise InputError(f"Softplus: expected beta > 0, got {beta}")
        self.beta = float(beta)

    def forward(self, x: Any) -> Any:
        """Elementwise."""
        x = numbers(self, x)
        return ops.softplus(x) if self.beta == 1 else ops.softplus(self.beta * x) / self.beta

    def extra_repr(self) -> str:
        """Beta."""
        return f"beta={self.beta}"


# -- along an axis ---------------------------------------------------------------------------------


class _Along(Module):
    """An activation along an axis.

    Args:
        dim: the axis, by default the last.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """exp(x) / Σ exp(x): positive numbers that sum to 1 along axis `dim`.

    Before `CrossEntropyLoss` it is one too many: that takes logits.
    """

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        return softmax(numbers(self, x), self.dim)


class LogSoftmax(_Along):
    """log(softmax(x)) along axis `dim`, without overflow or underflow."""

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        return ops.log_softmax(numbers(self, x), self.dim)


class Softmin(_Along):
    """softmax(-x) along axis `dim`."""

    def forward(self, x: Any) -> Any:
        """Shape of x."""
        return ops.softmin(numbers(self, x), self.dim)


class GLU(_Along):
    """a · sigmoid(b) for the two halves of x along axis `dim`."""

    def forward(self, x: Any) -> Any:
        """Half as long along the axis."""
        return ops.glu(numbers(self, x), self.dim)


# -- by name ---------------------------------------------------------------------------------------

BY_NAME: dict[str, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "step": Step,
}


def activation(layer: Module, choice: Any) -> Module | None:
    """What a layer is given as its activation as a module; None for "identity" and None.

    Raises:
        InputError: if it is no name, module class or module.
    """
    if choice is None or choice == "identity":
        return None
    if isinstance(choice, str) and choice in BY_NAME:
        return BY_NAME[choice]()
    if isinstance(choice, Module):
        return choice
    if isinstance(choice, type) and issubclass(choice, Module):
        return choice()
    raise InputError(
        f"{type(layer).__name__}: expected an activation: 'identity', "
        f"{', '.join(map(repr, BY_NAME))}, or a module such as nn.ReLU, got {choice!r}"
    )
