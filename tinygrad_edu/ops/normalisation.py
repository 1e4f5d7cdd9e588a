"""Normalisation: numbers with mean 0 and variance 1 over some axes, and other common scales.

All but the vector norms go through one op, `standardise`, with one rule for its input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.pooling import sum_along
from tinygrad_edu.ops.windows import as_array, each_axis

Axes = tuple[int, ...]


# -- the op --------------------------------------------------------------------------------------


def _standard(x: Array, axes: Axes, eps: float, centred: bool) -> tuple[Array, Array]:
    """x̂, which is its caller's to write into, and the 1/σ that makes it."""
    normal = x - x.mean(axis=axes, keepdims=True) if centred else +x
    scale = 1 / np.sqrt(np.mean(normal * normal, axis=axes, keepdims=True) + eps)
    normal *= scale
    return normal, scale


def _standardise_x(
    g: Array, out: Array, x: Array, w: Array, b: Array, *, axes: Axes, eps: float, centred: bool
) -> Array:
    """For x̂ = (x - μ)/σ, of which n elements share μ and σ, and ĝ = g w.

    ∂x̂ᵢ/∂xⱼ = (δᵢⱼ - 1/n - x̂ᵢ x̂ⱼ/n) / σ, so the cotangent is (ĝ - mean(ĝ) - x̂ mean(ĝ x̂)) / σ: what
    is left of ĝ without the two directions, all ones and x̂, in which x̂ cannot change. Not centred,
    μ = 0 and the term with mean(ĝ) is missing.
    """
    normal, scale = _standard(x, axes, eps, centred)
    if w is not None:
        g = safe_multiply(g, w)
    along = safe_multiply(g, normal).mean(axis=axes, keepdims=True)
    rest = safe_multiply(-along, normal)
    rest += g
    if centred:
        rest -= g.mean(axis=axes, keepdims=True)
    return safe_multiply(rest, scale)


def _standardise_w(
    g: Array, out: Array, x: Array, w: Array, b: Array, *, axes: Axes, eps: float, centred: bool
) -> Array:
    return safe_multiply(g, _standard(x, axes, eps, centred)[0])


def _standardise_b(
    g: Array, out: Array, x: Array, w: Array, b: Array, *, axes: Axes, eps: float, centred: bool
) -> Array:
    return g


@op(
    wrt("x", _standardise_x),
    wrt("w", _standardise_w),
    wrt("b", _standardise_b),
    broadcasts=True,
)
def standardise(x: Array, w: Array, b: Array, *, axes: Axes, eps: float, centred: bool) -> Array:
    """`(x - mean) / √(variance + eps) · w + b`, with mean and (biased) variance over some axes.

    Args:
        x: (...), float.
        w: broadcasts to x's shape; or None.
        b: broadcasts to x's shape; or None.
        axes: over which to average.
        eps: added to the variance, so that a constant becomes 0.
        centred: subtract the mean; otherwise the mean of the squares stands for the variance.

    Returns:
        Shape and dtype of `x`.

    Source: S. Ioffe, C. Szegedy, "Batch Normalization" (2015), section 3, for the rule.
    """
    out, _ = _standard(x, axes, eps, centred)
    if w is not None:
        out = out * w
    return out if b is None else out + b


# -- over the batch ------------------------------------------------------------------------------


def _per_channel(function: str, name: str, value: Array, x: Array) -> Array:
    """One number per channel, shaped to broadcast with x (N, C, ...)."""
    if value is None:
        return None
    if np.shape(value) != x.shape[1:2]:
        raise InputError(
            f"{function}: expected {name} of shape {x.shape[1:2]}, a number per channel of x "
            f"{x.shape}, got {np.shape(value)}"
        )
    return np.reshape(value, (-1, *(1,) * (x.ndim - 2)))


def _check_channels(function: str, x: Array) -> None:
    if x.ndim < 2:
        raise InputError(f"{function}: expected x (N, C, ...), got {x.shape}")


def _check_running(name: str, value: Any, x: Array) -> None:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise DtypeError(
            f"batch_norm: expected {name} to be a float ndarray, which training updates in place, "
            f"got {type(value).__name__}; it is a statistic, not a parameter: no gradient"
        )
    _per_channel("batch_norm", name, value, x)


