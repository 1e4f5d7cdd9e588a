"""Activation functions with corners: `relu` and its kind, and what is clipped to straight lines.

Sub-gradients at the corners are PyTorch's; docs/design.md has the table.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.domain import NONZERO, Domain
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.activations import check_positive
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.shape import unflatten

# --- bent at 0 ----------------------------------------------------------------------------------


@op(wrt("x", lambda g, out, x: safe_multiply(g, out > 0), NONZERO))
def relu(x: Array) -> Array:
    """`max(x, 0)`, elementwise; its sub-gradient at 0 is 0.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    if type(x) is np.ndarray and x.dtype.char in "fd":  # NumPy is faster with an array of zeros
        out = np.zeros(x.shape, x.dtype) if x.flags.c_contiguous else np.zeros_like(x)
        return np.maximum(x, out, out=out)
    return np.maximum(x, 0.0)


def _leaky_relu(g: Array, out: Array, x: Array, negative_slope: float = 0.01) -> Array:
    return negative_slope * g + (1 - negative_slope) * safe_multiply(g, x > 0)


@op(wrt("x", _leaky_relu, NONZERO))
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """`x` where it is positive, elsewhere `negative_slope · x`; at 0 the slope is that of the left.

    Args:
        x: (...), float.
        negative_slope: a number.

    Returns:
        Shape and dtype of `x`.
    """
    if 0 <= negative_slope <= 1:  # several times as fast
        return np.maximum(x, negative_slope * x)
    return np.where(x > 0, x, negative_slope * x)


def _elu(g: Array, out: Array, x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, g, safe_multiply(g, alpha * np.exp(np.minimum(x, 0.0))))


@op(wrt("x", _elu, NONZERO))
def elu(x: Array, alpha: float = 1.0) -> Array:
    """`x` where it is positive, elsewhere `alpha · (exp(x) - 1)`; at 0 the slope is `alpha`.

    Args:
        x: (...), float.
        alpha: a number.

    Returns:
        Shape and dtype of `x`.
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


@composite
def prelu(x: Array, weight: Array) -> Array:
    """`x` where it is positive, elsewhere `weight · x`, with a weight that is learned.

    Args:
        x: (N, C, ...) or any other shape, float.
        weight: one number, or (C,): one for each channel.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if there are neither one nor C weights.

    Source: K. He et al., "Delving Deep into Rectifiers" (2015), equation 1.
    """
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if np.size(weight) not in (1, channels) or np.ndim(weight) > 1:
        raise InputError(
            f"prelu: expected one weight or {channels} for x of shape {x.shape}, got shape "
            f"{np.shape(weight)}"
        )
    shape = () if np.size(weight) == 1 else (channels, *[1] * (len(x.shape) - 2))
    return np.where(x > 0, x, np.reshape(weight, shape) * x)


@composite
def selu(x: Array) -> Array:
    """`elu`, scaled so that means of 0 and variances of 1 are kept from layer to layer.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Source: G. Klambauer et al., "Self-Normalizing Neural Networks" (2017), equation 2.
    """
    return 1.0507009873554804934 * elu(x, alpha=1.6732632423543772848)


@composite
def celu(x: Array, alpha: float = 1.0) -> Array:
    """`x` where it is positive, elsewhere `alpha · (exp(x / alpha) - 1)`: smooth for every alpha.

    Args:
        x: (...), float.
        alpha: a positive number.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if alpha is not positive.

    Source: J. Barron, "Continuously Differentiable Exponential Linear Units" (2017), equation 2.
    """
    check_positive("celu", "alpha", alpha)
    return alpha * elu(x / alpha)


# --- bent elsewhere -----------------------------------------------------------------------------


@composite
def threshold(x: Array, threshold: float, value: float) -> Array:
    """`x` where it is above the threshold, elsewhere `value`.

    Args:
        x: (...), float.
        threshold: a number; at it the gradient is 0.
        value: a number.

    Returns:
        Shape and dtype of `x`.
    """
    return np.where(x <= threshold, value, x)  # NaN stays NaN


@composite
def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """`x`, but 0 from `-lambd` to `lambd`, both ends included.

    Args:
        x: (...), float.
        lambd: a number that is not negative.

    Returns:
        Shape and dtype of `x`.
    """
    return np.where(abs(x) <= lambd, 0.0, x)


@composite
def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """`x` moved towards 0 by `lambd`, and 0 where that is further than it goes.

    Args:
        x: (...), float.
        lambd: a number that is not negative; at its ends the gradient is 0.

    Returns:
        Shape and dtype of `x`.
    """
    return x - np.clip(x, -lambd, lambd)


# --- clipped: bent at two places ----------------------------------------------------------------


def _hardtanh(g: Array, out: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    return safe_multiply(g, (x > min_val) & (x < max_val))


@op(wrt("x", _hardtanh, Domain(kinks=(-1.0, 1.0))))
def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """`x`, but not below `min_val` and not above `max_val`; its sub-gradient at both is 0.

    Args:
        x: (...), float.
        min_val: a number.
        max_val: a larger number.

    Returns:
        Shape and dtype of `x`.
    """
    return np.clip(x, min_val, max_val)


@composite
def relu6(x: Array) -> Array:
    """`min(max(x, 0), 6)`, elementwise; its sub-gradient at 0 and 6 is 0.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.
    """
    return hardtanh(x, 0.0, 6.0)


@composite
def clipped_relu(x: Array, z: float = 20.0) -> Array:
    """`min(max(x, 0), z)`, elementwise; its sub-gradient at 0 and z is 0.

    Args:
        x: (...), float.
        z: a positive number.

    Returns:
        Shape and dtype of `x`.
    """
    return hardtanh(x, 0.0, z)


_BENDS = Domain(kinks=(-3.0, 3.0))


@op(wrt("x", lambda g, out, x: safe_multiply(g, (x > -3) & (x < 3)) / 6, _BENDS))
def hardsigmoid(x: Array) -> Array:
    """`relu6(x + 3) / 6`: three straight lines like `sigmoid`.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`, between 0 and 1.
    """
    return np.clip(x + 3, 0.0, 6.0) / 6


@composite
def hardswish(x: Array) -> Array:
    """`x · hardsigmoid(x)`, elementwise.

    Args:
        x: (...), float.

    Returns:
        Shape and dtype of `x`.

    Source: A. Howard et al., "Searching for MobileNetV3" (2019), section 5.2.
    """
    return x * hardsigmoid(x)


# --- several at once ---------------------------------------------------------------------------


@composite
def maxout(x: Array, k: int, axis: int = -1) -> Array:
    """The largest of each `k` neighbours along an axis; equal ones share the gradient.

    Args:
        x: (..., n k, ...), float.
        k: how many numbers make one.
        axis: along which.

    Returns:
        (..., n, ...), dtype of `x`.

    Raises:
        InputError: if k does not divide the length of the axis.

    Source: I. Goodfellow et al., "Maxout Networks" (2013), section 2.
    """
    return np.max(unflatten(x, axis, (-1, k)), axis=axis % len(x.shape) + 1)


@composite
def crelu(x: Array, axis: int = -1) -> Array:
    """`relu(x)` and `relu(-x)` next to each other.

    Args:
        x: (..., n, ...), float.
        axis: along which they are joined.

    Returns:
        (..., 2n, ...), dtype of `x`.

    Source: W. Shang et al., "Understanding and Improving Convolutional Neural Networks via
    Concatenated Rectified Linear Units" (2016), definition 2.1.
    """
    return np.concatenate([relu(x), relu(-x)], axis)
