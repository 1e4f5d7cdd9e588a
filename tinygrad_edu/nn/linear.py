"""Layers of matrix products, and those that only change shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn import init as initial
from tinygrad_edu.nn.checks import check_sizes, shape_of, title, wrong_input
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops.linalg import bilinear, linear
from tinygrad_edu.ops.random import check_rng

Rng = np.random.Generator | None


def default_uniform(shape: Any, fan_in: int, rng: Any, dtype: Any) -> Parameter:
    """PyTorch's default for weights and biases: even on ±1/√fan_in."""
    limit = 1 / math.sqrt(fan_in)
    return Parameter(initial.uniform(shape, -limit, limit, rng=rng, dtype=dtype))


class Linear(Module):
    """`x @ weight.T + bias`: every output is a weighted sum of all inputs.

    Args:
        in_features: numbers per example that go in.
        out_features: numbers that come out.
        bias: add one.
        init: how to draw the weight, a function such as `nn.init.xavier_uniform`; the bias then
            starts at 0. By default both are even on ±1/√in_features, as in PyTorch.
        rng: where the initial numbers come from.
        dtype: of the parameters; float64 by default, as in NumPy (PyTorch: float32).

    Attributes:
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Raises:
        InputError: if a size is not positive, or at the call if the input does not fit.
        DtypeError: if `rng` is no Generator.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Callable[..., Any] | None = None,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(self, in_features=in_features, out_features=out_features)
        check_rng(type(self).__name__, rng)
        self.in_features, self.out_features = in_features, out_features
        shape = (out_features, in_features)
        if init is None:
            self.weight = default_uniform(shape, in_features, rng, dtype)
            self.bias = default_uniform(out_features, in_features, rng, dtype) if bias else None
        else:
            self.weight = Parameter(init(shape, rng=rng, dtype=dtype))
            self.bias = Parameter(initial.zeros(out_features, dtype=dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """(..., in_features) to (..., out_features)."""
        if shape_of(x)[-1:] != (self.in_features,):
            raise wrong_input(self, f"(..., {self.in_features})", x)
        return linear(x, self.weight, self.bias, transposed=True)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """`x1ᵀ weight_k x2 + bias_k` for each output k.

    Args:
        in1_features: numbers per example of the first input.
        in2_features: numbers per example of the second.
        out_features: numbers that come out.
        bias: add one.
        rng: where the initial numbers come from, even on ±1/√in1_features.
        dtype: of the parameters; float64 by default.

    Attributes:
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,), or None.

    Raises:
        InputError: if a size is not positive, or at the call if the inputs do not fit.
        DtypeError: if `rng` is no Generator.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: Rng = None,
        dtype: Any = float,
    ) -> None:
        check_sizes(
            self, in1_features=in1_features, in2_features=in2_features, out_features=out_features
        )
        check_rng(type(self).__name__, rng)
        self.in1_features, self.in2_features = in1_features, in2_features
        shape = (out_features, in1_features, in2_features)
        self.weight = default_uniform(shape, in1_features, rng, dtype)
        self.bias = default_uniform(out_features, in1_features, rng, dtype) if bias else None

    def forward(self, x1: Any, x2: Any) -> Any:
        """(..., in1_features) and (..., in2_features) to (..., out_features)."""
        for x, size in ((x1, self.in1_features), (x2, self.in2_features)):
            if shape_of(x)[-1:] != (size,):
                raise wrong_input(self, f"(..., {size})", x)
        return bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.weight.shape[0]}, bias={self.bias is not None}"
        )


class Identity(Module):
    """`x`: where a module is asked for and nothing is to be done."""

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


class Flatten(Module):
    """Several axes as one: (N, C, H, W) to (N, C·H·W).

    Args:
        start_dim: the first of them; by default the one after the batch.
        end_dim: the last of them.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """The same numbers with fewer axes."""
        shape = getattr(x, "shape", None)
        if shape is None:
            raise wrong_input(self, "(N, ...)", x)
        axes = range(len(shape))
        try:
            first, last = axes[self.start_dim], axes[self.end_dim]
        except IndexError:
            first, last = 1, 0
        if first > last:
            raise InputError(
                f"{title(self)}: expected input with axes {self.start_dim} to {self.end_dim}, "
                f"got shape {shape}"
            )
        size = math.prod(shape[first : last + 1])  # -1 would not do for an empty batch
        return x.reshape((*shape[:first], size, *shape[last + 1 :]))

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several: the opposite of `Flatten`.

    Args:
        dim: which axis.
        unflattened_size: of the axes that it becomes; one may be -1, which is what is left.

    Raises:
        InputError: at the call, if there is no such axis or its length does not fit.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        """The same numbers with more axes."""
        shape, axis = shape_of(x), self.dim
        if not -len(shape) <= axis < len(shape):
            raise wrong_input(self, f"with an axis {axis}", x)
        axis %= len(shape)
        known = math.prod(n for n in self.unflattened_size if n != -1)
        left = shape[axis] // max(known, 1)
        sizes = tuple(left if n == -1 else n for n in self.unflattened_size)
        if math.prod(sizes) != shape[axis]:
            raise wrong_input(self, f"whose axis {axis} divides into {self.unflattened_size}", x)
        return x.reshape((*shape[:axis], *sizes, *shape[axis + 1 :]))

    def extra_repr(self) -> str:
        """The axes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