def _with_running(x: Array, mean: Array, variance: Array, w: Array, b: Array, eps: float) -> Array:
    """One product and one sum per element: the statistics are constants."""
    if mean is None or variance is None:
        raise InputError(
            "batch_norm: expected running_mean and running_var, of which there are none; or pass "
            "training=True"
        )
    dtype = x.dtype if x.dtype.kind == "f" else float  # not wider than x, but never integers
    mean, variance = (
        _per_channel("batch_norm", name, as_array(value), x).astype(dtype)
        for name, value in (("running_mean", mean), ("running_var", variance))
    )
    scale = 1 / np.sqrt(variance + eps)
    scale = scale if w is None else scale * w
    shift = -mean * scale
    return x * scale + (shift if b is None else shift + b)


def _update(running: Array, new: Array, momentum: float) -> None:
    running *= 1 - momentum
    running += momentum * new


@composite
def batch_norm(
    x: Array,
    running_mean: Any,
    running_var: Any,
    weight: Array = None,
    bias: Array = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Each channel with mean 0 and variance 1 over the batch (and the image).

    In training the batch's own statistics are used, and the running ones move towards them, in
    place, by `momentum`; the running variance is the unbiased one, as in PyTorch. Under
    `tg.checkpoint` the forward pass runs twice, and moves them twice.

    Args:
        x: (N, C, ...), float.
        running_mean: (C,), in training an ndarray, or None if it is not wanted.
        running_var: (C,), likewise.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        training: use the batch's statistics; otherwise the running ones, as constants.
        momentum: the weight of this batch in the running statistics.
        eps: added to the variance.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if shapes do not fit, or in training there is one number per channel.
        DtypeError: in training, if the running statistics are no float ndarrays.
    """
    x = as_array(x)
    _check_channels("batch_norm", x)
    w = _per_channel("batch_norm", "weight", weight, x)
    b = _per_channel("batch_norm", "bias", bias, x)
    axes = (0, *range(2, x.ndim))
    count = math.prod(x.shape[a] for a in axes)
    if not training:
        return _with_running(x, running_mean, running_var, w, b, eps)
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        if value is not None:
            _check_running(name, value, x)
    if count < 2:
        raise InputError(
            f"batch_norm: expected more than one number per channel in training, got x {x.shape}"
        )
    data = plain(x)
    if running_mean is not None:
        _update(running_mean, data.mean(axis=axes), momentum)
    if running_var is not None:
        _update(running_var, data.var(axis=axes) * (count / (count - 1)), momentum)
    return standardise(x, w, b, axes=axes, eps=eps, centred=True)


@composite
def instance_norm(
    x: Array, *, weight: Array = None, bias: Array = None, eps: float = 1e-5
) -> Array:
    """Each channel of each image with mean 0 and variance 1.

    Args:
        x: (N, C, L...), float, with at least one axis after the channels.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        eps: added to the variance.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if shapes do not fit.
    """
    x = as_array(x)
    if x.ndim < 3:
        raise InputError(f"instance_norm: expected x (N, C, L, ...), got {x.shape}")
    w = _per_channel("instance_norm", "weight", weight, x)
    b = _per_channel("instance_norm", "bias", bias, x)
    return standardise(x, w, b, axes=tuple(range(2, x.ndim)), eps=eps, centred=True)


@composite
def group_norm(
    x: Array, num_groups: int, weight: Array = None, bias: Array = None, eps: float = 1e-5
) -> Array:
    """Groups of channels of each image with mean 0 and variance 1.

    Args:
        x: (N, C, ...), float.
        num_groups: into how many groups the channels are divided.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        eps: added to the variance.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if shapes do not fit, or `num_groups` does not divide C.

    Source: Y. Wu, K. He, "Group Normalization" (2018).
    """
    x = as_array(x)
    _check_channels("group_norm", x)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise InputError(
            f"group_norm: expected num_groups to divide the {x.shape[1]} channels of x {x.shape}, "
            f"got {num_groups}"
        )
    w = _per_channel("group_norm", "weight", weight, x)
    b = _per_channel("group_norm", "bias", bias, x)
    groups = x.reshape((x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups))
    y = standardise(groups, None, None, axes=(2,), eps=eps, centred=True).reshape(x.shape)
    y = y if w is None else y * w
    return y if b is None else y + b


# -- over the last axes --------------------------------------------------------------------------


def _last_axes(function: str, x: Array, shape: Any, *parameters: Array) -> Axes:
    """The axes of `normalized_shape`, which x must end with and the parameters must have."""
    shape = each_axis(function, "normalized_shape", shape, max(np.size(shape), 1), 0)
    if x.shape[max(x.ndim - len(shape), 0) :] != shape:
        raise InputError(
            f"{function}: expected x to end with normalized_shape {shape}, got {x.shape}"
        )
    for parameter in parameters:
        if parameter is not None and np.shape(parameter) != shape:
            raise InputError(
                f"{function}: expected weight and bias of normalized_shape {shape}, got "
                f"{np.shape(parameter)}"
            )
    return tuple(range(x.ndim - len(shape), x.ndim))


@composite
def layer_norm(
    x: Array, normalized_shape: Any, weight: Array = None, bias: Array = None, eps: float = 1e-5
) -> Array:
    """The last axes of each example with mean 0 and variance 1.

    Args:
        x: (..., *normalized_shape), float.
        normalized_shape: the lengths of the last axes, or one length.
        weight: of normalized_shape, or None for 1.
        bias: of normalized_shape, or None for 0.
        eps: added to the variance.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if shapes do not fit.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer Normalization" (2016).
    """
    x = as_array(x)
    axes = _last_axes("layer_norm", x, normalized_shape, weight, bias)
    return standardise(x, weight, bias, axes=axes, eps=eps, centred=True)


@composite
def rms_norm(
    x: Array, normalized_shape: Any, weight: Array = None, eps: float | None = None
) -> Array:
    """The last axes of each example divided by the root of their mean square.

    Args:
        x: (..., *normalized_shape), float.
        normalized_shape: the lengths of the last axes, or one length.
        weight: of normalized_shape, or None for 1.
        eps: added to the mean square; by default the machine epsilon of x's dtype.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if shapes do not fit.

    Source: B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization" (2019).
    """
    x = as_array(x)
    axes = _last_axes("rms_norm", x, normalized_shape, weight)
    if eps is None:
        eps = float(np.finfo(x.dtype).eps)
    return standardise(x, weight, None, axes=axes, eps=eps, centred=False)


# -- other scales --------------------------------------------------------------------------------


@composite
def normalize(
    x: Array, p: float = 2.0, axis: int | tuple[int, ...] = 1, eps: float = 1e-12
) -> Array:
    """`x` divided by its p-norm along an axis, or by `eps` if that is larger.

    Args:
        x: (...), float.
        p: of the norm, positive; `math.inf` for the largest absolute value.
        axis: along which to take the norm, an int or a tuple.
        eps: so that zeros stay zeros.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if `p` is not positive.
    """
    x = as_array(x)
    if not p > 0:
        raise InputError(f"normalize: expected p > 0, got {p}")
    size = abs(x)
    if p == math.inf:
        norm = size.max(axis=axis, keepdims=True)
    elif p == 2:
        norm = np.sqrt(np.sum(x * x, axis=axis, keepdims=True))
    else:
        norm = np.sum(size ** float(p), axis=axis, keepdims=True) ** (1.0 / p)
    return x / np.maximum(norm, eps)


@composite
def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """`x / (k + alpha · mean of the squares of `size` neighbouring channels)^beta`.

    Args:
        x: (N, C, ...), float.
        size: how many channels, those beyond the ends counted as zeros; ⌊size/2⌋ before its own.
        alpha: a number.
        beta: a number.
        k: a number.

    Returns:
        Shape and dtype of `x`.

    Raises:
        InputError: if there is no channel axis, or size is not positive.
    """
    x = as_array(x)
    _check_channels("local_response_norm", x)
    (size,) = each_axis("local_response_norm", "size", size, 1)
    channels = x.shape[1]
    squares = sum_along(x * x, along=(1, size, 1, size // 2, 1, channels))
    return x / (k + (alpha / size) * squares) ** beta
