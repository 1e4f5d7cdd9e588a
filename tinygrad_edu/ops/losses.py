"""What losses share, and those of regression; see also `classification`, `likelihoods`, `margins`.

Arguments, names and reductions are PyTorch's: predictions first, `reduction` one of "mean",
"sum", "none". The frequent ones are one op each, so that forward and backward are fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.domain import DISTINCT
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.activations import check_positive
from tinygrad_edu.ops.elementwise import safe_multiply

# --- what the losses share ----------------------------------------------------------------------


def reduced(losses: Array, reduction: str) -> Array:
    """The mean, the sum, or each loss; the mean of none at all is NaN, as in NumPy."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def per_loss(g: Array, reduction: str, count: Any) -> Array:
    """The cotangent of each of `count` losses."""
    if reduction != "mean" or (type(count) is int and count == 0):
        return g
    return g * (1 / count)


def check_shapes(name: str, x: Array, y: Array, reduction: str) -> None:
    """Predictions and targets have one shape.

    Raises:
        InputError: if not, or if the reduction is unknown.
    """
    if getattr(y, "shape", None) != x.shape:
        raise InputError(
            f"{name}: predictions and targets must have one shape, got {x.shape} and "
            f"{getattr(y, 'shape', type(y).__name__)}; broadcasting here would mix up the examples"
        )
    check_reduction(name, reduction)


def check_reduction(name: str, reduction: str, *others: str) -> None:
    """One of the three reductions, or of those that a loss has besides.

    Raises:
        InputError: if it is none.
    """
    if reduction not in ("mean", "sum", "none", *others):
        known = ", ".join(map(repr, (*others, "mean", "sum")))
        raise InputError(f"{name}: expected reduction {known} or 'none', got {reduction!r}")


# --- regression ---------------------------------------------------------------------------------


@op(
    wrt(
        "x",
        lambda g, out, x, y, reduction="mean": safe_multiply(
            per_loss(2 * g, reduction, x.size), x - y
        ),
    ),
    wrt(
        "y",
        lambda g, out, x, y, reduction="mean": safe_multiply(
            per_loss(2 * g, reduction, x.size), y - x
        ),
    ),
)
def mse_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The squared error (x - y)², averaged over all elements.

    Args:
        x: (...), float, the prediction.
        y: (...), the target, of the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.
    """
    check_shapes("mse_loss", x, y, reduction)
    error = x - y
    if reduction == "none":
        return error * error
    if type(error) is np.ndarray and error.dtype.char == "d":  # vdot does not add up pairwise
        total = np.vdot(error, error)
        return total / error.size if reduction == "mean" else total
    return reduced(error * error, reduction)


def _l1_x(g: Array, out: Array, x: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(per_loss(g, reduction, x.size), np.sign(x - y))


def _l1_y(g: Array, out: Array, x: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(per_loss(g, reduction, x.size), np.sign(y - x))


@op(wrt("x", _l1_x, DISTINCT), wrt("y", _l1_y, DISTINCT))
def l1_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The absolute error |x - y|, averaged over all elements; its sub-gradient at x = y is 0.

    Args:
        x: (...), float, the prediction.
        y: (...), the target, of the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.
    """
    check_shapes("l1_loss", x, y, reduction)
    return reduced(abs(x - y), reduction)


def _huber_x(
    g: Array, out: Array, x: Array, y: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    return safe_multiply(per_loss(g, reduction, x.size), np.clip(x - y, -delta, delta))


def _huber_y(
    g: Array, out: Array, x: Array, y: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    return safe_multiply(per_loss(g, reduction, x.size), np.clip(y - x, -delta, delta))


@op(wrt("x", _huber_x), wrt("y", _huber_y))
def huber_loss(x: Array, y: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Half the squared error up to `delta`, from there on a straight line.

    Args:
        x: (...), float, the prediction.
        y: (...), the target, of the same shape.
        reduction: "mean", "sum" or "none".
        delta: a positive number.

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ, the reduction is unknown or delta is not positive.

    Source: P. Huber, "Robust Estimation of a Location Parameter" (1964), section 4.
    """
    check_shapes("huber_loss", x, y, reduction)
    check_positive("huber_loss", "delta", delta)
    error = x - y
    near = np.clip(error, -delta, delta)
    return reduced(near * (error - 0.5 * near), reduction)


@composite
def smooth_l1_loss(x: Array, y: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """`huber_loss` divided by its delta, here called beta: far out its slope is 1.

    Args:
        x: (...), float, the prediction.
        y: (...), the target, of the same shape.
        reduction: "mean", "sum" or "none".
        beta: where the straight line begins; 0 makes it `l1_loss`.

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ, the reduction is unknown or beta is negative.
    """
    return huber_loss(x, y, reduction, beta) / beta if beta else l1_loss(x, y, reduction)
