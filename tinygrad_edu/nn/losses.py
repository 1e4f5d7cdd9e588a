"""Losses as modules: called as `loss(prediction, target)`.

Each is the function of the same name in `tg`, which has its formula. `reduction` is "mean", "sum"
or "none" (a loss per element or example). The mean of an empty batch does not exist, and is
refused. PyTorch's `size_average` and `reduce`, which it gave up long ago, are not here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import DtypeError, InputError
from tinygrad_edu.nn.checks import check_probability, numbers, title
from tinygrad_edu.nn.module import Buffer, Module
from tinygrad_edu.ops import classification, likelihoods, losses
from tinygrad_edu.ops.activations import softplus
from tinygrad_edu.ops.losses import check_reduction, reduced


class _Loss(Module):
    """A loss with a reduction.

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        InputError: if the reduction is unknown; at the call if shapes do not fit, or for the mean
            of an empty batch.
    """

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def _check(self, x: Any) -> Any:
        """An array of predictions as it is, numbers as an array."""
        x = numbers(self, x)
        if self.reduction == "mean" and not x.size:
            raise InputError(
                f"{title(self)}: expected at least one example, got an empty batch of shape "
                f"{x.shape}, whose mean does not exist; leave it out, or use reduction='sum'"
            )
        return x

    def _buffer(self, name: str, weight: Any) -> Buffer | None:
        """A weight as in PyTorch: a buffer, which is saved and loaded."""
        if isinstance(weight, str):
            raise InputError(
                f"{type(self).__name__}: expected {name} to be numbers, got {weight!r}; a "
                f"reduction is named: reduction={weight!r}"
            )
        return None if weight is None else Buffer(weight, dtype=float)

    def extra_repr(self) -> str:
        """The reduction, if it is not the usual one."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


# -- regression ------------------------------------------------------------------------------------


class MSELoss(_Loss):
    """The squared error (x - y)²; its mean is over all elements. See `tg.mse_loss`."""

    def forward(self, x: Any, y: Any) -> Any:
        """Prediction and target (...), of one shape."""
        return losses.mse_loss(self._check(x), y, self.reduction)


class L1Loss(_Loss):
    """The absolute error |x - y|. See `tg.l1_loss`."""

    def forward(self, x: Any, y: Any) -> Any:
        """Prediction and target (...), of one shape."""
        return losses.l1_loss(self._check(x), y, self.reduction)


