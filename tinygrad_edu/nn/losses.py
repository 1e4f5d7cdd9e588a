"""Losses as modules: called as `loss(prediction, target)`.

Each is the function of the same name in `tg`, which has its formula. `reduction` is "mean", "sum"
or "none" (a loss per element or example). The mean of an empty batch does not exist, and is
refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import InputError
from tinygrad_edu.nn.checks import title
from tinygrad_edu.nn.module import Module
from tinygrad_edu.ops import classification, likelihoods, losses
from tinygrad_edu.ops.losses import check_reduction


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
        x = x if hasattr(x, "shape") else np.asarray(x)
        if self.reduction == "mean" and not x.size:
            raise InputError(
                f"{title(self)}: expected at least one example, got an empty batch of shape "
                f"{x.shape}, whose mean does not exist; leave it out, or use reduction='sum'"
            )
        return x

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
        self.delta = delta

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
        self.beta = beta

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
        self.weight = None if weight is None else np.asarray(weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, logits: Any, labels: Any) -> Any:
        """Logits (N, C), and integers (N,) below C or probabilities (N, C)."""
        settings = (self.reduction, self.weight, self.ignore_index, self.label_smoothing)
        logits = self._check(logits)
        return classification.cross_entropy(logits, _labels(labels), *settings)


class NLLLoss(_Loss):
    """-log_probs at the labels; after `LogSoftmax` the same as `CrossEntropyLoss`."""

    def forward(self, log_probs: Any, labels: Any) -> Any:
        """Logarithms of probabilities (N, C), and integers (N,) below C."""
        log_probs = self._check(log_probs)
        return classification.nll_loss(log_probs, _labels(labels), self.reduction)


class BCELoss(_Loss):
    """-y log p - (1 - y) log(1 - p), from probabilities. See `tg.binary_cross_entropy`."""

    def forward(self, p: Any, y: Any) -> Any:
        """Probabilities and targets between 0 and 1 (...), of one shape."""
        return classification.binary_cross_entropy(self._check(p), y, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of sigmoid(z), without its rounding: softplus(z) - y z."""

    def forward(self, z: Any, y: Any) -> Any:
        """Logits and targets between 0 and 1 (...), of one shape."""
        z = self._check(z)
        return classification.binary_cross_entropy_with_logits(z, y, self.reduction)


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
        return likelihoods.gaussian_nll_loss(self._check(x), y, var, *settings)


def _labels(labels: Any) -> Any:
    """A list of labels as an array."""
    return labels if hasattr(labels, "shape") else np.asarray(labels)
