"""Smooth activation functions that NumPy lacks (`np.tanh` is among the elementwise ops).

All are accurate from -1e4 to 1e4 in float32 and float64: nothing overflows, and where the value
becomes small it is small to full relative accuracy. Rules use the result where that saves work,
and `+=` on what they made themselves: in place for arrays, a new name for everything else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.domain import NONZERO
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import Axis, shifted
from tinygrad_edu.ops.reduce import softmax as softmax

_silent_overflow = np.errstate(over="ignore")  # exp(-x) may be inf: then 1 / (1 + inf) is right


def check_positive(function: str, option: str, value: float) -> None:
    """Refuse what must be positive and is not.

    Raises:
        InputError: with the name of the function and the option.
    """
    if not value > 0:
        raise InputError(f"{function}: expected a positive {option}, got {value}")


@op(wrt("x", lambda g, out, x: safe_multiply(g, out - out * out)))
@_silent_overflow
def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`, between 0 and 1.
    """
    exp = np.exp(-x)
    exp += 1.0
    return np.reciprocal(exp)


@op(wrt("x", lambda g, out, x: safe_multiply(g, sigmoid(x))))
def softplus(x: Array) -> Array:
    """`log(1 + exp(x))`, elementwise: a smooth relu.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    rest = np.log1p(np.exp(-abs(x)))
    rest += np.maximum(x, 0.0)
    return rest


@op(wrt("x", lambda g, out, x: safe_multiply(g, sigmoid(-x))))
def log_sigmoid(x: Array) -> Array:
    """`log(sigmoid(x))`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    return np.minimum(x, 0.0) - np.log1p(np.exp(-abs(x)))


def _silu(g: Array, out: Array, x: Array) -> Array:
    weight = sigmoid(x)
    slope = 1 - weight
    slope *= out
    slope += weight
    return safe_multiply(g, slope)


@op(wrt("x", _silu))
@_silent_overflow
def silu(x: Array) -> Array:
    """`x · sigmoid(x)`, elementwise; also called swish.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    exp = np.exp(-x)
    exp += 1.0
    return x / exp


@composite
def quick_gelu(x: Array) -> Array:
    """`x · sigmoid(1.702 x)`, elementwise: a cheap `gelu`.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Source: D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units (GELUs)" (2016), section 2.
    """
    return silu(1.702 * x) / 1.702


@composite
def mish(x: Array) -> Array:
    """`x · tanh(softplus(x))`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Source: D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function" (2019).
    """
    return x * np.tanh(softplus(x))


@op(wrt("x", lambda g, out, x: safe_multiply(g, 1 / np.square(1 + abs(x))), NONZERO))
def softsign(x: Array) -> Array:
    """`x / (1 + |x|)`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`, between -1 and 1.
    """
    return x / (1 + abs(x))


def _squareplus(g: Array, out: Array, x: Array, b: float = 4.0) -> Array:
    return safe_multiply(g, out / np.sqrt(x * x + b))


@op(wrt("x", _squareplus))
def squareplus(x: Array, b: float = 4.0) -> Array:
    """`(x + √(x² + b)) / 2`, elementwise: a smooth relu without exponentials.

    Args:
        x: (...), float.
        b: a positive number: how round the bend is.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if b is not positive.

    Source: J. Barron, "Squareplus: A Softplus-Like Algebraic Rectifier" (2021), equation 1.
    """
    check_positive("squareplus", "b", b)
    double = abs(x) + np.sqrt(x * x + b)
    return np.where(x > 0, 0.5 * double, 0.5 * b / double)  # the same without cancellation


# --- along an axis ------------------------------------------------------------------------------


def _log_softmax(g: Array, out: Array, x: Array, axis: Axis = -1) -> Array:
    share = safe_multiply(-g.sum(axis=axis, keepdims=True), np.exp(out))
    share += g
    return share


@op(wrt("x", _log_softmax))
def log_softmax(x: Array, axis: Axis = -1) -> Array:
    """`log(softmax(x))`, without overflow and without rounding small probabilities to 0.

    Args:
        x: (...), float.
        axis: along which the probabilities sum to 1.

    Returns:
        Shape and dtype of `x`.
    """
    below = shifted(x, x.max(axis=axis, keepdims=True))
    return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))


@composite
def softmin(x: Array, axis: Axis = -1) -> Array:
    """`softmax(-x)`: the smallest number gets the largest part.

    Args:
        x: (...), float.
        axis: along which the parts sum to 1: an int, a tuple, or None for all.

    Returns:
        Shape and dtype of `x`.
    """
    return softmax(-x, axis=axis)


@composite
def glu(x: Array, axis: int = -1) -> Array:
    """A gated linear unit: the first half of an axis times the sigmoid of the second.

    Args:
        x: (..., 2n, ...), float.
        axis: which axis is halved.

    Returns:
        (..., n, ...), dtype of `x`.

    Raises:
        InputError: if the axis has an odd length, or there is none.

    Source: Y. Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017),
    equation 1.
    """
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise InputError(f"glu: expected an even length along axis {axis}, got shape {x.shape}")
    values, gates = np.split(x, 2, axis)
    return values * sigmoid(gates)


# --- with the error function --------------------------------------------------------------------


def _special(name: str) -> Any:
    """SciPy's special functions, or how to get them."""
    try:
        from scipy import special  # an extra: the rest of the package does without SciPy
    except ImportError as error:
        raise ImportError(
            f"{name} needs SciPy: pip install tinygrad_edu[special]"
            + ("; gelu(x, approximate='tanh') does without" if name == "gelu" else "")
        ) from error
    return special


@op(wrt("x", lambda g, out, x: safe_multiply(g, 2 / math.sqrt(math.pi) * np.exp(-x * x))))
def erf(x: Array) -> Array:
    """The error function, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Raises:
        ImportError: without SciPy, `pip install tinygrad_edu[special]`.
    """
    return _special("erf").erf(x)


_SLOPE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


def _gelu(g: Array, out: Array, x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        square = x * x
        tanh = np.tanh(_SLOPE * x * (1 + _CUBIC * square))
        slope = (1 + 3 * _CUBIC * square) * _SLOPE
        slope *= 1 - tanh * tanh
        slope *= x
        slope += tanh
        slope += 1
        return safe_multiply(0.5 * g, slope)
    probability = _special("gelu").ndtr(x)
    density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return safe_multiply(g, probability + x * density)


@op(wrt("x", _gelu))
def gelu(x: Array, approximate: str = "none") -> Array:
    """`x · P(Z ≤ x)` for a standard normal Z, elementwise.

    Args:
        x: (...), float.
        approximate: "none" (needs SciPy), or "tanh" for the usual approximation.

    Returns:
        Shape and dtype of `x`.

    Raises:
        ImportError: for "none" without SciPy, `pip install tinygrad_edu[special]`.
        InputError: if `approximate` is neither.

    Source: D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units (GELUs)" (2016), section 2.
    """
    if approximate == "tanh":
        tanh = np.tanh(_SLOPE * x * (1 + _CUBIC * (x * x)))
        return 0.5 * x * (1 + tanh)
    if approximate != "none":
        raise InputError(f"gelu: expected approximate 'none' or 'tanh', got {approximate!r}")
    return x * _special("gelu").ndtr(x)
