"""Losses: one op each, so that forward and backward are fused and stable.

Arguments, names and reductions are PyTorch's: predictions first, `reduction` one of "mean",
"sum", "none".
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.domain import Domain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.op import Array, op, wrt
from tinygrad_edu.ops.activations import log_softmax, sigmoid, softmax, softplus
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.reduce import shifted

# --- what the losses share ----------------------------------------------------------------------


def _reduced(losses: Array, reduction: str) -> Array:
    if reduction == "mean":
        return losses.mean() if losses.size else losses.sum()
    return losses.sum() if reduction == "sum" else losses


def _per_loss(g: Array, reduction: str, count: int) -> Array:
    """The cotangent of each of `count` losses."""
    return g * (1 / max(count, 1)) if reduction == "mean" else g


def _check(name: str, x: Array, y: Array, reduction: str) -> None:
    if getattr(y, "shape", None) != x.shape:
        raise InputError(
            f"{name}: predictions and targets must have one shape, got {x.shape} and "
            f"{getattr(y, 'shape', type(y).__name__)}; broadcasting here would mix up the examples"
        )
    _check_reduction(name, reduction)


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"{name}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


# --- regression ---------------------------------------------------------------------------------


@op(
    wrt(
        "x",
        lambda g, out, x, y, reduction="mean": safe_multiply(
            _per_loss(2 * g, reduction, x.size), x - y
        ),
    ),
    wrt(
        "y",
        lambda g, out, x, y, reduction="mean": safe_multiply(
            _per_loss(2 * g, reduction, x.size), y - x
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
    _check("mse_loss", x, y, reduction)
    error = x - y
    if reduction == "none":
        return error * error
    if type(error) is np.ndarray and error.dtype.char == "d":  # vdot does not add up pairwise
        total = np.vdot(error, error)
        return total / error.size if reduction == "mean" else total
    return _reduced(error * error, reduction)


# --- classification -----------------------------------------------------------------------------


def _check_labels(name: str, scores: Array, labels: Array, reduction: str) -> None:
    _check_reduction(name, reduction)
    shape = getattr(labels, "shape", None)
    if scores.ndim != 2 or shape != scores.shape[:1]:
        raise InputError(
            f"{name}: expected {'logits' if name == 'cross_entropy' else 'log_probs'} (N, C) and "
            f"labels (N,), got {scores.shape} and {shape or type(labels).__name__}"
        )
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: expected integer labels, got {labels.dtype}; use labels.astype(int)"
        )
    if isinstance(labels, np.ndarray) and labels.size:
        # Seen as unsigned numbers negative labels are large: one comparison finds both ends.
        highest = labels.view(labels.dtype.str.replace("i", "u")).max()
        if highest >= scores.shape[1]:
            raise InputError(
                f"{name}: labels must be between 0 and {scores.shape[1] - 1} for "
                f"{scores.shape[1]} classes, got {labels.min()} to {labels.max()}"
            )


def _one_hot(labels: Array, classes: int) -> Array:
    return labels.reshape((-1, 1)) == np.arange(classes, like=labels)


def _column(g: Array, reduction: str, count: int) -> Array:
    """The cotangent of each example's loss, to be multiplied with a row of scores."""
    return g.reshape((-1, 1)) if reduction == "none" else _per_loss(g, reduction, count)


def _is_plain(scores: Array, labels: Array) -> bool:
    return type(scores) is np.ndarray and type(labels) is np.ndarray


def _cross_entropy_logits(
    g: Array, out: Array, logits: Array, labels: Array, reduction: str = "mean"
) -> Array:
    """`softmax(logits) - target`, per example."""
    count, classes = logits.shape
    rows = softmax(logits)
    if labels.ndim == 2:
        rows = safe_multiply(rows, labels.sum(axis=1, keepdims=True)) - labels
    elif _is_plain(rows, labels):
        rows[np.arange(count), labels] -= 1
    else:
        rows = rows - _one_hot(labels, classes)
    return safe_multiply(_column(g, reduction, count), rows)


def _cross_entropy_labels(
    g: Array, out: Array, logits: Array, labels: Array, reduction: str = "mean"
) -> Array:
    return safe_multiply(_column(g, reduction, logits.shape[0]), -log_softmax(logits))


