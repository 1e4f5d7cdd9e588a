"""Losses that come from distributions: negative log-likelihoods and divergences."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.backward import plain
from tinygrad_edu.errors import InputError
from tinygrad_edu.op import Array, composite
from tinygrad_edu.ops.elementwise import safe_multiply
from tinygrad_edu.ops.losses import check_reduction, check_shapes, reduced


@composite
def gaussian_nll_loss(
    x: Array, y: Array, var: Array, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    """How unlikely `y` is for a normal distribution with mean `x` and variance `var`: -log p(y).

    Args:
        x: (...), float, the predicted means.
        y: (...), what was observed, of the same shape.
        var: (...), the predicted variances: of a shape that broadcasts to that of `x`.
        full: with the constant ½ log 2π.
        eps: what a variance counts as at least; there its gradient is 0.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if shapes do not fit, a variance is negative or the reduction is unknown.

    Source: D. Nix, A. Weigend, "Estimating the Mean and Variance of the Target Probability
    Distribution" (1994), equation 2.
    """
    check_shapes("gaussian_nll_loss", x, y, reduction)
    fits = [m in (1, n) for m, n in zip(var.shape, x.shape, strict=False)]
    if len(var.shape) != len(x.shape) or not all(fits):
        raise InputError(
            f"gaussian_nll_loss: expected variances for means of shape {x.shape}, got {var.shape}"
        )
    if isinstance(plain(var), np.ndarray) and np.any(plain(var) < 0):
        raise InputError("gaussian_nll_loss: expected variances, got a negative number")
    var = np.maximum(var, eps)
    error = x - y
    losses = 0.5 * (np.log(var) + error * error / var)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@composite
def poisson_nll_loss(
    x: Array,
    y: Array,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Array:
    """How unlikely the count `y` is for a Poisson distribution: its rate less `y` log(rate).

    Args:
        x: (...), float: logarithms of the predicted rates.
        y: (...), the counts, of the same shape.
        log_input: if False, `x` are the rates themselves.
        full: with Stirling's approximation of log y!, for counts above 1.
        eps: added to a rate before its logarithm is taken.
        reduction: "mean", "sum" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.
    """
    check_shapes("poisson_nll_loss", x, y, reduction)
    losses = np.exp(x) - y * x if log_input else x - y * np.log(x + eps)
    if full:
        many = np.where(y > 1, y, 2.0)
        stirling = many * np.log(many) - many + 0.5 * np.log(2 * math.pi * many)
        losses = losses + np.where(y > 1, stirling, 0.0)
    return reduced(losses, reduction)


@composite
def kl_div(x: Array, y: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """The Kullback-Leibler divergence y (log y - x), element by element, 0 where y = 0.

    Args:
        x: (...), float: logarithms of the predicted probabilities.
        y: (...), the probabilities aimed at, of the same shape.
        reduction: "batchmean" divides by the length of the first axis, which makes it the
            divergence as it is defined; "mean" by the number of elements; "sum" or "none".
        log_target: `y` are logarithms too.

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.

    Source: S. Kullback, R. Leibler, "On Information and Sufficiency" (1951), equation 2.4.
    """
    check_reduction("kl_div", reduction, "batchmean")
    check_shapes("kl_div", x, y, "none")
    if reduction == "batchmean" and not x.shape:
        raise InputError(
            "kl_div: expected a first axis, of examples, for 'batchmean', got shape ()"
        )
    if log_target:
        losses = np.exp(y) * (y - x)
    else:
        losses = safe_multiply(y, np.log(np.where(y > 0, y, 1.0)) - x)
    if reduction == "batchmean":
        return losses.sum() / x.shape[0]
    return reduced(losses, reduction)


@composite
def gaussian_kl(mu: Array, logvar: Array, reduction: str = "sum") -> Array:
    """The divergence of N(mu, exp(logvar)) from N(0, 1): the loss of a VAE's code.

    Args:
        mu: (...), float: means.
        logvar: (...), logarithms of variances, of the same shape.
        reduction: "sum" by default, as it is added to a sum over pixels; "mean" or "none".

    Returns:
        0-d, or (...) for "none".

    Raises:
        InputError: if the shapes differ or the reduction is unknown.

    Source: D. Kingma, M. Welling, "Auto-Encoding Variational Bayes" (2014), appendix B.
    """
    check_shapes("gaussian_kl", mu, logvar, reduction)
    return reduced(0.5 * (mu * mu + (np.expm1(logvar) - logvar)), reduction)
