"""Losses of comparisons: scores that shall differ by a margin, pairs that shall be near or apart.

Where a margin is kept exactly nothing is to pay, and the sub-gradient is 0, that of `relu`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite
from tinygrad_edu.ops.activations import check_positive, softplus
from tinygrad_edu.ops.classification import check_labels, one_hot
from tinygrad_edu.ops.index import untracked
from tinygrad_edu.ops.losses import check_reduction, check_shapes, reduced
from tinygrad_edu.ops.rectifiers import relu
from tinygrad_edu.ops.windows import as_array


def _positive(function: str, y: Any, shape: tuple[int, ...], values: tuple[int, int]) -> Any:
    """Where a target is the higher one of two values; it gets no gradient.

    Raises:
        InputError: if it has another shape or other values.
    """
    y = untracked(function, "y", y)
    y = y if hasattr(y, "shape") else np.asarray(y)
    if y.shape != shape:
        raise InputError(f"{function}: expected targets y of shape {shape}, got {y.shape}")
    if isinstance(y, np.ndarray) and not np.isin(y, values).all():
        raise InputError(f"{function}: expected targets y that are {values[0]} or {values[1]}")
    return y == values[1]


# --- scores -------------------------------------------------------------------------------------


@composite
def multi_margin_loss(
    x: Array, labels: Array, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> Array:
    """The hinge loss for several classes: how much each wrong one comes too near to the right one.

    Args:
        x: (N, C), float: one score per example and class.
        labels: (N,), integers from 0 to C - 1.
        p: 1, or 2 to square each amount.
        margin: by how much the right score shall be the higher one.
        reduction: "mean" over the N examples, "sum" or "none".

    Returns:
        0-d, or (N,) for "none": of each example the sum over the wrong classes, divided by C.

    Raises:
        InputError: if shapes do not fit, a label is out of range, or an option is unknown.
        DtypeError: if labels are not integers.

    Source: J. Weston, C. Watkins, "Support Vector Machines for Multi-Class Pattern Recognition"
    (1999), section 3.
    """
    labels = untracked("multi_margin_loss", "labels", labels)
    check_labels("multi_margin_loss", x, labels, reduction)
    if p not in (1, 2):
        raise InputError(f"multi_margin_loss: expected p = 1 or 2, got {p}")
    classes = x.shape[1]
    own = one_hot(labels, classes)
    right = np.where(own, x, 0.0).sum(axis=1, keepdims=True)
    short = relu(margin - right + x)
    each = np.where(own, 0.0, short * short if p == 2 else short)
    return reduced(each.sum(axis=1) / max(classes, 1), reduction)


@composite
def margin_ranking_loss(
    x1: Array, x2: Array, y: Any, margin: float = 0.0, reduction: str = "mean"
) -> Array:
    """max(0, margin - y (x1 - x2)): by how much the wrong one of two is ahead.

    Args:
        x1: (...), float.
        x2: (...), of the same shape.
        y: (...), 1 where `x1` shall be the higher one, -1 where `x2`.
        margin: by how much.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, y has other values, or the reduction is unknown.
    """
    check_shapes("margin_ranking_loss", x1, x2, reduction)
    first = _positive("margin_ranking_loss", y, x1.shape, (-1, 1))
    return reduced(relu(margin + np.where(first, x2 - x1, x1 - x2)), reduction)


@composite
def soft_margin_loss(x: Array, y: Any, reduction: str = "mean") -> Array:
    """log(1 + exp(-y x)), the logistic loss for targets -1 and 1.

    Args:
        x: (...), float.
        y: (...), -1 or 1, of the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, y has other values, or the reduction is unknown.
    """
    check_reduction("soft_margin_loss", reduction)
    positive = _positive("soft_margin_loss", y, x.shape, (-1, 1))
    return reduced(softplus(np.where(positive, -x, x)), reduction)


@composite
def negative_sampling_loss(positive: Array, negative: Array, reduction: str = "mean") -> Array:
    """-log σ(positive) - Σ log σ(-negative): words that occurred together against words drawn.

    Args:
        positive: (...), float: the score of a word and its context, their inner product.
        negative: (..., K), the scores of the word and K words that were drawn.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit or the reduction is unknown.

    Source: T. Mikolov et al., "Distributed Representations of Words and Phrases and their
    Compositionality" (2013), equation 4.
    """
    check_reduction("negative_sampling_loss", reduction)
    if negative.shape[:-1] != positive.shape or not negative.shape:
        raise InputError(
            f"negative_sampling_loss: expected negative of shape {(*positive.shape, 'K')}, got "
            f"{negative.shape}"
        )
    return reduced(softplus(-positive) + softplus(negative).sum(axis=-1), reduction)


# --- distances ----------------------------------------------------------------------------------


@composite
def hinge_embedding_loss(x: Array, y: Any, margin: float = 1.0, reduction: str = "mean") -> Array:
    """The distance `x` of what belongs together, and max(0, margin - x) of what does not.

    Args:
        x: (...), float.
        y: (...), 1 for what belongs together, -1 for what does not.
        margin: how far apart is far enough.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, y has other values, or the reduction is unknown.
    """
    check_reduction("hinge_embedding_loss", reduction)
    together = _positive("hinge_embedding_loss", y, x.shape, (-1, 1))
    return reduced(np.where(together, x, relu(margin - x)), reduction)


@composite
def contrastive_loss(
    x1: Array, x2: Array, y: Any, margin: float = 1.0, reduction: str = "mean"
) -> Array:
    """½ D² for similar pairs and ½ max(0, margin - D)² for others, D = |x1 - x2|.

    Args:
        x1: (..., d), float: vectors.
        x2: (..., d), of the same shape.
        y: (...), 0 for a similar pair and 1 for a different one, as in the paper.
        margin: how far apart is far enough.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, y has other values, or the reduction is unknown.

    Source: R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality Reduction by Learning an Invariant
    Mapping" (2006), equation 4.
    """
    check_shapes("contrastive_loss", x1, x2, reduction)
    different = _positive("contrastive_loss", y, x1.shape[:-1], (0, 1))
    difference = x1 - x2
    near = relu(margin - np.linalg.norm(difference, axis=-1))
    return reduced(
        0.5 * np.where(different, near * near, (difference * difference).sum(axis=-1)), reduction
    )


@composite
def cosine_embedding_loss(
    x1: Array, x2: Array, y: Any, margin: float = 0.0, reduction: str = "mean"
) -> Array:
    """1 - cos(x1, x2) for what belongs together, max(0, cos(x1, x2) - margin) for what does not.

    Args:
        x1: (..., d), float: vectors.
        x2: (..., d), of the same shape.
        y: (...), 1 for what belongs together, -1 for what does not.
        margin: from -1 to 1: which cosine is small enough.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, y has other values, or the reduction is unknown.
    """
    check_shapes("cosine_embedding_loss", x1, x2, reduction)
    together = _positive("cosine_embedding_loss", y, x1.shape[:-1], (-1, 1))
    tiny = 1e-12  # PyTorch's: the cosine with a vector of zeros is 0
    squares = ((x1 * x1).sum(axis=-1) + tiny) * ((x2 * x2).sum(axis=-1) + tiny)
    cosine = (x1 * x2).sum(axis=-1) / np.sqrt(squares)
    return reduced(np.where(together, 1 - cosine, relu(cosine - margin)), reduction)


@composite
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """max(0, |anchor - positive| - |anchor - negative| + margin).

    Args:
        anchor: (..., d), float: vectors.
        positive: (..., d), vectors that belong to them.
        negative: (..., d), vectors that do not.
        margin: by how much those shall be farther away.
        p: of the norm, a positive number; np.inf for the largest difference.
        eps: added to every difference, as in PyTorch.
        swap: count |positive - negative| instead of |anchor - negative| where it is smaller.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ, the reduction is unknown or p is not positive.

    Source: V. Balntas et al., "Learning Local Feature Descriptors with Triplets and Shallow
    Convolutional Neural Networks" (2016), sections 2 and 3.
    """
    anchor, positive, negative = as_array(anchor), as_array(positive), as_array(negative)
    check_shapes("triplet_margin_loss", anchor, positive, reduction)
    check_shapes("triplet_margin_loss", anchor, negative, reduction)
    check_positive("triplet_margin_loss", "p", p)

    def distance(x: Array, y: Array) -> Array:
        return np.linalg.norm(x - y + eps, p, axis=-1)

    far = distance(anchor, negative)
    if swap:
        far = np.minimum(far, distance(positive, negative))
    return reduced(relu(distance(anchor, positive) - far + margin), reduction)
