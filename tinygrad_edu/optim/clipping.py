"""Clipping of gradients, between `backward()` and the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_edu.errors import AnomalyError, DtypeError, InputError
from tinygrad_edu.sparse import RowSparse
from tinygrad_edu.tensor import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by one factor, so that their norm as one vector is `max_norm` at most.

    Args:
        parameters: Tensors; those without a gradient do not count, and one that comes twice counts
            once.
        max_norm: the largest norm allowed, positive; `math.inf` only measures.
        norm_type: p of the p-norm, from 1 up; `math.inf` for the largest magnitude.
        error_if_nonfinite: refuse a norm that is infinite or NaN; else the gradients are left as
            they are then. (PyTorch scales them by 0 or NaN.)

    Returns:
        The norm before.

    Raises:
        InputError: if `max_norm` or `norm_type` is out of range.
        DtypeError: if they are no numbers, or `parameters` no Tensors.
        AnomalyError: if the norm is not finite and that is to be an error.

    Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks" (2013),
    algorithm 1. (PyTorch divides by the norm + 1e-6.)
    """
    _check_number("clip_grad_norm_", "max_norm", max_norm)
    _check_number("clip_grad_norm_", "norm_type", norm_type)
    if norm_type < 1:
        raise InputError(f"clip_grad_norm_: expected norm_type from 1 up, got {norm_type}")
    tensors = _with_gradient("clip_grad_norm_", parameters)
    total = _norm([_norm(_numbers(p.grad), norm_type) for p in tensors], norm_type)
    if not math.isfinite(total):
        if error_if_nonfinite:
            bad = [f"{p!r:.60}" for p in tensors if not np.isfinite(_numbers(p.grad)).all()]
            raise AnomalyError(
                f"clip_grad_norm_: the norm of the gradients is {total}; not finite: "
                f"{', '.join(bad)}; tg.detect_anomaly() names the op that made it"
            )
    elif total > max_norm:
        for p in tensors:  # not in place: two may have been given one array
            scaled = p.grad * float(max_norm / total)
            p.grad = scaled if isinstance(scaled, RowSparse) else np.asarray(scaled)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of the gradients to [-clip_value, clip_value].

    Args:
        parameters: Tensors; those without a gradient do not count.
        clip_value: the largest magnitude allowed, positive.

    Raises:
        InputError: if `clip_value` is out of range.
        DtypeError: if it is no number, or `parameters` no Tensors.
    """
    _check_number("clip_grad_value_", "clip_value", clip_value)
    for p in _with_gradient("clip_grad_value_", parameters):
        clipped = np.asarray(np.clip(_numbers(p.grad), -clip_value, clip_value))
        sparse = isinstance(p.grad, RowSparse)
        p.grad = RowSparse(p.grad.rows, clipped, p.shape) if sparse else clipped


def _with_gradient(function: str, parameters: Any) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else parameters
    tensors = list(listed) if isinstance(listed, Iterable) else [listed]
    for p in tensors:
        if not isinstance(p, Tensor):
            raise DtypeError(
                f"{function}: expected Tensors, got {type(p).__name__}: pass model.parameters()"
            )
    return [p for p in dict.fromkeys(tensors) if p.grad is not None]


def _numbers(grad: Any) -> np.ndarray[Any, Any]:
    numbers: np.ndarray[Any, Any] = grad.values if isinstance(grad, RowSparse) else grad
    return numbers


def _norm(values: Any, ord: float) -> float:
    """The norm of an array as a vector; scaled, so that no power of an element overflows."""
    largest = float(np.max(np.abs(values), initial=0))
    if not 0 < largest < math.inf:
        return largest
    return largest * float(np.linalg.norm(np.divide(values, largest, dtype=float).ravel(), ord))


def _check_number(function: str, argument: str, value: Any) -> None:
    if not isinstance(value, Real):
        raise DtypeError(f"{function}: expected a number for {argument}, got {value!r:.60}")
    if not float(value) > 0:
        raise InputError(f"{function}: expected a positive {argument}, got {value}")