class HuberLoss(_Loss):
    """Half the squared error up to `delta`, then a straight line. See `tg.huber_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        delta: a positive number.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise InputError(f"HuberLoss: expected delta > 0, got {delta}")
        self.delta = float(delta)

    def forward(self, x: Any, y: Any) -> Any:
        """Prediction and target (...), of one shape."""
        return losses.huber_loss(self._check(x), y, self.reduction, self.delta)


class SmoothL1Loss(_Loss):
    """`HuberLoss` divided by its delta, here called beta. See `tg.smooth_l1_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        beta: where the straight line begins; 0 makes it `L1Loss`.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if not beta >= 0:
            raise InputError(f"SmoothL1Loss: expected beta >= 0, got {beta}")
        self.beta = float(beta)

    def forward(self, x: Any, y: Any) -> Any:
        """Prediction and target (...), of one shape."""
        return losses.smooth_l1_loss(self._check(x), y, self.reduction, self.beta)


# -- classification --------------------------------------------------------------------------------


class CrossEntropyLoss(_Loss):
    """-log softmax(logits) at the labels, from logits: no softmax before it.

    See `tg.cross_entropy`.

    Args:
        weight: (C,), how much an example of each class counts; or None.
        ignore_index: a label whose examples do not count. None by default, where PyTorch ignores
            -100: a label that is out of range is an error here.
        reduction: "mean", "sum" or "none".
        label_smoothing: the share, from 0 to 1, that every label gives to all classes alike.
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        check_probability(self, "label_smoothing", label_smoothing)
        self.weight = self._buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, logits: Any, labels: Any) -> Any:
        """Logits (N, C), and integers (N,) below C or probabilities (N, C)."""
        weight = None if self.weight is None else self.weight.data
        settings = (self.reduction, weight, self.ignore_index, self.label_smoothing)
        logits, labels = self._check(logits), _array(labels)
        _check_rows(self, logits, labels, labels.shape in (logits.shape, logits.shape[:1]))
        if labels.ndim == 2:
            _check_unit(self, "probabilities", labels)
        return classification.cross_entropy(logits, labels, *settings)


class NLLLoss(_Loss):
    """-log_probs at the labels; after `LogSoftmax` the same as `CrossEntropyLoss`.

    Args:
        weight: (C,), how much an example of each class counts, in the mean too; or None.
        ignore_index: a label whose examples do not count; None as in `CrossEntropyLoss`.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self, weight: Any = None, ignore_index: int | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index = self._buffer("weight", weight), ignore_index

    def forward(self, log_probs: Any, labels: Any) -> Any:
        """Logarithms of probabilities (N, C), and integers (N,) below C."""
        log_probs, labels = self._check(log_probs), plain(_array(labels))
        _check_rows(self, log_probs, labels, labels.shape == log_probs.shape[:1])
        if self.weight is None and self.ignore_index is None:
            return classification.nll_loss(log_probs, labels, self.reduction)
        kept = labels != self.ignore_index
        labels = np.where(kept, labels, 0)
        each = classification.nll_loss(log_probs, labels, "none")
        share = kept.astype(each.dtype)
        if self.weight is not None:
            if self.weight.shape != log_probs.shape[1:]:
                raise InputError(
                    f"{title(self)}: expected a weight for each of {log_probs.shape[1]} classes, "
                    f"got shape {self.weight.shape}"
                )
            share *= self.weight.data[labels]
        if self.reduction == "mean":
            return np.sum(each * share) / (share.sum() or 1)  # nothing counts: the mean is 0
        return reduced(each * share, self.reduction)


class BCELoss(_Loss):
    """-y log p - (1 - y) log(1 - p), from probabilities. See `tg.binary_cross_entropy`.

    Args:
        weight: broadcasts to the losses, each of which is multiplied by it; or None.
        reduction: "mean" over all elements, "sum" or "none".
    """

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = self._buffer("weight", weight)

    def forward(self, p: Any, y: Any) -> Any:
        """Probabilities and targets between 0 and 1 (...), of one shape."""
        p, y = self._check(p), _array(y)
        _check_unit(self, "probabilities", p)
        _check_unit(self, "targets", y)
        if self.weight is None:
            return classification.binary_cross_entropy(p, y, self.reduction)
        each = classification.binary_cross_entropy(p, y, "none")
        return reduced(each * _fitting(self, "weight", each), self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of sigmoid(z), without its rounding: softplus(z) - y z.

    Args:
        weight: broadcasts to the losses, each of which is multiplied by it; or None.
        reduction: "mean" over all elements, "sum" or "none".
        pos_weight: broadcasts to the losses: how much a target of 1 counts, where a target of 0
            counts 1; or None.
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight = self._buffer("weight", weight)
        self.pos_weight = self._buffer("pos_weight", pos_weight)

    def forward(self, z: Any, y: Any) -> Any:
        """Logits and targets between 0 and 1 (...), of one shape."""
        z, y = self._check(z), _array(y)
        _check_unit(self, "targets", y)
        if self.weight is None and self.pos_weight is None:
            return classification.binary_cross_entropy_with_logits(z, y, self.reduction)
        each = classification.binary_cross_entropy_with_logits(z, y, "none")
        if self.pos_weight is not None:  # -log sigmoid(z) = softplus(-z) counts so many times
            each = each + (_fitting(self, "pos_weight", each) - 1) * y * softplus(-z)
        if self.weight is not None:
            each = each * _fitting(self, "weight", each)
        return reduced(each, self.reduction)


# -- likelihoods -----------------------------------------------------------------------------------


class KLDivLoss(_Loss):
    """The Kullback-Leibler divergence y (log y - x), where x are log probabilities.

    Args:
        reduction: "mean", "sum", "none" or "batchmean", which is that of mathematics.
        log_target: whether the targets are logarithms too.
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        check_reduction("KLDivLoss", reduction, "batchmean")
        self.reduction, self.log_target = reduction, log_target

    def forward(self, x: Any, y: Any) -> Any:
        """Logarithms of probabilities, and probabilities (...), of one shape."""
        return likelihoods.kl_div(self._check(x), y, self.reduction, self.log_target)


class GaussianNLLLoss(_Loss):
    """-log p(y) for a normal distribution with a mean and a variance that are predicted.

    Args:
        full: add the constant too.
        eps: the least variance.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, x: Any, y: Any, var: Any) -> Any:
        """Predicted means, targets, predicted variances (...)."""
        settings = (self.full, self.eps, self.reduction)
        return likelihoods.gaussian_nll_loss(self._check(x), y, _array(var), *settings)


def _array(y: Any) -> Any:
    """A list of targets as an array."""
    return y if hasattr(y, "shape") else np.asarray(y)


def _fitting(loss: Module, name: str, each: Any) -> Any:
    """A weight in the dtype of the losses, whose shape it must not enlarge."""
    weight = getattr(loss, name).data
    sizes = zip(weight.shape[::-1], each.shape[::-1], strict=False)
    if weight.ndim > each.ndim or any(n not in (1, m) for n, m in sizes):
        raise InputError(
            f"{title(loss)}: expected a {name} that broadcasts to the losses {each.shape}, got "
            f"shape {weight.shape}"
        )
    return weight.astype(each.dtype)


def _check_rows(loss: Module, scores: Any, labels: Any, fits: bool) -> None:
    """A row of scores for each example, and labels that fit."""
    if scores.ndim != 2 or not fits:
        raise InputError(
            f"{title(loss)}: expected scores (N, C) and labels (N,), got shapes {scores.shape} and "
            f"{labels.shape}; where there are more axes, the classes last, make rows of them: "
            "scores.reshape((-1, C)) and labels.reshape(-1)"
        )


def _check_unit(loss: Module, what: str, x: Any) -> None:
    """Numbers between 0 and 1; NaN may pass, so that `nn.fit` can tell where it came from."""
    x = plain(x)
    if getattr(x, "dtype", np.dtype(object)).kind not in "biuf":
        raise DtypeError(f"{title(loss)}: expected {what} to be numbers, got dtype {x.dtype}")
    if isinstance(x, np.ndarray) and x.size and (x.min() < 0 or x.max() > 1):
        raise InputError(
            f"{title(loss)}: expected {what} between 0 and 1, got {x.min()} to {x.max()}"
        )
