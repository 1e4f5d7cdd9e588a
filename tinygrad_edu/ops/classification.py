"""Losses of classification: from labels, from probabilities, and focal ones.

Scores (logits) go in, not probabilities, wherever that is more exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.domain import Domain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.op import Array, composite, op, wrt
from tinygrad_edu.ops.activations import log_softmax, sigmoid, softmax, softplus
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.losses import check_reduction, check_shapes, per_loss, reduced
from tinygrad_edu.ops.reduce import shifted

# --- several classes ----------------------------------------------------------------------------


def check_labels(name: str, scores: Array, labels: Array, reduction: str) -> None:
    """Each row of scores has a label that says which column is right.

    Raises:
        InputError: if shapes do not fit, a label is out of range or the reduction is unknown.
        DtypeError: if labels are not integers.
    """
    check_reduction(name, reduction)
    shape = getattr(labels, "shape", None)
    if scores.ndim != 2 or shape != scores.shape[:1]:
        raise InputError(
            f"{name}: expected {'log_probs' if name == 'nll_loss' else 'logits'} (N, C) and "
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


def one_hot(labels: Array, classes: int) -> Array:
    """Booleans (N, classes), true where the column is the label."""
    return labels.reshape((-1, 1)) == np.arange(classes, like=labels)


def _column(g: Array, reduction: str, count: Any) -> Array:
    """The cotangent of each example's loss, to be multiplied with a row of scores."""
    return g.reshape((-1, 1)) if reduction == "none" else per_loss(g, reduction, count)


def _is_plain(scores: Array, labels: Array) -> bool:
    return type(scores) is np.ndarray and type(labels) is np.ndarray


def _target(
    logits: Array, labels: Array, weight: Any, ignore_index: int | None, label_smoothing: float
) -> tuple[Array, Any]:
    """What softmax is compared with, labels or rows of numbers, and by what "mean" divides."""
    count, classes = logits.shape
    if weight is None and ignore_index is None and not label_smoothing:
        return labels, count
    total: Any = count
    if weight is None:
        weight = np.ones(classes)
    if labels.ndim == 2:
        kept, target = True, labels
    else:
        kept = (labels != ignore_index).reshape((-1, 1))
        target = one_hot(labels, classes)
        total = (target * kept * weight).sum().astype(logits.dtype)
        total = np.where(total == 0, 1, total)  # nothing counts: the mean is 0
    smooth = (1 - label_smoothing) * target + label_smoothing / classes
    return (smooth * kept * weight).astype(logits.dtype), total