@op(wrt("logits", _cross_entropy_logits), wrt("labels", _cross_entropy_labels))
def cross_entropy(logits: Array, labels: Array, reduction: str = "mean") -> Array:
    """`-log softmax(logits)` at the labels: the loss of a classifier.

    Args:
        logits: (N, C), float: one score per example and class, any real numbers.
        labels: (N,), integers from 0 to C - 1; or (N, C), float: probabilities.
        reduction: "mean" over the N examples, "sum" or "none".

    Returns:
        0-d, or (N,) for "none"; dtype of `logits`.

    Raises:
        InputError: if shapes do not fit, a label is out of range or the reduction is unknown.
        DtypeError: if labels of shape (N,) are not integers.
    """
    if getattr(labels, "ndim", 0) == 2:
        _check("cross_entropy", logits, labels, reduction)
        return _reduced(-(labels * log_softmax(logits)).sum(axis=1), reduction)
    _check_labels("cross_entropy", logits, labels, reduction)
    if not _is_plain(logits, labels):
        return _picked(log_softmax(logits), labels, reduction)
    # log_softmax, but only at the labels
    below = shifted(logits, logits.max(axis=1, keepdims=True))
    picked = below[np.arange(labels.size), labels]
    return _reduced(np.log(np.exp(below).sum(axis=1)) - picked, reduction)


def _picked(log_probs: Array, labels: Array, reduction: str) -> Array:
    count, classes = log_probs.shape
    if _is_plain(log_probs, labels):
        picked = log_probs[np.arange(count), labels]
    else:
        picked = np.where(_one_hot(labels, classes), log_probs, 0.0).sum(axis=1)
    return -_reduced(picked, reduction)


def _nll_loss(
    g: Array, out: Array, log_probs: Array, labels: Array, reduction: str = "mean"
) -> Array:
    count, classes = log_probs.shape
    return np.where(_one_hot(labels, classes), -_column(g, reduction, count), 0.0)


@op(wrt("log_probs", _nll_loss))
def nll_loss(log_probs: Array, labels: Array, reduction: str = "mean") -> Array:
    """`-log_probs` at the labels; with `log_softmax` before it the same as `cross_entropy`.

    Args:
        log_probs: (N, C), float.
        labels: (N,), integers from 0 to C - 1.
        reduction: "mean" over the N examples, "sum" or "none".

    Returns:
        0-d, or (N,) for "none"; dtype of `log_probs`.

    Raises:
        InputError: if shapes do not fit, a label is out of range or the reduction is unknown.
        DtypeError: if labels are not integers.
    """
    _check_labels("nll_loss", log_probs, labels, reduction)
    return _picked(log_probs, labels, reduction)


_LOWEST_LOG, _LOWEST_P = -100.0, 1e-12  # PyTorch's, so that p = 0 and p = 1 cost a finite amount


def _bce_p(g: Array, out: Array, p: Array, y: Array, reduction: str = "mean") -> Array:
    slope = (1 - y) / np.maximum(1 - p, _LOWEST_P) - y / np.maximum(p, _LOWEST_P)
    return safe_multiply(_per_loss(g, reduction, p.size), slope)


def _bce_y(g: Array, out: Array, p: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(_per_loss(g, reduction, p.size), _log(1 - p) - _log(p))


def _log(p: Array) -> Array:
    return np.maximum(np.log(p), _LOWEST_LOG)


@op(wrt("p", _bce_p, Domain(0.0, 1.0)), wrt("y", _bce_y))
@np.errstate(divide="ignore")  # log 0, which is clamped
def binary_cross_entropy(p: Array, y: Array, reduction: str = "mean") -> Array:
    """`-y log p - (1 - y) log(1 - p)`; from logits, use `binary_cross_entropy_with_logits`.

    Args:
        p: (...), float between 0 and 1, the predicted probabilities.
        y: (...), the targets between 0 and 1, of the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none". A logarithm counts as at least -100, as in PyTorch.

    Raises:
        InputError: if the shapes differ or the reduction is unknown.
    """
    _check("binary_cross_entropy", p, y, reduction)
    return _reduced(-(y * _log(p) + (1 - y) * _log(1 - p)), reduction)


def _bce_logits_z(g: Array, out: Array, z: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(_per_loss(g, reduction, z.size), sigmoid(z) - y)


def _bce_logits_y(g: Array, out: Array, z: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(_per_loss(g, reduction, z.size), -z)


@op(wrt("z", _bce_logits_z), wrt("y", _bce_logits_y))
def binary_cross_entropy_with_logits(z: Array, y: Array, reduction: str = "mean") -> Array:
    """`binary_cross_entropy(sigmoid(z), y)` without its rounding: softplus(z) - y z.

    Args:
        z: (...), float, any real numbers.
        y: (...), the targets between 0 and 1, of the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.
    """
    _check("binary_cross_entropy_with_logits", z, y, reduction)
    return _reduced(softplus(z) - z * y, reduction)
