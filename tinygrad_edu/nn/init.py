"""Initial weights: each function returns an array, and with "_" at its end fills a parameter.

How large weights start decides whether signals and gradients keep their size from layer to layer.
For weights of variance v a sum over `fan_in` inputs has variance fan_in · v (forward), and a
gradient fan_out · v (backward); the schemes below choose v so that one of them, or a mean of both,
stays 1.

Shapes are those of layers here, as in PyTorch: (out, in) or (out, in, *kernel). For a textbook's
`x @ W` with W (in, out) pass `shape=(n_in, n_out)` all the same where both fans count alike
(Glorot), and swap `mode` where they do not (He).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.ops.random import check_rng
from tinygrad_edu.tensor import Tensor

Shape = int | tuple[int, ...]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Rng = np.random.Generator | None


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs a number of the result is summed over, and how many outputs an input reaches.

    Args:
        shape: (out, in) of a matrix, (out, in, *kernel) of a convolution.

    Returns:
        fan_in = in · kernel size, fan_out = out · kernel size.

    Raises:
        InputError: if there are less than two axes.
    """
    shape = _shape(shape)
    if len(shape) < 2:
        raise InputError(f"init: expected a shape (out, in) or (out, in, *kernel), got {shape}")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights must be larger because of what follows them.

    Args:
        nonlinearity: "linear", "conv1d", "conv2d", "conv3d", "sigmoid" (1), "tanh" (5/3), "relu"
            (√2), "leaky_relu" (√(2/(1 + slope²))) or "selu" (3/4).
        param: the slope of "leaky_relu" below 0, by default 0.01.

    Raises:
        InputError: if the nonlinearity is unknown.

    Source: K. He et al., "Delving Deep into Rectifiers" (2015), equations 10 and 15; the others are
    PyTorch's.
    """
    gains = dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0)
    gains |= {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    gains["leaky_relu"] = math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in gains:
        raise InputError(
            f"calculate_gain: expected one of {', '.join(gains)}, got {nonlinearity!r}"
        )
    return gains[nonlinearity]


# -- functions of a shape --------------------------------------------------------------------------


def zeros(shape: Shape, *, rng: Rng = None, dtype: Any = float) -> Floats:
    """Zeros; like the next two, it takes an `rng` to stand where others do, and draws nothing."""
    return np.zeros(_shape(shape), dtype)


def ones(shape: Shape, *, rng: Rng = None, dtype: Any = float) -> Floats:
    """Ones."""
    return np.ones(_shape(shape), dtype)


def constant(shape: Shape, val: float, *, rng: Rng = None, dtype: Any = float) -> Floats:
    """One number everywhere."""
    return np.full(_shape(shape), val, dtype)


def uniform(
    shape: Shape, a: float = 0.0, b: float = 1.0, *, rng: Rng = None, dtype: Any = float
) -> Floats:
    """Numbers drawn evenly from [a, b).

    Raises:
        InputError: if `a` is above `b`.
        DtypeError: if `rng` is no Generator.
    """
    if not a <= b:
        raise InputError(f"init.uniform: expected a <= b, got a={a}, b={b}")
    return check_rng("init.uniform", rng).uniform(a, b, _shape(shape)).astype(dtype)


def normal(
    shape: Shape, mean: float = 0.0, std: float = 1.0, *, rng: Rng = None, dtype: Any = float
) -> Floats:
    """Numbers drawn from the normal distribution.

    Raises:
        InputError: if `std` is negative.
        DtypeError: if `rng` is no Generator.
    """
    if not std >= 0:
        raise InputError(f"init.normal: expected std >= 0, got {std}")
    return check_rng("init.normal", rng).normal(mean, std, _shape(shape)).astype(dtype)


def xavier_uniform(
    shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = float
) -> Floats:
    """Even on ±gain · √(6 / (fan_in + fan_out)): of variance gain² · 2 / (fan_in + fan_out).

    Source: X. Glorot, Y. Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural
    Networks" (2010), equation 16.
    """
    limit = gain * math.sqrt(6 / max(sum(fans(shape)), 1))
    return uniform(shape, -limit, limit, rng=rng, dtype=dtype)


def xavier_normal(
    shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = float
) -> Floats:
    """Normal with standard deviation gain · √(2 / (fan_in + fan_out)).

    Source: X. Glorot, Y. Bengio (2010), equation 12.
    """
    return normal(shape, 0.0, gain * math.sqrt(2 / max(sum(fans(shape)), 1)), rng=rng, dtype=dtype)


def kaiming_uniform(
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = None,
    dtype: Any = float,
) -> Floats:
    """Even on ±√3 · gain / √fan: of variance gain² / fan.

    Args:
        shape: of the weights.
        a: the slope below 0 of the leaky ReLU that follows; 0 for a ReLU.
        mode: "fan_in" keeps the size of signals, "fan_out" that of gradients.
        nonlinearity: what follows, see `calculate_gain`.
        rng: where the numbers come from.
        dtype: of the result.

    Raises:
        InputError: if the shape, the mode or the nonlinearity does not fit.
        DtypeError: if `rng` is no Generator.

    Source: K. He et al., "Delving Deep into Rectifiers" (2015), equations 10, 14 and 15.
    """
    limit = math.sqrt(3) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, -limit, limit, rng=rng, dtype=dtype)


def kaiming_normal(
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = None,
    dtype: Any = float,
) -> Floats:
    """Normal with standard deviation gain / √fan; see `kaiming_uniform`."""
    std = _kaiming_std(shape, a, mode, nonlinearity)
    return normal(shape, 0.0, std, rng=rng, dtype=dtype)


def orthogonal(shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: Any = float) -> Floats:
    """A matrix with orthonormal rows, or columns if these are fewer, times `gain`.

    Axes after the first count as one. Each orthogonal matrix is as likely as any other.

    Raises:
        InputError: if there are less than two axes.
        DtypeError: if `rng` is no Generator.

    Source: A. Saxe et al., "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear
    Neural Networks" (2014); F. Mezzadri, "How to Generate Random Matrices from the Classical
    Compact Groups" (2007), section 5, for the signs.
    """
    shape = _shape(shape)
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    tall = normal((max(rows, columns), min(rows, columns)), rng=rng)
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0, -1, 1)  # without this, QR's own habit would show
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise InputError(f"init.kaiming: expected mode 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _shape(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)


# -- in place, as in PyTorch -----------------------------------------------------------------------


def _in_place(function: Callable[..., Floats]) -> Callable[..., Tensor]:
    def fill(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise DtypeError(
                f"init.{function.__name__}_: expected a Parameter, got {type(tensor).__name__}; "
                f"{function.__name__}(shape) makes an array"
            )
        tensor.data = function(tensor.shape, *args, dtype=tensor.dtype, **options)
        return tensor

    fill.__name__ = fill.__qualname__ = f"{function.__name__}_"
    fill.__doc__ = f"Fill a parameter in place, and return it; see `{function.__name__}`."
    return fill


zeros_ = _in_place(zeros)
ones_ = _in_place(ones)
constant_ = _in_place(constant)
uniform_ = _in_place(uniform)
normal_ = _in_place(normal)
xavier_uniform_ = _in_place(xavier_uniform)
xavier_normal_ = _in_place(xavier_normal)
kaiming_uniform_ = _in_place(kaiming_uniform)
kaiming_normal_ = _in_place(kaiming_normal)
orthogonal_ = _in_place(orthogonal)