def _cross_entropy_logits(
    g: Array,
    out: Array,
    logits: Array,
    labels: Array,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """`softmax(logits) - target`, per example."""
    target, count = _target(logits, labels, weight, ignore_index, label_smoothing)
    rows = softmax(logits)
    if target.ndim == 2:
        rows = safe_multiply(rows, target.sum(axis=1, keepdims=True)) - target
    elif _is_plain(rows, target):
        rows[np.arange(len(target)), target] -= 1
    else:
        rows = rows - one_hot(target, logits.shape[1])
    return safe_multiply(_column(g, reduction, count), rows)


def _cross_entropy_labels(
    g: Array,
    out: Array,
    logits: Array,
    labels: Array,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    share = label_smoothing - 1 if weight is None else (label_smoothing - 1) * weight
    each = _column(g, reduction, logits.shape[0])
    return safe_multiply(each, safe_multiply(log_softmax(logits), share))


@op(wrt("logits", _cross_entropy_logits), wrt("labels", _cross_entropy_labels))
def cross_entropy(
    logits: Array,
    labels: Array,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """`-log softmax(logits)` at the labels: the loss of a classifier.

    Args:
        logits: (N, C), float: one score per example and class, any real numbers.
        labels: (N,), integers from 0 to C - 1; or (N, C), float: probabilities.
        reduction: "mean" over the N examples, "sum" or "none".
        weight: (C,), how much an example of each class counts, in the mean too.
        ignore_index: a label whose examples do not count, in the mean neither.
        label_smoothing: the share, from 0 to 1, that every label gives to all classes alike.

    Returns:
        0-d, or (N,) for "none"; dtype of `logits`.

    Raises:
        InputError: if shapes do not fit, a label is out of range, the reduction is unknown, or an
            option does not fit.
        DtypeError: if labels of shape (N,) are not integers.

    Source: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016),
    section 7 (label smoothing).
    """
    probabilities = getattr(labels, "ndim", 0) == 2 and labels.shape == logits.shape
    if probabilities:
        check_shapes("cross_entropy", logits, labels, reduction)
    elif ignore_index is None:
        check_labels("cross_entropy", logits, labels, reduction)
    else:
        counted = np.where(labels == ignore_index, 0, labels)
        check_labels("cross_entropy", logits, counted, reduction)
    if weight is not None and np.shape(weight) != logits.shape[1:]:
        raise InputError(
            f"cross_entropy: expected a weight for each of {logits.shape[1]} classes, got shape "
            f"{np.shape(weight)}"
        )
    if not 0 <= label_smoothing <= 1 or (probabilities and ignore_index is not None):
        raise InputError(
            "cross_entropy: expected label_smoothing from 0 to 1, and ignore_index for integer "
            f"labels alone, got {label_smoothing} and {ignore_index}"
        )
    target, count = _target(logits, labels, weight, ignore_index, label_smoothing)
    if target.ndim == 2:
        losses = -safe_multiply(target, log_softmax(logits)).sum(axis=1)
        if reduction == "mean" and losses.size:
            return per_loss(losses.sum(), reduction, count)
        return reduced(losses, reduction)
    if not _is_plain(logits, labels):
        return _picked(log_softmax(logits), labels, reduction)
    # log_softmax, but only at the labels
    below = shifted(logits, logits.max(axis=1, keepdims=True))
    picked = below[np.arange(labels.size), labels]
    return reduced(np.log(np.exp(below).sum(axis=1)) - picked, reduction)


def _picked(log_probs: Array, labels: Array, reduction: str) -> Array:
    count, classes = log_probs.shape
    if _is_plain(log_probs, labels):
        picked = log_probs[np.arange(count), labels]
    else:
        picked = np.where(one_hot(labels, classes), log_probs, 0.0).sum(axis=1)
    return -reduced(picked, reduction)


def _nll_loss(
    g: Array, out: Array, log_probs: Array, labels: Array, reduction: str = "mean"
) -> Array:
    count, classes = log_probs.shape
    column = -_column(g, reduction, count)
    if _is_plain(log_probs, labels):
        rows = np.zeros_like(log_probs)
        rows[np.arange(count), labels] = np.ravel(column)
        return rows
    return np.where(one_hot(labels, classes), column, 0.0)


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
    check_labels("nll_loss", log_probs, labels, reduction)
    return _picked(log_probs, labels, reduction)


# --- two classes --------------------------------------------------------------------------------

_LOWEST_LOG, _LOWEST_P = -100.0, 1e-12  # PyTorch's, so that p = 0 and p = 1 cost a finite amount


def _bce_p(g: Array, out: Array, p: Array, y: Array, reduction: str = "mean") -> Array:
    slope = (1 - y) / np.maximum(1 - p, _LOWEST_P) - y / np.maximum(p, _LOWEST_P)
    return safe_multiply(per_loss(g, reduction, p.size), slope)


def _bce_y(g: Array, out: Array, p: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(per_loss(g, reduction, p.size), _log(1 - p) - _log(p))


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
    check_shapes("binary_cross_entropy", p, y, reduction)
    return reduced(-(y * _log(p) + (1 - y) * _log(1 - p)), reduction)


def _bce_logits_z(g: Array, out: Array, z: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(per_loss(g, reduction, z.size), sigmoid(z) - y)


def _bce_logits_y(g: Array, out: Array, z: Array, y: Array, reduction: str = "mean") -> Array:
    return safe_multiply(per_loss(g, reduction, z.size), -z)


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
    check_shapes("binary_cross_entropy_with_logits", z, y, reduction)
    return reduced(softplus(z) - z * y, reduction)


# --- focal: easy examples count less ------------------------------------------------------------


@composite
def sigmoid_focal_loss(
    x: Array, y: Array, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Array:
    """`binary_cross_entropy_with_logits`, each times (1 - probability of what is right)^gamma.

    Arguments and defaults are torchvision's: `reduction` too.

    Args:
        x: (...), float: logits.
        y: (...), the targets between 0 and 1, of the same shape.
        alpha: how much a target of 1 counts, where a target of 0 counts 1 - alpha; negative: both
            count 1.
        gamma: how much less an easy example counts; 0: not at all.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.

    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 5.
    """
    check_shapes("sigmoid_focal_loss", x, y, reduction)
    wrong = y * sigmoid(-x) + (1 - y) * sigmoid(x)
    losses = binary_cross_entropy_with_logits(x, y, "none") * wrong**gamma
    if alpha >= 0:
        losses = losses * (alpha * y + (1 - alpha) * (1 - y))
    return reduced(losses, reduction)


@composite
def softmax_focal_loss(
    logits: Array, labels: Array, gamma: float = 2.0, reduction: str = "mean"
) -> Array:
    """`cross_entropy`, each example times (1 - probability of its label)^gamma.

    Args:
        logits: (N, C), float.
        labels: (N,), integers from 0 to C - 1.
        gamma: how much less an easy example counts; 0: not at all.
        reduction: "mean" over the N examples, "sum" or "none".

    Returns:
        0-d, or (N,) for "none"; dtype of `logits`.

    Raises:
        InputError: as `cross_entropy`.
        DtypeError: if labels are not integers.

    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection" (2017), equation 4.
    """
    check_reduction("softmax_focal_loss", reduction)
    losses = cross_entropy(logits, labels, "none")
    return reduced((-np.expm1(-losses)) ** gamma * losses, reduction)
